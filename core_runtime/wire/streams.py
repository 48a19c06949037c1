"""What flows inside a streaming call, on both sides of the socket.

A stream is an async iterator of `Item` (one JSON value) and `Chunk` (raw bytes). Flow control lives in the channel: who
iterates slowly makes the other side wait, nobody has to count credit by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One JSON element of a stream; for bodies the first one is the head."""

    value: object


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most 256 KiB of a body, tunnel or WebSocket message (`text` marks a text message)."""

    payload: bytes
    text: bool = False


StreamElement = Item | Chunk
Stream = AsyncIterator[StreamElement]
