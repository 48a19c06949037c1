"""The calls from the kernel that have no result yet, and the one way in which each of them ends.

Usable from every thread: whoever takes a call out of the table sends its result, so none is answered twice, and none
after it was cancelled.
"""

from __future__ import annotations

from rumi_agent.codec import encode_frame
from rumi_agent.errors import interface_error, wire_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rumi_agent.calls import Call
    from rumi_agent.link import Link
    from rumi_agent.packlog import PackLog


class Answers:
    """`calls` by their ids, the ids of those that are `streams`, and the `link` that results leave by."""

    def __init__(self, link: Link, packlog: PackLog, end: Callable[[int], None]) -> None:
        self.link = link
        self._packlog = packlog
        self._end = end
        self.calls: dict[int, Call] = {}
        self.streams: set[int] = set()

    def end_if_forked(self) -> None:
        """What came out of a handler may be a child that it forked: the call is the parent's, so the child ends."""
        if self.link.foreign:
            self._end(0)

    def answer(self, call: Call, frame: bytes) -> None:
        """Let a result leave with the next flush, unless the call was cancelled."""
        self.end_if_forked()
        if self.calls.pop(call.id, None) is not None:
            self.streams.discard(call.id)
            self.link.out.append(frame)

    def fail(self, call: Call, error: dict[str, object]) -> None:
        """End a call with an error, at once."""
        self.answer(call, self.error_frame(call, error))
        self.link.flush()

    def skip(self, call: Call) -> None:
        """A call whose turn came too late."""
        if not call.cancelled:
            self.fail(
                call,
                wire_error("TIMEOUT", "The deadline had passed before the handler could start.", "Allow more time."),
            )

    def refuse(self, call: Call, code: str, message: str, hint: str) -> None:
        """A call that never got into the table."""
        self.link.out.append(self.error_frame(call, wire_error(code, message, hint)))

    def failure(self, call: Call, error: BaseException) -> bytes:
        """The frame for an exception; its traceback goes to the pack's log."""
        self._packlog.write_exception(f"{call.handler.name} failed", error, call.run_id)
        return self.error_frame(call, interface_error(error))

    def error_frame(self, call: Call, error: dict[str, object]) -> bytes:
        """The frame of a bad result."""
        return encode_frame({"k": "result", "id": call.id, "ok": False, "error": error})
