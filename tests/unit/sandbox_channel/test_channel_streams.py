"""Streams in both directions, and the credit that keeps them from flooding anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core_runtime.errors import (
    DeadlineExceeded,
    GrantDenied,
    InterfaceFailed,
    RateLimited,
    TooLarge,
    Unavailable,
)
from core_runtime.wire.limits import FIRST_BYTES, FIRST_ITEMS, MAX_CHUNK_BYTES
from core_runtime.wire.streams import Chunk, Item, StreamElement

from .conftest import Wire, packed, settle


class Source:
    """A stream of what it is given; knows whether it was closed."""

    def __init__(self, *elements: StreamElement, error: Exception | None = None, forever: bool = False) -> None:
        self.left = list(elements)
        self.taken = 0
        self.closed = False
        self.error = error
        self.forever = forever

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> StreamElement:
        if self.left:
            self.taken += 1
            return self.left.pop(0)
        if self.error is not None:
            raise self.error
        if self.forever:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def data(number: int, payload: bytes, **more: Any) -> bytes:
    return packed({"k": "data", "id": number, "n": len(payload), **more}, payload)


def item(number: int, value: object) -> dict[str, Any]:
    return {"k": "item", "id": number, "value": value}


# --- answers of the pack that stream


async def test_the_first_element_makes_the_answer_a_stream(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(item(1, {"status": 200}))
    stream = await task
    assert isinstance(stream, AsyncIterator)
    wire.raw(data(1, b"abc") + data(1, "日".encode(), text=True))
    wire.say({"k": "end", "id": 1}, {"k": "result", "id": 1, "ok": True, "value": "done"})
    assert [element async for element in stream] == [
        Item({"status": 200}),
        Chunk(b"abc"),
        Chunk("日".encode(), text=True),
    ]
    assert stream.result == "done"


async def test_an_end_without_elements_is_an_empty_stream(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say({"k": "end", "id": 1}, {"k": "result", "id": 1, "ok": True})
    stream = await task
    assert [element async for element in stream] == []


async def test_a_stream_that_fails_gives_what_came_first_and_then_the_error(wire: Wire) -> None:
    task, _ = await wire.begun()
    error = {"code": "INTERFACE_ERROR", "message": "broke"}
    wire.say(item(1, 1), item(1, 2), {"k": "result", "id": 1, "ok": False, "error": error})
    stream = await task
    assert [await anext(stream), await anext(stream)] == [Item(1), Item(2)]
    with pytest.raises(InterfaceFailed, match="broke"):
        await anext(stream)


async def test_a_reader_that_waits_is_woken(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(item(1, 1))
    stream = await task
    await anext(stream)
    waiting = asyncio.create_task(anext(stream))
    await settle()
    assert not waiting.done()
    wire.say(item(1, 2))
    assert await waiting == Item(2)


async def test_closing_a_stream_early_cancels_the_call(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(item(1, 1))
    stream = await task
    wire.heard()
    await stream.aclose()
    await stream.aclose()
    assert wire.one() == {"k": "cancel", "id": 1}
    wire.say(item(1, 2), {"k": "result", "id": 1, "ok": True})
    assert [element async for element in stream] == []


async def test_closing_after_the_end_says_nothing(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(item(1, 1), {"k": "result", "id": 1, "ok": True})
    stream = await task
    await stream.aclose()
    assert wire.heard() == []


async def test_a_lost_connection_ends_a_stream_with_unavailable(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(item(1, 1))
    stream = await task
    wire.channel.connection_lost(ConnectionResetError())
    assert await anext(stream) == Item(1)
    with pytest.raises(Unavailable):
        await anext(stream)


async def test_credit_is_given_as_items_are_taken(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.say(*[item(1, n) for n in range(FIRST_ITEMS)])
    stream = await task
    assert wire.heard() == []
    for _ in range(FIRST_ITEMS // 2):
        await anext(stream)
    assert wire.one() == {"k": "credit", "id": 1, "items": FIRST_ITEMS // 2}
    wire.say(*[item(1, n) for n in range(FIRST_ITEMS // 2)])
    assert not wire.events.ends


async def test_a_whole_chunk_fits_again_after_any_chunk_was_taken(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.raw(data(1, b"a" * 100))
    stream = await task
    await anext(stream)
    credit = wire.one()
    assert credit["bytes"] >= 100 + FIRST_BYTES - 100
    for _ in range(40):
        wire.raw(data(1, b"a" * (MAX_CHUNK_BYTES - 1)))
        await anext(stream)
    assert not task.result()._over


@pytest.mark.parametrize("kind", ["items", "bytes"])
async def test_more_than_was_allowed_ends_the_call_and_nothing_else(wire: Wire, kind: str) -> None:
    task, _ = await wire.begun()
    other, other_frame = await wire.begun()
    if kind == "items":
        wire.say(*[item(1, n) for n in range(FIRST_ITEMS + 1)])
    else:
        wire.raw(data(1, b"a" * FIRST_BYTES) + data(1, b"a"))
    stream = await task
    with pytest.raises(InterfaceFailed, match="more than it was allowed"):
        async for _ in stream:
            pass
    assert {"k": "cancel", "id": 1} in wire.heard()
    wire.say({"k": "result", "id": other_frame["id"], "ok": True, "value": 1})
    assert await other == 1


async def test_the_deadline_ends_at_the_head_and_idleness_begins(make_wire) -> None:
    wire = make_wire(idle_seconds=300.0)
    task, _ = await wire.begun(context=wire.context(2.0))
    wire.say(item(1, 1))
    stream = await task
    await anext(stream)
    wire.pass_time(250)
    wire.say(item(1, 2))
    wire.pass_time(299)
    assert await anext(stream) == Item(2)
    wire.pass_time(299)
    assert wire.channel.calls_open == 1
    wire.pass_time(2)
    with pytest.raises(DeadlineExceeded, match="stood still"):
        await anext(stream)
    assert {"k": "cancel", "id": 1} in wire.heard()


async def test_idleness_can_be_set_for_a_call(wire: Wire) -> None:
    task, _ = await wire.begun(idle=1.5)
    wire.say(item(1, 1))
    stream = await task
    wire.pass_time(1.6)
    with pytest.raises(DeadlineExceeded):
        await anext(stream)


async def test_one_stream_more_than_may_be_open_is_refused(make_wire) -> None:
    wire = make_wire(max_streams=2)
    tasks = [(await wire.begun())[0] for _ in range(3)]
    wire.say(item(1, 1), item(3, 1), item(5, 1))
    with pytest.raises(RateLimited):
        await tasks[2]
    await (await tasks[0]).aclose()
    fourth, frame = await wire.begun()
    wire.say(item(frame["id"], 1))
    await (await fourth).aclose()
    await (await tasks[1]).aclose()
    assert wire.channel._outward._parts.slots._open == 0


async def test_more_than_anybody_takes_stops_the_reading_until_it_is_taken(make_wire) -> None:
    wire = make_wire(inbound_bytes=10_000)
    task, _ = await wire.begun()
    wire.say(*[item(1, "a" * 1000) for _ in range(20)])
    stream = await task
    assert not wire.transport.reading
    held = stream.size
    assert held < 13_000
    for _ in range(20):
        await anext(stream)
        await settle()
    assert wire.transport.reading
    assert stream.size == 0


async def test_a_stream_that_nobody_reads_does_not_stop_the_others_for_ever(make_wire) -> None:
    wire = make_wire(inbound_bytes=10_000, stuck_seconds=30.0)
    task, _ = await wire.begun()
    other, other_frame = await wire.begun(context=wire.context(100))
    wire.say(*[item(1, "a" * 1000) for _ in range(11)], {"k": "result", "id": other_frame["id"], "ok": True})
    stream = await task
    await settle()
    assert not other.done()
    wire.pass_time(31)
    await settle()
    with pytest.raises(TooLarge, match="faster than anybody read"):
        await anext(stream)
    assert await other is None
    assert wire.transport.reading


# --- streams that go into the pack


async def test_a_stream_goes_in_behind_its_call(wire: Wire) -> None:
    source = Source(Item({"head": 1}), Chunk(b"abc"), Chunk("ä".encode(), text=True))
    task = wire.begin(stream_in=source)
    await settle()
    frames = wire.heard()
    assert frames[0]["in"] is True
    assert frames[1:] == [
        item(1, {"head": 1}),
        {"k": "data", "id": 1, "n": 3, "payload": b"abc"},
        {"k": "data", "id": 1, "n": 2, "text": True, "payload": "ä".encode()},
        {"k": "end", "id": 1},
    ]
    assert source.closed
    wire.say({"k": "result", "id": 1, "ok": True, "value": 3})
    assert await task == 3


async def test_no_more_goes_in_than_the_agent_allows(wire: Wire) -> None:
    source = Source(*[Item(n) for n in range(200)])
    task = wire.begin(stream_in=source)
    await settle(300)
    assert len(wire.heard()) == 1 + FIRST_ITEMS
    wire.say({"k": "credit", "id": 1, "items": 10})
    await settle(300)
    assert len(wire.heard()) == 10
    wire.say({"k": "credit", "id": 1, "items": 2**53})
    await settle(300)
    assert wire.heard()[-1] == {"k": "end", "id": 1}
    wire.say({"k": "result", "id": 1, "ok": True})
    await task


async def test_bytes_leave_in_parts_where_the_credit_ends_and_texts_stay_whole(wire: Wire) -> None:
    source = Source(Chunk(b"a" * 200_000), Chunk(b"b" * 200_000), Chunk(b"c" * 1000, text=True))
    task = wire.begin(stream_in=source)
    await settle(20)
    sizes = [frame["n"] for frame in wire.heard()[1:]]
    assert sizes == [200_000, FIRST_BYTES - 200_000]
    wire.say({"k": "credit", "id": 1, "bytes": 400_000 - FIRST_BYTES + 999})
    await settle(20)
    assert [frame["n"] for frame in wire.heard()] == [400_000 - FIRST_BYTES]
    wire.say({"k": "credit", "id": 1, "bytes": 1})
    await settle(20)
    assert [frame.get("n") for frame in wire.heard()] == [1000, None]
    wire.say({"k": "result", "id": 1, "ok": True})
    await task


async def test_an_answer_before_the_end_of_the_upload_closes_the_source(wire: Wire) -> None:
    source = Source(Item(1), forever=True)
    task = wire.begin(stream_in=source)
    await settle()
    wire.say({"k": "result", "id": 1, "ok": True, "value": "enough"})
    assert await task == "enough"
    await settle()
    assert source.closed


async def test_a_source_that_fails_cancels_the_call_and_tells_the_caller(wire: Wire) -> None:
    source = Source(Item(1), error=GrantDenied("no more"))
    task = wire.begin(stream_in=source)
    with pytest.raises(GrantDenied, match="no more"):
        await task
    assert wire.heard()[-1] == {"k": "cancel", "id": 1}
    assert source.closed


@pytest.mark.parametrize("when", ["before", "refused", "at once"])
async def test_a_source_is_closed_even_if_nothing_of_it_is_ever_sent(wire: Wire, when: str) -> None:
    source = Source(Item(1))
    if when == "before":
        with pytest.raises(DeadlineExceeded):
            await wire.channel.call("a.b", {}, context=wire.context(-1), stream_in=source)
    elif when == "refused":
        wire.channel.abort("x")
        with pytest.raises(Unavailable):
            await wire.channel.call("a.b", {}, context=wire.context(), stream_in=source)
    else:
        task = wire.begin(stream_in=source)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await settle()
    assert source.closed


async def test_a_chunk_over_256_kib_is_refused(wire: Wire) -> None:
    with pytest.raises(TooLarge):
        await wire.channel.call(
            "a.b", {}, context=wire.context(), stream_in=Source(Chunk(b"a" * (MAX_CHUNK_BYTES + 1)))
        )


async def test_an_upload_waits_while_the_agent_does_not_read(wire: Wire) -> None:
    source = Source(*[Item(n) for n in range(50)])
    task = wire.begin(stream_in=source)
    await asyncio.sleep(0)
    wire.channel.pause_writing()
    await settle(100)
    assert source.taken <= 1
    wire.channel.resume_writing()
    await settle(100)
    assert wire.heard()[-1] == {"k": "end", "id": 1}
    wire.say({"k": "result", "id": 1, "ok": True})
    await task


# --- answers of the gate that stream


def wish(number: int = 2, **more: Any) -> dict[str, Any]:
    return {"k": "call", "id": number, "name": "http.request", "args": {}, "deadline_ms": 1000, **more}


@pytest.mark.parametrize("how", ["at once", "awaited"])
async def test_a_stream_of_the_gate_goes_out_with_end_and_result(wire: Wire, how: str) -> None:
    async def later() -> object:
        return Source(Item(1), Chunk(b"x"))

    wire.gate.answer = lambda _call: Source(Item(1), Chunk(b"x")) if how == "at once" else later()
    wire.say(wish())
    await settle()
    assert wire.heard() == [
        item(2, 1),
        {"k": "data", "id": 2, "n": 1, "payload": b"x"},
        {"k": "end", "id": 2},
        {"k": "result", "id": 2, "ok": True, "value": None},
    ]


async def test_a_streaming_answer_waits_for_credit_and_ends_by_cancel(wire: Wire) -> None:
    source = Source(*[Item(n) for n in range(100)])
    wire.gate.answer = lambda _call: source
    wire.say(wish())
    await settle(100)
    assert len(wire.heard()) == FIRST_ITEMS
    wire.say({"k": "credit", "id": 2, "items": 1})
    await settle()
    assert wire.one() == item(2, FIRST_ITEMS)
    wire.say({"k": "cancel", "id": 2})
    await settle()
    assert source.closed
    assert wire.heard() == []


async def test_a_streaming_answer_has_no_deadline_but_must_not_stand_still(make_wire) -> None:
    wire = make_wire(idle_seconds=25.0)
    source = Source(Item(1), forever=True)
    wire.gate.answer = lambda _call: source
    wire.say(wish(deadline_ms=100))
    await settle()
    wire.heard()
    wire.pass_time(20)
    assert [frame for frame in wire.heard() if frame["k"] == "result"] == []
    wire.pass_time(6)
    await settle()
    assert [frame["error"]["code"] for frame in wire.heard() if frame["k"] == "result"] == ["TIMEOUT"]
    assert source.closed


async def test_streams_of_the_gate_count_as_streams_and_no_longer_as_calls(make_wire) -> None:
    wire = make_wire(calls_in=1, max_streams=2)
    sources = [Source(Item(1), forever=True) for _ in range(3)]
    wire.gate.answer = lambda _call: sources[len(wire.gate.asked) - 1]
    for number in (2, 4, 6):
        wire.say(wish(number))
        await settle()
    codes = [frame["error"]["code"] for frame in wire.heard() if frame["k"] == "result"]
    assert codes == ["RATE_LIMITED"]
    assert sources[2].closed
    wire.say({"k": "cancel", "id": 2}, {"k": "cancel", "id": 4})
    await settle()
    assert (wire.channel._inward._busy, wire.channel._outward._parts.slots._open) == (0, 0)


async def test_a_source_of_the_gate_that_is_never_begun_is_closed(wire: Wire) -> None:
    source = Source(Item(1))
    wire.gate.answer = lambda _call: source
    wire.say(wish(), {"k": "cancel", "id": 2})
    await settle()
    assert source.closed


async def test_what_the_pack_sends_with_a_wish_is_read_by_the_gate(wire: Wire) -> None:
    got: list[StreamElement] = []

    async def read(call: Any) -> object:
        got.extend([element async for element in call.stream_in])
        return len(got)

    wire.gate.answer = read
    wire.say(wish(**{"in": True}), item(2, "head"))
    wire.raw(data(2, b"body"))
    await settle()
    wire.say({"k": "end", "id": 2})
    await settle()
    assert got == [Item("head"), Chunk(b"body")]
    assert wire.heard()[-1] == {"k": "result", "id": 2, "ok": True, "value": 2}


async def test_a_wish_whose_upload_overruns_is_refused(wire: Wire) -> None:
    async def slow(_call: object) -> object:
        await asyncio.Event().wait()

    wire.gate.answer = slow
    wire.say(wish(**{"in": True}), *[item(2, n) for n in range(FIRST_ITEMS + 1)])
    await settle()
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"
    assert wire.channel._outward._parts.inbound.used == 0


async def test_a_wish_that_is_given_up_ends_the_upload_it_was_reading(wire: Wire) -> None:
    seen: list[object] = []

    async def read(call: Any) -> object:
        try:
            async for element in call.stream_in:
                seen.append(element)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return None

    wire.gate.answer = read
    wire.say(wish(**{"in": True}), item(2, 1))
    await settle()
    wire.say({"k": "cancel", "id": 2})
    await settle()
    assert seen == [Item(1), "cancelled"]


async def test_elements_for_nobody_fall_to_the_ground(wire: Wire) -> None:
    wire.say(item(2, 1), item(1, 1), {"k": "end", "id": 4}, {"k": "end", "id": 3}, {"k": "credit", "id": 9, "items": 1})
    wire.raw(data(8, b"x") + data(7, b"x"))
    wire.say({"k": "cancel", "id": 8}, {"k": "cancel", "id": 7}, {"k": "result", "id": 2, "ok": True})
    assert wire.heard() == []
    assert not wire.events.ends
