"""Bytes -> messages and back: 4 bytes of length, JSON, and for `data` the raw bytes beside it.

The reader is fed by an attacker. It never reserves room by an announced length, refuses a length over the limit before
any of the body is there, and does the same work however the bytes are cut. Two kinds of wrong: a `FrameError` means
that nobody knows where the next frame begins (or that the other side does not speak JSON): the connection must close;
a `BadValue` is a good frame with a bad value: it is refused by itself. No I/O here.
"""

from __future__ import annotations

from struct import Struct

from core_runtime.wire.limits import MAX_CHUNK_BYTES, MAX_FRAME_BYTES
from core_runtime.wire.messages import FromAgent
from core_runtime.wire.parse import BadValue, Fields, parse, parse_data, usable_id
from core_runtime.wire.strict_json import DuplicateKey, NotJson, loads_strict

_LENGTH = Struct(">I")
_SHORTEST = 2


class FrameError(Exception):
    """The stream is beyond rescue; the text says why, without quoting it."""


class FrameDecoder:
    """Takes bytes as they come (`feed`) and gives whole messages (`next`).

    `size` is the number of bytes of the last frame that came out. After a `FrameError` it must not be used again.
    """

    __slots__ = ("_awaiting", "_buffer", "_offset", "size")

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b""
        self._offset = 0
        self._awaiting: tuple[Fields, int] | None = None
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Add what was read. Costs no copy while frames arrive whole."""
        buffer = self._buffer
        if self._offset == len(buffer):
            self._buffer = data
            self._offset = 0
            return
        if not isinstance(buffer, bytearray):
            buffer = self._buffer = bytearray(buffer[self._offset :])
            self._offset = 0
        elif self._offset:
            del buffer[: self._offset]
            self._offset = 0
        buffer += data

    @property
    def mid_frame(self) -> bool:
        """True while part of a frame is here and the rest is not (after `next` gave None)."""
        return self._awaiting is not None or self._offset < len(self._buffer)

    def next(self) -> FromAgent | BadValue | None:
        """The next message, or None until more is fed. Raises `FrameError`."""
        if self._awaiting is not None:
            return self._payload(*self._awaiting)
        buffer = self._buffer
        start = self._offset + 4
        if len(buffer) < start:
            return None
        (length,) = _LENGTH.unpack_from(buffer, self._offset)
        if length > MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {length} bytes was announced; at most {MAX_FRAME_BYTES} are read")
        if length < _SHORTEST:
            raise FrameError(f"a frame of {length} bytes cannot hold a JSON object")
        end = start + length
        if len(buffer) < end:
            return None
        self._offset = end
        self.size = length
        return self._message(bytes(buffer[start:end]))

    def _message(self, body: bytes) -> FromAgent | BadValue | None:
        try:
            fields = loads_strict(body)
        except NotJson as error:
            raise FrameError(f"a frame is {error}") from None
        except DuplicateKey as error:
            return _ambiguous(error)
        if type(fields) is not dict:
            raise FrameError("a frame is not a JSON object")
        if fields.get("k") == "data":
            return self._payload(fields, _announced(fields))
        try:
            return parse(fields)
        except BadValue as bad:
            return bad

    def _payload(self, fields: Fields, count: int) -> FromAgent | BadValue | None:
        end = self._offset + count
        if len(self._buffer) < end:
            self._awaiting = (fields, count)
            return None
        payload = bytes(self._buffer[self._offset : end])
        self._offset = end
        self._awaiting = None
        self.size += count
        try:
            return parse_data(fields, payload)
        except BadValue as bad:
            return bad


def _ambiguous(error: DuplicateKey) -> BadValue:
    """A key twice is a bad value; in a `data` frame it also leaves open how many bytes follow."""
    fields = error.value
    if not isinstance(fields, dict):
        raise FrameError("a frame is not a JSON object")
    if fields.get("k") == "data":
        raise FrameError("a data frame names a key twice")
    if error.on_top:
        return BadValue("The frame names a key twice.")
    kind, call_id = fields.get("k"), usable_id(fields)
    return BadValue("A value names a key twice.", kind=kind if isinstance(kind, str) else "", call_id=call_id)


def _announced(fields: Fields) -> int:
    count = fields.get("n")
    if type(count) is not int or not 0 <= count <= MAX_CHUNK_BYTES:
        raise FrameError(f"n of data is not a whole number of 0 to {MAX_CHUNK_BYTES}")
    return count
