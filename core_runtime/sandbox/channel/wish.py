"""One capability call while it is open, and on whose behalf it is."""

from __future__ import annotations

import asyncio
from math import inf

from core_runtime.authority import CallContext
from core_runtime.sandbox.channel.config import ChannelLimits
from core_runtime.sandbox.channel.incoming import IncomingStream
from core_runtime.sandbox.channel.outgoing import SendCredit
from core_runtime.wire.messages import Call


class Wish:
    """`deadline` is that of the head of the answer, and of its idleness once it streams (`streams`).

    `slot` is true while it holds one of the pack's stream slots instead of one of its places for calls.
    """

    __slots__ = ("credit", "deadline", "id", "name", "slot", "source", "streams", "task")

    def __init__(self, call_id: int, name: str, deadline: float) -> None:
        self.id = call_id
        self.name = name
        self.deadline = deadline
        self.source: IncomingStream | None = None
        self.credit: SendCredit | None = None
        self.task: asyncio.Task[None] | None = None
        self.slot = False
        self.streams = False

    @property
    def held(self) -> int:
        """Bytes of its stream that nobody has taken yet."""
        return self.source.size if self.source is not None else 0


def clamped_deadline(asked: float | None, now: float, *, limits: ChannelLimits, context: CallContext | None) -> float:
    """The deadline of a wish: what the pack asked for within policy, and never after that of the call it belongs to."""
    seconds = limits.default_deadline if asked is None else asked / 1000
    deadline = now + min(max(seconds, limits.shortest_deadline), limits.longest_deadline)
    return deadline if context is None else min(deadline, context.deadline)


def context_of_wish(context: CallContext, message: Call, deadline: float) -> CallContext:
    """The context of the call that is being answered, with what belongs to this wish alone: key, trace, deadline.

    The idempotency key of the call does not pass on: two writes by one handler would else be taken for one.
    """
    if context.idempotency_key is message.idempotency_key is message.traceparent is None and context.deadline != inf:
        return context
    return CallContext(
        context.request_id,
        deadline if context.deadline == inf else context.deadline,
        context.actor,
        context.run_id,
        context.chain,
        message.traceparent or context.traceparent,
        message.idempotency_key,
    )
