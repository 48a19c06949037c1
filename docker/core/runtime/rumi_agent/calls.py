"""The records of calls: one that came in, and one that went out and waits."""

from __future__ import annotations

from _contextvars import ContextVar
from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

    from rumi_agent.codec import Frame
    from rumi_agent.handlers import Handler
    from rumi_agent.streams import Inbound, Window


class Call:
    """An incoming call or event. `deadline` is on the monotonic clock; `id` is 0 for events."""

    __slots__ = ("args", "asked", "cancelled", "deadline", "frame", "handler", "id", "inbound", "on_cancel", "window")

    def __init__(self, call_id: int, args: object, deadline: float, frame: Frame, handler: Handler) -> None:
        self.id = call_id
        self.args = args
        self.deadline = deadline
        self.frame = frame
        self.handler = handler
        self.cancelled = False
        self.asked = False  # it has waited for the kernel, so how long it took says nothing about its handler
        self.on_cancel: Callable[[], object] | None = None
        self.inbound: Inbound | None = None
        self.window: Window | None = None

    @property
    def run_id(self) -> str | None:
        """The flow run that this belongs to, for display."""
        ctx = self.frame.get("ctx")
        return ctx.get("run_id") if ctx else None

    @property
    def actor(self) -> dict[str, object] | None:
        """Whom this is for, for display: the kernel goes by the token."""
        ctx = self.frame.get("ctx")
        return ctx.get("actor") if ctx else None

    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline - monotonic())


current_call: ContextVar[Call | None] = ContextVar("rumi_current_call", default=None)


class Waiter:
    """An outgoing call, as a thread waits for it. `frame` is its result once there is one."""

    __slots__ = ("call", "frame", "gate", "inbound", "window")

    def __init__(self, call: Call | None) -> None:
        self.call = call
        self.frame: Frame | None = None
        self.inbound: Inbound | None = None
        self.window: Window | None = None
        self.gate: LockType = allocate_lock()
        self.gate.acquire()

    def deliver(self, frame: Frame) -> None:
        """The result is here: wake whoever waits. Called once."""
        self.frame = frame
        self.gate.release()

    def is_done(self) -> bool:
        """True once the result is here."""
        return self.frame is not None
