"""What the kernel writes is what the vectors for the agent hold, byte for byte in meaning: the other half of the contract."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core_runtime.errors import TooLarge
from core_runtime.wire import messages
from core_runtime.wire.encode import encode
from core_runtime.wire.limits import MAX_FRAME_BYTES

SIDE = "to_agent"
SPELLED = {"bytes": "octets", "in": "stream_in"}
CLASSES: dict[str, type] = {"item": messages.ItemFrame} | {
    name.lower(): getattr(messages, name)
    for name in ("Config", "Call", "Result", "Data", "End", "Credit", "Cancel", "Event", "Ping", "Pong", "Stop")
}


def message_of(fields: dict[str, Any], payload: bytes | None) -> Any:
    """The message that a frame of these fields stands for."""
    cls = CLASSES[fields["k"]]
    given = {SPELLED.get(name, name): value for name, value in fields.items() if name not in {"k", "ok", "n"}}
    if payload is not None:
        given["payload"] = payload
    return cls(**given)


def test_every_good_frame_of_the_vectors_is_written_as_the_vector_says(wire_vector: Any) -> None:
    if wire_vector.error is not None:
        return
    for fields, payload in wire_vector.expected:
        if "value" not in fields and fields["k"] == "item":
            continue  # the vector leaves the value open
        if len(wire_vector.raw) > MAX_FRAME_BYTES:
            with pytest.raises(TooLarge):  # read, but never written: the value alone is over 4 MiB
                encode(message_of(fields, payload))
            return
        frame = encode(message_of(fields, payload))
        length = int.from_bytes(frame[:4], "big")
        said = orjson.loads(frame[4 : 4 + length])
        assert {name: said[name] for name in fields if name in said or fields[name] is not None} == {
            name: value for name, value in fields.items() if name in said or value is not None
        }
        assert frame[4 + length :] == (payload or b"")
