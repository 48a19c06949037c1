"""A channel with everything round it under the test's control: transport, clock, gate, events."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest

from core_runtime.authority import OWNER, CallContext
from core_runtime.capability.model import CapabilityCall
from core_runtime.sandbox.channel import ChannelConfig, ChannelLimits, PackChannel
from core_runtime.sandbox.ports import ComponentReport

Frame = dict[str, Any]
HELLO: Frame = {"k": "hello", "protocol": 1, "agent": "test", "components": [{"id": "main", "provides": ["a.b"]}]}


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def packed(frame: Frame, payload: bytes = b"") -> bytes:
    return framed(orjson.dumps(frame)) + payload


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class FakeTransport(asyncio.Transport):
    """Keeps what is written; `unread` is what the other side has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = bytearray()
        self.unread = 0
        self.writes = 0
        self.reading = True
        self.ended: str | None = None

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.raw += data
        self.writes += 1

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        assert self.reading, "reading was paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "reading was resumed twice"
        self.reading = True

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self) -> None:
        self.ended = "closed"

    def frames(self) -> list[Frame]:
        """What was written since the last time; `payload` holds the bytes of data."""
        found, raw, at = [], bytes(self.raw), 0
        while at < len(raw):
            (length,) = struct.unpack_from(">I", raw, at)
            frame = orjson.loads(raw[at + 4 : at + 4 + length])
            at += 4 + length
            if frame["k"] == "data":
                frame["payload"] = raw[at : at + frame["n"]]
                at += frame["n"]
            found.append(frame)
        self.raw.clear()
        return found


class FakeGate:
    """Answers by `answer`, keeps what it was asked and what it was told of refusals."""

    def __init__(self) -> None:
        self.asked: list[CapabilityCall] = []
        self.refusals: list[tuple[str, str, str, str]] = []
        self.answer: Callable[[CapabilityCall], object] = lambda call: {"asked": call.name}

    def capability(self, call: CapabilityCall) -> object:
        self.asked.append(call)
        return self.answer(call)

    def refused(self, *, pack_id: str, name: str, reason: str, request_id: str) -> None:
        self.refusals.append((pack_id, name, reason, request_id))


class Events:
    def __init__(self) -> None:
        self.components: Sequence[ComponentReport] | None = None
        self.lines: list[tuple[str, str, Mapping[str, object], str | None]] = []
        self.ends: list[str] = []

    def ready(self, components: Sequence[ComponentReport]) -> None:
        self.components = components

    def log(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None) -> None:
        self.lines.append((level, text, fields, run_id))

    def closed(self, reason: str) -> None:
        self.ends.append(reason)


class Wire:
    """One channel and its agent, which the test plays."""

    def __init__(self, *, hello: bool = True, pack_id: str = "notes", max_streams: int = 256, **limits: Any) -> None:
        self.clock = ManualClock()
        self.gate = FakeGate()
        self.events = Events()
        self.transport = FakeTransport()
        limits.setdefault("pong_seconds", 1e9)  # the agent of a test does not pong; those about it say so
        config = ChannelConfig({"title": "T"}, max_streams=max_streams, limits=ChannelLimits(**limits))
        self.channel = PackChannel(pack_id, self.gate, self.events, config, self.clock)
        self.channel.connection_made(self.transport)
        if hello:
            self.say(HELLO)
            self.heard()

    def say(self, *frames: Frame, payload: bytes = b"") -> None:
        """The agent sends these, in one piece."""
        self.raw(b"".join(packed(frame) for frame in frames) + payload)

    def raw(self, data: bytes) -> None:
        """The agent sends these bytes."""
        self.channel.data_received(data)

    def heard(self) -> list[Frame]:
        """What the kernel sent since the last time, with what it would have sent at the end of this turn."""
        self.channel._link._write_out()
        return self.transport.frames()

    def one(self) -> Frame:
        """The single frame that the kernel sent."""
        (frame,) = self.heard()
        return frame

    def pass_time(self, seconds: float) -> None:
        """The clock goes on and the alarm rings, as it would have."""
        self.clock.now += seconds
        self.channel._alarm._fire()

    def context(self, seconds: float = 30.0, **more: Any) -> CallContext:
        return CallContext("req_1", self.clock.now + seconds, more.pop("actor", OWNER), **more)

    def begin(self, name: str = "a.b", args: object = None, **more: Any) -> asyncio.Task[object]:
        """Start a call into the pack."""
        context = more.pop("context", None) or self.context()
        return asyncio.create_task(self.channel.call(name, args or {}, context=context, **more))

    async def begun(self, name: str = "a.b", args: object = None, **more: Any) -> tuple[asyncio.Task[object], Frame]:
        """Start a call, and return it with the frame that the agent got."""
        task = self.begin(name, args, **more)
        await settle()
        frames = [frame for frame in self.heard() if frame["k"] == "call"]
        return task, frames[-1]


async def settle(turns: int = 5) -> None:
    """Let everything that can go on go on."""
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.fixture
async def make_wire() -> Iterator[Callable[..., Wire]]:  # type: ignore[misc]
    made: list[Wire] = []

    def make(**options: Any) -> Wire:
        made.append(Wire(**options))
        return made[-1]

    yield make
    for wire in made:
        wire.channel.abort("the test is over")
    await settle()


@pytest.fixture
async def wire(make_wire: Callable[..., Wire]) -> Wire:
    return make_wire()
