"""Time as a dependency: rules about expiry and deadlines take a `Clock`, tests hand in their own.

`wall()` never runs backwards within a process (a clock set back must not revive what had expired), `monotonic()` is for
deadlines and rates. Both are seconds as float; wall time is Unix time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The two times that the kernel reads."""

    def wall(self) -> float:
        """Unix time in seconds, never less than what this clock said before."""

    def monotonic(self) -> float:
        """Seconds since some start; unaffected by changes of the wall clock."""


class SystemClock:
    """The machine's clocks, with the highest wall time seen kept."""

    def __init__(self, *, floor: float = 0.0) -> None:
        self._highest = floor

    def wall(self) -> float:
        """See `Clock`."""
        self._highest = max(self._highest, time.time())
        return self._highest

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()


def iso(timestamp: float) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
