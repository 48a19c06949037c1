"""At most N a minute, exactly: a sliding window on the monotonic clock.

A clock set back refills nothing (SE-07). The number of keys is bounded; what is forgotten first is what was used
longest ago.
"""

from __future__ import annotations

from collections import OrderedDict, deque

WINDOW = 60.0
MAX_KEYS = 4096


class MinuteWindow:
    """Counts uses by key. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._uses: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def wait(self, key: tuple[str, str], limit: int, now: float) -> float:
        """Seconds until one more use is allowed; 0.0 if it is now."""
        times = self._uses.get(key)
        if times is None or limit <= 0:
            return 0.0 if limit > 0 else WINDOW
        while times and now - times[0] >= WINDOW:
            times.popleft()
        return 0.0 if len(times) < limit else WINDOW - (now - times[len(times) - limit])

    def use(self, key: tuple[str, str], now: float) -> None:
        """Count one use."""
        times = self._uses.get(key)
        if times is None:
            times = self._uses[key] = deque()
            if len(self._uses) > MAX_KEYS:
                self._uses.popitem(last=False)
        times.append(now)
        self._uses.move_to_end(key)
