"""What is wrong with a flow file, so that its author can mend it: where, what, what was expected, the nearest name.

A `Findings` gathers everything of one file; nothing here raises for an author's mistake, so that all of them are told
at once. Texts of the file are quoted shortened: an error must not become a copy of somebody's data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core_runtime.flows.limits import MAX_PROBLEMS, MAX_SUGGESTIONS
from core_runtime.packs import Problem
from core_runtime.suggest import nearest

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column in a file, both counted from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class FlowProblem:
    """One mistake (`error`: the flow does not load) or doubt (`warning`: it does)."""

    file: str
    line: int
    column: int
    message: str
    expected: str = ""
    nearest: str | None = None
    severity: Severity = "error"

    def text(self) -> str:
        """One line for a terminal: `flows/a.flow.yaml:3:5: error: ...`."""
        parts = [f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"]
        if self.expected:
            parts.append(f"Expected {self.expected}.")
        if self.nearest:
            parts.append(f"Did you mean {self.nearest!r}?")
        return " ".join(parts)

    def to_json(self) -> dict[str, object]:
        """The shape that the command line and the API print."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
            "message": self.message,
            "expected": self.expected,
            "nearest": self.nearest,
        }

    def to_problem(self) -> Problem:
        """The same among the problems of a pack's other files; the pointer is `line:column`."""
        hint = f"Expected {self.expected}." if self.expected else ""
        if self.nearest:
            hint = f"{hint} Did you mean {self.nearest!r}?".strip()
        return Problem(self.file, f"{self.line}:{self.column}", self.message, hint)


@dataclass(slots=True)
class Findings:
    """The problems of one file, in the order of their places, at most `MAX_PROBLEMS` of them."""

    file: str
    found: list[FlowProblem] = field(default_factory=list)
    left_out: int = 0

    def add(
        self,
        place: Place,
        message: str,
        *,
        expected: str = "",
        name: str = "",
        known: Iterable[str] = (),
        severity: Severity = "error",
    ) -> None:
        """Note one problem; `name` and `known` give the nearest known name."""
        if len(self.found) >= MAX_PROBLEMS:
            self.left_out += 1
            return
        match = nearest(name, known) if name and len(self.found) < MAX_SUGGESTIONS else None
        self.found.append(FlowProblem(self.file, place.line, place.column, message, expected, match, severity))

    def warn(
        self, place: Place, message: str, *, expected: str = "", name: str = "", known: Iterable[str] = ()
    ) -> None:
        """Note one doubt that does not keep the flow from loading."""
        self.add(place, message, expected=expected, name=name, known=known, severity="warning")

    @property
    def full(self) -> bool:
        """True once more problems would only be counted."""
        return len(self.found) >= MAX_PROBLEMS

    @property
    def failed(self) -> bool:
        """True if there is at least one error."""
        return any(problem.severity == "error" for problem in self.found) or self.left_out > 0

    def sorted(self) -> tuple[FlowProblem, ...]:
        """All problems by place, and a last one that says how many were left out."""
        ordered = sorted(self.found, key=lambda problem: (problem.line, problem.column))
        if self.left_out:
            ordered.append(FlowProblem(self.file, 1, 1, f"{self.left_out} more problems are not shown."))
        return tuple(ordered)


def shown(value: object, limit: int = 60) -> str:
    """A value of the file for a message, cut to `limit` characters."""
    text = value if isinstance(value, str) else str(value)[: limit + 1]
    text = text if len(text) <= limit else text[:limit] + "..."
    return repr(text) if isinstance(value, str) else text
