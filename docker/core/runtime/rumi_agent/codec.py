"""Frames: bytes to objects and back, strictly, with no I/O.

A frame is a 4-byte big-endian length and that many bytes of one UTF-8 JSON object; `data` is followed by its `n` bytes.
The reader never allocates by an announced length: it grows with what has really come. It works on the C parts of the
`json` package alone (importing the package costs more than the rest of the agent), without its two leniences: NaN and
infinities end the stream, a duplicate key is a bad value.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner
from _struct import Struct

from rumi_agent.limits import MAX_DATA_BYTES, MAX_FRAME_BYTES, MAX_ID, MAX_VALUE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Frame = dict[str, Any]
    Check = Callable[[Frame], str | None]

_ROOM = 65536
_KEPT_ROOM = 4 * _ROOM
_LENGTH = Struct(">I")
_SPACE = " \t\n\r"
_DIGITS = bytes(48 if 48 <= octet <= 57 else 32 for octet in range(256))
_LONG_NUMBER = b"0" * 20


class MalformedStream(Exception):
    """The bytes are no frame: nothing that follows them can be understood."""


class BadValue(Exception):
    """A good frame with a bad value; `frame_id` is the id to answer, if there is one."""

    def __init__(self, message: str, frame_id: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.frame_id = frame_id


class NotJson(Exception):
    """A value that has no JSON form; `too_large` when it has one, but a too long one."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large

    def told_of(self, what: str) -> str:
        """One sentence about `what` (the answer, an element), at most 2,000 characters."""
        return f"{what} {'is too large' if self.too_large else 'has no JSON form'}: {self}"[:2000]


class _DuplicateKey(Exception):
    """Inside the scanner: an object names a key twice."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0.0:
        raise MalformedStream("a number beyond a double")
    return number


def _no_constant(name: str) -> object:
    raise MalformedStream(name + " is not JSON")


class _Rules:
    """What the C scanner is to do; it reads these by name."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_unique)
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_no_constant)


class _PairRules(_Rules):
    """Objects as lists of pairs, so that duplicates can be seen."""

    object_pairs_hook = staticmethod(lambda pairs: pairs)


_scan = make_scanner(_Rules())  # type: ignore[arg-type]
_scan_pairs = make_scanner(_PairRules())  # type: ignore[arg-type]


def _scan_all(scan: Callable[[str, int], tuple[object, int]], text: str) -> object:
    try:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            text = text.lstrip(_SPACE)
            value, end = scan(text, 0)
    except (StopIteration, ValueError) as error:
        raise MalformedStream("not JSON") from error
    except RecursionError as error:
        raise MalformedStream("nested too deeply") from error
    if end != len(text) and text[end:].strip(_SPACE):
        raise MalformedStream("something follows the JSON")
    return value


def decode_json(raw: bytes | bytearray | memoryview) -> object:
    """One strict JSON value. Raises `MalformedStream`, or `BadValue` for a duplicate key."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedStream("not UTF-8") from error
    try:
        value = _scan_all(_scan, text)
        if "\\u" in text:  # a lone surrogate can only come as an escape: UTF-8 has none
            "".join(_encode(value, 0)).encode()
    except _DuplicateKey:
        raise _duplicate(text) from None
    except UnicodeEncodeError as error:
        raise MalformedStream("a lone surrogate") from error
    return value


def _duplicate(text: str) -> BadValue:
    pairs = _scan_all(_scan_pairs, text)
    names = [pair[0] for pair in pairs if isinstance(pair, tuple)] if isinstance(pairs, list) else []
    if not names:
        return BadValue("an object names a key twice", None)
    fields = dict(pairs)  # type: ignore[call-overload]
    if fields.get("k") == "data":  # the bytes behind it could not be skipped with certainty
        raise MalformedStream("a data frame names a key twice")
    return BadValue("an object names a key twice", usable_id(fields) if len(fields) == len(names) else None)


def usable_id(frame: Mapping[str, object]) -> int | None:
    """The frame's id, if it is one: a whole number of 1 to 2^53 - 1."""
    found = frame.get("id")
    return found if type(found) is int and 0 < found <= MAX_ID else None


class FrameReader:
    """Takes what a socket gives and hands out whole frames, each checked by the table of its kind."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._room = bytearray(_ROOM)
        self._start = 0
        self._end = 0
        self._data: Frame | None = None

    @property
    def buffered(self) -> bool:
        """True while bytes wait that have not been handed out."""
        return self._end > self._start or self._data is not None

    def writable(self) -> memoryview:
        """Free room for the next bytes; say how many came with `wrote`."""
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._room) > _KEPT_ROOM:
                self._room = bytearray(_ROOM)
        elif self._end == len(self._room):
            waiting = self._end - self._start
            if self._start:
                self._room[:waiting] = self._room[self._start : self._end]
                self._start, self._end = 0, waiting
            if waiting > len(self._room) // 2:
                self._room.extend(bytes(len(self._room)))
        return memoryview(self._room)[self._end :]

    def wrote(self, count: int) -> None:
        """`count` bytes of the last `writable` are filled."""
        self._end += count

    def next(self) -> Frame | None:
        """The next whole frame, or None until more bytes come. `data` has its bytes as `payload`.

        Raises `MalformedStream` (the connection is to be closed) or `BadValue` (the next frame can be read).
        """
        start = self._start
        if self._data is not None:
            return self._finish_data(self._data)
        if self._end - start < 4:
            return None
        size = _LENGTH.unpack_from(self._room, start)[0]
        if not 0 < size <= MAX_FRAME_BYTES:
            raise MalformedStream(f"a frame of {size} bytes")
        stop = start + 4 + size
        if stop > self._end:
            return None
        self._start = stop
        raw = memoryview(self._room)[start + 4 : stop]
        try:  # the short way; anything unusual goes the long way, which says what is wrong
            text = str(raw, "utf-8")
            frame, end = _scan(text, 0)
            if end != len(text) or "\\u" in text:
                frame = decode_json(raw)
        except Exception:
            frame = decode_json(raw)
        if type(frame) is not dict:
            raise MalformedStream("not an object")
        kind = frame.get("k")
        if kind == "data":
            return self._begin_data(frame)
        check = self._checks.get(kind) if type(kind) is str else None
        wrong = "an unknown kind of frame" if check is None else check(frame)
        if wrong is not None:
            raise BadValue(wrong, usable_id(frame))
        return frame

    def _begin_data(self, frame: Frame) -> Frame | None:
        count = frame.get("n")
        if type(count) is not int or not 0 <= count <= MAX_DATA_BYTES:
            raise MalformedStream("data of no known size")
        self._data = frame
        return self._finish_data(frame)

    def _finish_data(self, frame: Frame) -> Frame | None:
        stop = self._start + frame["n"]
        if stop > self._end:
            return None
        frame["payload"] = bytes(memoryview(self._room)[self._start : stop])
        self._start = stop
        self._data = None
        wrong = self._checks["data"](frame)
        if wrong is not None:
            raise BadValue(wrong, usable_id(frame))
        return frame


def _no_default(value: object) -> object:
    raise TypeError(type(value).__name__)


_encode = make_encoder(None, _no_default, encode_basestring, None, ":", ",", False, False, False)  # noqa: FBT003


def encode_value(value: object) -> bytes:
    """Compact UTF-8 JSON of a pack's value, at most 4 MiB. Raises `NotJson` naming the place that has no JSON form."""
    try:
        raw: bytes = "".join(_encode(value, 0)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(_explain(value) or str(error)) from error
    if len(raw) > MAX_VALUE_BYTES:
        raise NotJson(f"{len(raw):,} bytes of JSON, over the limit of {MAX_VALUE_BYTES:,}", too_large=True)
    if len(raw) >= 20 and _LONG_NUMBER in raw.translate(_DIGITS):
        wrong = _explain(value)
        if wrong:
            raise NotJson(wrong)
    return raw


def _explain(value: object) -> str:
    from rumi_agent.explain import why_not_json

    return why_not_json(value)


def framed(body: bytes) -> bytes:
    """A body with its length in front."""
    return _LENGTH.pack(len(body)) + body


def encode_frame(fields: Frame) -> bytes:
    """A whole frame out of fields that are known to be JSON."""
    return framed("".join(_encode(fields, 0)).encode())


def encode_result(call_id: int, value: object) -> bytes:
    """The frame of a good result. Raises `NotJson`."""
    body = b'{"k":"result","id":%d,"ok":true,"value":%b}' % (call_id, encode_value(value))
    return _LENGTH.pack(len(body)) + body


def encode_data(call_id: int, chunk: bytes) -> bytes:
    """A data frame with its bytes."""
    return framed(b'{"k":"data","id":%d,"n":%d}' % (call_id, len(chunk))) + chunk


def encode_item(call_id: int, value: object) -> bytes:
    """An item frame. Raises `NotJson`."""
    return framed(b'{"k":"item","id":%d,"value":%b}' % (call_id, encode_value(value)))
