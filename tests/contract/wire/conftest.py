"""Turns `vectors.json` into parameters: every test here that takes `wire_vector` runs once for each entry."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).with_name("vectors.json")


@dataclass(frozen=True)
class WireVector:
    """One entry with its recipes worked out."""

    name: str
    direction: str
    raw: bytes
    expected: list[tuple[dict[str, Any], bytes | None]]
    error: str | None
    error_id: int | None
    eof: bool

    def reads(self, side: str) -> bool:
        """True when `side` (`to_agent` or `to_kernel`) has to read this one."""
        return self.direction in {side, "both"}


def framed(body: bytes) -> bytes:
    """A length and its bytes."""
    return struct.pack(">I", len(body)) + body


def part_bytes(part: dict[str, Any]) -> bytes:
    """The bytes of one part of a recipe."""
    if "json" in part:
        return framed(json.dumps(part["json"], separators=(",", ":"), ensure_ascii=False).encode())
    if "frame" in part:
        return framed(parts_bytes(part["frame"]))
    if "length" in part:
        return struct.pack(">I", part["length"])
    if "repeat" in part:
        return part_bytes(part["repeat"]) * int(part["times"])
    return bytes.fromhex(part["hex"]) if "hex" in part else str(part["text"]).encode()


def parts_bytes(parts: list[dict[str, Any]]) -> bytes:
    """The bytes of a whole recipe."""
    return b"".join(map(part_bytes, parts))


def long_texts(value: Any) -> Any:
    """`{"$repeat": t, "times": n}` becomes the text that it stands for, at the first level of a frame."""
    return value["$repeat"] * value["times"] if isinstance(value, dict) and "$repeat" in value else value


def load_vectors() -> list[WireVector]:
    """All entries, in the order of the file."""
    vectors = []
    for entry in json.loads(VECTORS.read_bytes()):
        expected = []
        for frame in entry["frames"]:
            fields = {name: long_texts(value) for name, value in frame["fields"].items()}
            expected.append((fields, parts_bytes(frame["payload"]) if "payload" in frame else None))
        vectors.append(
            WireVector(
                name=entry["name"],
                direction=entry["direction"],
                raw=parts_bytes(entry["bytes"]),
                expected=expected,
                error=entry.get("error"),
                error_id=entry.get("error_id"),
                eof=entry.get("eof", False),
            )
        )
    return vectors


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that asks for `wire_vector` gets every entry that its module's `SIDE` reads."""
    if "wire_vector" in metafunc.fixturenames:
        side = getattr(metafunc.module, "SIDE", None)
        chosen = [vector for vector in load_vectors() if side is None or vector.reads(side)]
        metafunc.parametrize("wire_vector", chosen, ids=[vector.name.replace(" ", "-") for vector in chosen])
