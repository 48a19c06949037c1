"""What the kernel writes: in bounds, or refused before a byte is sent."""

from __future__ import annotations

from types import MappingProxyType

import orjson
import pytest

from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.wire.encode import encode, value_bytes
from core_runtime.wire.limits import MAX_CHUNK_BYTES, MAX_VALUE_BYTES
from core_runtime.wire.messages import Call, Config, Data, Event, ItemFrame, Result


def body(frame: bytes) -> object:
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    return orjson.loads(frame[4:])


@pytest.mark.parametrize("make", [lambda v: Result(2, v), lambda v: ItemFrame(2, v), lambda v: Call(1, "a.b", v)])
def test_a_value_of_4_mib_fits_and_one_byte_more_does_not(make) -> None:
    encode(make("a" * (MAX_VALUE_BYTES - 2)))
    with pytest.raises(TooLarge):
        encode(make("a" * (MAX_VALUE_BYTES - 1)))


def test_a_chunk_of_256_kib_fits_and_one_byte_more_does_not() -> None:
    assert encode(Data(2, b"a" * MAX_CHUNK_BYTES)).endswith(b"a" * 100)
    with pytest.raises(TooLarge):
        encode(Data(2, b"a" * (MAX_CHUNK_BYTES + 1)))


def test_a_frame_that_is_too_long_beside_its_value_is_refused_too() -> None:
    with pytest.raises(TooLarge):
        encode(Call(1, "a.b", {}, ctx={"x": "a" * (MAX_VALUE_BYTES + 100_000)}))


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", {1: 2}, "\ud800", 2**64, {"x": {1, 2}}, [[]] * 1 + [object]],
    ids=lambda v: type(v).__name__,
)
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(ValidationFailed) as caught:
        encode(Result(2, value))
    assert caught.value.hint


def test_what_is_nested_too_deep_is_refused() -> None:
    value: object = 1
    for _ in range(300):
        value = [value]
    with pytest.raises(ValidationFailed):
        encode(Result(2, value))


def test_mappings_and_tuples_are_objects_and_lists() -> None:
    frame = encode(Config(1, "notes", MappingProxyType({"a": (1, 2)}), 8, 256, proxy=False))
    assert body(frame)["settings"] == {"a": [1, 2]}  # type: ignore[index]


def test_what_json_lacks_is_null() -> None:
    assert body(encode(Result(2, [float("nan"), float("inf")])))["value"] == [None, None]  # type: ignore[index]


def test_absent_fields_are_not_written() -> None:
    assert body(encode(Call(1, "a.b", {}, 5))) == {"k": "call", "id": 1, "name": "a.b", "args": {}, "deadline_ms": 5}
    assert body(encode(Event("a.b", "x/y", None))) == {
        "k": "event",
        "interface": "a.b",
        "topic": "x/y",
        "payload": None,
    }


def test_the_size_of_a_value_is_that_of_its_json() -> None:
    assert value_bytes({"a": "ä"}) == len('{"a":"ä"}'.encode())
