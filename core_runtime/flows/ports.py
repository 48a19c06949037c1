"""What flows need of the world. The kernel implements these; tests hand in fakes.

Every call of `FlowWorld` names the principal on whose rights it happens; the world decides, the flow engine never does.
A method answers with a plain value at once, or with an awaitable: a kernel call that needs no wait then costs no task
and no trip through the loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from core_runtime.authority import CallContext, Principal
from core_runtime.flows.model import Step
from core_runtime.flows.running.state import Frame, Run


class FlowWorld(Protocol):
    """Where steps have their effects. Everything raises `RumiError`."""

    def call(self, principal: Principal, name: str, args: object, context: CallContext) -> object | Awaitable[object]:
        """Call an interface under that principal's rights. The answer is a JSON value or a `Stream` of items."""

    def capability(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext
    ) -> object | Awaitable[object]:
        """`kernel:<permission>` with the catalogue's arguments."""

    def block(self, pack_id: str, file: str, args: object, context: CallContext) -> object | Awaitable[object]:
        """Run a pack's block in that pack's container."""

    def publish(
        self, principal: Principal, topic: str, payload: object, context: CallContext
    ) -> Awaitable[None] | None:
        """Publish an event. `topic` is as the flow says it: a bare name, or `<pack_id>/<name>` of its own pack."""


class SettingsSource(Protocol):
    """The `settings` context."""

    def settings_of(self, owner: str) -> Mapping[str, object]:
        """The settings of a flow's owner: a pack id, `host` or `kernel`."""


class RunObserver(Protocol):
    """Is told of everything that happens in a run, on the loop, in order; must be quick and must not raise.

    `step_finished` may answer with an awaitable, which is awaited before the next step begins: that is where a durable
    journal puts its group commit. `frame.path` and `step.id` together name the place of a step in its run.
    """

    def run_started(self, run: Run) -> None:
        """The run left the queue."""

    def step_started(self, frame: Frame, step: Step) -> None:
        """The step is about to begin."""

    def step_finished(self, frame: Frame, step: Step, state: str, value: object) -> Awaitable[None] | None:
        """It ended: `succeeded`, `failed`, `skipped`, or `stopped`; `value` is what `steps.<id>` became."""

    def run_finished(self, run: Run) -> None:
        """The run has its result."""
