"""A flow as it is after loading: frozen values, expressions already compiled, steps in the order in which they run.

Nothing here does anything; `running` does. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from core_runtime.flows.expressions.scope import STEP_PREFIX
from core_runtime.flows.expressions.template import Template
from core_runtime.flows.problems import Place
from core_runtime.schemas import CompiledSchema

CORE_OWNER = "kernel"  # a reserved id: no pack can be called so and have its flows taken for the kernel's own
HOST_OWNER = "host"


class Kind(StrEnum):
    """The step kinds, by the key that names them in YAML."""

    CALL = "call"
    FILE = "file"
    FLOW = "flow"
    SET = "set"
    IF = "if"
    FOREACH = "foreach"
    WHILE = "while"
    PARALLEL = "parallel"
    APPROVE = "approve"
    WAIT = "wait"
    EMIT = "emit"
    STOP = "stop"


class WhenFull(StrEnum):
    """What happens to a run that comes when the flow's own limit is reached."""

    QUEUE = "queue"
    REJECT = "reject"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class CallInterface:
    """`call: some.interface`."""

    name: str
    input: Template


@dataclass(frozen=True, slots=True)
class CallKernel:
    """`call: kernel:<permission>`, with the catalogue's arguments under the flow's rights."""

    permission: str
    input: Template


@dataclass(frozen=True, slots=True)
class RunBlock:
    """`file: {pack, file}`; `file` is relative to the pack's `backend/blocks/`."""

    pack_id: str
    file: str
    input: Template


@dataclass(frozen=True, slots=True)
class RunFlow:
    """`flow: <flow_id>`: runs with the rights of that flow's own owner."""

    flow_id: str
    input: Template


@dataclass(frozen=True, slots=True)
class Assign:
    """`set: {name: value}`."""

    values: Template


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `then`, `else`; each side with the names that stay null if it is not taken."""

    condition: Template
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]
    then_nulls: tuple[str, ...]
    otherwise_nulls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForEach:
    """`foreach` over a list; names of a round are its own."""

    items: Template
    name: str
    concurrency: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class While:
    """`while` with `max_iterations`; the rounds share one scope, which ends with the loop."""

    condition: Template
    max_iterations: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Named branches side by side."""

    branches: tuple[tuple[str, tuple[Step, ...]], ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """`wait: <seconds>`."""

    seconds: Template


@dataclass(frozen=True, slots=True)
class Emit:
    """`emit: {topic, payload}`."""

    topic: str
    payload: Template


@dataclass(frozen=True, slots=True)
class Stop:
    """`stop: {reason, outputs}`: ends this flow (not the one around it)."""

    reason: Template
    outputs: Template


Action = (
    CallInterface | CallKernel | RunBlock | RunFlow | Assign | Branch | ForEach | While | Parallel | Wait | Emit | Stop
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and for which codes a step is tried again."""

    max_attempts: int
    exponential: bool
    interval: float
    max_interval: float
    on: frozenset[str]

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the failure of `attempt` (from 1)."""
        if not self.exponential:
            return min(self.interval, self.max_interval)
        return min(self.interval * 2.0 ** min(attempt - 1, 60), self.max_interval)


@dataclass(frozen=True, slots=True)
class Guard:
    """What is around a step. `on_error`: None stops, an empty tuple goes on, else the steps that handle it."""

    when: Template | None = None
    timeout: float | None = None
    retry: Retry | None = None
    on_error: tuple[Step, ...] | None = None
    idempotency_key: Template | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `guard` is None for a plain one, which then runs on the short path.

    `nulls` are the scope's names that become null when it is skipped or fails.
    """

    id: str
    kind: Kind
    action: Action
    place: Place
    slot: str
    output: str | None = None
    guard: Guard | None = None
    phase: str = ""
    priority: int = 100
    depends_on: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()


def slot_of(step_id: str) -> str:
    """The scope's name for the value of a step."""
    return STEP_PREFIX + step_id


@dataclass(frozen=True, slots=True)
class ConcurrencyRule:
    """How many runs of this flow may be under way at once."""

    limit: int
    when_full: WhenFull


@dataclass(frozen=True, slots=True)
class Use:
    """A name of the world that the flow needs, and where it says so."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Flow:
    """A loaded flow. `owner` is `core`, `host` or a pack id; `digest` is the SHA-256 of its file."""

    flow_id: str
    owner: str
    file: str
    digest: str
    steps: tuple[Step, ...]
    description: str = ""
    inputs: CompiledSchema | None = None
    input_defaults: Mapping[str, object] = field(default_factory=dict)
    phases: tuple[str, ...] = ()
    errors: tuple[Step, ...] = ()
    finally_steps: tuple[Step, ...] = ()
    outputs: Template = field(default_factory=Template)
    concurrency: ConcurrencyRule | None = None
    step_count: int = 0
    interfaces: tuple[Use, ...] = ()
    flows: tuple[Use, ...] = ()
    permissions: tuple[Use, ...] = ()
    blocks: tuple[Use, ...] = ()
