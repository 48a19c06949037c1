"""One connection to one agent: the protocol object that the listener hands the accepted socket to.

Threat model. The other end is the stranger's pack: it may replace the agent, speak nonsense, lie, stall, flood and try
to be somebody else. Whatever comes in acts for the one pack id that this object was made with, because there is no
other id to act for. A frame that cannot be read closes the connection; a value that cannot be used is refused by
itself; nothing waits without a deadline; nothing grows without a bound. No exception of the kernel's crosses the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import cast

import structlog

from core_runtime.authority import CallContext
from core_runtime.clock import Clock
from core_runtime.errors import RumiError, Unavailable
from core_runtime.sandbox.channel.alarm import Alarm
from core_runtime.sandbox.channel.answers import Answers
from core_runtime.sandbox.channel.budget import Bucket, InboundBudget
from core_runtime.sandbox.channel.config import ChannelConfig
from core_runtime.sandbox.channel.inbox import Inbox
from core_runtime.sandbox.channel.inward import InwardCalls
from core_runtime.sandbox.channel.link import Hold, Link, gone
from core_runtime.sandbox.channel.loglines import LogLines
from core_runtime.sandbox.channel.opencall import shown_context
from core_runtime.sandbox.channel.outgoing import close_stream
from core_runtime.sandbox.channel.outward import OutwardCalls
from core_runtime.sandbox.channel.parts import Parts, StreamSlots
from core_runtime.sandbox.channel.ports import RefusalWitness
from core_runtime.sandbox.channel.tokens import EventTokens, TokenTable
from core_runtime.sandbox.channel.vitals import Vitals
from core_runtime.sandbox.ports import CapabilityGate, ChannelEvents, ComponentReport
from core_runtime.wire.limits import PROTOCOL
from core_runtime.wire.messages import Config, Event, FromAgent, Hello, HelloComponent, Ping, Stop
from core_runtime.wire.parse import BadValue
from core_runtime.wire.streams import Stream

SHOWN_ERROR = 4_000
JUNK_REST = 0.1
_logger = structlog.get_logger("rumi.channel")


class PackChannel(asyncio.Protocol):
    """See `core_runtime.sandbox.ports.Channel`. Made before the agent connects; good for one connection."""

    def __init__(
        self, pack_id: str, gate: CapabilityGate, events: ChannelEvents, config: ChannelConfig, clock: Clock
    ) -> None:
        limits = config.limits
        self._pack_id = pack_id
        self._events = events
        self._config = config
        self._limits = limits
        self._clock = clock
        self._link = Link(self, limits, clock)
        self._alarm = Alarm(clock, self._sweep)
        self._tokens = TokenTable()
        self._event_tokens = EventTokens(self._tokens, limits.event_tokens)
        self._vitals = Vitals(limits)
        self._log = LogLines(events, clock, rate=limits.log_lines, size=limits.log_bytes)
        self._junk = Bucket(burst=limits.junk_burst, rate=limits.junk_per_second, now=clock.monotonic())
        parts = self._parts(config)
        answers = Answers(pack_id, self._link, gate if isinstance(gate, RefusalWitness) else None)
        self._outward = OutwardCalls(parts)
        self._inward = InwardCalls(pack_id, gate, parts, answers)
        self._inbox = Inbox(
            parts,
            outward=self._outward,
            inward=self._inward,
            answers=answers,
            vitals=self._vitals,
            log=self._log,
            broken=self._close,
        )
        self._connected = False
        self._ready = False
        self._reason: str | None = None

    def _parts(self, config: ChannelConfig) -> Parts:
        inbound = InboundBudget(
            config.limits.inbound_bytes,
            hold=lambda: self._link.hold(Hold.INBOUND),
            release=lambda: self._link.release(Hold.INBOUND),
        )
        return Parts(
            outlet=self._link,
            clock=self._clock,
            limits=config.limits,
            tokens=self._tokens,
            alarm=self._alarm,
            inbound=inbound,
            slots=StreamSlots(config.max_streams),
        )

    # --- for the kernel (sandbox.ports.Channel)

    def call(
        self,
        name: str,
        args: object,
        *,
        context: CallContext,
        stream_in: Stream | None = None,
        idle: float | None = None,
    ) -> Coroutine[object, object, object]:
        """See `Channel.call`; `idle` is for how many seconds a stream may stand still (300 unless told)."""
        if not self._ready:
            return self._refused(stream_in)
        seconds = self._limits.idle_seconds if idle is None else idle
        return self._outward.call(name, args, context=context, stream_in=stream_in, idle=seconds)

    def event(self, interface: str, topic: str, payload: object, context: CallContext | None) -> None:
        """See `Channel.event`. Raises `Unavailable` if the agent is not there or does not keep up."""
        if not self._ready:
            raise self._not_there()
        if self._link.full:
            raise Unavailable("The pack does not read its events fast enough.", hint="Publish less, or later.")
        token = ctx = None
        if context is not None:
            now = self._clock.monotonic()
            token = self._event_tokens.issue(context, now=now, seconds=self._limits.event_seconds)
            ctx = shown_context(context)
            self._alarm.by(now + self._limits.event_seconds)
        self._link.send(Event(interface, topic, payload, token, ctx))

    def stop(self, grace: float) -> None:
        """See `Channel.stop`. An agent that is still there a second after `grace` is cut off."""
        if self._reason is None and self._connected:
            self._link.send(Stop(max(0, int(grace * 1000))))
            self._alarm.by(self._vitals.stop(self._clock.monotonic(), grace))

    def abort(self, reason: str) -> None:
        """See `Channel.abort`."""
        self._close(reason)

    @property
    def ready(self) -> bool:
        """True between the agent's hello and the end."""
        return self._ready

    @property
    def calls_open(self) -> int:
        """Calls into the pack that have not ended, streams included."""
        return len(self._outward)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The agent is there: tell it its configuration."""
        stream = cast("asyncio.Transport", transport)  # uvloop's transports are none by class
        if self._reason is not None or self._connected:
            stream.abort()
            return
        self._connected = True
        self._link.connect(stream)
        self._alarm.by(self._vitals.connected(self._clock.monotonic()))
        config = self._config
        self._link.send(
            Config(PROTOCOL, self._pack_id, config.settings, config.concurrency, config.max_streams, config.proxy)
        )

    def data_received(self, data: bytes) -> None:
        """Bytes of the agent."""
        self._link.received(data)
        if not self._link.reading or self._link.mid_frame:
            self._alarm.by(self._next_look())

    def eof_received(self) -> bool:
        """The agent closed its side, which ends the connection."""
        if self._link.mid_frame and self._link.reading:
            self._close("protocol: the connection ended inside a frame")
        self._close(self._parting())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._close("the connection broke" if exc is not None else self._parting())

    def pause_writing(self) -> None:
        """The agent reads too slowly."""
        self._link.writing_paused(paused=True)

    def resume_writing(self) -> None:
        """The agent has caught up."""
        self._link.writing_paused(paused=False)

    # --- frames (link.FrameHandler)

    def frame(self, message: FromAgent | BadValue, size: int) -> None:
        """One message; see `FrameHandler`."""
        if not self._ready:
            self._greet(message)
        elif not self._inbox.take(message, size) and not self._junk.take(self._clock.monotonic()):
            self._link.rest(JUNK_REST)

    def broken(self, reason: str) -> None:
        """See `FrameHandler`."""
        self._close(reason)

    def _greet(self, message: FromAgent | BadValue) -> None:
        if not isinstance(message, Hello):
            self._close("protocol: the first frame of the agent was not a good hello")
        elif message.protocol != PROTOCOL:
            self._close(f"protocol: the agent speaks version {message.protocol}, the kernel {PROTOCOL}")
        elif len(message.components) > self._limits.components:
            self._close(f"protocol: hello names more than {self._limits.components} components")
        else:
            self._alarm.by(self._vitals.hello(self._clock.monotonic()))
            self._ready = True
            self._tell(lambda: self._events.ready([_report(part) for part in message.components]))

    # --- time

    def _sweep(self, now: float) -> float:
        if self._reason is not None:
            return inf
        overdue = self._vitals.overdue(now, reading=self._link.reading)
        if now >= self._link.half_frame_deadline():
            overdue = f"protocol: a frame took longer than {self._limits.frame_seconds:g} s"
        if overdue is not None:
            self._close(overdue)
            return inf
        if now >= self._link.held_since(Hold.INBOUND) + self._limits.stuck_seconds:
            self._drop_fullest()
        if self._vitals.ping_due(now):
            self._tell(self._log.report_loss)
            if not self._link.full:
                self._link.send(Ping())
        late = min(self._outward.sweep(now), self._inward.sweep(now), self._event_tokens.expire(now))
        return min(late, self._vitals.next(), self._next_look())

    def _drop_fullest(self) -> None:
        """One stream that nobody reads must not keep the whole connection from being read for ever."""
        call, wish = self._outward.fullest(), self._inward.fullest()
        if call is not None and (wish is None or call.held >= wish.held):
            self._outward.drop(call)
        elif wish is not None:
            self._inward.drop(wish)

    def _next_look(self) -> float:
        stuck = self._link.held_since(Hold.INBOUND) + self._limits.stuck_seconds
        return min(self._link.half_frame_deadline(), max(stuck, self._clock.monotonic() + 1.0))

    # --- the end

    def _close(self, reason: str) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        self._ready = False
        self._alarm.stop()
        self._link.close()
        self._tokens.clear()
        self._outward.fail_all()
        self._inward.fail_all()
        self._tell(self._log.report_loss)
        self._tell(lambda: self._events.closed(reason))

    def _parting(self) -> str:
        return "stopped" if self._vitals.stopping else "the agent closed the connection"

    async def _refused(self, stream_in: Stream | None) -> object:
        if stream_in is not None:
            await close_stream(stream_in)
        raise self._not_there()

    def _not_there(self) -> RumiError:
        if self._reason is not None:
            return gone()
        return Unavailable("The pack is not ready yet.", hint="Wait until `rumi pack list` shows it as running.")

    def _tell(self, say: Callable[[], None]) -> None:
        try:
            say()
        except Exception:
            _logger.exception("channel_event_failed", pack_id=self._pack_id)


def _report(part: HelloComponent) -> ComponentReport:
    return ComponentReport(part.id, part.provides, part.error[:SHOWN_ERROR] if part.error is not None else None)
