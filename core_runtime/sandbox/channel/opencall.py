"""One call into the pack while it is open, and the words for how it can end."""

from __future__ import annotations

import asyncio
from math import inf

from core_runtime.authority import CallContext
from core_runtime.errors import (
    DeadlineExceeded,
    InterfaceFailed,
    InternalError,
    RateLimited,
    RumiError,
    TooLarge,
    error_from_wire,
)
from core_runtime.sandbox.channel.incoming import IncomingStream
from core_runtime.sandbox.channel.outgoing import SendCredit
from core_runtime.wire.encode import value_bytes
from core_runtime.wire.limits import MAX_VALUE_BYTES
from core_runtime.wire.messages import Result


class OpenCall:
    """`deadline` is that of the head of the answer, and of its idleness (`idle` seconds) once it streams."""

    __slots__ = ("answer", "credit", "deadline", "id", "idle", "name", "pump", "stream", "token")

    def __init__(self, call_id: int, name: str, token: str, *, answer: asyncio.Future[object], deadline: float) -> None:
        self.id = call_id
        self.name = name
        self.token = token
        self.answer = answer
        self.deadline = deadline
        self.idle = inf
        self.stream: IncomingStream | None = None
        self.credit: SendCredit | None = None
        self.pump: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        """Bytes of its stream that nobody has taken yet."""
        return self.stream.size if self.stream is not None else 0

    def succeed(self, value: object) -> None:
        """Hand `value` to who waits."""
        if self.stream is not None:
            self.stream.finish(value)
        elif not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: RumiError) -> None:
        """Hand `error` to who waits."""
        if self.stream is not None:
            self.stream.fail(error)
        elif not self.answer.done():
            self.answer.set_exception(error)


def shown_context(context: CallContext) -> dict[str, object] | None:
    """`ctx` of a frame: for the pack to show, never to be believed when it comes back."""
    if context.run_id is None and context.actor is None:
        return None
    return {"run_id": context.run_id, "actor": context.actor.to_json() if context.actor is not None else None}


def error_of(message: Result, size: int, name: str) -> RumiError | None:
    """What a pack's result says went wrong, or what is wrong with it. `INTERNAL` is our word: no pack can say it."""
    if message.error is not None:
        error = error_from_wire(message.error)
        if isinstance(error, InternalError):
            return InterfaceFailed(error.message, hint=error.hint, details=error.details)
        return error
    if size > MAX_VALUE_BYTES and value_bytes(message.value) > MAX_VALUE_BYTES:
        return TooLarge(
            f"{name} answered with more than {MAX_VALUE_BYTES} bytes.",
            hint="Let it stream its answer, or answer with less.",
            details={"limit": MAX_VALUE_BYTES},
        )
    return None


def late(name: str) -> DeadlineExceeded:
    """The deadline of the head passed."""
    return DeadlineExceeded(
        f"{name} did not answer before its deadline.",
        hint="Give it more time (`timeout`), or see in `rumi pack logs` what it was doing.",
    )


def stood_still(name: str, seconds: float) -> DeadlineExceeded:
    """A stream was idle for too long."""
    return DeadlineExceeded(
        f"The stream of {name} stood still for {seconds:g} seconds.", hint="Send or read something now and then."
    )


def too_many_calls(name: str, count: int) -> RateLimited:
    """One call more than may be open."""
    return RateLimited(
        f"{name}: this pack has {count} calls open already.",
        hint="Wait for some of them, or give the pack more time and processors.",
    )


def too_many_streams(name: str) -> RateLimited:
    """One stream more than may be open."""
    return RateLimited(f"{name}: this pack has as many streams open as it may.", hint="Close some of them.")


def not_read(name: str) -> TooLarge:
    """A stream that nobody reads kept the connection from being read."""
    return TooLarge(f"{name} streamed faster than anybody read.", hint="Read the stream, or close it.")
