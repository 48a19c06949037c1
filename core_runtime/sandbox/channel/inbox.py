"""Each message of the agent to the part that it is for.

Before the hello there is nothing but the hello. A part says whether a message was of any use; those that were not
(late, for no call, over a limit, malformed) are counted, and a pack that sends too many of them is read more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from core_runtime.errors import ValidationFailed
from core_runtime.sandbox.channel.answers import Answers
from core_runtime.sandbox.channel.inward import InwardCalls
from core_runtime.sandbox.channel.loglines import LogLines
from core_runtime.sandbox.channel.outward import OutwardCalls
from core_runtime.sandbox.channel.parts import Parts
from core_runtime.sandbox.channel.vitals import Vitals
from core_runtime.wire.messages import (
    Call,
    Cancel,
    Credit,
    Data,
    End,
    FromAgent,
    Hello,
    ItemFrame,
    Log,
    Ping,
    Pong,
    Result,
)
from core_runtime.wire.parse import BadValue
from core_runtime.wire.streams import Chunk, Item

_logger = structlog.get_logger("rumi.channel")
Taker = Callable[[Any, int], bool]


class Inbox:
    """The messages of one agent. `broken` is told why the connection has to close, if it has to."""

    def __init__(
        self,
        parts: Parts,
        *,
        outward: OutwardCalls,
        inward: InwardCalls,
        answers: Answers,
        vitals: Vitals,
        log: LogLines,
        broken: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._outward = outward
        self._inward = inward
        self._answers = answers
        self._vitals = vitals
        self._log = log
        self._broken = broken
        self._takers: dict[type, Taker] = {
            Result: outward.result,
            Call: self._call,
            ItemFrame: self._item,
            Data: self._data,
            End: self._end,
            Credit: self._credit,
            Cancel: self._cancel,
            Log: self._line,
            Ping: self._ping,
            Pong: self._pong,
            BadValue: self._bad,
            Hello: self._second_hello,
        }

    def take(self, message: FromAgent | BadValue, size: int) -> bool:
        """Deal with one message of `size` bytes; False if it was of no use."""
        return self._takers[type(message)](message, size)

    def _half(self, call_id: int) -> OutwardCalls | InwardCalls:
        return self._outward if call_id & 1 else self._inward

    def _call(self, message: Call, size: int) -> bool:
        if self._inward.is_open(message.id):
            # An answer by that id would be taken for the answer to the other call: none can be given.
            self._broken(f"protocol: call {message.id} was opened while it was open")
            return True
        if len(message.name) > self._parts.limits.name_length:
            error = ValidationFailed("The name of the call is too long.", hint="No permission has such a name.")
            self._answers.refuse(message.id, error)
            return False
        return self._inward.call(message, size)

    def _item(self, message: ItemFrame, size: int) -> bool:
        return self._half(message.id).element(message.id, Item(message.value), size)

    def _data(self, message: Data, size: int) -> bool:
        return self._half(message.id).element(message.id, Chunk(message.payload, message.text), size)

    def _end(self, message: End, _size: int) -> bool:
        return self._half(message.id).end(message.id)

    def _credit(self, message: Credit, _size: int) -> bool:
        return self._half(message.id).credit(message)

    def _cancel(self, message: Cancel, _size: int) -> bool:
        return self._inward.cancel(message.id)

    def _line(self, message: Log, _size: int) -> bool:
        try:
            return self._log.line(message)
        except Exception:
            _logger.exception("pack_log_failed")
            return True

    def _ping(self, _message: Ping, _size: int) -> bool:
        if not self._parts.outlet.full:
            self._parts.outlet.send(Pong())
        return False

    def _pong(self, _message: Pong, _size: int) -> bool:
        self._vitals.pong(self._parts.clock.monotonic())
        return False

    def _bad(self, bad: BadValue, _size: int) -> bool:
        if bad.call_id is None:
            return False
        if bad.kind == "call" and not self._inward.is_open(bad.call_id):
            self._answers.refuse(bad.call_id, ValidationFailed(bad.text, hint="Correct the frame."))
        else:
            self._half(bad.call_id).bad(bad.call_id, bad.text)
        return False

    def _second_hello(self, _message: Hello, _size: int) -> bool:
        self._broken("protocol: the agent said hello twice")
        return True
