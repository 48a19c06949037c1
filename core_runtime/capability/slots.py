"""How many calls of one pack and permission run at once; the rest wait in order, up to a bound.

Interface and flow calls count per depth of their chain: a call at one depth can only wait for calls of the same depth,
and those only for deeper ones, so that packs calling each other in turn cannot block each other for good.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from core_runtime.errors import RateLimited

MAX_WAITING = 1024
Key = tuple[str, str, int]


@dataclass(slots=True)
class _Line:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Slots:
    """Slots by key. Belongs to one loop."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._lines: dict[Key, _Line] = {}
        self._max_waiting = max_waiting

    def take(self, key: Key, limit: int) -> Callable[[], None] | None:
        """A free slot as its release function, or None: then `wait`."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        if line.running >= limit or line.waiting:
            return None
        line.running += 1
        return _Release(self, key)

    async def wait(self, key: Key, limit: int) -> Callable[[], None]:
        """Wait for a slot, if there is none now. Raises `RateLimited` when too many wait already."""
        free = self.take(key, limit)
        if free is not None:
            return free
        line = self._lines[key]
        if len(line.waiting) >= self._max_waiting:
            raise RateLimited(
                f"More than {self._max_waiting} calls of {key[1]} wait for one of {limit} slots.",
                hint="Make fewer of these calls at once.",
            )
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(key)
            else:
                with contextlib.suppress(ValueError):
                    line.waiting.remove(turn)
            raise
        return _Release(self, key)

    def _release(self, key: Key) -> None:
        line = self._lines[key]
        while line.waiting:
            turn = line.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        line.running -= 1
        if not line.running:
            del self._lines[key]


class _Release:
    """Gives the slot on, once."""

    __slots__ = ("_key", "_slots")

    def __init__(self, slots: Slots, key: Key) -> None:
        self._slots: Slots | None = slots
        self._key = key

    def __call__(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._release(self._key)  # noqa: SLF001 - the two are one class in two halves
