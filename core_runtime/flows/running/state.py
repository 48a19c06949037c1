"""What a run is while it lasts. A `Frame` is the scope of one level with all that a step there needs."""

from __future__ import annotations

from enum import StrEnum

from core_runtime.authority import HOST, Actor, CallContext, Principal
from core_runtime.errors import RumiError, TooLarge
from core_runtime.flows.expressions.scope import Meter, Scope
from core_runtime.flows.expressions.values import weigh
from core_runtime.flows.limits import MAX_ROUNDS, MAX_RUN_MEMORY
from core_runtime.flows.model import CORE_OWNER, HOST_OWNER, Flow

KERNEL = Principal("kernel")


class RunState(StrEnum):
    """Where a run is; the last four are results."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


def principal_of(owner: str) -> Principal:
    """On whose rights a flow runs: its own owner's, whoever started it."""
    if owner == CORE_OWNER:
        return KERNEL
    return HOST if owner == HOST_OWNER else Principal(owner)


class Run:
    """One run of a flow, its sub-flows included. `held` estimates the characters of all values that it keeps."""

    __slots__ = (
        "actor",
        "context",
        "ended_at",
        "error",
        "flow",
        "held",
        "meter",
        "rounds",
        "run_id",
        "started_at",
        "state",
        "ticks",
    )

    def __init__(self, run_id: str, flow: Flow, context: CallContext, meter: Meter) -> None:
        self.run_id = run_id
        self.flow = flow
        self.context = context
        self.actor: Actor | None = context.actor
        self.meter = meter
        self.state = RunState.QUEUED
        self.started_at = meter.clock.wall()
        self.ended_at: float | None = None
        self.error: RumiError | None = None
        self.ticks = 0
        self.rounds = 0
        self.held = 0

    def count_rounds(self, rounds: int) -> None:
        """Raise `TooLarge` beyond the rounds that a run may have."""
        self.rounds += rounds
        if self.rounds > MAX_ROUNDS:
            raise TooLarge(f"The run has more than {MAX_ROUNDS} rounds.", hint="Split the work over several runs.")

    def hold(self, weight: int) -> None:
        """Raise `TooLarge` once the run keeps more than it may."""
        self.held += weight
        if self.held > MAX_RUN_MEMORY:
            raise TooLarge(
                f"The run keeps more than {MAX_RUN_MEMORY >> 20} MiB of values.",
                hint="Keep large values in a store of a pack and pass keys.",
            )


class Frame(Scope):
    """One level of a flow: names, rights and context. `path` names it within the run: ``, `each[3]/`, `both.a/`."""

    __slots__ = ("context", "flow", "path", "principal", "run", "weights")

    def __init__(
        self, names: dict[str, object], *, run: Run, flow: Flow, context: CallContext, path: str, principal: Principal
    ) -> None:
        self.names = names
        self.meter = run.meter
        self.parent = None
        self.run = run
        self.flow = flow
        self.context = context
        self.path = path
        self.principal = principal
        self.weights: dict[str, int] = {}

    def child(self, path: str, names: dict[str, object]) -> Frame:
        """A level inside this one: it reads outwards and writes only into itself."""
        frame = Frame(names, run=self.run, flow=self.flow, context=self.context, path=path, principal=self.principal)
        frame.parent = self
        return frame

    def keep(self, slot: str, value: object) -> None:
        """Account for the value of a step, in place of an earlier one. Raises `TooLarge`."""
        weight = weigh(value, MAX_RUN_MEMORY)
        before = self.weights.get(slot, 0)
        self.weights[slot] = weight
        self.run.hold(weight - before)

    def close(self) -> None:
        """Give back what the level kept."""
        self.run.held -= sum(self.weights.values())
        self.weights.clear()
