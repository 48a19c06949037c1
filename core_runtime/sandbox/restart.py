"""When a pack that ended is started again, and when that stops. Pure: time comes in as an argument.

Two kinds of trouble are told apart. A pack that ends by itself (crash, out of memory, no hello) is started again with a
growing pause, and after three such ends in ten minutes no more: a loop would only burn the host. Trouble of the engine
is not the pack's doing: it is tried again for as long as it lasts, at most every minute. Only monotonic time counts.
"""

from __future__ import annotations

from collections import deque

CRASHES_BEFORE_STOP = 3
WINDOW_SECONDS = 600.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
_MOST_DOUBLINGS = 16


class RestartPolicy:
    """The history of one pack."""

    def __init__(self) -> None:
        self._crashes: deque[float] = deque(maxlen=CRASHES_BEFORE_STOP)
        self._failures = 0

    def after_crash(self, now: float) -> float | None:
        """Seconds to wait before the next start, or None if there is to be none (a crash loop)."""
        self._crashes.append(now)
        recent = sum(1 for moment in self._crashes if now - moment < WINDOW_SECONDS)
        if recent >= CRASHES_BEFORE_STOP:
            return None
        return _pause(recent - 1)

    def after_engine_failure(self) -> float:
        """Seconds to wait before the engine is tried again."""
        self._failures += 1
        return _pause(self._failures - 1)

    def engine_works(self) -> None:
        """A start got past the engine: the pauses for it begin anew."""
        self._failures = 0

    def forgive(self) -> None:
        """Somebody started the pack by hand (or its bytes changed): the history says nothing any more."""
        self._crashes.clear()
        self._failures = 0

    @property
    def crashes(self) -> int:
        """Crashes that are remembered."""
        return len(self._crashes)


def _pause(doublings: int) -> float:
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(doublings, _MOST_DOUBLINGS)))
