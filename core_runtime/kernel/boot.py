"""The steps of the boot sequence, which `flow/core/00_startup.flow.yaml` puts in order.

Each step is one act with one outcome; what fails is a diagnostic, and the next step goes on with what there is. Only
the kernel's own flow reaches them (see `world`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core_runtime.approval.model import Act
from core_runtime.approval.service import ApprovalService
from core_runtime.errors import NotFound, RumiError
from core_runtime.ids import ancestors
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.lifecycle import PackLifecycle
from core_runtime.kernel.owner_flows import OwnerFlows
from core_runtime.kernel.world import BootStep

START_PATIENCE_SECONDS = 8.0


class OrphanKeeper(Protocol):
    """Knows the containers of an earlier life."""

    async def cleanup_orphans(self) -> int:
        """Remove them; how many there were. Raises `Unavailable`."""


@dataclass(slots=True)
class BootOptions:
    """How the owner asked to start. `bundled` are `(pack id, digest)`; empty: nothing is approved by starting."""

    bundled: Collection[tuple[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class BootParts:
    """What the boot sequence acts on. `secure` and `engine` raise `RumiError` for what is not in order."""

    approvals: ApprovalService
    lifecycle: PackLifecycle
    orphans: OrphanKeeper
    owner_flows: OwnerFlows
    diagnostics: DiagnosticsBook
    secure: Callable[[], Awaitable[None]]
    engine: Callable[[], Awaitable[None]]


class BootSequence:
    """The steps by name. `ready` is set by the last one."""

    def __init__(self, parts: BootParts, options: BootOptions) -> None:
        self._parts = parts
        self._options = options
        self._on_planned: Callable[[], None] = lambda: None
        self.ready = False

    def on_planned(self, callback: Callable[[], None]) -> None:
        """Be told once approvals are loaded and what starts is known: the doors may open then."""
        self._on_planned = callback

    def steps(self) -> Mapping[str, BootStep]:
        """`kernel:<name>` of the flow to what it does."""
        return {
            "boot.security": self._security,
            "boot.engine": self._engine,
            "boot.scan": self._scan,
            "boot.approvals": self._approvals,
            "boot.orphans": self._orphans,
            "boot.plan": self._plan,
            "boot.start_pack": self._start_pack,
            "boot.flows": self._flows,
            "boot.ready": self._ready,
        }

    async def _security(self, _args: Mapping[str, object]) -> object:
        return await self._noted("security", "SECURITY_BASE", self._parts.secure())

    async def recheck(self) -> None:
        """Look at the security base again: what was mended meanwhile is no diagnostic any more."""
        await self._noted("security", "SECURITY_BASE", self._parts.secure())

    async def _engine(self, _args: Mapping[str, object]) -> object:
        return await self._noted("engine", "ENGINE", self._parts.engine())

    async def _scan(self, _args: Mapping[str, object]) -> object:
        await self._parts.approvals.start()
        return {"packs": len(self._parts.approvals.list())}

    async def _approvals(self, _args: Mapping[str, object]) -> object:
        act = Act("owner:--approve-bundled")
        approved = (
            await self._parts.approvals.approve_bundled(self._options.bundled, act) if self._options.bundled else ()
        )
        missing = sorted({pack_id for pack_id, _ in self._options.bundled} - set(approved))
        for pack_id in missing:
            text = f"{pack_id} was not approved as bundled: it is changed, refused or gone."
            self._say(f"pack:{pack_id}", "NOT_BUNDLED", text, f"rumi pack plan {pack_id}")
        return {"approved": list(approved), "left": missing}

    async def _orphans(self, _args: Mapping[str, object]) -> object:
        removed = 0
        try:
            removed = await self._parts.orphans.cleanup_orphans()
        except RumiError as error:
            self._say("engine", "ORPHANS", error.message, error.hint)
        return {"removed": removed}

    async def _plan(self, _args: Mapping[str, object]) -> object:
        runnable = [view.pack_id for view in self._parts.approvals.list() if view.status.runnable]
        decided = {view.pack_id: view.record.decided_at for view in self._parts.approvals.list() if view.record}
        order = sorted(runnable, key=lambda pack_id: (len(ancestors(pack_id)), decided.get(pack_id, 0.0), pack_id))
        await self._parts.lifecycle.expect(order)
        self._on_planned()
        return {"packs": order}

    async def _start_pack(self, args: Mapping[str, object]) -> object:
        pack_id = args.get("pack_id")
        if not isinstance(pack_id, str):
            raise NotFound("The boot sequence named no pack.")
        try:
            async with asyncio.timeout(START_PATIENCE_SECONDS):
                await self._parts.lifecycle.converge(pack_id)
        except TimeoutError:  # its start goes on by itself; a slow pack must not hold up the others (FT-27)
            text = f"{pack_id} is still starting; the kernel did not wait for it."
            self._say(f"pack:{pack_id}", "START_FAILED_SLOW", text, f"rumi pack logs {pack_id}")
            return {"pack_id": pack_id, "ready": False}
        return {"pack_id": pack_id, "ready": True}

    async def _flows(self, _args: Mapping[str, object]) -> object:
        return {"problems": await self._parts.owner_flows.load()}

    async def _ready(self, _args: Mapping[str, object]) -> object:
        self.ready = True
        return {"ready": True}

    async def _noted(self, subject: str, code: str, work: Awaitable[None]) -> object:
        try:
            await work
        except RumiError as error:
            self._say(subject, code, error.message, error.hint)
            return {"ok": False}
        self._parts.diagnostics.clear(subject, [code])
        return {"ok": True}

    def _say(self, subject: str, code: str, message: str, hint: str) -> None:
        self._parts.diagnostics.put(Diagnostic(Severity.PROBLEM, code, subject, message, hint))


def bundled_list(data: object) -> Iterable[tuple[str, str]]:
    """`(pack id, digest)` of `{"packs": [{"pack_id", "digest"}]}`; what is malformed is left out."""
    packs = data.get("packs") if isinstance(data, Mapping) else None
    for item in packs if isinstance(packs, list) else ():
        pack_id, digest = (item.get("pack_id"), item.get("digest")) if isinstance(item, Mapping) else (None, None)
        if isinstance(pack_id, str) and isinstance(digest, str):
            yield pack_id, digest
