"""Coroutines: one asyncio loop on a thread of its own. Only imported for packs that have any: asyncio costs 10 MB.

The reader puts work into a box and rings the loop once for each batch of frames, not once for each frame.
"""

from __future__ import annotations

import asyncio
from _collections import deque  # type: ignore[import-not-found]
from _thread import start_new_thread

from rumi_agent.calls import Call, current_call
from rumi_agent.codec import NotJson, encode_result
from rumi_agent.context import Context
from rumi_agent.errors import wire_error
from rumi_agent.generators import end_of_stream
from rumi_agent.streams import NOTHING, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from typing import Any

    from rumi_agent.answers import Answers
    from rumi_agent.ports import Home
    from rumi_agent.reading import Reading


class LoopSide:
    """The loop, and the calls that run on it."""

    def __init__(
        self,
        home: Home,
        answers: Answers,
        *,
        unusual: Callable[[Call, object, NotJson], bytes | None],
        reading: Reading,
    ) -> None:
        self._home = home
        self._answers = answers
        self._unusual = unusual
        self._reading = reading
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
                self._home.packlog.write_exception("a task of the pack broke out of the loop", error, None)

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

    def start_call(self, call: Call, made: object = None) -> None:
        """Run a coroutine handler, or a coroutine that a plain handler returned."""
        self._start(call, lambda: self._run_call(call, made))

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
        if not self._reading.is_reader():
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
        self._answers.link.flush()

    async def _run_call(self, call: Call, made: object) -> None:
        current_call.set(call)
        value: object = None
        try:
            if made is None:
                made = call.handler.call(call.args, Context(self._home, call))
            value = await made  # type: ignore[misc]
            frame: bytes | None = encode_result(call.id, value)
        except NotJson as error:
            frame = self._unusual(call, value, error)
        except BaseException as error:
            frame = None if call.cancelled else self._answers.failure(call, error)
        if frame is not None:
            self._answers.answer(call, frame)
            self.flush_soon()

    async def _run_stream(self, call: Call, made: object) -> None:
        current_call.set(call)
        try:
            if made is None:
                made = call.handler.call(call.args, Context(self._home, call))
            await self._pass_on(call, made)  # type: ignore[arg-type]
            frame = end_of_stream(call.id, None)
        except NotJson as error:
            code = "TOO_LARGE" if error.too_large else "INTERFACE_ERROR"
            frame = self._answers.error_frame(call, wire_error(code, error.told_of("An element of the stream")))
        except BaseException as error:
            frame = b"" if call.cancelled else self._answers.failure(call, error)
        self._answers.answer(call, frame)
        self.flush_soon()

    async def _pass_on(self, call: Call, generator: AsyncGenerator[object, None]) -> None:
        window, outlet = call.window, self._home.outgoing
        assert window is not None
        try:
            async for element in generator:
                left = element
                while (left := put(outlet, call.id, window, left)) is not NOTHING:
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
