"""The whole API as one table. The router, the scope check, the reference page and the tests are made from it."""

from __future__ import annotations

from core_runtime.interfaces.admin.pack_routes import PACK_ROUTES
from core_runtime.interfaces.admin.route import Route
from core_runtime.interfaces.admin.state_routes import STATE_ROUTES
from core_runtime.interfaces.admin.work_routes import WORK_ROUTES

ROUTES: tuple[Route, ...] = (*PACK_ROUTES, *WORK_ROUTES, *STATE_ROUTES)
OPEN_PATHS: frozenset[str] = frozenset(route.path for route in ROUTES if route.scope is None)


def scope_table() -> tuple[tuple[str, str, str], ...]:
    """`(method, path, scope)` of every route, sorted; the scope of an open one is `none`."""
    return tuple(sorted((r.method, r.path, r.scope.value if r.scope else "none") for r in ROUTES))
