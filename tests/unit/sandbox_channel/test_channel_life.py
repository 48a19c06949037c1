"""Hello, pings, half frames, floods and the end of a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core_runtime.errors import Unavailable
from core_runtime.sandbox.channel import link
from core_runtime.sandbox.channel.config import MIB

from .conftest import HELLO, Wire, framed, packed, settle


@pytest.mark.parametrize(
    "first",
    [
        {"k": "ping"},
        {"k": "log", "level": "info", "text": "x", "fields": {}},
        {"k": "call", "id": 2, "name": "store.get", "args": {}},
        {"k": "hello", "protocol": "1", "agent": "x", "components": []},
        {"k": "hello", "protocol": 2, "agent": "x", "components": []},
        {"k": "hello", "protocol": 1, "agent": "x", "components": [{"id": str(n), "provides": []} for n in range(513)]},
        {"k": "exec"},
    ],
    ids=["ping", "log", "call", "bad", "version", "too-many", "unknown"],
)
async def test_the_first_frame_of_the_agent_is_a_good_hello_or_the_end(make_wire, first: dict[str, Any]) -> None:
    wire = make_wire(hello=False)
    wire.say(first)
    assert wire.events.components is None
    assert len(wire.events.ends) == 1
    assert wire.events.ends[0].startswith("protocol: ")
    assert wire.transport.ended == "aborted"
    assert wire.gate.asked == []


async def test_the_hello_names_broken_components(make_wire) -> None:
    wire = make_wire(hello=False)
    wire.say({**HELLO, "components": [{"id": "x", "provides": [], "error": "e" * 5000}]})
    (part,) = wire.events.components
    assert (part.id, part.provides, len(part.error)) == ("x", (), 4000)


async def test_a_second_hello_ends_the_connection(wire: Wire) -> None:
    wire.say({**HELLO, "components": []})
    assert wire.events.ends == ["protocol: the agent said hello twice"]


async def test_UD_02_an_agent_that_connects_and_says_nothing_is_cut_off(make_wire) -> None:
    wire = make_wire(hello=False)
    wire.pass_time(9.9)
    assert not wire.events.ends
    wire.pass_time(0.2)
    assert wire.events.ends == ["the agent did not say hello within 10 s"]


async def test_UD_02_a_slow_sender_is_cut_off_after_ten_seconds_of_one_frame(wire: Wire) -> None:
    frame = packed({"k": "ping"})
    for octet in frame[:3]:
        wire.raw(bytes([octet]))
        wire.pass_time(5)
    assert wire.events.ends == ["protocol: a frame took longer than 10 s"]


async def test_UD_02_many_frames_in_many_pieces_are_no_slow_sender(wire: Wire) -> None:
    stream = b"".join(packed({"k": "log", "level": "info", "text": str(n), "fields": {}}) for n in range(20))
    for at in range(0, len(stream), 7):
        wire.raw(stream[at : at + 7])
        wire.clock.now += 0.5
        wire.pass_time(0)
    assert not wire.events.ends
    assert len(wire.events.lines) == 20


async def test_the_half_frame_alarm_rings_by_itself(make_wire) -> None:
    wire = make_wire(frame_seconds=0.01, ping_seconds=1e6)
    wire.raw(b"\x00")
    wire.clock.now += 0.02
    for _ in range(100):
        await asyncio.sleep(0.005)
        if wire.events.ends:
            break
    assert wire.events.ends == ["protocol: a frame took longer than 0.01 s"]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        pytest.param(b"\x00\x00\x00\x00", "0 bytes", id="UD-01-length-0"),
        pytest.param(b"\x00\x00\x00\x01{", "1 bytes", id="UD-01-length-1"),
        pytest.param((4 * MIB + 65536 + 1).to_bytes(4, "big"), "at most", id="UD-01-max-plus-1"),
        pytest.param(b"\xff\xff\xff\xff", "at most", id="UD-01-all-ones"),
        pytest.param(framed(b'{"k":"item","id":2,"value":NaN}'), "not one JSON", id="UD-06-nan"),
        pytest.param(framed(b'{"k":"item","id":2,"value":1e309}'), "not one JSON", id="UD-06-1e309"),
        pytest.param(framed(b'{"v":' + b"9" * 100_000 + b"}"), "not one JSON", id="UD-06-10^5000"),
        pytest.param(framed(b"[" * 100_000), "not one JSON", id="UD-06-brackets"),
        pytest.param(framed(b"[" * 300 + b"]" * 300), "nested too deeply", id="UD-06-300-deep"),
        pytest.param(framed(b"[1]"), "not a JSON object", id="UD-06-list"),
        pytest.param(framed(b'{"k":"\xff"}'), "not one JSON", id="UD-06-utf-8"),
        pytest.param(framed('{"k":"ping"}'.encode("utf-16")), "not one JSON", id="UD-06-utf-16"),
        pytest.param(framed(b'\xef\xbb\xbf{"k":"ping"}'), "not one JSON", id="UD-06-bom"),
        pytest.param(framed(b'{"k":"ping"}{}'), "not one JSON", id="UD-06-two"),
        pytest.param(framed(b'{"k":"data","id":2,"n":-1}'), "n of data", id="UD-06-n"),
    ],
)
async def test_what_cannot_be_read_closes_the_connection_and_fails_what_waits(
    wire: Wire, raw: bytes, word: str
) -> None:
    task, _ = await wire.begun()
    wire.raw(packed({"k": "log", "level": "info", "text": "before", "fields": {}}) + raw + packed({"k": "ping"}))
    assert [line[1] for line in wire.events.lines] == ["before"]
    assert len(wire.events.ends) == 1
    assert wire.events.ends[0].startswith("protocol: ")
    assert word in wire.events.ends[0]
    assert wire.heard() == []
    with pytest.raises(Unavailable) as caught:
        await task
    assert caught.value.details["reason"] == "NO_RESULT"


async def test_UD_01_fewer_bytes_than_announced_and_then_the_end(wire: Wire) -> None:
    wire.raw(b"\x00\x00\x00\x20{")
    assert wire.channel.eof_received() is False
    assert wire.events.ends == ["protocol: the connection ended inside a frame"]


async def test_the_agent_may_close(wire: Wire) -> None:
    wire.channel.eof_received()
    wire.channel.connection_lost(None)
    assert wire.events.ends == ["the agent closed the connection"]


async def test_pings_go_out_and_pongs_keep_the_connection(make_wire) -> None:
    wire = make_wire(pong_seconds=30.0)
    for _ in range(12):
        wire.pass_time(10)
        assert {"k": "ping"} in wire.heard()
        wire.say({"k": "pong"})
    assert not wire.events.ends


async def test_an_agent_that_does_not_pong_is_unresponsive(make_wire) -> None:
    wire = make_wire(pong_seconds=30.0)
    for _ in range(3):
        wire.pass_time(10)
        wire.say({"k": "log", "level": "info", "text": "I am here", "fields": {}})
    assert wire.events.ends == ["unresponsive"]


async def test_stop_asks_the_agent_and_cuts_it_off_when_it_stays(wire: Wire) -> None:
    wire.channel.stop(2.0)
    assert wire.one() == {"k": "stop", "grace_ms": 2000}
    wire.pass_time(2.5)
    assert not wire.events.ends
    wire.pass_time(0.6)
    assert wire.events.ends == ["stopped"]


async def test_an_agent_that_goes_when_it_was_asked_to_has_stopped(wire: Wire) -> None:
    wire.channel.stop(2.0)
    wire.channel.connection_lost(None)
    assert wire.events.ends == ["stopped"]


async def test_the_end_is_told_once_whatever_comes_after(wire: Wire) -> None:
    wire.channel.abort("first")
    wire.channel.abort("second")
    wire.channel.connection_lost(None)
    wire.say({"k": "ping"}, HELLO)
    wire.channel.stop(1)
    wire.pass_time(1000)
    assert wire.events.ends == ["first"]
    assert wire.heard() == []


async def test_a_second_connection_to_one_channel_is_cut_off(wire: Wire) -> None:
    other = type(wire.transport)()
    wire.channel.connection_made(other)
    assert other.ended == "aborted"
    assert wire.transport.ended is None


async def test_a_listener_of_events_that_fails_harms_nobody(wire: Wire) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("mine")

    wire.events.log = broken  # type: ignore[method-assign]
    wire.events.closed = broken  # type: ignore[method-assign]
    wire.say({"k": "log", "level": "info", "text": "x", "fields": {}}, {"k": "ping"})
    assert wire.one() == {"k": "pong"}
    wire.channel.abort("x")
    assert wire.transport.ended == "aborted"


async def test_one_turn_of_the_loop_takes_a_bounded_number_of_frames(wire: Wire) -> None:
    count = link.TURN_FRAMES * 2 + 10
    wire.say(*[{"k": "call", "id": 2 * n + 2, "name": "x", "args": {}} for n in range(count)])
    assert len(wire.gate.asked) == link.TURN_FRAMES
    assert not wire.transport.reading
    await settle(10)
    assert len(wire.gate.asked) == count
    assert wire.transport.reading


async def test_a_turn_that_took_long_is_followed_by_a_rest(wire: Wire) -> None:
    def slow(_call: object) -> object:
        wire.clock.now += 0.03
        return None

    wire.gate.answer = slow
    wire.say({"k": "call", "id": 2, "name": "x", "args": {}})
    assert not wire.transport.reading
    await asyncio.sleep(0.06)
    assert wire.transport.reading


async def test_frames_that_are_worth_nothing_slow_the_pack_down(make_wire) -> None:
    wire = make_wire(junk_burst=10, junk_per_second=1.0)
    wire.say(*[{"k": "result", "id": 1, "ok": True} for _ in range(12)])
    assert not wire.transport.reading
    assert not wire.events.ends


async def test_a_pack_that_does_not_read_its_answers_is_not_read_either(make_wire) -> None:
    wire = make_wire(outbound_hard=8 * MIB)
    assert wire.transport.high == MIB
    wire.channel.pause_writing()
    wire.transport.unread = 9 * MIB
    wire.say(*[{"k": "call", "id": 2 * n + 2, "name": "x", "args": {}} for n in range(20)])
    assert len(wire.gate.asked) == 1
    assert not wire.transport.reading
    wire.transport.unread = 0
    wire.channel.resume_writing()
    await settle()
    assert len(wire.gate.asked) == 20
    assert wire.transport.reading


async def test_pings_of_an_agent_that_does_not_read_are_not_answered(wire: Wire) -> None:
    wire.channel.pause_writing()
    wire.say(*[{"k": "ping"} for _ in range(100)])
    assert wire.heard() == []


async def test_log_lines_are_passed_on(wire: Wire) -> None:
    wire.say({"k": "log", "level": "warning", "text": "hm", "fields": {"n": 1}, "run_id": "run_1"})
    wire.say({"k": "log", "level": "fatal", "text": "x", "fields": {}, "run_id": "r" * 100})
    assert wire.events.lines == [("warning", "hm", {"n": 1}, "run_1"), ("info", "x", {}, None)]


async def test_log_lines_are_limited_in_rate_and_the_loss_is_told(wire: Wire) -> None:
    line = {"k": "log", "level": "info", "text": "x", "fields": {}}
    wire.say(*[line] * 100)
    await settle(10)
    wire.say(*[line] * 120)
    await settle(10)
    wire.say(*[line] * 120)
    await settle(10)
    assert len(wire.events.lines) == 200
    wire.pass_time(10)
    assert wire.events.lines[-1][2] == {"dropped": 140}
    wire.say(line)
    assert len(wire.events.lines) == 202


async def test_log_lines_are_limited_in_size(wire: Wire) -> None:
    big = {"blob": "b" * 17_000}
    wire.say({"k": "log", "level": "info", "text": "ä" * 10_000, "fields": big})
    ((_, text, fields, _),) = wire.events.lines
    assert len(text.encode()) < 16 * 1024 + 40
    assert text.endswith("[cut: 20000 bytes]")
    assert fields == {"dropped_fields": "over 16384 bytes"}
