"""The kernel's codec makes of every vector what the vector says, however the bytes are cut."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core_runtime.wire.frames import FrameDecoder, FrameError
from core_runtime.wire.messages import Credit, Data, Hello, Ping, Result
from core_runtime.wire.parse import BadValue

SIDE = "to_kernel"
PING = b'\x00\x00\x00\x0c{"k":"ping"}'
KINDS = {"ItemFrame": "item"}
SPELLED = {"octets": "bytes", "stream_in": "in"}


def fields_of(message: Any) -> dict[str, Any]:
    """A message as the fields of its frame, without those that are at their default."""
    kind = type(message).__name__
    fields = {SPELLED.get(name, name): value for name, value in dataclasses.asdict(message).items()}
    fields["k"] = KINDS.get(kind, kind.lower())
    if isinstance(message, Result):
        fields["ok"] = message.error is None
    if isinstance(message, Data):
        fields["n"] = len(message.payload)
    if isinstance(message, Hello):
        fields["components"] = [
            {name: list(value) if name == "provides" else value for name, value in part.items() if value is not None}
            for part in fields["components"]
        ]
    return fields


def read_all(raw: bytes, *, eof: bool, step: int) -> tuple[FrameDecoder, list[Any], Exception | None]:
    """Messages until nothing more comes out, and the error that ended it."""
    decoder = FrameDecoder()
    messages: list[Any] = []
    for at in range(0, len(raw), step):
        decoder.feed(raw[at : at + step])
        try:
            while (message := decoder.next()) is not None:
                if isinstance(message, BadValue):
                    return decoder, messages, message
                messages.append(message)
        except FrameError as error:
            return decoder, messages, error
    ended_inside = FrameError("inside a frame") if eof and decoder.mid_frame else None
    return decoder, messages, ended_inside


@pytest.mark.parametrize("step", [1 << 30, 1], ids=["at-once", "byte-by-byte"])
def test_every_vector_is_read_by_the_kernel_as_it_says(wire_vector: Any, step: int) -> None:
    if step == 1 and len(wire_vector.raw) > 4096:
        step = 65521
    decoder, messages, error = read_all(wire_vector.raw, eof=wire_vector.eof, step=step)
    assert len(messages) == len(wire_vector.expected)
    for message, (fields, payload) in zip(messages, wire_vector.expected, strict=True):
        said = fields_of(message)
        for name, value in fields.items():
            assert said[name] == value
            assert type(said[name]) is type(value)
        if payload is not None:
            assert message.payload == payload
    if wire_vector.error is None:
        assert error is None
    elif wire_vector.error == "close":
        assert isinstance(error, FrameError)
    else:
        assert isinstance(error, BadValue)
        assert error.call_id == wire_vector.error_id
        decoder.feed(PING)
        assert decoder.next() == Ping()


def test_a_credit_without_numbers_allows_nothing() -> None:
    decoder = FrameDecoder()
    decoder.feed(b'\x00\x00\x00\x15{"k":"credit","id":2}')
    assert decoder.next() == Credit(2, 0, 0)
