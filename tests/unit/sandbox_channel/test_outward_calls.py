"""Calls of the kernel into the pack."""

from __future__ import annotations

import asyncio

import pytest

from core_runtime.authority import Actor
from core_runtime.errors import (
    DeadlineExceeded,
    InterfaceFailed,
    RateLimited,
    TooLarge,
    Unavailable,
    ValidationFailed,
)
from core_runtime.wire.limits import MAX_VALUE_BYTES

from .conftest import HELLO, Wire, framed, settle


async def test_the_first_frame_of_the_kernel_is_the_configuration(make_wire) -> None:
    wire = make_wire(hello=False)
    assert wire.one() == {
        "k": "config",
        "protocol": 1,
        "pack_id": "notes",
        "settings": {"title": "T"},
        "concurrency": 8,
        "max_streams": 256,
        "proxy": False,
    }


async def test_nothing_can_be_called_before_the_hello(make_wire) -> None:
    wire = make_wire(hello=False)
    with pytest.raises(Unavailable, match="not ready"):
        await wire.channel.call("a.b", {}, context=wire.context())
    wire.say(HELLO)
    assert [(part.id, part.provides) for part in wire.events.components] == [("main", ("a.b",))]
    assert wire.channel.ready


async def test_a_call_and_its_answer(wire: Wire) -> None:
    task, frame = await wire.begun(
        "a.b",
        {"name": "Ada"},
        context=wire.context(12.5, run_id="run_1", actor=Actor("ada", "guest", ("g",)), traceparent="00-x"),
    )
    token = frame.pop("token")
    assert len(token) == 32
    assert frame == {
        "k": "call",
        "id": 1,
        "name": "a.b",
        "args": {"name": "Ada"},
        "deadline_ms": 12500,
        "traceparent": "00-x",
        "ctx": {"run_id": "run_1", "actor": {"id": "ada", "role": "guest", "groups": ["g"]}},
    }
    wire.say({"k": "result", "id": 1, "ok": True, "value": {"message": "Hello"}})
    assert await task == {"message": "Hello"}
    assert wire.channel.calls_open == 0


async def test_a_call_for_nobody_in_particular_shows_no_context(wire: Wire) -> None:
    task, frame = await wire.begun(context=wire.context(actor=None))
    assert "ctx" not in frame
    wire.say({"k": "result", "id": 1, "ok": True})
    assert await task is None


async def test_UD_08_answers_in_any_order_reach_their_own_callers(wire: Wire) -> None:
    tasks = [wire.begin(args={"n": n}) for n in range(50)]
    await settle()
    calls = {frame["args"]["n"]: frame["id"] for frame in wire.heard()}
    assert len(set(calls.values())) == 50
    assert all(number % 2 == 1 for number in calls.values())
    for n in reversed(range(50)):
        wire.say({"k": "result", "id": calls[n], "ok": True, "value": n})
    assert await asyncio.gather(*tasks) == list(range(50))


async def test_UD_08_a_late_answer_of_a_call_that_timed_out_is_dropped(wire: Wire) -> None:
    task, frame = await wire.begun(context=wire.context(2.0))
    wire.pass_time(2.1)
    with pytest.raises(DeadlineExceeded):
        await task
    assert {"k": "cancel", "id": frame["id"]} in wire.heard()
    later, other = await wire.begun()
    wire.say({"k": "result", "id": frame["id"], "ok": True, "value": "late"})
    await settle()
    assert not later.done()
    wire.say({"k": "result", "id": other["id"], "ok": True, "value": "right"})
    assert await later == "right"


async def test_UD_08_a_second_answer_to_one_call_is_dropped(wire: Wire) -> None:
    task, frame = await wire.begun()
    wire.say(*[{"k": "result", "id": frame["id"], "ok": True, "value": n} for n in range(3)])
    assert await task == 0
    assert not wire.events.ends


async def test_a_deadline_that_has_passed_already_sends_nothing(wire: Wire) -> None:
    with pytest.raises(DeadlineExceeded):
        await wire.channel.call("a.b", {}, context=wire.context(-1))
    assert wire.heard() == []


async def test_a_deadline_rings_by_itself(make_wire) -> None:
    wire = make_wire()
    task = wire.begin(context=wire.context(0.01))
    await asyncio.sleep(0)
    wire.clock.now += 0.02
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(task, 2)


async def test_who_gives_up_cancels_the_call_in_the_pack(wire: Wire) -> None:
    task, frame = await wire.begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.one() == {"k": "cancel", "id": frame["id"]}
    assert wire.channel.calls_open == 0


async def test_an_error_of_the_pack_keeps_its_code_message_and_details(wire: Wire) -> None:
    task, frame = await wire.begun()
    error = {"code": "INTERFACE_ERROR", "message": "no such note", "hint": "look", "details": {"type": "KeyError"}}
    wire.say({"k": "result", "id": frame["id"], "ok": False, "error": error})
    with pytest.raises(InterfaceFailed, match="no such note") as caught:
        await task
    assert caught.value.hint == "look"
    assert caught.value.details == {"type": "KeyError"}


async def test_a_pack_cannot_speak_of_a_defect_of_the_kernel(wire: Wire) -> None:
    task, frame = await wire.begun()
    wire.say({"k": "result", "id": frame["id"], "ok": False, "error": {"code": "INTERNAL", "message": "x"}})
    with pytest.raises(InterfaceFailed):
        await task


async def test_UD_06_a_malformed_answer_ends_its_call_and_no_other(wire: Wire) -> None:
    task, frame = await wire.begun()
    other, other_frame = await wire.begun()
    wire.say({"k": "result", "id": frame["id"], "ok": "yes"})
    with pytest.raises(InterfaceFailed, match="malformed"):
        await task
    wire.say({"k": "result", "id": other_frame["id"], "ok": True, "value": 1})
    assert await other == 1


async def test_an_answer_of_4_mib_is_taken_and_one_byte_more_is_too_large(wire: Wire) -> None:
    for extra in (0, 1):
        task, frame = await wire.begun()
        text = b"a" * (MAX_VALUE_BYTES - 2 + extra)
        wire.raw(framed(b'{"k":"result","id":%d,"ok":true,"value":"%b"}' % (frame["id"], text)))
        if extra:
            with pytest.raises(TooLarge):
                await task
        else:
            assert len(str(await task)) == MAX_VALUE_BYTES - 2


async def test_arguments_that_cannot_be_sent_are_refused_and_leave_nothing_behind(wire: Wire) -> None:
    for args, error in (({"x": object()}, ValidationFailed), ({"x": "a" * (MAX_VALUE_BYTES + 1)}, TooLarge)):
        with pytest.raises(error):
            await wire.channel.call("a.b", args, context=wire.context())
    assert wire.heard() == []
    assert wire.channel.calls_open == 0
    assert len(wire.channel._tokens) == 0


async def test_one_call_more_than_may_be_open_is_refused(make_wire) -> None:
    wire = make_wire(calls_out=2)
    tasks = [wire.begin() for _ in range(2)]
    await settle()
    with pytest.raises(RateLimited):
        await wire.channel.call("a.b", {}, context=wire.context())
    wire.say({"k": "result", "id": 1, "ok": True})
    await tasks[0]
    third = wire.begin()
    await settle()
    assert wire.heard()[-1]["id"] == 5
    third.cancel()
    tasks[1].cancel()
    await asyncio.gather(third, tasks[1], return_exceptions=True)


async def test_calls_in_flight_fail_when_the_connection_goes(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.channel.connection_lost(None)
    with pytest.raises(Unavailable) as caught:
        await task
    assert caught.value.details == {"reason": "NO_RESULT"}
    assert wire.events.ends == ["the agent closed the connection"]
    with pytest.raises(Unavailable):
        await wire.channel.call("a.b", {}, context=wire.context())


async def test_a_call_waits_while_the_agent_does_not_read_and_no_longer_than_its_deadline(wire: Wire) -> None:
    wire.channel.pause_writing()
    waiting = wire.begin()
    late = wire.begin(context=wire.context(0.02))
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(late, 2)
    assert wire.heard() == []
    wire.channel.resume_writing()
    await settle()
    assert wire.one()["k"] == "call"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_who_waits_for_room_is_told_when_the_connection_goes(wire: Wire) -> None:
    wire.channel.pause_writing()
    waiting = wire.begin()
    await settle()
    wire.channel.abort("test")
    with pytest.raises(Unavailable):
        await waiting


async def test_an_event_goes_out_without_an_answer(wire: Wire) -> None:
    wire.channel.event("a.on", "clock/tick", {"n": 1}, None)
    assert wire.one() == {"k": "event", "interface": "a.on", "topic": "clock/tick", "payload": {"n": 1}}


async def test_an_event_for_a_pack_that_does_not_read_is_refused(wire: Wire) -> None:
    wire.channel.pause_writing()
    with pytest.raises(Unavailable, match="fast enough"):
        wire.channel.event("a.on", "clock/tick", {}, None)
    wire.channel.resume_writing()
    wire.channel.event("a.on", "clock/tick", {}, None)
    wire.channel.abort("x")
    with pytest.raises(Unavailable):
        wire.channel.event("a.on", "clock/tick", {}, None)


async def test_the_first_frame_of_a_turn_leaves_at_once_and_the_others_together(wire: Wire) -> None:
    await settle()
    before = wire.transport.writes
    tasks = [wire.begin(args={"n": n}) for n in range(16)]
    await settle()
    assert wire.transport.writes - before == 2
    assert [frame["args"]["n"] for frame in wire.transport.frames()] == list(range(16))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_call_that_was_made_before_the_end_and_starts_after_it_fails_at_once(wire: Wire) -> None:
    task = wire.begin()
    wire.channel.abort("now")
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 1)


async def test_a_single_call_is_written_without_waiting_for_the_end_of_the_turn(wire: Wire) -> None:
    for _ in range(3):
        before = wire.transport.writes
        task = wire.begin()
        await asyncio.sleep(0)
        assert wire.transport.writes == before + 1
        (frame,) = wire.transport.frames()
        wire.say({"k": "result", "id": frame["id"], "ok": True})
        await task
