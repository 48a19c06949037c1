"""What people see of runs: the last ones, each with the state of its steps; bounded, in memory, never values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from core_runtime.authority import Actor
from core_runtime.errors import RumiError
from core_runtime.flows.limits import KEPT_RUNS, KEPT_STEPS
from core_runtime.flows.model import Step
from core_runtime.flows.running.state import Frame, Run, RunState


@dataclass(slots=True)
class StepProgress:
    """One step of a flow over all its rounds: how often it began and how it ended, newest state last."""

    flow_id: str
    step_id: str
    kind: str
    state: str = "running"
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0

    def to_json(self) -> dict[str, object]:
        """For the API."""
        return {
            "flow_id": self.flow_id,
            "step": self.step_id,
            "kind": self.kind,
            "state": self.state,
            "started": self.started,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
        }


@dataclass(frozen=True, slots=True)
class RunView:
    """A run for people. Times are Unix seconds."""

    run_id: str
    flow_id: str
    owner: str
    state: RunState
    actor: Actor | None
    request_id: str
    started_at: float
    ended_at: float | None
    error: RumiError | None
    steps: tuple[Mapping[str, object], ...]

    def to_json(self) -> dict[str, object]:
        """For the API."""
        return {
            "run_id": self.run_id,
            "flow_id": self.flow_id,
            "owner": self.owner,
            "state": self.state.value,
            "actor": self.actor.to_json() if self.actor else None,
            "request_id": self.request_id,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "error": self.error.to_wire() if self.error else None,
            "steps": [dict(step) for step in self.steps],
        }


@dataclass(slots=True)
class _Record:
    run: Run
    steps: dict[tuple[str, str], StepProgress] = field(default_factory=dict)


class RunHistory:
    """Observer that keeps the newest runs; finished ones are forgotten first."""

    def __init__(self, limit: int = KEPT_RUNS) -> None:
        self._limit = limit
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def run_added(self, run: Run) -> None:
        """A run was accepted; it may still wait in the queue."""
        self._records[run.run_id] = _Record(run)
        if len(self._records) > self._limit:
            self._forget()

    def run_started(self, run: Run) -> None:
        """See `RunObserver`."""

    def step_started(self, frame: Frame, step: Step) -> None:
        """See `RunObserver`."""
        record = self._records.get(frame.run.run_id)
        if record is None:
            return
        key = (frame.flow.flow_id, step.id)
        progress = record.steps.get(key)
        if progress is None:
            if len(record.steps) >= KEPT_STEPS:
                return
            progress = record.steps[key] = StepProgress(key[0], step.id, step.kind.value)
        progress.started += 1
        progress.state = "running"

    def step_finished(self, frame: Frame, step: Step, state: str, _value: object) -> None:
        """See `RunObserver`."""
        record = self._records.get(frame.run.run_id)
        progress = record.steps.get((frame.flow.flow_id, step.id)) if record is not None else None
        if progress is None:
            return
        progress.state = state
        if state == "succeeded":
            progress.succeeded += 1
        elif state == "failed":
            progress.failed += 1
        elif state == "skipped":
            progress.skipped += 1

    def run_finished(self, run: Run) -> None:
        """See `RunObserver`."""

    def views(self) -> list[RunView]:
        """All runs that are kept, the newest first."""
        return [self._view(record) for record in reversed(self._records.values())]

    def view(self, run_id: str) -> RunView | None:
        """One run, or None."""
        record = self._records.get(run_id)
        return self._view(record) if record is not None else None

    def _forget(self) -> None:
        oldest = next((key for key, record in self._records.items() if record.run.ended_at is not None), None)
        if oldest is not None:
            del self._records[oldest]

    @staticmethod
    def _view(record: _Record) -> RunView:
        run = record.run
        return RunView(
            run.run_id,
            run.flow.flow_id,
            run.flow.owner,
            run.state,
            run.actor,
            run.context.request_id,
            run.started_at,
            run.ended_at,
            run.error,
            tuple(progress.to_json() for progress in record.steps.values()),
        )
