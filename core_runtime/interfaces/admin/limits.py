"""How often: requests a minute for each token, and a brake on guessing.

The brake slows only whoever presents wrong tokens. A right token is never delayed and never counted against by the
wrong ones of others, since on loopback all come from one address and the owner must not be locked out (AD-11). Both
keep a bounded number of entries.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from core_runtime.clock import Clock

WINDOW_SECONDS = 60.0
MAX_ENTRIES = 1024
GUESS_BURST = 50.0
GUESSES_PER_SECOND = 20.0
MAX_DELAY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window; `reset_seconds` until it is whole again."""

    admitted: bool
    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """`X-RateLimit-*`, and `Retry-After` when refused."""
        told = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset_seconds),
        }
        return told if self.admitted else {**told, "retry-after": str(self.reset_seconds)}


class RequestBudget:
    """Counts requests in windows of a minute that begin with a token's first request."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._limit = per_minute
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, token_id: str) -> Allowance:
        """Count one request."""
        now = self._clock.monotonic()
        begun, used = self._windows.pop(token_id, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            begun, used = now, 0
        admitted = used < self._limit
        used = min(used + 1, self._limit)
        self._windows[token_id] = (begun, used)
        if len(self._windows) > MAX_ENTRIES:
            self._windows.popitem(last=False)
        reset = max(1, math.ceil(begun + WINDOW_SECONDS - now))
        return Allowance(admitted, self._limit, self._limit - used, reset)


class GuessBrake:
    """A bucket of wrong tokens for each source; an empty one makes the next 401 wait."""

    def __init__(self, clock: Clock, per_second: float = GUESSES_PER_SECOND) -> None:
        self._clock = clock
        self._rate = per_second
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def delay(self, source: str) -> float:
        """Count one wrong token from `source` and say how many seconds its answer has to wait (at most 2)."""
        now = self._clock.monotonic()
        level, seen = self._levels.pop(source, (GUESS_BURST, now))
        level = min(GUESS_BURST, level + (now - seen) * self._rate) - 1.0
        level = max(level, -MAX_DELAY_SECONDS * self._rate)
        self._levels[source] = (level, now)
        if len(self._levels) > MAX_ENTRIES:
            self._levels.popitem(last=False)
        return max(0.0, -level / self._rate)
