"""What the running agent does with frames that are no frames, and with bad values in good ones."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

RUNTIME = Path(__file__).parents[3] / "docker" / "core" / "runtime"
if str(RUNTIME) not in sys.path:
    sys.path.insert(0, str(RUNTIME))

from rumi_agent.checks import TO_AGENT  # noqa: E402
from rumi_agent.codec import BadValue, FrameReader, MalformedStream, NotJson, decode_json, encode_value  # noqa: E402

ECHO = """
def run(context):
    context["interface_registry"].register("echo", lambda args: args)
"""
CONFIG = b'{"k":"config","protocol":1,"pack_id":"a","settings":{},"concurrency":2,"max_streams":2,"proxy":false}'


def framed(body: bytes) -> bytes:
    """A length and its bytes."""
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\0\0\0\0", id="UD-01-length-0"),
        pytest.param(b"\xff\xff\xff\xff", id="UD-01-length-0xFFFFFFFF"),
        pytest.param(struct.pack(">I", 4 * 1024 * 1024 + 64 * 1024 + 1), id="UD-01-max-plus-1"),
        pytest.param(framed(b"[]"), id="UD-06-list"),
        pytest.param(framed(b'{"k":"call","id":1,"name":"echo","args":NaN,"deadline_ms":5}'), id="UD-06-nan"),
        pytest.param(framed(b"[" * 100_000), id="UD-06-nested"),
        pytest.param(framed(b'{"k":"\xff"}'), id="UD-06-not-utf-8"),
        pytest.param(framed(b'{"k":"ping"}{"k":"ping"}'), id="UD-06-two-values"),
    ],
)
def test_what_is_no_frame_ends_the_agent_with_70_and_a_line_for_people(kernel: Any, raw: bytes) -> None:
    kernel.component(ECHO, ["echo"])
    kernel.start()
    kernel.sock.sendall(raw)
    assert kernel.exit_code() == 70
    text = kernel.stderr()
    assert text.startswith("rumi-agent: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text


def test_the_first_frame_has_to_be_config(kernel: Any) -> None:
    kernel.start(hello=False)
    kernel.send({"k": "ping"})
    assert kernel.exit_code() == 70
    assert "not config" in kernel.stderr()


def test_a_stream_that_closes_before_config_ends_it_with_0(kernel: Any) -> None:
    kernel.start(hello=False)
    kernel.sock.sendall(b"\0\0")
    kernel.sock.close()
    assert kernel.exit_code() == 0


def test_ud_06_a_bad_value_in_a_good_frame_is_a_validation_error_and_the_agent_goes_on(kernel: Any) -> None:
    kernel.component(ECHO, ["echo"])
    kernel.start()
    for number, wrong in enumerate(
        ({"name": 5}, {"deadline_ms": "5"}, {"token": 1}, {"in": 1}, {"ctx": []}, {"deadline_ms": True})
    ):
        frame = kernel.call_frame(2001 + 2 * number, "echo", 1)
        kernel.send({**frame, **wrong})
        error = kernel.result(2001 + 2 * number)["error"]
        assert error["code"] == "VALIDATION_ERROR"
        assert next(iter(wrong)) in error["message"]
    kernel.send({"k": "exec"})
    kernel.send({"k": "credit", "id": True, "items": 1})
    kernel.send({"k": "hello", "protocol": 1})
    kernel.send(kernel.call_frame(2, "echo", 1))
    assert kernel.value("echo", [1]) == [1]
    assert kernel.log_with("bad frame")
    assert not kernel.kept


def test_frames_may_come_in_any_cuts(kernel: Any) -> None:
    kernel.component(ECHO, ["echo"])
    kernel.start()
    import json

    whole = b"".join(framed(json.dumps(kernel.call_frame(n, "echo", "é" * n)).encode()) for n in range(1001, 1041, 2))
    for at in range(0, len(whole), 7):
        kernel.sock.sendall(whole[at : at + 7])
    for n in range(1001, 1041, 2):
        assert kernel.result(n)["value"] == "é" * n


def test_the_largest_frames_pass_in_both_directions(kernel: Any) -> None:
    kernel.component(ECHO, ["echo"])
    kernel.start()
    text = "x" * (4 * 1024 * 1024 - 2)
    assert kernel.value("echo", text) == text
    assert kernel.value("echo", 1) == 1


FRAMES = [
    b'{"k":"call","id":11,"name":"echo","args":{"a":[1,2.5,null]},"deadline_ms":1000,"token":"t","ctx":{"run_id":"r","actor":null}}',
    b'{"k":"result","id":2,"ok":true,"value":{"a":"\\u00e9"}}',
    b'{"k":"result","id":2,"ok":false,"error":{"code":"X","message":"m","hint":"","request_id":"","details":{}}}',
    b'{"k":"item","id":11,"value":[[[]]]}',
    b'{"k":"end","id":11}',
    b'{"k":"credit","id":11,"items":5,"bytes":9}',
    b'{"k":"cancel","id":11}',
    b'{"k":"event","interface":"echo","topic":"a/b","payload":{}}',
    b'{"k":"ping"}',
    b'{"k":"stop","grace_ms":5}',
    CONFIG,
]
SPLINTERS = [
    b"NaN",
    b"\xff",
    b"\\ud800",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\0",
    b"1e999",
    b"-",
    b"9" * 40,
    b'"k":"data","n":3',
    b" ",
]


def mutated(chooser: random.Random) -> bytes:
    """One frame with a few things wrong, or none."""
    body = bytearray(chooser.choice(FRAMES))
    for _ in range(chooser.randrange(4)):
        at = chooser.randrange(len(body) + 1)
        kind = chooser.randrange(4)
        if kind == 0:
            body[at : at + chooser.randrange(6)] = b""
        elif kind == 1:
            body[at:at] = chooser.choice(SPLINTERS)
        elif kind == 2 and at < len(body):
            body[at] = chooser.randrange(256)
        else:
            body[at:at] = bytes(body[chooser.randrange(len(body) + 1) :][:20])
    raw = framed(bytes(body))
    if chooser.random() < 0.1:
        raw = bytes([chooser.randrange(256)]) + raw[1:]
    return raw


def test_two_thousand_mutated_frames_give_frames_or_the_two_errors_and_nothing_else() -> None:
    chooser = random.Random(20)
    good = bad = closed = 0
    for _ in range(2000):
        reader = FrameReader(TO_AGENT)
        raw = mutated(chooser)
        room = reader.writable()
        room[: len(raw)] = raw
        reader.wrote(len(raw))
        try:
            good += reader.next() is not None
        except BadValue:
            bad += 1
        except MalformedStream:
            closed += 1
    assert min(good, bad, closed) > 100


def test_a_running_agent_survives_every_mutated_frame_that_is_still_a_frame(kernel: Any) -> None:
    kernel.component(ECHO, ["echo"])
    kernel.start()
    chooser = random.Random(21)
    kept = []
    for _ in range(2000):
        raw = mutated(chooser)
        reader = FrameReader({**TO_AGENT, "stop": lambda frame: "not now"})
        reader.writable()[: len(raw)] = raw
        reader.wrote(len(raw))
        try:
            whole = reader.next() is not None and not reader.buffered
        except BadValue as error:
            whole = not reader.buffered and "not now" not in str(error)
        except MalformedStream:
            whole = False
        if whole:
            kept.append(raw)
    assert len(kept) > 500
    for at in range(0, len(kept), 50):
        kernel.sock.sendall(b"".join(kept[at : at + 50]))
        kernel.quiet(0.001)
    kernel.send(kernel.call_frame(10**9 + 1, "echo", "alive"))  # an id that no mutation makes
    assert kernel.result(10**9 + 1)["value"] == "alive"


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", 'é\0\n"\\', [], {}, {"a": {"b": [1, "x", None]}}, 2**64 - 1, -(2**63), 1e308, "😀"],
)
def test_what_is_encoded_is_decoded_to_the_same(value: Any) -> None:
    assert decode_json(encode_value(value)) == value


def test_text_that_only_looks_like_a_long_number_is_fine() -> None:
    assert encode_value({"id": "1" * 400}) == b'{"id":"' + b"1" * 400 + b'"}'
    with pytest.raises(NotJson, match=r"value\[1\]"):
        encode_value([0, 10**19 * 10])
