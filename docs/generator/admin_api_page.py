"""The page of the admin API, out of the one table that the router itself is made from."""

from __future__ import annotations

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.models import NoQuery, Nothing
from core_runtime.interfaces.admin.route import Route
from core_runtime.interfaces.admin.routes import ROUTES
from generator.forms import fields_table
from generator.markdown import code, page, table

_INTRODUCTION = """
The API listens on `run/admin.sock` of the profile and on `http://127.0.0.1:8765`
([settings](settings.md): `RUMI_API_BIND`, `RUMI_API_PORT`). Over the socket, whoever runs under the kernel's own user
id or as root is the owner, without a token and without a request limit; in permissive mode the socket asks for a token
too. Over TCP every request but `/health` needs `Authorization: Bearer TOKEN`. Make a token with
`rumi token add NAME --scope read`; it is shown once.

| scope | may |
|---|---|
| `read` | look |
| `operate` | run, call, start, stop, enable, disable |
| `approve` | approve and reject, give and take grants, make and end tokens |

An answer is `{"success": true, "data": ...}` or `{"success": false, "error": {...}}` ([errors](errors.md)). Bodies are
JSON (`Content-Type: application/json`), at most 1 MiB; a field that is not known is refused. Lists are
`{"items": [...], "cursor": ...}`: hand the cursor back to get the next page, null means the end. Each token has 120
requests a minute (`X-RateLimit-*`, then 429 with `Retry-After`). Host and Origin are checked on every request, so that
no web page reaches the API: call it from a program.

```console
$ curl --unix-socket user_data/private/run/admin.sock http://localhost/api/packs
$ curl -H "Authorization: Bearer $RUMI_TOKEN" http://127.0.0.1:8765/api/status
```

`/health` answers `{"status": "UP"}`, `DEGRADED` or `DOWN` (503), `/metrics` the text form of Prometheus, both without
the envelope.
"""


def build() -> str:
    """The page."""
    rows = [
        (
            route.method,
            f"[`{route.path}`](#{anchor(route)})" if _has_input(route) else code(route.path),
            _scope(route),
            route.summary,
        )
        for route in ROUTES
    ]
    return page(
        "Admin API",
        _INTRODUCTION,
        "## Routes",
        table(("method", "path", "scope", "does"), rows),
        "## Inputs",
        "Routes that are not listed here take neither a body nor a query.",
        *(_section(route) for route in ROUTES if _has_input(route)),
    )


def anchor(route: Route) -> str:
    """As the site's Markdown makes it out of the heading of a route."""
    letters = "".join(
        letter for letter in f"{route.method} {route.path}".lower() if letter.isalnum() or letter in " -_"
    )
    return "-".join(letters.split())


def _has_input(route: Route) -> bool:
    return route.body is not Nothing or route.query is not NoQuery


def _scope(route: Route) -> str:
    return "none" if route.scope is None else code(Scope(route.scope).value)


def _section(route: Route) -> str:
    lines = [f"### {route.method} {route.path}"]
    if route.body is not Nothing:
        lines += ["Body:", fields_table(route.body)]
    if route.query is not NoQuery:
        lines += ["Query:", fields_table(route.query)]
    return "\n\n".join(lines)
