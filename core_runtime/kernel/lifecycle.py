"""Brings what runs in line with what is approved.

One rule, applied whenever something changed: a pack whose sealed copy may run is registered and started, any other is
stopped and unregistered. The rule is idempotent and serialised for each pack, so that no order of changes, failures and
restarts leaves a pack half up. A pack that fails is named in the diagnostics and costs the others nothing (fail-soft).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core_runtime.approval.model import PackStatus, SealedPack
from core_runtime.errors import RumiError, ValidationFailed
from core_runtime.flows.book import FlowBook
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.held_names import NameKeeper
from core_runtime.kernel.pack_settings import resolve_settings
from core_runtime.kernel.ports import FlowFiles, HeldNames, OwnerSettings, PackRunner, SealedSource, Standings
from core_runtime.kernel.router import Router
from core_runtime.packs import InterfaceDecl, PackDescriptor, Subscription
from core_runtime.registry.interfaces import Claim, InterfaceRegistry
from core_runtime.sandbox.ports import ComponentReport, PackLaunch


@dataclass(frozen=True, slots=True)
class LifecycleParts:
    """Everything that a pack's coming and going touches."""

    standings: Standings
    sealed: SealedSource
    registry: InterfaceRegistry
    router: Router
    events: KernelEvents
    flows: FlowBook
    flow_files: FlowFiles
    settings: OwnerSettings
    diagnostics: DiagnosticsBook
    names: HeldNames


class PackLifecycle:
    """Starts and stops packs as approvals come and go. Belongs to the kernel's loop."""

    def __init__(self, parts: LifecycleParts, runner: PackRunner) -> None:
        self._parts = parts
        self._runner = runner
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._running: dict[str, SealedPack] = {}
        self._settings: dict[str, Mapping[str, object]] = {}
        self._costly: dict[str, frozenset[str]] = {}
        self._held = NameKeeper(parts.names, parts.registry, parts.flows, parts.diagnostics)
        self._tasks: set[asyncio.Task[None]] = set()

    def settings_of(self, owner: str) -> Mapping[str, object]:
        """The settings of a running pack, for its flows; nothing for `host` and `kernel`."""
        return self._settings.get(owner, {})

    def changed(self, pack_id: str) -> None:
        """Something about this pack changed: look again, soon."""
        task = asyncio.create_task(self._quietly(pack_id), name=f"converge {pack_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Return when everything that was asked for so far is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def converge(self, pack_id: str) -> None:
        """Make what runs of this pack equal to what is approved. Raises what a start raises."""
        if self._locks[pack_id].locked() and not self._parts.standings.state(pack_id).runnable:
            # A start under way holds the lock until the pack says hello; what is not approved must not run so long.
            await self._runner.stop(pack_id, "no longer approved")
        async with self._locks[pack_id]:
            status = self._parts.standings.state(pack_id)
            current = self._running.get(pack_id)
            if status.runnable and current is not None and current.digest == status.approved_digest:
                return
            try:
                if current is not None:
                    await self._down(pack_id, status)
                elif not status.holds_names:
                    self._free(pack_id)
                if status.runnable:
                    await self._up(pack_id)
            finally:
                await self._held.keep()

    async def expect(self, pack_ids: Sequence[str]) -> None:
        """Pin the names of these approved packs before any of them starts: those that they held before, then the first.

        Names whose holder the owner let go while there was no kernel to see it are free again.
        """
        await self._held.recall()
        for holder in self._held.holders():
            if not self._parts.standings.state(holder).holds_names:
                self._free(holder)
        for pack_id in pack_ids:
            descriptor = self._parts.standings.ceiling(pack_id)
            if descriptor is not None:
                await self._study(descriptor)
                self._claim(descriptor)

    async def restart(self, pack_id: str) -> None:
        """Stop and start an approved pack."""
        async with self._locks[pack_id]:
            if pack_id in self._running:
                await self._down(pack_id, self._parts.standings.state(pack_id))
        await self.converge(pack_id)

    async def close(self) -> None:
        """No more changes are followed."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the supervisor tells (`SupervisorEvents`).

    def pack_ready(self, pack_id: str, components: Sequence[ComponentReport]) -> None:
        """Take back what a component promised and did not register; say so."""
        subject = f"pack:{pack_id}"
        for prefix in ("PACK_", "START_FAILED", "COMPONENT_FAILED:"):
            self._parts.diagnostics.clear_prefix(subject, prefix)
        sealed = self._running.get(pack_id)
        if sealed is None:
            return
        self._claim(sealed.descriptor)
        for report in components:
            if report.error is None:
                continue
            declared = next((item for item in sealed.descriptor.components if item.id == report.id), None)
            if declared is not None:
                self._parts.registry.withdraw(pack_id, [decl.name for decl in declared.provides])
            text = f"The component {report.id} is off: {report.error}"
            self._say(subject, f"COMPONENT_FAILED:{report.id}", text, f"rumi pack logs {pack_id} shows more.")

    def pack_down(self, pack_id: str, reason: str) -> None:
        """Nothing to do: names stay pinned, and calls fail by themselves."""

    def finding(self, *, severity: str, code: str, subject: str, message: str, hint: str) -> None:
        """Something that a person should know of a pack."""
        level = Severity.WARNING if severity == "warning" else Severity.PROBLEM
        self._parts.diagnostics.put(Diagnostic(level, code, f"pack:{subject}", message, hint))

    # Up and down.

    async def _up(self, pack_id: str) -> None:
        parts = self._parts
        parts.diagnostics.clear(f"pack:{pack_id}")
        sealed = parts.sealed.sealed(pack_id)
        await self._study(sealed.descriptor)
        files = await asyncio.to_thread(self._read_flows, sealed)
        values = parts.settings.pack_values(pack_id)
        settings = resolve_settings(sealed.descriptor, parts.settings.variable, values)
        self._running[pack_id] = sealed
        self._settings[pack_id] = settings
        self._claim(sealed.descriptor)
        self._register_flows(pack_id, files)
        parts.events.declare(pack_id, _subscriptions(sealed.descriptor))
        await self._runner.start(PackLaunch(sealed.descriptor, sealed.root, sealed.digest, settings))

    async def _down(self, pack_id: str, status: PackStatus) -> None:
        self._running.pop(pack_id, None)
        self._settings.pop(pack_id, None)
        self._parts.flows.unregister_pack(pack_id)
        self._parts.events.forget(pack_id)
        if not status.holds_names:
            self._free(pack_id)
        await self._runner.stop(pack_id, status.state.value)
        if not status.runnable:
            self._parts.diagnostics.clear(f"pack:{pack_id}")

    def _free(self, pack_id: str) -> None:
        """Let go of the names of a pack, and let those have them that were refused before."""
        self._parts.flows.release(pack_id)
        if pack_id not in self._parts.registry.pins.values():
            return
        self._parts.registry.release(pack_id)
        for other in tuple(self._running.values()):
            self._parts.diagnostics.clear_prefix(f"pack:{other.descriptor.pack_id}", "INTERFACE_TAKEN:")
            self._claim(other.descriptor)

    def _claim(self, descriptor: PackDescriptor) -> None:
        pack_id = descriptor.pack_id
        behind_routes = {route.interface for route in descriptor.ingress}  # those are called by the gateway alone
        claims = [
            Claim(component.id, decl)
            for component in descriptor.components
            for decl in component.provides
            if decl.name not in behind_routes
        ]
        taken = {refused.name: refused for refused in self._parts.registry.claim(pack_id, claims)}
        for refused in taken.values():
            self._say(
                f"pack:{pack_id}",
                f"INTERFACE_TAKEN:{refused.name}",
                f"The interface {refused.name} of {pack_id} is off: {refused.holder} provides it already.",
                f"rumi pack disable {refused.holder} frees the name.",
            )
        for claim in claims:
            if claim.decl.name not in taken:  # the rules of a name are its holder's alone
                self._learn(pack_id, claim.decl)

    def _learn(self, pack_id: str, decl: InterfaceDecl) -> None:
        problem = hint = ""
        if decl.name in self._costly.get(pack_id, ()):
            problem, hint = "the schemas of this pack cost too much together.", "Simplify them, the patterns first."
        else:
            try:
                self._parts.router.learn(decl.name, decl.input_schema)
            except ValidationFailed as error:
                problem, hint = error.message, error.hint
        if problem:
            self._parts.registry.withdraw(pack_id, [decl.name])
            text = f"The interface {decl.name} is off: {problem}"
            self._say(f"pack:{pack_id}", f"SCHEMA_REFUSED:{decl.name}", text, hint)

    async def _study(self, descriptor: PackDescriptor) -> None:
        """Compile its schemas ahead, in a thread: what a stranger wrote must not take the loop's time (BX-13)."""
        over = await asyncio.to_thread(self._parts.router.study, descriptor.interfaces())
        self._costly[descriptor.pack_id] = over

    def _read_flows(self, sealed: SealedPack) -> Sequence[tuple[str, bytes]]:
        """The flow files, parsed ahead; for a thread."""
        files = self._parts.flow_files.of_pack(sealed)
        self._parts.flows.warm(sealed.descriptor.pack_id, files)
        return files

    def _register_flows(self, pack_id: str, files: Sequence[tuple[str, bytes]]) -> None:
        told: dict[str, list[str]] = {}
        for problem in self._parts.flows.register_pack(pack_id, files):
            told.setdefault(problem.file, []).append(problem.text())
        for file, lines in told.items():
            self._say(f"pack:{pack_id}", f"FLOW_OFF:{file}", "\n".join(lines), f"rumi pack show {pack_id}")

    async def _quietly(self, pack_id: str) -> None:
        """Converge; a failure is a diagnostic, never an exception of nobody."""
        try:
            await self.converge(pack_id)
        except RumiError as error:
            self._say(f"pack:{pack_id}", "START_FAILED", error.message, error.hint)

    def _say(self, subject: str, code: str, message: str, hint: str) -> None:
        self._parts.diagnostics.put(Diagnostic(Severity.PROBLEM, code, subject, message, hint))


def _subscriptions(descriptor: PackDescriptor) -> tuple[Subscription, ...]:
    return tuple(item for component in descriptor.components for item in component.subscribes)
