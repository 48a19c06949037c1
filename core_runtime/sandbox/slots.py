"""Places for calls into one pack: a bounded number at once, a bounded number waiting, first come first served.

Without this, a slow pack would collect callers without end. The common case, a free place and nobody waiting, costs two
comparisons and no task.
"""

from __future__ import annotations

import asyncio
from collections import deque

from core_runtime.errors import DeadlineExceeded, RateLimited


class Slots:
    """`places` calls at once, `waiting` more in line. Belongs to one loop."""

    def __init__(self, places: int, waiting: int) -> None:
        self._free = places
        self._places = places
        self._most_waiting = waiting
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def in_use(self) -> int:
        """Places that are taken."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """Callers in line."""
        return sum(1 for future in self._line if not future.done())

    def try_take(self) -> bool:
        """Take a place if one is free and nobody is in line."""
        if self._free <= 0 or self._line:
            return False
        self._free -= 1
        return True

    async def take(self, seconds: float) -> None:
        """Wait in line. Raises `RateLimited` when the line is full, `DeadlineExceeded` after `seconds`."""
        if self.try_take():
            return
        if self.waiting >= self._most_waiting:
            raise RateLimited(
                "Too many calls wait for this pack.", hint="Call less often, or raise sandbox.concurrency."
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await asyncio.wait_for(turn, max(0.0, seconds))
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed while the call waited for its turn.", hint="The pack is busy; see rumi status."
            ) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()  # the turn came in the very moment the caller gave up: hand it on
            raise
        finally:
            if turn in self._line:
                self._line.remove(turn)

    def give_back(self) -> None:
        """Free a place, or hand it to the first in line."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
