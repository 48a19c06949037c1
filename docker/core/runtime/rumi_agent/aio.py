"""Coroutines: one asyncio loop on a thread of its own. Only imported for packs that have any: asyncio costs 10 MB.

The reader puts work into a box and rings the loop once for each batch of frames, not once for each frame.
"""

from __future__ import annotations

import asyncio
from _collections import deque  # type: ignore[import-not-found]
from _thread import start_new_thread

from rumi_agent.calls import Call, current_call
from rumi_agent.codec import NotJson, encode_frame, encode_result
from rumi_agent.context import Context, StoreRequests
from rumi_agent.errors import wire_error
from rumi_agent.generators import end_of_stream
from rumi_agent.outgoing import answer_of
from rumi_agent.streams import NOTHING, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from typing import Any

    from rumi_agent.agent import Agent
    from rumi_agent.codec import Frame
    from rumi_agent.streams import Inbound, Window


class AsyncWaiter:
    """An outgoing call, as a coroutine waits for it."""

    __slots__ = ("_agent", "_future", "_loop", "call", "inbound", "window")

    def __init__(self, agent: Agent, call: Call | None) -> None:
        self.call = call
        self.inbound: Inbound | None = None
        self.window: Window | None = None
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Frame] = self._loop.create_future()

    def deliver(self, frame: Frame) -> None:
        """Called on the reader's thread."""
        side = self._agent.loop_side
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


async def request(agent: Agent, call: Call | None, name: str, args: object, seconds: float | None) -> object:
    """As `Outgoing.request`, for a coroutine on any loop. Raises `CapabilityError`."""
    waiter = AsyncWaiter(agent, call)
    number = agent.outgoing.begin(waiter, name, args, seconds)
    side = agent.loop_side
    if side is not None and side.loop is asyncio.get_running_loop():
        side.flush_soon()
    else:
        agent.link.flush()
    try:
        return answer_of(await waiter.wait())
    except asyncio.CancelledError:
        agent.outgoing.give_up(number)
        raise


class LoopSide:
    """The loop, and the calls that run on it."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.loop = asyncio.new_event_loop()
        self._box: deque[Callable[[], object]] = deque()
        self._rung = False
        self._flushing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        start_new_thread(self._live, ())

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except BaseException as error:  # a task of the pack raised SystemExit or KeyboardInterrupt: not our end
                self._agent.log_exception("a task of the pack broke out of the loop", error, None)

    # -- from other threads

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` done on the loop, at the latest when the reader has handled its batch."""
        self._box.append(work)

    def hurry(self, work: Callable[[], object]) -> None:
        """Have `work` done on the loop at once."""
        self._box.append(work)
        self.kick()

    def kick(self) -> None:
        """See that the box is emptied."""
        if self._box and not self._rung:
            self._rung = True
            self.loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._rung = False
        while self._box:
            self._box.popleft()()

    def start_call(self, call: Call, coroutine: object = None) -> None:
        """Run a coroutine handler, or a coroutine that a plain handler returned."""
        self._start(call, lambda: self._run_call(call, coroutine))

    def start_stream(self, call: Call, made: object = None) -> None:
        """Send what an asynchronous generator yields."""
        self._start(call, lambda: self._run_stream(call, made))

    def _start(self, call: Call, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        def begin() -> None:
            if call.cancelled:
                return
            task = self.spawn(make())
            call.on_cancel = lambda: self.hurry(task.cancel)
            if _is_cancelled(call):  # meanwhile
                task.cancel()

        self.post(begin)
        self.kick_unless_reading()

    def kick_unless_reading(self) -> None:
        """The reader rings when its batch is done; any other thread has to ring itself."""
        if not self._agent.reading.is_reader():
            self.kick()

    # -- on the loop

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is kept until it is done."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def flush_soon(self) -> None:
        """Send once for all that this turn of the loop puts in."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._agent.link.flush()

    async def _run_call(self, call: Call, coroutine: object) -> None:
        incoming = self._agent.incoming
        current_call.set(call)
        value: object = None
        try:
            if coroutine is None:
                coroutine = call.handler.call(call.args, Context(self._agent, call))
            value = await coroutine  # type: ignore[misc]
            frame: bytes | None = encode_result(call.id, value)
        except NotJson as error:
            frame = incoming.unusual(call, value, error)
        except BaseException as error:
            frame = None if call.cancelled else incoming.failure(call, error)
        if frame is not None:
            incoming.answer(call, frame)
            self.flush_soon()

    async def _run_stream(self, call: Call, made: object) -> None:
        incoming = self._agent.incoming
        current_call.set(call)
        try:
            if made is None:
                made = call.handler.call(call.args, Context(self._agent, call))
            await self._pass_on(call, made)  # type: ignore[arg-type]
            frame = end_of_stream(call.id, None)
        except NotJson as error:
            code = "TOO_LARGE" if error.too_large else "INTERFACE_ERROR"
            frame = incoming.error_frame(call, wire_error(code, error.told_of("An element of the stream")))
        except BaseException as error:
            frame = b"" if call.cancelled else incoming.failure(call, error)
        incoming.answer(call, frame)
        self.flush_soon()

    async def _pass_on(self, call: Call, generator: AsyncGenerator[object, None]) -> None:
        window = call.window
        assert window is not None
        try:
            async for element in generator:
                left = element
                while (left := put(self._agent, call.id, window, left)) is not NOTHING:
                    credit = self.loop.create_future()
                    if window.park(left, lambda credit=credit: self.hurry(lambda: _settle(credit))):  # type: ignore[misc]
                        await credit
        finally:
            await generator.aclose()

    def spawn_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """A task that is told to stop as soon as the agent is."""
        task = self.spawn(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @property
    def busy(self) -> bool:
        """True while any task runs."""
        return bool(self._tasks)

    def stop_background(self) -> None:
        """From any thread: tell background work to stop; calls may finish."""
        self.hurry(lambda: [task.cancel() for task in list(self._background)])

    def stop_all(self) -> None:
        """From any thread: tell every task to stop."""
        self.hurry(lambda: [task.cancel() for task in list(self._tasks)])


def _is_cancelled(call: Call) -> bool:
    return call.cancelled


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class AioContext:
    """The names of `ctx` for coroutines."""

    __slots__ = ("_agent", "_call")

    def __init__(self, agent: Agent, call: Call | None) -> None:
        self._agent = agent
        self._call = call

    async def call(self, interface: str, args: object = None) -> Any:
        """Run an interface of this pack or, if granted, of another. Raises `CapabilityError`."""
        return await self.capability("interface.call", {"name": interface, "args": {} if args is None else args})

    async def capability(self, permission: str, args: object = None, *, timeout_seconds: float | None = None) -> Any:
        """Use a permission and return its answer. Raises `CapabilityError`."""
        return await request(self._agent, self._call, permission, args, timeout_seconds)

    def store(self, store_id: str) -> StoreRequests:
        """A store whose methods are awaited."""
        return StoreRequests(self, store_id)

    async def emit(self, topic: str, payload: object = None) -> Any:
        """Publish an event under this pack's own topics."""
        return await self.capability("event.publish", {"topic": topic, "payload": payload})

    async def approval(self, title: str, risk: str = "high", args: object = None) -> Any:
        """Ask a person, and wait: `{"approved", "scope", "reason"}`."""
        return await self.capability(
            "approval.request", {"title": title, "risk": risk, "args": {} if args is None else args}
        )


__all__ = ["AioContext", "AsyncWaiter", "LoopSide", "encode_frame", "request"]
