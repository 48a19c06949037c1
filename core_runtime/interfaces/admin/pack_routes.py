"""Routes about packs, their approval and their containers."""

from __future__ import annotations

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.models import ApproveBody, LogQuery, PageQuery, RejectBody
from core_runtime.interfaces.admin.route import Ask, Route, View, page
from core_runtime.interfaces.ports import ApproveWish

_PENDING = frozenset({"pending", "modified"})


async def _list(ask: Ask) -> object:
    return page(await ask.doors.packs.list_packs(), ask)


async def _pending(ask: Ask) -> object:
    return page([pack for pack in await ask.doors.packs.list_packs() if pack.get("state") in _PENDING], ask)


async def _show(ask: Ask) -> object:
    return await ask.doors.packs.show(ask.path["pack_id"])


async def _status(ask: Ask) -> object:
    shown = await ask.doors.packs.show(ask.path["pack_id"])
    return {key: shown.get(key) for key in ("pack_id", "state", "digest", "container", "problems")}


async def _plan(ask: Ask) -> object:
    return await ask.doors.packs.plan(ask.path["pack_id"])


async def _logs(ask: Ask) -> object:
    query = ask.input(LogQuery)
    return {"items": await ask.doors.packs.logs(ask.path["pack_id"], query.limit, query.after), "cursor": None}


async def _scan(ask: Ask) -> object:
    return await ask.doors.approval.scan(ask.caller)


async def _approve(ask: Ask) -> object:
    body = ask.input(ApproveBody)
    grants = None if body.grants is None else [grant.item() for grant in body.grants]
    wish = ApproveWish(body.plan_hash, grants, body.version)
    return await ask.doors.approval.approve(ask.path["pack_id"], wish, ask.caller)


async def _reject(ask: Ask) -> object:
    return await ask.doors.approval.reject(ask.path["pack_id"], ask.input(RejectBody).reason, ask.caller)


async def _unblock(ask: Ask) -> object:
    return await ask.doors.approval.unblock(ask.path["pack_id"], ask.caller)


async def _enable(ask: Ask) -> object:
    return await ask.doors.pack_state.enable(ask.path["pack_id"], ask.caller)


async def _disable(ask: Ask) -> object:
    return await ask.doors.pack_state.disable(ask.path["pack_id"], ask.caller)


async def _engine(ask: Ask) -> object:
    return await ask.doors.containers.engine_status()


async def _containers(ask: Ask) -> object:
    return page(await ask.doors.containers.list_containers(), ask)


def _control(action: str) -> View:
    async def view(ask: Ask) -> object:
        return await ask.doors.containers.control(ask.path["pack_id"], action, ask.caller)

    return view


PACK_ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/packs", Scope.READ, _list, "Every pack", query=PageQuery),
    Route("GET", "/api/packs/pending", Scope.READ, _pending, "Packs that wait for a decision", query=PageQuery),
    Route("GET", "/api/packs/{pack_id}", Scope.READ, _show, "One pack"),
    Route("GET", "/api/packs/{pack_id}/status", Scope.READ, _status, "State and container of a pack"),
    Route("GET", "/api/packs/{pack_id}/plan", Scope.READ, _plan, "What approving it would mean", slow=True),
    Route("GET", "/api/packs/{pack_id}/logs", Scope.READ, _logs, "The pack's own log", query=LogQuery),
    Route("POST", "/api/packs/scan", Scope.OPERATE, _scan, "Look at the ecosystem folder now"),
    Route("POST", "/api/packs/{pack_id}/approve", Scope.APPROVE, _approve, "Approve these bytes", body=ApproveBody),
    Route("POST", "/api/packs/{pack_id}/reject", Scope.APPROVE, _reject, "Reject these bytes", body=RejectBody),
    Route("POST", "/api/packs/{pack_id}/unblock", Scope.APPROVE, _unblock, "Let a blocked pack ask again"),
    Route("POST", "/api/packs/{pack_id}/enable", Scope.OPERATE, _enable, "Undo disable"),
    Route("POST", "/api/packs/{pack_id}/disable", Scope.OPERATE, _disable, "Stop a pack and keep it stopped"),
    Route("GET", "/api/docker/status", Scope.READ, _engine, "The container engine"),
    Route("GET", "/api/containers", Scope.READ, _containers, "Containers of this kernel", query=PageQuery),
    Route("POST", "/api/containers/{pack_id}/start", Scope.OPERATE, _control("start"), "Start a pack's container"),
    Route("POST", "/api/containers/{pack_id}/stop", Scope.OPERATE, _control("stop"), "Stop a pack's container"),
    Route("POST", "/api/containers/{pack_id}/restart", Scope.OPERATE, _control("restart"), "Stop and start it"),
)
