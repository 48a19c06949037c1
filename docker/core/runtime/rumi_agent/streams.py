"""Streams inside calls: what comes in is buffered within the credit given, what goes out waits for credit.

`Inbound` is read by a plain `for` in a thread or by `async for` in a coroutine. `Window` counts what may still be sent.
Items cost one each, data its bytes; a chunk that is longer than the credit leaves in parts.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]
from _thread import allocate_lock

from rumi_agent.codec import encode_data, encode_frame, encode_item
from rumi_agent.errors import error_from_frame
from rumi_agent.limits import MAX_DATA_BYTES, WINDOW_BYTES, WINDOW_ITEMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Protocol

    from rumi_agent.codec import Frame

    class Outlet(Protocol):
        """What a stream needs of the agent."""

        def send(self, frame: bytes) -> None: ...
        def wait(self, gate: LockType) -> None: ...


NOTHING = object()


class Overrun(Exception):
    """The sender sent more than it had credit for."""


class Inbound:
    """Items (JSON values), bytes and text in the order they came."""

    def __init__(self, call_id: int, outlet: Outlet) -> None:
        self.call_id = call_id
        self._outlet = outlet
        self._lock = allocate_lock()
        self._waiting: deque[tuple[object, int | None]] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._wake: Callable[[], object] | None = None
        self._room_items, self._room_bytes = WINDOW_ITEMS, WINDOW_BYTES
        self._owed_items = self._owed_bytes = 0

    def push(self, frame: Frame) -> None:
        """An `item` or `data` frame. Raises `Overrun`."""
        with self._lock:
            if self._ended:
                return
            if frame["k"] == "item":
                self._room_items -= 1
                element = frame.get("value")
            else:
                payload: bytes = frame["payload"]
                self._room_bytes -= len(payload)
                element = payload.decode("utf-8", "replace") if frame.get("text") else payload
            if self._room_items < 0 or self._room_bytes < 0:
                raise Overrun
            self._waiting.append((element, None if frame["k"] == "item" else frame["n"]))
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes; `error` is raised to the reader after what is buffered."""
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def finish(self, frame: Frame) -> None:
        """The call's result ends its streams."""
        self.end(None if frame["ok"] else error_from_frame(frame["error"]))

    def __iter__(self) -> Inbound:
        """Itself: a stream is read once."""
        return self

    def __next__(self) -> object:
        """The next element; waits in this thread."""
        while True:
            gate = allocate_lock()
            gate.acquire()
            found = self._take(gate.release)
            if found is not NOTHING:
                return found
            if self._finished():
                raise StopIteration
            self._outlet.wait(gate)

    def __aiter__(self) -> Inbound:
        """Itself."""
        return self

    async def __anext__(self) -> object:
        """The next element; waits in this coroutine."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        while True:
            arrived = loop.create_future()
            found = self._take(lambda arrived=arrived: loop.call_soon_threadsafe(_settle, arrived))  # type: ignore[misc]
            if found is not NOTHING:
                return found
            if self._finished():
                raise StopAsyncIteration
            await arrived

    def _finished(self) -> bool:
        with self._lock:
            if not self._ended or self._waiting:
                return False
            error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def _take(self, wake: Callable[[], object]) -> object:
        with self._lock:
            if not self._waiting:
                self._wake = None if self._ended else wake
                return NOTHING
            element, size = self._waiting.popleft()
            grant = self._count(size)
        if grant is not None:
            self._outlet.send(encode_frame(grant))
        return element

    def _count(self, size: int | None) -> Frame | None:
        if size is None:
            self._owed_items += 1
        else:
            self._owed_bytes += size
        if self._ended or (self._owed_items < WINDOW_ITEMS // 2 and self._owed_bytes < WINDOW_BYTES // 2):
            return None
        grant: Frame = {"k": "credit", "id": self.call_id}
        if self._owed_items:
            grant["items"] = self._owed_items
        if self._owed_bytes:
            grant["bytes"] = self._owed_bytes
        self._room_items += self._owed_items
        self._room_bytes += self._owed_bytes
        self._owed_items = self._owed_bytes = 0
        return grant


def _settle(future: object) -> None:
    if not future.done():  # type: ignore[attr-defined]
        future.set_result(None)  # type: ignore[attr-defined]


class Window:
    """How much may still be sent on one call."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._items, self._bytes = WINDOW_ITEMS, WINDOW_BYTES
        self._resume: Callable[[], object] | None = None
        self.closed = False

    def add(self, items: int, count: int) -> None:
        """The receiver allows more."""
        with self._lock:
            self._items += items
            self._bytes += count
            resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def close(self) -> None:
        """Nobody reads any more: whoever waits for credit is woken to see that."""
        with self._lock:
            self.closed = True
            resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def take(self, element: object) -> int:
        """Credit for an item (0 or 1), or for how many bytes of a chunk."""
        with self._lock:
            if isinstance(element, bytes):
                count = min(len(element), self._bytes, MAX_DATA_BYTES)
                self._bytes -= count
                return count
            count = min(1, self._items)
            self._items -= count
            return count

    def park(self, element: object, resume: Callable[[], object]) -> bool:
        """Have `resume` called once there is credit for `element`. False when there is already, or nobody reads."""
        with self._lock:
            if self.closed or (self._bytes if isinstance(element, bytes) else self._items) > 0:
                return False
            self._resume = resume
            return True


def put(outlet: Outlet, call_id: int, window: Window, element: object) -> object:
    """Send one element as far as the credit goes: what is left of it, or `NOTHING`. Raises `NotJson`."""
    if isinstance(element, bytearray | memoryview):
        element = bytes(element)
    if not isinstance(element, bytes):
        frame = encode_item(call_id, element)
        if not window.take(element):
            return element
        outlet.send(frame)
        return NOTHING
    while element:
        count = window.take(element)
        if not count:
            return element
        outlet.send(encode_data(call_id, element[:count]))
        element = element[count:]
    return NOTHING
