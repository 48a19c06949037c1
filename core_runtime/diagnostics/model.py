"""What a check of `rumi doctor` says.

A check looks and never mends, never raises, and never shows a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Severity(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report. `hint` is the exact command or step that mends a warning or problem."""

    severity: Severity
    code: str
    subject: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """`{severity, code, subject, message, hint}` as `status` and the API show it."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "subject": self.subject,
            "message": self.message,
            "hint": self.hint,
        }


class Check(Protocol):
    """One look at one thing. `id` is stable: it is what people search for."""

    id: str

    async def run(self) -> Finding:
        """Look now; within seconds, and without raising."""


def ok(code: str, subject: str, message: str, hint: str = "") -> Finding:
    """Nothing to do."""
    return Finding(Severity.OK, code, subject, message, hint)


def warning(code: str, subject: str, message: str, hint: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(Severity.WARNING, code, subject, message, hint)


def problem(code: str, subject: str, message: str, hint: str) -> Finding:
    """It does not work, or it is not safe."""
    return Finding(Severity.PROBLEM, code, subject, message, hint)
