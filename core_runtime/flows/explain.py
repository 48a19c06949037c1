"""A flow as people read it: its composed order with the author of every step, and the report of a validation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from core_runtime.flows.loading.document import environment_warnings, load_flow
from core_runtime.flows.model import Branch, Flow, ForEach, Parallel, Step, While
from core_runtime.flows.problems import FlowProblem


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One line: `depth` is its level, `block` the list that it stands in (`steps`, `then`, a branch, `errors`, ...)."""

    id: str
    kind: str
    author: str
    block: str
    depth: int
    phase: str
    priority: int
    depends_on: tuple[str, ...]
    output: str | None
    line: int

    def to_json(self) -> dict[str, object]:
        """For the API."""
        return {
            "id": self.id,
            "kind": self.kind,
            "author": self.author,
            "block": self.block,
            "depth": self.depth,
            "phase": self.phase,
            "priority": self.priority,
            "depends_on": list(self.depends_on),
            "output": self.output,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class ExplainedFlow:
    """The whole flow in the order in which it runs."""

    flow_id: str
    owner: str
    file: str
    digest: str
    description: str
    steps: tuple[ExplainedStep, ...]
    interfaces: tuple[str, ...]
    permissions: tuple[str, ...]
    flows: tuple[str, ...]
    blocks: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """For the API."""
        return {
            "flow_id": self.flow_id,
            "owner": self.owner,
            "file": self.file,
            "digest": self.digest,
            "description": self.description,
            "steps": [step.to_json() for step in self.steps],
            "interfaces": list(self.interfaces),
            "permissions": list(self.permissions),
            "flows": list(self.flows),
            "blocks": list(self.blocks),
        }


def explain_flow(flow: Flow) -> ExplainedFlow:
    """Every step with its author; until modifiers exist, that is the flow's owner for all of them."""
    lines: list[ExplainedStep] = []
    for block, steps in (("steps", flow.steps), ("errors", flow.errors), ("finally", flow.finally_steps)):
        lines.extend(_lines(steps, flow.owner, block, 0))
    return ExplainedFlow(
        flow.flow_id,
        flow.owner,
        flow.file,
        flow.digest,
        flow.description,
        tuple(lines),
        tuple(sorted({use.name for use in flow.interfaces})),
        tuple(sorted({use.name for use in flow.permissions})),
        tuple(sorted({use.name for use in flow.flows})),
        tuple(sorted({use.name for use in flow.blocks})),
    )


def blocks_of(step: Step) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """The lists of steps inside a step, by name."""
    action = step.action
    if isinstance(action, Branch):
        yield "then", action.then
        yield "else", action.otherwise
    elif isinstance(action, ForEach | While):
        yield "steps", action.steps
    elif isinstance(action, Parallel):
        yield from action.branches
    if step.guard is not None and step.guard.on_error:
        yield "on_error", step.guard.on_error


def _lines(steps: tuple[Step, ...], author: str, block: str, depth: int) -> Iterator[ExplainedStep]:
    for step in steps:
        yield ExplainedStep(
            step.id,
            step.kind.value,
            author,
            block,
            depth,
            step.phase,
            step.priority,
            step.depends_on,
            step.output,
            step.place.line,
        )
        for name, inner in blocks_of(step):
            yield from _lines(inner, author, name, depth + 1)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What `rumi flow validate` prints; works without a kernel."""

    file: str
    flow_id: str | None
    digest: str
    steps: int
    problems: tuple[FlowProblem, ...]

    @property
    def ok(self) -> bool:
        """True without errors; warnings do not count."""
        return not any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "file": self.file,
            "flow_id": self.flow_id,
            "digest": self.digest,
            "steps": self.steps,
            "problems": [problem.to_json() for problem in self.problems],
        }


def validate(
    data: bytes,
    *,
    file: str,
    owner: str = "host",
    interfaces: Collection[str] | None = None,
    flows: Collection[str] | None = None,
    permissions: Collection[str] | None = None,
) -> ValidationReport:
    """Check a file as the kernel would; works without one. Names that are known add warnings for those that are not."""
    loaded = load_flow(data, file=file, owner=owner)
    noted: tuple[FlowProblem, ...] = ()
    if loaded.flow is not None:
        noted = environment_warnings(loaded.flow, interfaces=interfaces, flows=flows, permissions=permissions)
    steps = loaded.flow.step_count if loaded.flow is not None else 0
    return ValidationReport(file, loaded.flow_id, loaded.digest, steps, (*loaded.problems, *noted))
