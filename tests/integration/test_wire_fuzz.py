"""A hostile agent at the kernel's end of the wire: whatever it sends, it acts for itself or for nobody (S3, group UD).

5,000 frames in CI, 200,000 with RUMI_TEST_SCHEDULED=1. The seed is in every failure, so that it can be run again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.authority import Actor, CallContext
from core_runtime.capability.model import CapabilityCall
from core_runtime.clock import SystemClock
from core_runtime.errors import GrantDenied, RumiError
from core_runtime.sandbox.channel import ChannelConfig, ChannelLimits, PackChannel
from core_runtime.sandbox.ports import ComponentReport
from core_runtime.wire.frames import FrameDecoder, FrameError
from core_runtime.wire.messages import Ping
from core_runtime.wire.streams import Chunk, Item, StreamElement

SCHEDULED = os.environ.get("RUMI_TEST_SCHEDULED") == "1"
FRAMES = 200_000 if SCHEDULED else 5_000
SEED = int(os.environ.get("RUMI_TEST_SEED", "20260101"))
PACKS = ("alpha", "beta")
HELLO = {"k": "hello", "protocol": 1, "agent": "fuzz", "components": [{"id": "a", "provides": ["a.b"]}]}
MOST_MEMORY_GROWTH = 160 * 1024  # KiB, as getrusage counts
ODD_VALUES: list[Any] = [None, True, False, 0, -1, 1.5, 1e300, 2**53, 2**63, "", "x", "日本", [], {}, [[[]]], {"id": 2}]


def packed(frame: Any, payload: bytes = b"") -> bytes:
    body = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()
    return struct.pack(">I", len(body)) + body + payload


class HandClock:
    now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Sink(asyncio.Transport):
    """Swallows what the kernel writes and remembers the tokens and ids in it."""

    def __init__(self, pack: FuzzedPack) -> None:
        super().__init__()
        self._pack = pack
        self.ended = False
        self.reading = True

    def write(self, data: bytes) -> None:  # type: ignore[override]
        at = 0
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            frame = json.loads(data[at + 4 : at + 4 + length])
            at += 4 + length + frame.get("n", 0)
            self._pack.heard(frame)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """No buffer here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


class FuzzedPack:
    """One pack: its channel (a new one after each end), its gate, what it knows."""

    def __init__(self, name: str, dice: random.Random, clock: HandClock) -> None:
        self.name = name
        self.dice = dice
        self.clock = clock
        self.tokens: list[str] = []
        self.called: list[int] = [1]
        self.ends: list[str] = []
        self.wrong: list[str] = []
        self.calls: set[asyncio.Task[object]] = set()
        self.written = self.answered = self.asked = self.connections = self.lines = 0
        self.channel: PackChannel
        self.sink: Sink
        self.connect()

    def heard(self, frame: dict[str, Any]) -> None:
        """Keep what an attacker would keep."""
        self.written += 1
        if "token" in frame:
            self.tokens.append(frame["token"])
        if frame["k"] == "call":
            self.called.append(frame["id"])
        if frame["k"] == "result":
            self.answered += 1

    # the kernel's side

    def connect(self) -> None:
        """A fresh connection, as after a restart of the pack; it has to work."""
        limits = ChannelLimits(inbound_bytes=1024 * 1024, pong_seconds=inf)
        self.channel = PackChannel(self.name, self, self, ChannelConfig(max_streams=16, limits=limits), self.clock)
        self.sink = Sink(self)
        self.channel.connection_made(self.sink)
        self.connections += 1
        self.channel.data_received(packed(HELLO))
        answered = self.answered
        self.channel.data_received(packed({"k": "call", "id": 2, "name": "plain", "args": {}}))
        self.channel._link._write_out()
        if not self.channel.ready or self.answered != answered + 1:
            self.wrong.append("a fresh connection does not work")

    def ready(self, components: Sequence[ComponentReport]) -> None:
        """See `ChannelEvents`."""

    def log(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None) -> None:
        """See `ChannelEvents`."""
        self.lines += 1

    def closed(self, reason: str) -> None:
        """See `ChannelEvents`."""
        self.ends.append(reason)

    def capability(self, call: CapabilityCall) -> object:
        """See `CapabilityGate`: checks who asks, then answers in one of all possible ways."""
        self.asked += 1
        if call.pack_id != self.name:
            self.wrong.append(f"{self.name} acted as {call.pack_id}")
        actor = call.context.actor if call.context is not None else None
        if call.context is not None and (actor is None or actor.id != f"caller of {self.name}"):
            self.wrong.append(f"{self.name} acted for {actor}")
        if not self.clock.now - 1e-6 <= call.deadline <= self.clock.now + 120.0:
            self.wrong.append(f"a deadline {call.deadline - self.clock.now} s away")
        if call.name == "plain":
            return {"ok": True}
        return self.dice.choice((self._plain, self._refusal, self._later, self._stream, self._reader))(call)

    def refused(self, *, pack_id: str, name: str, reason: str, request_id: str) -> None:
        """See `RefusalWitness`."""
        if pack_id != self.name:
            self.wrong.append(f"a refusal of {self.name} was told of {pack_id}")

    def _plain(self, call: CapabilityCall) -> object:
        return dict(call.args)

    def _refusal(self, _call: CapabilityCall) -> object:
        raise GrantDenied("No.", hint="Ask.", request_id="req_x")

    async def _later(self, _call: CapabilityCall) -> object:
        for _ in range(self.dice.randrange(20)):
            await asyncio.sleep(0)
        return [1, 2, 3]

    async def _stream(self, _call: CapabilityCall) -> AsyncIterator[StreamElement]:
        for n in range(self.dice.randrange(100)):
            yield Item(n) if n % 2 else Chunk(b"c" * self.dice.randrange(5000))
            await asyncio.sleep(0)

    async def _reader(self, call: CapabilityCall) -> object:
        count = 0
        if call.stream_in is not None:
            async for _ in call.stream_in:
                count += 1
        return count

    def call_in(self) -> None:
        """The kernel calls the pack, sometimes with an upload; the answer is read, or left, or given up."""
        deadline = self.clock.now + self.dice.choice((0.5, 5.0, 50.0))
        context = CallContext("req_k", deadline, Actor(f"caller of {self.name}", "guest"))
        upload = self._upload() if self.dice.random() < 0.3 else None

        async def use() -> object:
            try:
                answer = await self.channel.call("a.b", {"n": 1}, context=context, stream_in=upload)
                if isinstance(answer, AsyncIterator):
                    async for _ in answer:
                        if self.dice.random() < 0.05:
                            break
                    await answer.aclose()  # type: ignore[attr-defined]
            except RumiError as error:
                return error
            return None

        task = asyncio.create_task(use())
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        if self.dice.random() < 0.2:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def _upload(self) -> AsyncIterator[StreamElement]:
        for n in range(self.dice.randrange(80)):
            yield Chunk(b"u" * 3000) if n % 3 else Item({"n": n})


class Attacker:
    """Makes frames: good ones, bent ones, ones that are none."""

    def __init__(self, dice: random.Random, packs: list[FuzzedPack]) -> None:
        self.dice = dice
        self.packs = packs
        self.makers: dict[Callable[[FuzzedPack], bytes], float] = {
            self.good: 70, self.bent: 12, self.forged: 10, self.overflow: 2, self.cut: 2, self.rubbish: 0.5,
        }  # fmt: skip

    def frame(self, pack: FuzzedPack) -> bytes:
        (make,) = self.dice.choices(list(self.makers), list(self.makers.values()))
        return make(pack)

    def number(self, pack: FuzzedPack) -> int:
        even = self.dice.randrange(2, 400, 2)
        return self.dice.choice((even, even, self.dice.choice(pack.called[-20:]), self.dice.randrange(1, 2**53)))

    def token(self, pack: FuzzedPack) -> str:
        other = self.packs[1 - self.packs.index(pack)]
        known = self.dice.choice((pack.tokens[-30:], other.tokens[-30:], pack.tokens[:30]))
        return self.dice.choice(known) if known and self.dice.random() < 0.9 else f"{self.dice.getrandbits(128):032x}"

    def fields(self, pack: FuzzedPack) -> tuple[dict[str, Any], bytes]:
        """A frame that is good in itself."""
        number, dice = self.number(pack), self.dice
        kind = dice.choice(
            (
                "call",
                "call",
                "call",
                "result",
                "result",
                "item",
                "data",
                "end",
                "credit",
                "cancel",
                "log",
                "ping",
                "pong",
            )
        )
        payload = b""
        more: dict[str, Any] = {}
        if kind == "call":
            more = {"name": dice.choice(("store.get", "plain", "x" * 100)), "args": {"k": "v"}, "deadline_ms": 10**9}
            if dice.random() < 0.5:
                more["token"] = self.token(pack)
            if dice.random() < 0.3:
                more["in"] = True
            number &= ~1
            number = number or 2
        elif kind == "result":
            error = {"code": dice.choice(("INTERNAL", "GRANT_DENIED", "ODD")), "message": "m"}
            more = {"ok": True, "value": {"v": 1}} if dice.random() < 0.7 else {"ok": False, "error": error}
        elif kind == "item":
            more = {"value": dice.choice(ODD_VALUES)}
        elif kind == "data":
            payload = dice.randbytes(dice.choice((0, 1, 100, 5000)))
            more = {"n": len(payload), "text": dice.random() < 0.2}
        elif kind == "credit":
            more = {"items": dice.choice((0, 1, 2**53)), "bytes": dice.choice((0, 1, 2**62))}
        elif kind == "log":
            more = {"level": "info", "text": "t" * dice.choice((1, 20_000)), "fields": {"a": 1}}
        return {"k": kind, "id": number, **more}, payload

    def good(self, pack: FuzzedPack) -> bytes:
        return packed(*self.fields(pack))

    def bent(self, pack: FuzzedPack) -> bytes:
        """One field of the wrong type, missing, or one too many."""
        fields, payload = self.fields(pack)
        name = self.dice.choice(list(fields))
        if name != "n":
            if self.dice.random() < 0.3:
                del fields[name]
            else:
                fields[name] = self.dice.choice(ODD_VALUES)
        if fields.get("k") != "data":
            payload = b""
        fields[self.dice.choice(("zzz", "pack", "from"))] = self.dice.choice(ODD_VALUES)
        return packed(fields, payload if "n" in fields else b"")

    def forged(self, pack: FuzzedPack) -> bytes:
        """Says that it is somebody else."""
        fields, payload = self.fields(pack)
        other = self.packs[1 - self.packs.index(pack)].name
        names = ("pack_id", "principal_id", "principal", "actor", "run_id", "ctx", "uid")
        for name in self.dice.sample(names, 3):
            fields[name] = self.dice.choice((other, "host", "kernel", {"id": "owner", "role": "owner"}))
        return packed(fields, payload)

    def overflow(self, pack: FuzzedPack) -> bytes:
        """More of a stream than was allowed."""
        number = self.number(pack)
        return packed({"k": "item", "id": number, "value": "o" * 1000}) * 70

    def cut(self, pack: FuzzedPack) -> bytes:
        """Bytes of a good frame, changed."""
        raw = bytearray(self.good(pack))
        for _ in range(self.dice.randrange(1, 4)):
            raw[self.dice.randrange(4, len(raw))] = self.dice.randrange(256)
        return bytes(raw)

    def rubbish(self, _pack: FuzzedPack) -> bytes:
        return self.dice.randbytes(self.dice.randrange(1, 60)) if self.dice.random() < 0.1 else packed([1, 2])


async def drive(frames: int, seed: int) -> list[FuzzedPack]:
    """Send `frames` frames to two packs' channels while the kernel works with them."""
    dice, clock = random.Random(seed), HandClock()
    packs = [FuzzedPack(name, random.Random(f"{seed}{name}"), clock) for name in PACKS]
    attacker = Attacker(dice, packs)
    for number in range(frames):
        pack = dice.choice(packs)
        if pack.ends:
            pack.ends.clear()
            pack.connect()
        raw = attacker.frame(pack)
        at = dice.randrange(len(raw)) if dice.random() < 0.2 else 0
        while not pack.sink.reading and not pack.sink.ended:
            await asyncio.sleep(0)
            clock.now += 0.1
            pack.channel._alarm._fire()
        pack.channel.data_received(raw[:at]) if at else None
        pack.channel.data_received(raw[at:])
        if dice.random() < 0.2:
            pack.call_in()
        if number % 7 == 0:
            await asyncio.sleep(0)
        if number % 50 == 0:
            clock.now += dice.choice((0.01, 0.4, 3.0))
            for each in packs:
                each.channel._alarm._fire()
        assert pack.channel._inward._busy <= 64
        assert len(pack.channel._tokens) <= 1024 + 256
        assert len(asyncio.all_tasks()) < 3000
    for pack in packs:
        pack.channel.abort("the test is over")
    return packs


@pytest.mark.timeout(1800 if SCHEDULED else 120)
async def test_UD_04_no_frame_ever_acts_for_another_pack_and_nothing_crashes() -> None:
    crashes: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: crashes.append(context))
    await drive(300, SEED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    packs = await drive(FRAMES, SEED)
    for _ in range(50):
        await asyncio.sleep(0)
    wrong = [text for pack in packs for text in pack.wrong]
    assert wrong == [], f"seed {SEED}"
    assert crashes == [], f"seed {SEED}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_GROWTH
    assert len(asyncio.all_tasks()) == 1
    for pack in packs:
        assert pack.channel._outward._parts.inbound.used == 0
        assert pack.channel._outward._parts.slots._open == 0
        assert pack.asked > FRAMES / 40, "the fuzzer reaches the gate"
        assert pack.connections > FRAMES / 1000, "the fuzzer breaks connections"
        assert pack.written > FRAMES / 10


@pytest.mark.timeout(1800 if SCHEDULED else 120)
def test_UD_06_the_reader_of_frames_raises_nothing_but_what_it_promises() -> None:
    dice = random.Random(SEED)
    good = packed({"k": "call", "id": 2, "name": "store.get", "args": {"a": [1, {"b": None}]}, "deadline_ms": 5})
    for _ in range(FRAMES * 4):
        raw = bytearray(good + packed({"k": "data", "id": 2, "n": 3}, b"abc"))
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(len(raw))
            how = dice.randrange(3)
            if how == 0:
                raw[place] = dice.randrange(256)
            elif how == 1:
                del raw[place]
            else:
                raw.insert(place, dice.choice(b'{}[]":,0123456789\\u \xff'))
        decoder = FrameDecoder()
        decoder.feed(bytes(raw) + packed({"k": "ping"}))
        try:
            for _ in range(10):
                if decoder.next() is None:
                    break
        except FrameError:
            continue


@pytest.mark.parametrize("seed", range(3))
async def test_UD_01_after_rubbish_on_a_real_socket_a_fresh_connection_works(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    listeners = UnixListeners(tmp_path / "run", SystemClock())
    for rubbish in (dice.randbytes(5000), b"\xff\xff\xff\xff", packed(HELLO) + packed({"k": "ping"})):
        pack = FuzzedPack("alpha", dice, HandClock())
        channel = PackChannel("alpha", pack, pack, ChannelConfig(), SystemClock())
        listener = await listeners.listen(peer_uid=os.geteuid(), channel_factory=lambda channel=channel: channel)
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(5)
            agent.connect(f"/proc/self/fd/{listener.directory}/kernel.sock")
            await asyncio.wait_for(listener.channel(), 5)
            agent.sendall(rubbish)
            got = b""
            while chunk := await asyncio.to_thread(_receive, agent):
                got += chunk
                if b"pong" in got:
                    break
        assert channel.ready is (b"pong" in got)
        await listener.close()
    assert Ping() == Ping()
    assert b"pong" in got


def _receive(agent: socket.socket) -> bytes:
    try:
        return agent.recv(65536)
    except ConnectionResetError:
        return b""
