"""The kernel as one thing: what it is made of, how it comes up, how it goes down.

It comes up by running its own startup flow, follows what the owner decides while it lives, and lets go in reverse. It
must never go on half up in silence: a boot that fails is an error, a pack that fails is a diagnostic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from core_runtime.approval.model import GrantChange, PackChange
from core_runtime.approval.service import ApprovalService
from core_runtime.authority import OWNER
from core_runtime.capability.broker import Broker
from core_runtime.clock import Clock
from core_runtime.errors import InternalError, RumiError
from core_runtime.flows.book import FlowBook
from core_runtime.flows.engine import FlowEngine
from core_runtime.kernel.boot import BootSequence
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.facts import ApprovalFacts
from core_runtime.kernel.lifecycle import PackLifecycle
from core_runtime.kernel.owner_flows import OwnerFlows
from core_runtime.kernel.ports import FlowFiles
from core_runtime.kernel.world import KernelWorld
from core_runtime.registry.interfaces import InterfaceRegistry
from core_runtime.sandbox.supervisor import Supervisor

STARTUP_FLOW = "kernel.startup"
DRAIN_SECONDS = 8.0
RECHECK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class KernelParts:
    """The services of one kernel, put together by the composition root."""

    clock: Clock
    diagnostics: DiagnosticsBook
    approvals: ApprovalService
    facts: ApprovalFacts
    broker: Broker
    registry: InterfaceRegistry
    events: KernelEvents
    supervisor: Supervisor
    lifecycle: PackLifecycle
    world: KernelWorld
    book: FlowBook
    engine: FlowEngine
    flow_files: FlowFiles
    owner_flows: OwnerFlows
    boot: BootSequence


class Kernel:
    """What the interfaces may call. Belongs to one loop."""

    def __init__(self, parts: KernelParts) -> None:
        self.parts = parts
        self._following = False
        self.planned = asyncio.Event()
        self.owner = OWNER
        self.each_recheck: list[Callable[[], Awaitable[None]]] = []
        self._watching: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """True once the boot sequence has ended."""
        return self.parts.boot.ready

    async def start(self) -> None:
        """Run the boot sequence. Raises what stops it."""
        parts = self.parts
        parts.approvals.on_change(self._changed)
        parts.approvals.on_grants(self._granted)
        parts.boot.on_planned(self.planned.set)
        parts.world.boots_with(parts.boot.steps())
        for file, data in await asyncio.to_thread(parts.flow_files.of_core):
            parts.book.register_core(file, data)
        result = await parts.engine.run_core(STARTUP_FLOW)
        if result.error is not None:
            raise result.error
        if not parts.boot.ready:
            raise InternalError("The startup flow ended without getting ready.")
        self._following = True
        for view in parts.approvals.list():
            parts.lifecycle.changed(view.pack_id)

    async def folders_changed(self, pack_ids: frozenset[str]) -> None:
        """Something below the ecosystem folder changed; returns when what follows from it has happened."""
        await self.parts.approvals.scan(pack_ids)
        await self.parts.lifecycle.settle()

    def watch_records(self) -> None:
        """Read the signed records again now and then: one that was edited or put back must not count till a restart."""
        self._watching = asyncio.create_task(self._recheck(), name="records")

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                await self.parts.approvals.recheck_records()
                await self.parts.boot.recheck()
                for check in self.each_recheck:
                    await check()
            except RumiError as error:
                entry = Diagnostic(Severity.PROBLEM, "RECORDS", "approval", error.message, error.hint)
                self.parts.diagnostics.put(entry)

    async def close(self) -> None:
        """Drain the flows, stop the packs, write out what is owed."""
        self._following = False
        if self._watching is not None:
            self._watching.cancel()
        parts = self.parts
        await parts.engine.close(DRAIN_SECONDS)
        await parts.lifecycle.close()
        await parts.supervisor.close()
        with suppress(RumiError):
            parts.broker.close()

    def _changed(self, change: PackChange) -> None:
        self.parts.facts.moved()
        if change.stopped:
            self.parts.broker.authority_changed()
        if self._following:
            self.parts.lifecycle.changed(change.pack_id)

    def _granted(self, change: GrantChange) -> None:
        self.parts.facts.moved()
        if change.taken:
            self.parts.broker.authority_changed()
