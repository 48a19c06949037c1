"""Wishes of the pack: even ids, answered by the gate.

The pack's identity is the one that this channel was made with; nothing in a frame is asked for it. On whose behalf a
wish comes is told by its token alone (see `tokens`); without one it is on the pack's own account, with a token that is
not good it is refused. A wish that the gate answers at once costs no task. What takes longer is bounded in number, in
bytes and in time; what the pack gave up still counts until it has really ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from math import inf
from types import CoroutineType

from core_runtime.authority import CallContext
from core_runtime.capability.model import CapabilityCall
from core_runtime.errors import Cancelled, DeadlineExceeded, RateLimited, RumiError, TooLarge, ValidationFailed
from core_runtime.sandbox.channel.answers import SHOWN_NAME, Answers
from core_runtime.sandbox.channel.incoming import IncomingStream
from core_runtime.sandbox.channel.link import gone
from core_runtime.sandbox.channel.outgoing import SendCredit, close_stream, close_unbegun, send_stream
from core_runtime.sandbox.channel.parts import Parts
from core_runtime.sandbox.channel.wish import Wish, clamped_deadline, context_of_wish
from core_runtime.sandbox.ports import CapabilityGate
from core_runtime.wire.messages import Call, Credit
from core_runtime.wire.streams import Stream, StreamElement

_AT_ONCE = frozenset({dict, list, str, int, float, bool, type(None), tuple})


class InwardCalls:
    """The wishes that one pack has open."""

    def __init__(self, pack_id: str, gate: CapabilityGate, parts: Parts, answers: Answers) -> None:
        self._pack_id = pack_id
        self._gate = gate
        self._answers = answers
        self._parts = parts
        self._clock = parts.clock
        self._outlet = parts.outlet
        self._open: dict[int, Wish] = {}
        self._busy = 0

    def is_open(self, call_id: int) -> bool:
        """True while a wish with this id has not ended."""
        return call_id in self._open

    # --- what the agent sends; each returns False for what was not worth a look (it counts as junk)

    def call(self, message: Call, size: int) -> bool:
        """A new wish, whose id is not open."""
        if message.args is not None and type(message.args) is not dict:
            self._answers.refuse(message.id, ValidationFailed("args of call is not an object.", hint="Send an object."))
            return False
        if self._busy >= self._parts.limits.calls_in or self._parts.inbound.over:
            self._answers.too_many(message.id, message.name, open_now=self._busy)
            return False
        context = None
        if message.token is not None:
            context = self._parts.tokens.context_of(message.token)
            if context is None:
                self._answers.bad_token(message.id, message.name)
                return False
        self._serve(message, size, context)
        return True

    def element(self, call_id: int, element: StreamElement, size: int) -> bool:
        """One element of the stream that comes with a wish."""
        wish = self._open.get(call_id)
        if wish is None or wish.source is None:
            return False
        self._touch(wish)
        if not wish.source.push(element, size):
            self._end_with(wish, ValidationFailed("More was sent than was allowed.", hint="Wait for credit."))
        return True

    def end(self, call_id: int) -> bool:
        """No more elements come with this wish."""
        wish = self._open.get(call_id)
        if wish is None or wish.source is None:
            return False
        wish.source.finish()
        return True

    def credit(self, message: Credit) -> bool:
        """The agent takes more of an answer that streams."""
        wish = self._open.get(message.id)
        if wish is None:
            return False
        if wish.credit is not None:
            wish.credit.grant(message)
            self._touch(wish)
        return True

    def cancel(self, call_id: int) -> bool:
        """The pack gave up: the work stops, nothing is answered."""
        wish = self._open.pop(call_id, None)
        if wish is None:
            return False
        _stop(wish, Cancelled("The pack gave up."))
        return True

    def bad(self, call_id: int, text: str) -> bool:
        """A frame of this wish had a bad value."""
        wish = self._open.get(call_id)
        if wish is None:
            return False
        self._end_with(wish, ValidationFailed(text, hint="Correct the frame."))
        return True

    # --- time and the end

    def sweep(self, now: float) -> float:
        """End what is late; returns the next deadline (infinity if there is none)."""
        for wish in [wish for wish in self._open.values() if wish.deadline <= now]:
            what = "stood still for too long" if wish.streams else "did not end before its deadline"
            self._end_with(wish, DeadlineExceeded(f"{wish.name[:SHOWN_NAME]} {what}.", hint="Allow it more time."))
        return min((wish.deadline for wish in self._open.values()), default=inf)

    def fullest(self) -> Wish | None:
        """The wish whose stream holds the most bytes that nobody takes, if any does."""
        return max((wish for wish in self._open.values() if wish.held), key=lambda wish: wish.held, default=None)

    def drop(self, wish: Wish) -> None:
        """End a wish whose stream nobody takes."""
        self._end_with(wish, TooLarge("The stream came faster than it was taken.", hint="Send it more slowly."))

    def fail_all(self) -> None:
        """The connection is gone."""
        wishes, self._open = list(self._open.values()), {}
        for wish in wishes:
            _stop(wish, gone())

    # --- inside

    def _serve(self, message: Call, size: int, context: CallContext | None) -> None:
        now = self._clock.monotonic()
        deadline = clamped_deadline(message.deadline_ms, now, limits=self._parts.limits, context=context)
        wish = Wish(message.id, message.name, deadline)
        if message.stream_in:
            wish.source = self._source(wish)
        if context is not None:
            context = context_of_wish(context, message, deadline)
        args = message.args if type(message.args) is dict else {}
        try:
            answer = self._gate.capability(
                CapabilityCall(self._pack_id, message.name, args, context, deadline, wish.source)
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the pack gets an answer and the log the rest
            self._failed(wish, error)
            return
        if type(answer) in _AT_ONCE or not isinstance(answer, (Awaitable, AsyncIterator)):
            self._done(wish, answer)
        else:
            self._start(wish, answer, size)

    def _start(self, wish: Wish, answer: Awaitable[object] | AsyncIterator[object], size: int) -> None:
        self._open[wish.id] = wish
        self._busy += 1
        self._parts.inbound.lend(size)
        wish.task = asyncio.create_task(self._work(wish, answer))

        def ended(_task: asyncio.Task[None]) -> None:
            _let_go(answer, wish)
            if wish.slot:
                self._parts.slots.give_back()
            else:
                self._busy -= 1
            self._parts.inbound.give_back(size)

        wish.task.add_done_callback(ended)
        self._parts.alarm.by(wish.deadline)

    async def _work(self, wish: Wish, answer: Awaitable[object] | AsyncIterator[object]) -> None:
        try:
            value = await answer if isinstance(answer, Awaitable) else answer
            if isinstance(value, AsyncIterator):
                await self._stream(wish, value)
                value = None
        except asyncio.CancelledError:
            self._end_with(wish, Cancelled("The work was stopped.", hint="Try again."))
            raise
        except Exception as error:  # noqa: BLE001 - see _serve
            if self._forget(wish):
                self._failed(wish, error)
        else:
            if self._forget(wish):
                self._done(wish, value)

    async def _stream(self, wish: Wish, source: Stream) -> None:
        if not self._parts.slots.take():
            await close_stream(source)
            raise RateLimited("This pack has as many streams open as it may.", hint="Close some of them.")
        wish.slot = True
        self._busy -= 1
        wish.credit = SendCredit()
        await send_stream(self._outlet, wish.id, source, credit=wish.credit, sent=lambda: self._sent(wish))

    def _sent(self, wish: Wish) -> None:
        wish.streams = True
        self._touch(wish)

    def _touch(self, wish: Wish) -> None:
        if wish.streams:
            wish.deadline = self._clock.monotonic() + self._parts.limits.idle_seconds
            self._parts.alarm.by(wish.deadline)

    def _source(self, wish: Wish) -> IncomingStream:
        def taken(items: int, octets: int) -> None:
            if (items or octets) and self._open.get(wish.id) is wish:
                self._outlet.send(Credit(wish.id, items, octets))
            self._touch(wish)

        return IncomingStream(self._parts.inbound, taken=taken, leave=lambda: None)

    def _forget(self, wish: Wish) -> bool:
        """True if it was open; an id that was given up may belong to another wish by now."""
        if self._open.get(wish.id) is not wish:
            return False
        del self._open[wish.id]
        return True

    def _done(self, wish: Wish, value: object) -> None:
        if wish.source is not None:
            wish.source.drop()
        self._answers.value(wish.id, value)

    def _failed(self, wish: Wish, error: Exception) -> None:
        if wish.source is not None:
            wish.source.drop()
        told = error if isinstance(error, RumiError) else self._answers.defect(wish.name, error)
        self._answers.error(wish.id, told)

    def _end_with(self, wish: Wish, error: RumiError) -> None:
        if self._forget(wish):
            _stop(wish, error)
            self._answers.error(wish.id, error)


def _let_go(answer: Awaitable[object] | AsyncIterator[object], wish: Wish) -> None:
    """A task that was cancelled before its first step never came to what it was to wait for; else this does nothing."""
    if isinstance(answer, CoroutineType):
        answer.close()
    elif isinstance(answer, asyncio.Future):
        answer.cancel()
    elif isinstance(answer, AsyncIterator):
        close_unbegun(wish.credit, answer)


def _stop(wish: Wish, error: RumiError) -> None:
    if wish.source is not None:
        wish.source.drop(error)
    if wish.task is not None and not wish.task.done() and wish.task is not asyncio.current_task():
        wish.task.cancel()
