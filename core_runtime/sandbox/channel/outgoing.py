"""The sending end of a stream: takes elements from an iterator and sends no more than the agent allowed.

Somebody else's iterator is always closed, however the sending ends, so that a file or a socket behind it is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from core_runtime.errors import TooLarge
from core_runtime.sandbox.channel.ports import Outlet
from core_runtime.wire.limits import FIRST_BYTES, FIRST_ITEMS, MAX_CHUNK_BYTES
from core_runtime.wire.messages import Credit, Data, End, ItemFrame
from core_runtime.wire.streams import Chunk, Item, Stream

MOST_CREDIT = 2**40


class SendCredit:
    """What the agent still allows in one direction of one call."""

    __slots__ = ("_bytes", "_items", "_waiter", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._items = FIRST_ITEMS
        self._bytes = FIRST_BYTES
        self._waiter: asyncio.Future[None] | None = None

    def grant(self, credit: Credit) -> None:
        """The agent allows more. No sum is believed to be larger than can ever matter."""
        self._items = min(self._items + credit.items, MOST_CREDIT)
        self._bytes = min(self._bytes + credit.octets, MOST_CREDIT)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take_item(self) -> None:
        """Wait until one item more may be sent."""
        while self._items < 1:
            await self._more()
        self._items -= 1

    async def take_bytes(self, most: int, *, whole: bool) -> int:
        """Wait until bytes may be sent, all of `most` if it has to be `whole`; returns how many may."""
        while self._bytes < (most if whole else min(most, 1)):
            await self._more()
        count = min(most, self._bytes)
        self._bytes -= count
        return count

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


async def send_stream(
    outlet: Outlet, call_id: int, source: Stream, *, credit: SendCredit, sent: Callable[[], None]
) -> None:
    """Send all of `source` and then `end`. `sent` is told of each element. Raises what the source raises."""
    credit.begun = True
    try:
        async for element in source:
            if isinstance(element, Item):
                await credit.take_item()
                outlet.send(ItemFrame(call_id, element.value))
            else:
                await _send_chunk(outlet, call_id, element, credit)
            sent()
            if outlet.full:
                await outlet.room()
        outlet.send(End(call_id))
    finally:
        await close_stream(source)


async def _send_chunk(outlet: Outlet, call_id: int, chunk: Chunk, credit: SendCredit) -> None:
    """Bytes may leave in parts, as the credit allows; a text stays whole, since a part of one may be no text."""
    payload = chunk.payload
    if len(payload) > MAX_CHUNK_BYTES:
        raise TooLarge(f"A chunk has at most {MAX_CHUNK_BYTES} bytes.", hint="Cut it into smaller ones.")
    while True:
        count = await credit.take_bytes(len(payload), whole=chunk.text)
        outlet.send(Data(call_id, payload[:count], chunk.text))
        payload = payload[count:]
        if not payload:
            return


def close_unbegun(credit: SendCredit | None, source: AsyncIterator[object], _task: object = None) -> None:
    """Close `source` if the task that was to send it was cancelled before its first step, and so never could."""
    if credit is None or not credit.begun:
        asyncio.get_running_loop().create_task(close_stream(source))


async def close_stream(source: AsyncIterator[object]) -> None:
    """Close an iterator that can be closed."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
