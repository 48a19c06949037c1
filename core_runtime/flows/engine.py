"""The flow engine: takes runs in, bounds how many there are, runs each in one task, lets go of all of them at the end.

It decides nothing about rights: `FlowWorld` does, for the principal that owns the flow. Runs live in memory here; what
a durable journal needs passes through `RunObserver`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core_runtime.authority import Actor, CallContext
from core_runtime.clock import Clock
from core_runtime.errors import Cancelled, DeadlineExceeded, NotFound, RumiError, Unavailable
from core_runtime.flows.book import FlowBook
from core_runtime.flows.expressions.scope import Meter
from core_runtime.flows.limits import FINALLY_SECONDS, NESTED_RUNS, QUEUED_RUNS, RUN_SECONDS
from core_runtime.flows.model import Flow, WhenFull
from core_runtime.flows.ports import FlowWorld, RunObserver, SettingsSource
from core_runtime.flows.running.history import RunHistory, RunView
from core_runtime.flows.running.outcome import as_rumi
from core_runtime.flows.running.runner import Pause, Runner
from core_runtime.flows.running.slots import Slots, Ticket
from core_runtime.flows.running.state import Run, RunState
from core_runtime.flows.running.whole import Outcome, checked_inputs, entered, refuse_core, run_flow
from core_runtime.ids import request_id, run_id


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `outputs` is None unless it succeeded or was stopped."""

    run_id: str
    state: RunState
    outputs: object = None
    error: RumiError | None = None


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of one engine; seconds for `run_seconds`."""

    concurrent: int = 64
    queued: int = QUEUED_RUNS
    nested: int = NESTED_RUNS
    run_seconds: float = RUN_SECONDS


@dataclass(slots=True, eq=False)
class _Active:
    run: Run
    inputs: dict[str, object]
    tickets: list[Ticket]
    nested: bool
    task: asyncio.Task[RunResult] | None = None
    begun: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine is made of."""

    world: FlowWorld
    book: FlowBook
    settings: SettingsSource
    clock: Clock
    limits: EngineLimits = field(default_factory=EngineLimits)
    observers: tuple[RunObserver, ...] = ()
    pause: Pause = asyncio.sleep


class FlowEngine:
    """Runs flows. All methods belong to one loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._book = parts.book
        self._clock = parts.clock
        self._limits = parts.limits
        self._history = RunHistory()
        self._observers: Sequence[RunObserver] = (self._history, *parts.observers)
        self._runner = Runner(
            world=parts.world, source=parts.book, settings=parts.settings, observers=self._observers, pause=parts.pause
        )
        self._places = Slots(parts.limits.concurrent, parts.limits.queued, "Too many flows")
        self._nested = Slots(parts.limits.nested, 0, "Too many flows inside flows")
        self._own: dict[str, Slots] = {}
        self._active: dict[str, _Active] = {}
        self._closing = False

    async def run(
        self, flow_id: str, inputs: object, *, actor: Actor | None = None, context: CallContext | None = None
    ) -> RunResult:
        """Run a flow and wait for its end; giving up the call cancels the run.

        Raises what keeps it from beginning: `NotFound`, `ApprovalDenied`, `PolicyDenied` (a flow of the kernel itself),
        `Unavailable`, `ValidationFailed`, `Conflict` (a cycle), `TooLarge` (a chain over 10), `RateLimited`. What fails
        later is in the result.
        """
        identifier = await self.start(flow_id, inputs, actor=actor, context=context)
        return await self.wait(identifier)

    async def start(
        self, flow_id: str, inputs: object, *, actor: Actor | None = None, context: CallContext | None = None
    ) -> str:
        """Begin a run and return its id at once. Raises as `run` does."""
        flow = self._book.active(flow_id)
        refuse_core(flow)
        return await self._start(flow, inputs, self._context(actor, context))

    async def run_core(self, flow_id: str) -> RunResult:
        """Run a flow of the kernel itself, for the kernel alone."""
        flow = self._book.active(flow_id)
        return await self.wait(await self._start(flow, {}, self._context(None, None)))

    async def _start(self, flow: Flow, inputs: object, given: CallContext) -> str:
        if self._closing:
            raise Unavailable("The kernel is stopping.", hint="Try again when it is back.")
        entered(given, flow.flow_id, "")
        checked = await checked_inputs(flow, inputs)
        identifier = run_id()
        run = Run(identifier, flow, replace(given, run_id=identifier), Meter(self._clock))
        nested = any(hop.startswith("flow:") for hop in given.chain)
        active = _Active(run, checked, self._admitted(flow, nested=nested), nested)
        self._active[identifier] = active
        self._history.run_added(run)
        active.task = asyncio.create_task(self._execute(active), name=identifier)
        return identifier

    async def wait(self, identifier: str) -> RunResult:
        """The result of a run that is under way. Raises `NotFound` if it is not."""
        active = self._active.get(identifier)
        if active is None or active.task is None:
            raise NotFound(f"No run {identifier[:64]!r} is under way.", hint="rumi flow list")
        try:
            return await asyncio.shield(active.task)
        except asyncio.CancelledError:
            self.cancel(identifier)
            await asyncio.wait([active.task], timeout=FINALLY_SECONDS + 1)
            raise

    def cancel(self, identifier: str) -> bool:
        """Ask a run to end: its step in flight is cancelled, its `finally` runs. False if it is not under way."""
        active = self._active.get(identifier)
        if active is None or active.task is None:
            return False
        active.cancelled = True
        if active.begun:
            active.task.cancel()
        return True

    def runs(self) -> list[RunView]:
        """The newest runs, under way or ended."""
        return self._history.views()

    def view(self, identifier: str) -> RunView | None:
        """One run, as far as it is remembered."""
        return self._history.view(identifier)

    async def close(self, grace: float = 10.0) -> None:
        """Take no more runs, let those under way finish for `grace` seconds, then cancel the rest and wait for them."""
        self._closing = True
        tasks = [active.task for active in self._active.values() if active.task is not None]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=grace)
        for identifier in list(self._active):
            self.cancel(identifier)
        await asyncio.wait(tasks, timeout=FINALLY_SECONDS + 1)

    def _context(self, actor: Actor | None, context: CallContext | None) -> CallContext:
        latest = self._clock.monotonic() + self._limits.run_seconds
        if context is None:
            return CallContext(request_id(), latest, actor)
        return replace(context, actor=actor or context.actor, deadline=min(context.deadline, latest))

    def _admitted(self, flow: Flow, *, nested: bool) -> list[Ticket]:
        """The first ticket: of the flow's own limit if it has one, else of the engine."""
        rule = flow.concurrency
        if rule is None:
            return [self._shared(nested=nested).enter()]
        own = self._own.get(flow.flow_id)
        queue = 0 if rule.when_full is WhenFull.REJECT else QUEUED_RUNS
        if own is None or own.limit != rule.limit:
            own = self._own[flow.flow_id] = Slots(rule.limit, queue, f"The flow {flow.flow_id!r}")
        if rule.when_full is WhenFull.REPLACE and own.full:
            self._replace_oldest(flow.flow_id)
        return [own.enter()]

    def _shared(self, *, nested: bool) -> Slots:
        """Runs inside runs have places of their own: waiting for one that their own caller holds would never end."""
        return self._nested if nested else self._places

    def _replace_oldest(self, flow_id: str) -> None:
        running = (item for item in self._active.values() if item.run.flow.flow_id == flow_id and not item.cancelled)
        oldest = next(running, None)
        if oldest is not None:
            self.cancel(oldest.run.run_id)

    async def _execute(self, active: _Active) -> RunResult:
        run = active.run
        active.begun = True
        try:
            outcome = Outcome(RunState.CANCELLED) if active.cancelled else await self._admit_and_run(active)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            outcome = Outcome(RunState.CANCELLED)
        except Exception as failure:  # noqa: BLE001 - a run always has a result
            outcome = Outcome(RunState.FAILED, None, as_rumi(failure))
        finally:
            self._release(active)
        error = outcome.error
        if outcome.state is RunState.CANCELLED and error is None:
            error = Cancelled(f"The run of {run.flow.flow_id!r} was cancelled.")
        run.state, run.error, run.ended_at = outcome.state, error, self._clock.wall()
        for observer in self._observers:
            observer.run_finished(run)
        return RunResult(run.run_id, outcome.state, outcome.outputs, error)

    async def _admit_and_run(self, active: _Active) -> Outcome:
        run = active.run
        left = run.context.deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                await active.tickets[0].wait()
                if run.flow.concurrency is not None:
                    active.tickets.append(self._shared(nested=active.nested).enter())
                    await active.tickets[-1].wait()
        except TimeoutError:
            error = DeadlineExceeded("The run was still waiting for its turn when its deadline passed.")
            return Outcome(RunState.FAILED, None, error)
        run.state = RunState.RUNNING
        for observer in self._observers:
            observer.run_started(run)
        return await run_flow(self._runner, run.flow, active.inputs, run, run.context, top=True)

    def _release(self, active: _Active) -> None:
        for ticket in reversed(active.tickets):
            ticket.give_back()
        self._active.pop(active.run.run_id, None)
        for flow_id in [name for name, slots in self._own.items() if slots.idle]:
            del self._own[flow_id]


class NoSettings:
    """A `SettingsSource` for where there are none."""

    def settings_of(self, owner: str) -> Mapping[str, object]:  # noqa: ARG002 - the port's signature
        """No settings."""
        return {}
