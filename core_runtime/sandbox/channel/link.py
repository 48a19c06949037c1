"""The connection itself: bytes in and out, and the manners that keep one pack from using up the loop.

Threats answered here: a sender of half frames (a frame that was begun has to be whole within 10 s, RFC-less slow
loris), one that sends more than anybody takes (reading stops while too much waits), one that does not read (writing has
a bound; above it its own wishes are not read either), and one that sends as fast as it can (a turn of the loop takes at
most `TURN_FRAMES` frames, and a turn that took long is followed by as long a rest).
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from math import inf
from typing import Protocol

from core_runtime.clock import Clock
from core_runtime.errors import Unavailable
from core_runtime.sandbox.channel.config import ChannelLimits
from core_runtime.wire.encode import encode
from core_runtime.wire.frames import FrameDecoder, FrameError
from core_runtime.wire.messages import FromAgent, FromKernel
from core_runtime.wire.parse import BadValue

TURN_FRAMES = 128
LONG_TURN = 0.02
GATHER_BYTES = 64 * 1024
LONGEST_REST = 0.25


class Hold(Enum):
    """Why the connection is not being read."""

    TURN = auto()
    REST = auto()
    INBOUND = auto()
    OUTBOUND = auto()


class FrameHandler(Protocol):
    """Who gets the messages."""

    def frame(self, message: FromAgent | BadValue, size: int) -> None:
        """One message of `size` bytes."""

    def broken(self, reason: str) -> None:
        """The stream is beyond rescue."""


def gone() -> Unavailable:
    """The error of everything that was waiting for an agent that is not there any more."""
    return Unavailable(
        "The pack's container ended or its connection broke before there was an answer.",
        hint="Try again once the pack is ready; rumi pack logs ID shows what it said last.",
        details={"reason": "NO_RESULT"},
    )


class Link:
    """One transport. All methods run on the loop."""

    __slots__ = ("_clock", "_decoder", "_frame_since", "_fresh", "_gathering", "_handler", "_held_since", "_holds",
                 "_limits", "_loop", "_out", "_out_size", "_paused", "_room", "_transport", "closed")  # fmt: skip

    def __init__(self, handler: FrameHandler, limits: ChannelLimits, clock: Clock) -> None:
        self._handler = handler
        self._limits = limits
        self._clock = clock
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holds: set[Hold] = set()
        self._held_since = inf
        self._frame_since = inf
        self._paused = False
        self._room: asyncio.Future[None] | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._gathering = False
        self._fresh = True
        self.closed = False

    def connect(self, transport: asyncio.Transport) -> None:
        """The transport is there."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        transport.set_write_buffer_limits(high=self._limits.outbound_high)

    # --- reading

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        self._fresh = True
        self._decoder.feed(data)
        if not self._holds:
            self._turn()

    @property
    def mid_frame(self) -> bool:
        """True if the stream is inside a frame."""
        return self._decoder.mid_frame

    def _turn(self) -> None:
        if self.closed:
            return
        started = self._clock.monotonic()
        try:
            done = self._take_frames()
        except FrameError as error:
            self._handler.broken(f"protocol: {error}")
            return
        self._write_out()
        now = self._clock.monotonic()
        self._watch_half_frame(now, fresh=done > 0)
        if now - started > LONG_TURN:
            self.rest(min(now - started, LONGEST_REST))
        elif done >= TURN_FRAMES and not self.closed:
            self.hold(Hold.TURN)
            self._running().call_soon(self.release, Hold.TURN)

    def _take_frames(self) -> int:
        decoder, take = self._decoder, self._handler.frame
        for done in range(TURN_FRAMES):
            message = decoder.next()
            if message is None:
                return done
            take(message, decoder.size)
            if self._holds or self.closed:
                return done + 1
        return TURN_FRAMES

    def _watch_half_frame(self, now: float, *, fresh: bool) -> None:
        if not self._decoder.mid_frame:
            self._frame_since = inf
        elif fresh or self._frame_since == inf:
            self._frame_since = now

    def half_frame_deadline(self) -> float:
        """When the frame that was begun has to be whole (infinity if there is none, or if it is us who do not read)."""
        return inf if self._holds else self._frame_since + self._limits.frame_seconds

    # --- holding back

    def hold(self, why: Hold) -> None:
        """Do not read, for this reason."""
        if not self._holds:
            self._held_since = self._clock.monotonic()
            if self._transport is not None and not self.closed:
                self._transport.pause_reading()
        self._holds.add(why)

    def release(self, why: Hold) -> None:
        """This reason is gone; if it was the last one, read on, beginning with what is here already."""
        if why not in self._holds:
            return
        self._holds.discard(why)
        if self._holds or self.closed or self._transport is None:
            return
        self._held_since = inf
        if self._frame_since != inf:
            self._frame_since = self._clock.monotonic()
        self._transport.resume_reading()
        self._running().call_soon(self._turn_if_free)

    def rest(self, seconds: float) -> None:
        """Leave the loop to others for a while."""
        if Hold.REST not in self._holds and not self.closed:
            self.hold(Hold.REST)
            self._running().call_later(seconds, self.release, Hold.REST)

    def held_since(self, why: Hold) -> float:
        """Since when nothing was read, if `why` is among the reasons; else infinity."""
        return self._held_since if why in self._holds else inf

    @property
    def reading(self) -> bool:
        """True while nothing holds it back."""
        return not self._holds

    def _turn_if_free(self) -> None:
        if not self._holds:
            self._turn()

    # --- writing

    def send(self, message: FromKernel) -> None:
        """See `Outlet`. The first frame of a turn leaves at once, the others together: a write is a system call."""
        frame = encode(message)
        if self.closed or self._transport is None:
            return
        if self._fresh:
            self._fresh = False
            self._transport.write(frame)
        else:
            self._gather(frame)
        if self._paused and self._transport.get_write_buffer_size() > self._limits.outbound_hard:
            self.hold(Hold.OUTBOUND)

    def _gather(self, frame: bytes) -> None:
        self._out.append(frame)
        self._out_size += len(frame)
        if not self._gathering:
            self._gathering = True
            self._running().call_soon(self._flush)
        elif self._out_size > GATHER_BYTES:
            self._write_out()

    def _flush(self) -> None:
        self._gathering = False
        self._fresh = True
        self._write_out()

    def _write_out(self) -> None:
        if self._out and self._transport is not None and not self.closed:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_size = 0

    @property
    def full(self) -> bool:
        """See `Outlet`."""
        return self._paused

    async def room(self) -> None:
        """See `Outlet`."""
        while self._paused and not self.closed:
            if self._room is None:
                self._room = self._running().create_future()
            await asyncio.shield(self._room)
        if self.closed:
            raise gone()

    def writing_paused(self, *, paused: bool) -> None:
        """The transport's buffer went over or under its marks."""
        self._paused = paused
        if not paused:
            self._make_room()
            self.release(Hold.OUTBOUND)

    def close(self) -> None:
        """No more in or out."""
        if self.closed:
            return
        self.closed = True
        self._make_room()
        if self._transport is not None:
            self._transport.abort()

    def _make_room(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("not connected")
        return self._loop
