"""How many runs at once: a bounded number of places and a bounded queue before them, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque

from core_runtime.errors import RateLimited


class Ticket:
    """A place, or the promise of one. Give it back exactly once, whether it was waited for or not."""

    __slots__ = ("_slots", "future")

    def __init__(self, slots: Slots, future: asyncio.Future[None] | None) -> None:
        self._slots = slots
        self.future = future

    async def wait(self) -> None:
        """Return once the place is ours."""
        if self.future is not None:
            await self.future

    def give_back(self) -> None:
        """Leave the place or the queue."""
        self._slots.leave(self)


class Slots:
    """`limit` places; at most `queue` may wait for one."""

    def __init__(self, limit: int, queue: int, what: str) -> None:
        self.limit = limit
        self._queue = queue
        self._what = what
        self._holders: set[Ticket] = set()
        self._waiting: deque[Ticket] = deque()

    @property
    def idle(self) -> bool:
        """True if nobody has a place or waits for one."""
        return not self._holders and not self._waiting

    @property
    def full(self) -> bool:
        """True if who comes now has to wait."""
        return len(self._holders) >= self.limit

    def enter(self) -> Ticket:
        """A place or a place in the queue. Raises `RateLimited` if there is neither."""
        if not self.full:
            ticket = Ticket(self, None)
            self._holders.add(ticket)
            return ticket
        if len(self._waiting) >= self._queue:
            waiting = f" and {self._queue} waiting" if self._queue else ""
            raise RateLimited(f"{self._what}: {self.limit} at once{waiting}.", hint="Try again in a moment.")
        ticket = Ticket(self, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket back and hand the place on."""
        if ticket not in self._holders:
            self._waiting.remove(ticket)
            return
        self._holders.remove(ticket)
        while self._waiting and not self.full:
            following = self._waiting.popleft()
            self._holders.add(following)
            if following.future is not None and not following.future.done():
                following.future.set_result(None)
