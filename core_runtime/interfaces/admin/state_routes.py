"""Routes about state and watching: stores, settings, tokens, audit, diagnostics, health, metrics."""

from __future__ import annotations

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.envelope import Plain, dump
from core_runtime.interfaces.admin.metrics import CONTENT_TYPE, render
from core_runtime.interfaces.admin.models import AuditParams, KeyQuery, PageQuery, TokenBody
from core_runtime.interfaces.admin.route import Ask, Route, page
from core_runtime.interfaces.ports import AuditQuery, Health


async def _stores(ask: Ask) -> object:
    return page(await ask.doors.stores.list_stores(), ask)


async def _keys(ask: Ask) -> object:
    query = ask.input(KeyQuery)
    return await ask.doors.stores.list_keys(
        ask.path["pack_id"], ask.path["store"], query.prefix, (query.limit, query.cursor)
    )


async def _value(ask: Ask) -> object:
    return await ask.doors.stores.get(ask.path["pack_id"], ask.path["store"], ask.path["key"])


async def _settings(ask: Ask) -> object:
    return page(await ask.doors.status.settings(), ask)


async def _tokens(ask: Ask) -> object:
    return page(await ask.doors.tokens.list_tokens(), ask)


async def _add_token(ask: Ask) -> object:
    body = ask.input(TokenBody)
    return await ask.doors.tokens.add(body.name, body.scope_set(), body.expires_at, ask.caller)


async def _revoke_token(ask: Ask) -> object:
    return await ask.doors.tokens.revoke(ask.path["token"], ask.caller)


async def _audit(ask: Ask) -> object:
    return await ask.doors.audit.query(AuditQuery(**ask.input(AuditParams).model_dump()))


async def _verify(ask: Ask) -> object:
    return await ask.doors.audit.verify()


async def _status(ask: Ask) -> object:
    return await ask.doors.status.status()


async def _diagnostics(ask: Ask) -> object:
    return page(await ask.doors.status.diagnostics(), ask)


async def _health(ask: Ask) -> object:
    health = await ask.doors.health.health()
    return Plain(dump({"status": health.value}), "application/json", 503 if health is Health.DOWN else 200)


async def _metrics(ask: Ask) -> object:
    return Plain(render(await ask.doors.health.metrics()), CONTENT_TYPE)


STATE_ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/stores", Scope.READ, _stores, "Every store", query=PageQuery),
    Route("GET", "/api/stores/{pack_id}/{store}", Scope.READ, _keys, "Keys of a store", query=KeyQuery),
    Route("GET", "/api/stores/{pack_id}/{store}/{key:path}", Scope.READ, _value, "One value"),
    Route("GET", "/api/settings", Scope.READ, _settings, "Settings and their sources", query=PageQuery),
    Route("GET", "/api/tokens", Scope.READ, _tokens, "API tokens, masked", query=PageQuery),
    Route("POST", "/api/tokens", Scope.APPROVE, _add_token, "Make a token", body=TokenBody),
    Route("DELETE", "/api/tokens/{token}", Scope.APPROVE, _revoke_token, "End a token"),
    Route("GET", "/api/audit", Scope.READ, _audit, "Lines of the audit trail", query=AuditParams),
    Route("GET", "/api/audit/verify", Scope.READ, _verify, "Check the audit trail", slow=True),
    Route("GET", "/api/status", Scope.READ, _status, "How the kernel is"),
    Route("GET", "/api/diagnostics", Scope.READ, _diagnostics, "What is wrong and how to mend it", query=PageQuery),
    Route("GET", "/health", None, _health, "UP, DEGRADED or DOWN"),
    Route("GET", "/metrics", Scope.READ, _metrics, "Samples for Prometheus"),
)
