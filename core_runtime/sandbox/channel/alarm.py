"""One timer for the earliest of many deadlines.

A timer for each call would be made and cancelled thousands of times a second for nothing: calls end long before their
deadlines. So nothing is cancelled: when the timer rings, its owner looks through what is still open, deals with what is
late, and says when to ring next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from core_runtime.clock import Clock

SOONEST = 0.001
LATEST = 3600.0


class Alarm:
    """Calls `ring(now)` at the earliest time that anybody asked for; it returns when it wants to be called next."""

    __slots__ = ("_at", "_clock", "_handle", "_ring")

    def __init__(self, clock: Clock, ring: Callable[[float], float]) -> None:
        self._clock = clock
        self._ring = ring
        self._at = inf
        self._handle: asyncio.TimerHandle | None = None

    def by(self, deadline: float) -> None:
        """See to it that `ring` is called at `deadline` (monotonic seconds) at the latest."""
        if deadline >= self._at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = deadline
        delay = min(max(deadline - self._clock.monotonic(), SOONEST), LATEST)
        self._handle = asyncio.get_running_loop().call_later(delay, self._fire)

    def stop(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = -inf

    def _fire(self) -> None:
        if self._at == -inf:
            return
        self._handle = None
        self._at = inf
        self.by(self._ring(self._clock.monotonic()))
