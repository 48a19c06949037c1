"""Calls of the kernel into the pack: odd ids, deadlines that the kernel keeps itself, answers that are never crossed.

Nothing the agent sends is believed to belong to a call unless that call is open: what comes late, for an id that was
never given out, or twice, falls to the ground. The token of a call dies with it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf

from core_runtime.authority import CallContext
from core_runtime.errors import InterfaceFailed, InternalError, RumiError
from core_runtime.sandbox.channel import opencall
from core_runtime.sandbox.channel.incoming import IncomingStream
from core_runtime.sandbox.channel.link import gone
from core_runtime.sandbox.channel.opencall import OpenCall
from core_runtime.sandbox.channel.outgoing import SendCredit, close_stream, close_unbegun, send_stream
from core_runtime.sandbox.channel.parts import Parts
from core_runtime.wire.messages import Call, Cancel, Credit, Result
from core_runtime.wire.streams import Stream, StreamElement

FARTHEST = 10.0**9


class OutwardCalls:
    """The calls that the kernel has open on one connection."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._outlet = parts.outlet
        self._tokens = parts.tokens
        self._open: dict[int, OpenCall] = {}
        self._next_id = 1
        self._over = False

    def __len__(self) -> int:
        return len(self._open)

    async def call(
        self, name: str, args: object, *, context: CallContext, stream_in: Stream | None = None, idle: float
    ) -> object:
        """See `Channel.call`. `idle` is for how many seconds a stream may stand still."""
        try:
            if self._outlet.full:
                await self._room(name, context.deadline)
            call = self._begin(name, args, context, streams=stream_in is not None)
        except BaseException:
            if stream_in is not None:
                await close_stream(stream_in)
            raise
        call.idle = idle
        if stream_in is not None:
            call.credit = SendCredit()
            call.pump = asyncio.create_task(self._pump(call, stream_in, call.credit))
            call.pump.add_done_callback(partial(close_unbegun, call.credit, stream_in))
        try:
            return await call.answer
        except asyncio.CancelledError:
            self._give_up(call)
            raise

    def _begin(self, name: str, args: object, context: CallContext, *, streams: bool) -> OpenCall:
        if self._over:
            raise gone()
        left = context.deadline - self._clock.monotonic()
        if left <= 0:
            raise opencall.late(name)
        if len(self._open) >= self._parts.limits.calls_out:
            raise opencall.too_many_calls(name, len(self._open))
        call_id = self._next_id
        token = self._tokens.issue(context)
        frame = Call(
            call_id,
            name,
            args,
            max(1, int(min(left, FARTHEST) * 1000)),
            token,
            context.traceparent,
            streams,
            context.idempotency_key,
            opencall.shown_context(context),
        )
        try:
            self._outlet.send(frame)
        except RumiError:
            self._tokens.revoke(token)
            raise
        self._next_id = call_id + 2
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        call = OpenCall(call_id, name, token, answer=answer, deadline=context.deadline)
        self._open[call_id] = call
        self._parts.alarm.by(context.deadline)
        return call

    async def _room(self, name: str, deadline: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                await self._outlet.room()
        except TimeoutError:
            raise opencall.late(name) from None

    async def _pump(self, call: OpenCall, source: Stream, credit: SendCredit) -> None:
        try:
            await send_stream(self._outlet, call.id, source, credit=credit, sent=lambda: self._touch(call))
        except RumiError as error:
            self._break(call, error)
        except Exception:
            self._break(call, InternalError("The stream that was to be sent into the pack failed."))
            raise

    # --- what the agent sends; each returns False for what belongs to no open call (it counts as junk)

    def result(self, message: Result, size: int) -> bool:
        """A call has ended."""
        call = self._open.pop(message.id, None)
        if call is None:
            return False
        self._release(call)
        error = opencall.error_of(message, size, call.name)
        if error is None:
            call.succeed(message.value)
        else:
            call.fail(error)
        return True

    def element(self, call_id: int, element: StreamElement, size: int) -> bool:
        """One element of an answer that streams; the first one makes the answer a stream."""
        call = self._open.get(call_id)
        if call is None:
            return False
        stream = call.stream or self._head(call)
        if stream is not None:
            self._touch(call)
            if not stream.push(element, size):
                self._break(call, InterfaceFailed(f"{call.name} sent more than it was allowed to."))
        return True

    def end(self, call_id: int) -> bool:
        """The agent sends no more elements. Without one before it, the answer is an empty stream."""
        call = self._open.get(call_id)
        if call is None:
            return False
        if call.stream is None:
            self._head(call)
        return True

    def credit(self, message: Credit) -> bool:
        """The agent allows more of the stream that goes in."""
        call = self._open.get(message.id)
        if call is None:
            return False
        if call.credit is not None:
            call.credit.grant(message)
            self._touch(call)
        return True

    def bad(self, call_id: int, text: str) -> bool:
        """A frame of this call had a bad value."""
        call = self._open.get(call_id)
        if call is None:
            return False
        self._break(call, InterfaceFailed(f"{call.name} answered with a malformed frame: {text}"))
        return True

    # --- time and the end

    def sweep(self, now: float) -> float:
        """End what is late; returns the next deadline (infinity if there is none)."""
        for call in [call for call in self._open.values() if call.deadline <= now]:
            if call.stream is None:
                self._break(call, opencall.late(call.name))
            else:
                self._break(call, opencall.stood_still(call.name, call.idle), drop=True)
        return min((call.deadline for call in self._open.values()), default=inf)

    def fullest(self) -> OpenCall | None:
        """The call whose stream holds the most bytes that nobody takes, if any does."""
        return max((call for call in self._open.values() if call.held), key=lambda call: call.held, default=None)

    def drop(self, call: OpenCall) -> None:
        """End a call whose stream nobody takes."""
        self._break(call, opencall.not_read(call.name), drop=True)

    def fail_all(self) -> None:
        """The connection is gone; no call begins any more."""
        self._over = True
        calls, self._open = list(self._open.values()), {}
        for call in calls:
            self._release(call)
            call.fail(gone())

    # --- inside

    def _head(self, call: OpenCall) -> IncomingStream | None:
        if not self._parts.slots.take():
            self._break(call, opencall.too_many_streams(call.name))
            return None

        def taken(items: int, octets: int) -> None:
            if items or octets:
                self._outlet.send(Credit(call.id, items, octets))
            self._touch(call)

        call.stream = IncomingStream(self._parts.inbound, taken=taken, leave=lambda: self._give_up(call))
        self._tokens.lift_deadline(call.token)
        self._touch(call)
        if not call.answer.done():
            call.answer.set_result(call.stream)
        return call.stream

    def _touch(self, call: OpenCall) -> None:
        if call.stream is not None:
            call.deadline = self._clock.monotonic() + call.idle
            self._parts.alarm.by(call.deadline)

    def _break(self, call: OpenCall, error: RumiError, *, drop: bool = False) -> None:
        """The kernel ends the call: the agent is told to stop, who waits gets `error`."""
        if self._open.pop(call.id, None) is not None:
            self._outlet.send(Cancel(call.id))
            self._release(call)
            if drop and call.stream is not None:
                call.stream.drop(error)
            call.fail(error)

    def _give_up(self, call: OpenCall) -> None:
        """Who waited went away."""
        if self._open.pop(call.id, None) is not None:
            self._outlet.send(Cancel(call.id))
            self._release(call)
            if call.stream is not None:
                call.stream.drop()

    def _release(self, call: OpenCall) -> None:
        self._tokens.revoke(call.token)
        if call.stream is not None:
            self._parts.slots.give_back()
        if call.pump is not None and call.pump is not asyncio.current_task():
            call.pump.cancel()
