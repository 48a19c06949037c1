"""A capability call whose answer is a stream, for threads and for coroutines alike."""

from __future__ import annotations

from _thread import allocate_lock

from rumi_agent.calls import Waiter
from rumi_agent.codec import encode_frame
from rumi_agent.errors import CapabilityError
from rumi_agent.streams import NOTHING, Inbound, Window, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.calls import Call
    from rumi_agent.outgoing import Outgoing


class CallStream:
    """Iterate (`for` or `async for`) over the answer. With `upload`, `send` values or bytes, then `end`.

    A refusal is raised by the iteration, as `CapabilityError`. Leave early by `close`, or use it as a context manager.
    """

    def __init__(self, outgoing: Outgoing, call: Call | None, permission: str, args: object, *, upload: bool) -> None:
        self._outgoing = outgoing
        self._waiter = Waiter(call)
        self._waiter.window = self._window = Window()
        if not upload:
            self._window.close()
        self._inbound = self._waiter.inbound = Inbound(
            0, outgoing
        )  # before the frame leaves: an answer may come at once
        self._number = self._inbound.call_id = outgoing.begin(self._waiter, permission, args, None, upload=upload)
        outgoing.flush()

    def __iter__(self) -> Inbound:
        """The elements: JSON values, bytes, text."""
        return self._inbound

    def __aiter__(self) -> Inbound:
        """The elements, for coroutines."""
        return self._inbound

    def __enter__(self) -> CallStream:
        """Itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop it, if it has not ended."""
        self.close()

    def send(self, element: object) -> None:
        """Upload one JSON value, or bytes; waits in this thread while there is no credit."""
        left: object = element
        while True:
            if self._window.closed:
                raise CapabilityError("CANCELLED", "This call takes no (more) uploads.")
            left = put(self._outgoing, self._number, self._window, left)
            if left is NOTHING:
                return
            gate = allocate_lock()
            gate.acquire()
            if self._window.park(left, gate.release):
                self._outgoing.wait(gate)

    def end(self) -> None:
        """No more uploads; the answer may go on."""
        if not self._window.closed:
            self._window.close()
            self._outgoing.send(encode_frame({"k": "end", "id": self._number}))

    def close(self) -> None:
        """Give up what has not come yet."""
        self._window.close()
        self._inbound.end()
        self._outgoing.give_up(self._number)
