"""The agent's codec makes of every vector what the vector says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

RUNTIME = Path(__file__).parents[3] / "docker" / "core" / "runtime"
sys.path.insert(0, str(RUNTIME)) if str(RUNTIME) not in sys.path else None

from rumi_agent.checks import TO_AGENT  # noqa: E402
from rumi_agent.codec import BadValue, FrameReader, MalformedStream  # noqa: E402

SIDE = "to_agent"
PING = b'\x00\x00\x00\x0c{"k":"ping"}'


def feed(reader: FrameReader, raw: bytes) -> None:
    """As a socket would: as much as there is room for."""
    view = memoryview(raw)
    while view:
        room = reader.writable()
        count = min(len(room), len(view))
        room[:count] = view[:count]
        del room
        reader.wrote(count)
        view = view[count:]


def read_all(reader: FrameReader, raw: bytes, *, eof: bool, step: int) -> tuple[list[dict[str, Any]], Exception | None]:
    """Frames until nothing more comes out, and the error that ended it."""
    frames: list[dict[str, Any]] = []
    try:
        for at in range(0, len(raw), step):
            feed(reader, raw[at : at + step])
            while (frame := reader.next()) is not None:
                frames.append(frame)
        if eof and reader.buffered:
            raise MalformedStream("the stream ended inside a frame")
    except (BadValue, MalformedStream) as error:
        return frames, error
    return frames, None


@pytest.mark.parametrize("step", [1 << 30, 1], ids=["at-once", "byte-by-byte"])
def test_every_vector_is_read_as_it_says(wire_vector: Any, step: int) -> None:
    if step == 1 and len(wire_vector.raw) > 4096:
        step = 65521
    reader = FrameReader(TO_AGENT)
    frames, error = read_all(reader, wire_vector.raw, eof=wire_vector.eof, step=step)
    assert len(frames) == len(wire_vector.expected)
    for frame, (fields, payload) in zip(frames, wire_vector.expected, strict=True):
        for name, value in fields.items():
            assert frame[name] == value
            assert type(frame[name]) is type(value)
        if payload is not None:
            assert frame["payload"] == payload
    if wire_vector.error is None:
        assert error is None
    elif wire_vector.error == "close":
        assert isinstance(error, MalformedStream)
    else:
        assert isinstance(error, BadValue)
        assert error.frame_id == wire_vector.error_id
        feed(reader, PING)
        assert reader.next() == {"k": "ping"}
