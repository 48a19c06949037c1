"""Streams: out of generators, into handlers, and answers of capabilities, each held back by credit."""

from __future__ import annotations

import time
from typing import Any

import pytest

STREAMS = """
import asyncio, time
closed = []

def count(args):
    try:
        for n in range(args["n"]):
            yield n
        return "sum"
    except GeneratorExit:
        closed.append("count")
        raise

async def acount(args, ctx):
    try:
        for n in range(args["n"]):
            yield n
    finally:
        closed.append("acount")

def body(args):
    yield {"status": 200}
    for size in args["sizes"]:
        yield b"z" * size
    yield bytearray(b"end")

async def abody(args):
    yield {"status": 200}
    for size in args["sizes"]:
        yield b"z" * size
    yield memoryview(b"end")

def bad(args):
    yield 1
    if args == "raise":
        raise ValueError("in the middle")
    yield {1, 2}

async def abad(args):
    yield 1
    if args == "raise":
        raise ValueError("in the middle")
    yield {1, 2}

def made(args):
    return (n for n in range(3))

def slow(args, ctx):
    try:
        yield 0
        while not ctx.cancelled:
            time.sleep(0.005)
    finally:
        closed.append("slow")

def total(args, ctx):
    return [[part if isinstance(part, (int, str)) else len(part) for part in ctx.stream], ctx.run_id]

async def atotal(args, ctx):
    return [[part if isinstance(part, (int, str)) else len(part) async for part in ctx.stream], ctx.run_id]

def first(args, ctx):
    return next(iter(ctx.stream))

def echo(args, ctx):
    for part in ctx.stream:
        yield part

async def aecho(args, ctx):
    async for part in ctx.stream:
        yield part

def fetch(args, ctx):
    with ctx.open_stream("http.request", {"url": "x"}) as stream:
        return [part if not isinstance(part, bytes) else len(part) for part in stream]

async def afetch(args, ctx):
    return [part async for part in ctx.open_stream("http.request", {"url": "x"})]

def wrong(args, ctx):
    return ctx.capability("http.request", {})

def upload(args, ctx):
    with ctx.open_stream("blob.put", upload=True) as stream:
        for size in args:
            stream.send(b"u" * size)
        stream.send({"last": True})
        stream.end()
        return list(stream)

def run(context):
    register = context["interface_registry"].register
    for name in NAMES:
        register(name, globals()[name])
    register("quick", lambda args: args)
    register("closed", lambda: closed)
NAMES = ["count", "acount", "body", "abody", "bad", "abad", "made", "slow", "total", "atotal", "first", "echo", "aecho",
         "fetch", "afetch", "wrong", "upload"]
"""
NAMES = ["count", "acount", "body", "abody", "bad", "abad", "made", "slow", "total", "atotal", "first", "echo", "aecho"]
NAMES += ["fetch", "afetch", "wrong", "upload", "quick", "closed"]


@pytest.fixture
def streaming(kernel: Any) -> Any:
    kernel.component(STREAMS, NAMES)
    kernel.start()
    assert "error" not in kernel.hello["components"][0], kernel.hello
    return kernel


def collect(kernel: Any, number: int, *, credit: bool = True) -> tuple[list[Any], dict[str, Any]]:
    """All elements of a stream, giving credit as they come, and its result."""
    elements: list[Any] = []
    while True:
        frame = kernel.next("item", "data", "result", "end")
        assert frame["id"] == number
        if frame["k"] == "result":
            return elements, frame
        if frame["k"] == "item":
            elements.append(frame["value"])
            if credit:
                kernel.send({"k": "credit", "id": number, "items": 1})
        elif frame["k"] == "data":
            assert frame["n"] <= 256 * 1024
            elements.append(frame["payload"])
            if credit:
                kernel.send({"k": "credit", "id": number, "bytes": frame["n"]})


@pytest.mark.parametrize("name", ["count", "acount"])
def test_a_generator_is_a_stream_and_stops_where_the_credit_ends(streaming: Any, name: str) -> None:
    number = streaming.call(name, {"n": 200})
    items = [frame["value"] for frame in streaming.quiet()]
    assert items == list(range(64))
    streaming.send({"k": "credit", "id": number, "items": 10})
    assert [frame["value"] for frame in streaming.quiet()] == list(range(64, 74))
    streaming.send({"k": "credit", "id": number, "items": 1000})
    elements, result = collect(streaming, number, credit=False)
    assert elements == list(range(74, 200))
    assert result["ok"]
    assert result["value"] == ("sum" if name == "count" else None)


@pytest.mark.parametrize("name", ["count", "acount"])
def test_an_empty_stream_is_an_end_and_a_result(streaming: Any, name: str) -> None:
    number = streaming.call(name, {"n": 0})
    assert [frame["k"] for frame in streaming.quiet()] == ["end", "result"]
    assert number


@pytest.mark.parametrize("name", ["body", "abody"])
def test_bytes_leave_as_data_cut_to_256_kib_and_to_the_credit(streaming: Any, name: str) -> None:
    number = streaming.call(name, {"sizes": [300_000, 0, 600_000]})
    held = streaming.quiet()
    assert sum(frame["n"] for frame in held if frame["k"] == "data") == 256 * 1024
    streaming.kept.extend(held)
    streaming.send({"k": "credit", "id": number, "bytes": 100})
    elements, result = collect(streaming, number)
    assert elements[0] == {"status": 200}
    assert b"".join(elements[1:]) == b"z" * 900_000 + b"end"
    assert result["ok"]


@pytest.mark.parametrize("name", ["bad", "abad"])
def test_a_stream_that_fails_in_the_middle_ends_with_the_error(streaming: Any, name: str) -> None:
    elements, result = collect(streaming, streaming.call(name, "raise"))
    assert elements == [1]
    assert result["error"]["message"] == "ValueError: in the middle"
    elements, result = collect(streaming, streaming.call(name, "set"))
    assert elements == [1]
    assert "value is a set" in result["error"]["message"]


def test_a_plain_function_may_return_a_generator(streaming: Any) -> None:
    assert collect(streaming, streaming.call("made"))[0] == [0, 1, 2]


@pytest.mark.parametrize("name", ["count", "acount"])
def test_cancel_closes_a_generator_that_waits_for_credit(streaming: Any, name: str) -> None:
    number = streaming.call(name, {"n": 1000})
    assert len(streaming.quiet()) == 64
    streaming.send({"k": "cancel", "id": number})
    deadline = time.monotonic() + 5
    while streaming.value("closed") != [name] and time.monotonic() < deadline:
        time.sleep(0.005)
    assert streaming.value("closed") == [name]
    assert not streaming.kept


def test_cancel_is_seen_by_a_generator_that_runs(streaming: Any) -> None:
    number = streaming.call("slow")
    assert streaming.next("item")["value"] == 0
    streaming.send({"k": "cancel", "id": number})
    deadline = time.monotonic() + 5
    while not streaming.value("closed") and time.monotonic() < deadline:
        time.sleep(0.005)
    assert streaming.value("closed") == ["slow"]
    assert not streaming.kept


@pytest.mark.parametrize("name", ["total", "atotal"])
def test_a_handler_reads_what_the_caller_sends_and_gives_credit_for_it(streaming: Any, name: str) -> None:
    number = streaming.call(name, **{"in": True, "ctx": {"run_id": "r", "actor": None}})
    room_items, room_bytes = 64, 256 * 1024
    sent: list[Any] = []
    for n in range(300):
        while room_items == 0 or room_bytes < 5000:
            credit = streaming.next("credit")
            assert credit["id"] == number
            room_items += credit.get("items", 0)
            room_bytes += credit.get("bytes", 0)
        if n % 3:
            streaming.send({"k": "item", "id": number, "value": n})
            room_items -= 1
            sent.append(n)
        else:
            streaming.send({"k": "data", "id": number, "n": 5000}, b"d" * 5000)
            room_bytes -= 5000
            sent.append(5000)
    streaming.send({"k": "data", "id": number, "n": 3, "text": True}, "日".encode())
    streaming.send({"k": "data", "id": number, "n": 0}, b"")
    streaming.send({"k": "end", "id": number})
    assert streaming.result(number)["value"] == [[*sent, "日", 0], "r"]


@pytest.mark.parametrize("name", ["echo", "aecho"])
def test_streams_in_both_directions_at_once(streaming: Any, name: str) -> None:
    numbers = [streaming.call(name, **{"in": True}) for _ in range(5)]
    for n in range(20):
        for number in numbers:
            streaming.send({"k": "item", "id": number, "value": n})
    for number in numbers:
        streaming.send({"k": "end", "id": number})
    got: dict[int, list[int]] = {number: [] for number in numbers}
    while any(len(values) < 20 for values in got.values()):
        frame = streaming.next("item")
        got[frame["id"]].append(frame["value"])
    assert all(values == list(range(20)) for values in got.values())
    for number in numbers:
        assert streaming.result(number)["ok"]


def test_a_handler_may_leave_its_input_unread(streaming: Any) -> None:
    number = streaming.call("first", **{"in": True})
    for n in range(10):
        streaming.send({"k": "item", "id": number, "value": n})
    assert streaming.result(number)["value"] == 0
    streaming.send({"k": "item", "id": number, "value": 11})
    assert streaming.value("quick", 1) == 1


def test_a_kernel_that_sends_more_than_the_credit_is_no_kernel(streaming: Any) -> None:
    number = streaming.call("slow", **{"in": True})
    for n in range(65):
        streaming.send({"k": "item", "id": number, "value": n})
    assert streaming.exit_code() == 70


@pytest.mark.parametrize("name", ["fetch", "afetch"])
def test_the_answer_of_a_capability_can_be_a_stream(streaming: Any, no_answer: object, name: str) -> None:
    streaming.answer = lambda frame: no_answer
    number = streaming.call(name)
    asked = streaming.next("call")["id"]
    streaming.send({"k": "item", "id": asked, "value": {"status": 200}})
    for n in range(70):
        if n == 60:
            assert streaming.next("credit")["items"] == 32
        streaming.send({"k": "item", "id": asked, "value": n})
    streaming.send({"k": "end", "id": asked})
    streaming.send({"k": "result", "id": asked, "ok": True, "value": None})
    assert streaming.result(number)["value"] == [{"status": 200}, *range(70)]
    number = streaming.call(name)
    asked = streaming.next("call")["id"]
    streaming.send({"k": "result", "id": asked, "ok": False, "error": {"code": "GRANT_DENIED", "message": "No."}})
    assert streaming.result(number)["error"]["details"]["code"] == "GRANT_DENIED"


def test_an_answer_that_streams_unasked_is_refused_with_a_hint(streaming: Any, no_answer: object) -> None:
    streaming.answer = lambda frame: no_answer
    number = streaming.call("wrong")
    asked = streaming.next("call")["id"]
    streaming.send({"k": "item", "id": asked, "value": 1})
    assert streaming.next("cancel")["id"] == asked
    assert "open_stream" in streaming.result(number)["error"]["hint"]


def test_a_pack_uploads_within_the_credit_that_it_gets(streaming: Any, no_answer: object) -> None:
    streaming.answer = lambda frame: no_answer
    number = streaming.call("upload", [200_000, 200_000])
    asked = streaming.next("call")
    assert asked["in"] is True
    held = streaming.quiet()
    assert sum(frame["n"] for frame in held) == 256 * 1024
    streaming.send({"k": "credit", "id": asked["id"], "bytes": 500_000})
    rest = [streaming.next("data", "item", "end")]
    while rest[-1]["k"] != "end":
        rest.append(streaming.next("data", "item", "end"))
    assert sum(frame.get("n", 0) for frame in held + rest) == 400_000
    assert rest[-2]["value"] == {"last": True}
    streaming.send({"k": "item", "id": asked["id"], "value": "digest"})
    streaming.send({"k": "result", "id": asked["id"], "ok": True, "value": None})
    assert streaming.result(number)["value"] == ["digest"]


def test_no_more_streams_than_allowed_are_open_at_once(kernel: Any) -> None:
    kernel.component(STREAMS, NAMES)
    kernel.start(max_streams=2)
    numbers = [kernel.call("count", {"n": 100}) for _ in range(3)]
    assert kernel.result(numbers[2])["error"]["code"] == "RATE_LIMITED"
    kernel.send({"k": "cancel", "id": numbers[0]})
    kernel.send({"k": "credit", "id": numbers[1], "items": 100})
    assert kernel.result(numbers[1])["ok"]
    again = kernel.call("count", {"n": 1})
    assert kernel.result(again)["ok"]
