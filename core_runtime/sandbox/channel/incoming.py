"""The receiving end of a stream: what the agent sends waits here, within the credit it was given, until it is taken.

Credit is given back as elements are taken, so a slow reader makes the sender wait and nobody else. The first bytes that
are taken also widen the window by 256 KiB: otherwise a sender with a whole chunk of 256 KiB could wait for credit that
is held back until more is taken, for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from core_runtime.errors import RumiError
from core_runtime.sandbox.channel.budget import InboundBudget
from core_runtime.wire.limits import FIRST_BYTES, FIRST_ITEMS
from core_runtime.wire.streams import Chunk, Item, StreamElement

GIVE_ITEMS = FIRST_ITEMS // 2
GIVE_BYTES = FIRST_BYTES // 2
OVERHEAD = 64


class IncomingStream(AsyncIterator[StreamElement]):
    """Elements in the order of the wire. `result` is what the call returned, once the iteration is over.

    Whoever stops reading early calls `aclose`, which gives the call up; idleness ends it otherwise. `size` is the
    number of bytes that wait while the agent can still add to them; what is left after its end belongs to the reader.
    """

    __slots__ = ("_budget", "_bytes_left", "_bytes_owed", "_error", "_items_left", "_items_owed", "_leave", "_over",
                 "_queue", "_taken", "_waiter", "_widened", "result", "size")  # fmt: skip

    def __init__(self, budget: InboundBudget, *, taken: Callable[[int, int], None], leave: Callable[[], None]) -> None:
        self._budget = budget
        self._taken = taken
        self._leave = leave
        self._queue: deque[tuple[StreamElement, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._items_left, self._bytes_left = FIRST_ITEMS, FIRST_BYTES
        self._items_owed = self._bytes_owed = 0
        self._widened = False
        self._over = False
        self._error: RumiError | None = None
        self.result: object = None
        self.size = 0

    def push(self, element: StreamElement, size: int) -> bool:
        """Take in what came; False if it is more than was allowed."""
        if self._over:
            return False
        if isinstance(element, Item):
            self._items_left -= 1
        else:
            self._bytes_left -= len(element.payload)
        if self._items_left < 0 or self._bytes_left < 0:
            return False
        self._queue.append((element, size + OVERHEAD))
        self.size += size + OVERHEAD
        self._budget.add(size + OVERHEAD)
        self._wake()
        return True

    def finish(self, result: object = None) -> None:
        """Nothing more comes; what waits can still be taken."""
        if not self._over:
            self._over = True
            self.result = result
            self._uncount()
            self._wake()

    def fail(self, error: RumiError) -> None:
        """It ended badly: raised once what waits was taken."""
        if not self._over:
            self._error = error
            self.finish()

    def drop(self, error: RumiError | None = None) -> None:
        """Throw away what waits, since nobody takes it, and end (with `error`, for who comes late)."""
        self._queue.clear()
        if error is not None:
            self.fail(error)
        else:
            self.finish()

    async def __anext__(self) -> StreamElement:
        """The next element. Raises the `RumiError` that the stream ended with, if it did."""
        while not self._queue:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._wait()
        element, size = self._queue.popleft()
        if not self._over:
            self.size -= size
            self._budget.remove(size)
            self._settle(element)
        return element

    async def aclose(self) -> None:
        """Give the stream up. Safe to call at any time, also after the end."""
        over = self._over
        self.drop()
        if not over:
            self._leave()

    def _settle(self, element: StreamElement) -> None:
        if isinstance(element, Chunk):
            self._bytes_owed += len(element.payload)
            if not self._widened:
                self._widened = True
                self._bytes_owed += FIRST_BYTES
        else:
            self._items_owed += 1
        items = octets = 0
        if self._items_owed >= GIVE_ITEMS or self._bytes_owed >= GIVE_BYTES:
            items, octets = self._items_owed, self._bytes_owed
            self._items_owed = self._bytes_owed = 0
            self._items_left += items
            self._bytes_left += octets
        self._taken(items, octets)

    def _uncount(self) -> None:
        self._budget.remove(self.size)
        self.size = 0

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("a stream is read by one reader at a time")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
