"""Calls from coroutines to the kernel. Only imported where one asks: asyncio costs 10 MB."""

from __future__ import annotations

import asyncio

from rumi_agent.outgoing import answer_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.calls import Call
    from rumi_agent.codec import Frame
    from rumi_agent.ports import Asking
    from rumi_agent.streams import Inbound, Window


class AsyncWaiter:
    """An outgoing call, as a coroutine waits for it."""

    __slots__ = ("_future", "_home", "_loop", "call", "inbound", "window")

    def __init__(self, home: Asking, call: Call | None) -> None:
        self.call = call
        self.inbound: Inbound | None = None
        self.window: Window | None = None
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Frame] = self._loop.create_future()

    def deliver(self, frame: Frame) -> None:
        """Called on the reader's thread."""
        side = self._home.loop_side
        if side is not None and side.loop is self._loop:
            side.post(lambda: self._settle(frame))
        else:
            self._loop.call_soon_threadsafe(self._settle, frame)

    def _settle(self, frame: Frame) -> None:
        if not self._future.done():
            self._future.set_result(frame)

    async def wait(self) -> Frame:
        """The result's frame."""
        return await self._future


async def request(home: Asking, call: Call | None, name: str, args: object, seconds: float | None) -> object:
    """As `Outgoing.request`, for a coroutine on any loop. Raises `CapabilityError`."""
    waiter = AsyncWaiter(home, call)
    number = home.outgoing.begin(waiter, name, args, seconds)
    side = home.loop_side
    if side is not None and side.loop is asyncio.get_running_loop():
        side.flush_soon()
    else:
        home.outgoing.flush()
    try:
        return answer_of(await waiter.wait())
    except asyncio.CancelledError:
        home.outgoing.give_up(number)
        raise
