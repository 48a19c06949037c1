"""Packs, as the owner's doors see them: lists, plans, logs, yes and no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core_runtime.approval.approving import Order
from core_runtime.approval.model import Act, GrantWish, PackView
from core_runtime.approval.service import ApprovalService
from core_runtime.clock import iso
from core_runtime.errors import ApprovalDenied, NotFound
from core_runtime.interfaces.doors.rights import grant_json
from core_runtime.interfaces.ports import ApproveWish, Caller, GrantItem, JsonList, JsonObject
from core_runtime.kernel.lifecycle import PackLifecycle
from core_runtime.sandbox.status import PackStatus
from core_runtime.sandbox.supervisor import Supervisor

EngineStatus = Callable[[], Awaitable[Mapping[str, object]]]


def act_of(by: Caller) -> Act:
    """Who does it, for records."""
    return Act(by.by, by.request_id)


def wish_of(item: GrantItem) -> GrantWish:
    """A grant as it is asked for."""
    return GrantWish(item.permission, item.config, item.mode, item.expires_at, item.max_count, item.note)


class PacksDoor:
    """`PacksPort`."""

    def __init__(self, approvals: ApprovalService, supervisor: Supervisor) -> None:
        self._approvals = approvals
        self._supervisor = supervisor

    async def list_packs(self) -> JsonList:
        """See `PacksPort`."""
        running = {status.pack_id: status for status in self._supervisor.status()}
        return [_summary(view, running.get(view.pack_id)) for view in self._approvals.list()]

    async def show(self, pack_id: str) -> JsonObject:
        """See `PacksPort`."""
        view = self._approvals.get(pack_id)
        status = next((item for item in self._supervisor.status() if item.pack_id == pack_id), None)
        descriptor = self._approvals.ceiling(pack_id)
        return {
            **_summary(view, status),
            "origin": view.identity,
            "grants": [grant_json(pack_id, grant) for grant in self._approvals.grants_of(pack_id).values()],
            "interfaces": [decl.name for decl in descriptor.interfaces()] if descriptor else [],
            "settings": [_setting(item.key, item.type, item.default) for item in descriptor.settings]
            if descriptor
            else [],
            "components": _components(status),
            "container": _container(status),
        }

    async def plan(self, pack_id: str) -> JsonObject:
        """See `PacksPort`."""
        return dict((await self._approvals.plan(pack_id)).content)

    async def logs(self, pack_id: str, limit: int, after: int | None) -> JsonList:
        """See `PacksPort`. The end of what it printed comes last, as one line of level `output`."""
        self._approvals.get(pack_id)
        try:
            logs = await self._supervisor.logs(pack_id)
        except NotFound:
            return []
        lines: JsonList = [
            {
                "seq": number,
                "ts": iso(line.at),
                "level": line.level,
                "text": line.text,
                "fields": dict(line.fields),
                "run_id": line.run_id,
            }
            for number, line in enumerate(logs.lines, logs.first_seq)
        ]
        if logs.output and after is None:
            last = logs.first_seq + len(logs.lines)
            text: JsonObject = {
                "seq": last,
                "ts": None,
                "level": "output",
                "text": logs.output,
                "fields": {},
                "run_id": None,
            }
            lines.append(text)
        wanted = [line for line in lines if after is None or _number(line["seq"]) > after]
        return wanted[-limit:]


class ApprovalDoor:
    """`ApprovalPort` and `PackStatePort`. What was decided is in force when the answer is given."""

    def __init__(self, approvals: ApprovalService, lifecycle: PackLifecycle, packs: PacksDoor) -> None:
        self._approvals = approvals
        self._lifecycle = lifecycle
        self._packs = packs

    async def approve(self, pack_id: str, wish: ApproveWish, by: Caller) -> JsonObject:
        """See `ApprovalPort`. Waits until the pack is up, so that the next call finds it."""
        wishes = None if wish.grants is None else [wish_of(item) for item in wish.grants]
        await self._approvals.approve(Order(pack_id, wish.plan_hash, wishes, wish.version, act=act_of(by)))
        return await self._settled(pack_id)

    async def reject(self, pack_id: str, reason: str, by: Caller) -> JsonObject:
        """See `ApprovalPort`."""
        await self._approvals.reject(pack_id, reason, act_of(by))
        return await self._settled(pack_id)

    async def unblock(self, pack_id: str, by: Caller) -> JsonObject:
        """See `ApprovalPort`."""
        await self._approvals.unblock(pack_id, act_of(by))
        return await self._packs.show(pack_id)

    async def scan(self, by: Caller) -> JsonObject:
        """See `ApprovalPort`."""
        changes = await self._approvals.scan()
        views = self._approvals.list()
        pending = [view.pack_id for view in views if view.status.state.value in {"pending", "modified"}]
        return {"found": len(views), "pending": pending, "changed": [change.pack_id for change in changes], "by": by.by}

    async def enable(self, pack_id: str, by: Caller) -> JsonObject:
        """See `PackStatePort`. A pack that was stopped for crashing starts anew."""
        view = self._approvals.get(pack_id)
        if view.status.runnable:
            await self._lifecycle.restart(pack_id)
        else:
            await self._approvals.enable(pack_id, act_of(by))
        return await self._settled(pack_id)

    async def disable(self, pack_id: str, by: Caller) -> JsonObject:
        """See `PackStatePort`."""
        await self._approvals.disable(pack_id, act_of(by))
        return await self._settled(pack_id)

    async def _settled(self, pack_id: str) -> JsonObject:
        await self._lifecycle.settle()
        return await self._packs.show(pack_id)


class ContainersDoor:
    """`ContainersPort`."""

    def __init__(
        self, approvals: ApprovalService, lifecycle: PackLifecycle, supervisor: Supervisor, engine: EngineStatus
    ) -> None:
        self._approvals = approvals
        self._lifecycle = lifecycle
        self._supervisor = supervisor
        self._engine = engine

    async def engine_status(self) -> JsonObject:
        """See `ContainersPort`."""
        return dict(await self._engine())

    async def list_containers(self) -> JsonList:
        """See `ContainersPort`."""
        return [found for status in self._supervisor.status() if (found := _container(status)) is not None]

    async def control(self, pack_id: str, action: str, by: Caller) -> JsonObject:
        """See `ContainersPort`. Only what is approved is started; `stop` holds until the next start or change."""
        view = self._approvals.get(pack_id)
        if action != "stop" and not view.status.runnable:
            raise ApprovalDenied(
                f"{pack_id} is {view.status.state.value}; only an approved pack is started.",
                hint=f"rumi pack plan {pack_id}",
                details={"state": view.status.state.value},
            )
        if action == "stop":
            await self._supervisor.stop(pack_id, f"stopped by {by.by}")
        else:
            await self._lifecycle.restart(pack_id)
        status = next((item for item in self._supervisor.status() if item.pack_id == pack_id), None)
        return _container(status) or {"pack_id": pack_id, "state": "stopped"}


def _summary(view: PackView, running: PackStatus | None) -> JsonObject:
    return {**view.to_json(), "running": running.state.value if running else None}


def _setting(key: str, kind: str, default: object) -> JsonObject:
    return {"key": key, "type": kind, "default": default}


def _components(status: PackStatus | None) -> JsonList:
    reports = status.components if status else ()
    return [{"id": item.id, "provides": list(item.provides), "error": item.error} for item in reports]


def _container(status: PackStatus | None) -> JsonObject | None:
    if status is None:
        return None
    return {
        "pack_id": status.pack_id,
        "container": status.container or None,
        "state": status.state.value,
        "reason": status.reason,
        "since": iso(status.since),
        "digest": status.digest,
        "uid": status.uid,
        "crashes": status.crashes,
        "calls_in_flight": status.calls_in_flight,
        "calls_waiting": status.calls_waiting,
    }


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
