"""What is wrong right now, in words for the owner: the list behind `rumi status` and `/api/diagnostics`.

An entry is keyed by its subject (a pack, a flow, a part of the kernel) and code, so that a repeated trouble is one
entry and a mended one goes away. Bounded: a pack cannot fill it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MAX_ENTRIES = 1_000
MAX_TEXT = 2_000


class Severity(StrEnum):
    """How bad."""

    INFO = "info"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One entry."""

    severity: Severity
    code: str
    subject: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, object]:
        """As the API and `rumi status --json` show it."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "subject": self.subject,
            "message": self.message[:MAX_TEXT],
            "hint": self.hint[:MAX_TEXT],
        }


class DiagnosticsBook:
    """The current entries."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Diagnostic] = {}

    def put(self, entry: Diagnostic) -> None:
        """Add or replace the entry of this subject and code; beyond 1,000 the oldest goes."""
        key = (entry.subject, entry.code)
        self._entries.pop(key, None)
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = entry

    def clear(self, subject: str, codes: Iterable[str] | None = None) -> None:
        """Forget what was said of a subject, all of it or some codes."""
        wanted = None if codes is None else frozenset(codes)
        for key in [key for key in self._entries if key[0] == subject and (wanted is None or key[1] in wanted)]:
            del self._entries[key]

    def clear_prefix(self, subject: str, prefix: str) -> None:
        """Forget the entries of a subject whose code begins with `prefix`."""
        for key in [key for key in self._entries if key[0] == subject and key[1].startswith(prefix)]:
            del self._entries[key]

    def all(self) -> tuple[Diagnostic, ...]:
        """Every entry, the worst first, then by subject."""
        order = [Severity.PROBLEM, Severity.WARNING, Severity.INFO]
        return tuple(sorted(self._entries.values(), key=lambda e: (order.index(e.severity), e.subject, e.code)))

    @property
    def worst(self) -> Severity | None:
        """The worst severity there is."""
        found = self.all()
        return found[0].severity if found else None
