"""The reader of frames: bounded, strict, indifferent to how bytes are cut."""

from __future__ import annotations

import random
import sys

import orjson
import pytest

from core_runtime.wire.frames import FrameDecoder, FrameError
from core_runtime.wire.limits import MAX_CHUNK_BYTES, MAX_FRAME_BYTES
from core_runtime.wire.messages import Data, ItemFrame, Log, Ping, Result
from core_runtime.wire.parse import BadValue


def packed(frame: object, payload: bytes = b"") -> bytes:
    body = orjson.dumps(frame)
    return len(body).to_bytes(4, "big") + body + payload


def drain(decoder: FrameDecoder) -> list[object]:
    return list(iter(decoder.next, None))


def test_UD_01_nothing_is_reserved_by_an_announced_length() -> None:
    decoder = FrameDecoder()
    decoder.feed(MAX_FRAME_BYTES.to_bytes(4, "big") + b"{")
    assert decoder.next() is None
    assert sys.getsizeof(decoder._buffer) < 1000
    decoder.feed(b"a")
    assert sys.getsizeof(decoder._buffer) < 1000


def test_UD_01_a_length_over_the_limit_is_refused_before_the_body() -> None:
    decoder = FrameDecoder()
    decoder.feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="at most"):
        decoder.next()


def test_good_frames_before_a_bad_one_come_out() -> None:
    decoder = FrameDecoder()
    decoder.feed(packed({"k": "ping"}) + b"\x00\x00\x00\x00")
    assert decoder.next() == Ping()
    with pytest.raises(FrameError):
        decoder.next()


def test_any_cut_gives_the_same_messages() -> None:
    raw = b"".join(
        [
            packed({"k": "ping"}),
            packed({"k": "data", "id": 2, "n": 5}, b"12345"),
            packed({"k": "item", "id": 4, "value": "日本" * 50}),
            packed({"k": "data", "id": 2, "n": 0}),
            packed({"k": "log", "level": "info", "text": "x", "fields": {"a": [1]}}),
            packed({"k": "data", "id": 2, "n": MAX_CHUNK_BYTES, "text": True}, b"z" * MAX_CHUNK_BYTES),
            packed({"k": "result", "id": 1, "ok": True, "value": None}),
        ]
    )
    whole = FrameDecoder()
    whole.feed(raw)
    expected = drain(whole)
    assert [type(message) for message in expected] == [Ping, Data, ItemFrame, Data, Log, Data, Result]
    dice = random.Random(7)
    for _ in range(50):
        decoder, got, at = FrameDecoder(), [], 0
        while at < len(raw):
            step = dice.choice([1, 2, 3, 17, 300, 70_000])
            decoder.feed(raw[at : at + step])
            got += drain(decoder)
            at += step
        assert got == expected
        assert not decoder.mid_frame


def test_the_size_of_a_frame_counts_its_bytes() -> None:
    decoder = FrameDecoder()
    frame = packed({"k": "data", "id": 2, "n": 100}, b"a" * 100)
    decoder.feed(frame)
    decoder.next()
    assert decoder.size == len(frame) - 4


def test_mid_frame_is_told_at_every_point() -> None:
    raw = packed({"k": "data", "id": 2, "n": 3}, b"abc")
    decoder = FrameDecoder()
    for octet in raw[:-1]:
        decoder.feed(bytes([octet]))
        assert decoder.next() is None
        assert decoder.mid_frame
    decoder.feed(raw[-1:])
    assert decoder.next() == Data(2, b"abc")
    assert not decoder.mid_frame


def test_one_byte_at_a_time_costs_no_more_than_its_size() -> None:
    decoder = FrameDecoder()
    body = b'{"k":"item","id":2,"value":"' + b"a" * 200_000 + b'"}'
    for octet in len(body).to_bytes(4, "big") + body:
        decoder.feed(bytes([octet]))
        message = decoder.next()
    assert isinstance(message, ItemFrame)


def test_a_big_integer_is_a_number_and_not_a_crash() -> None:
    decoder = FrameDecoder()
    body = b'{"k":"item","id":2,"value":[18446744073709551616,1' + b"0" * 300 + b"]}"
    decoder.feed(len(body).to_bytes(4, "big") + body)
    message = decoder.next()
    assert isinstance(message, ItemFrame)
    assert message.value == [1.8446744073709552e19, 1e300]


@pytest.mark.parametrize("depth", [200, 240], ids=["UD-06-200-deep", "UD-06-240-deep"])
def test_what_is_nested_deep_can_be_passed_on_if_it_is_taken(depth: int) -> None:
    body = b'{"k":"item","id":2,"value":' + b"[" * depth + b"]" * depth + b"}"
    decoder = FrameDecoder()
    decoder.feed(len(body).to_bytes(4, "big") + body)
    message = decoder.next()
    assert isinstance(message, ItemFrame)
    orjson.dumps({"args": message.value})


def test_a_frame_with_a_bad_value_does_not_disturb_the_next() -> None:
    decoder = FrameDecoder()
    decoder.feed(
        packed({"k": "end", "id": True}) + packed({"k": "data", "id": "x", "n": 2}, b"{}") + packed({"k": "ping"})
    )
    first, second, third = drain(decoder)
    assert isinstance(first, BadValue)
    assert isinstance(second, BadValue)
    assert third == Ping()
