"""JSON without second readings: what is accepted here means the same to every reader.

I-JSON (RFC 7493): UTF-8, no NaN or infinity, no number beyond a double, no lone surrogate, no duplicate key at any
depth, nothing after the value. orjson refuses all of these but the duplicates, of which it keeps the last. Those are
found by writing the value back: a text that equals its own canonical spelling cannot hold a key twice. Only a text
spelled otherwise (white space, escapes) pays for a second, slower look.
"""

from __future__ import annotations

import json

import orjson


class NotJson(ValueError):
    """The bytes are not one JSON value in UTF-8 (or one nested deeper than could ever be passed on)."""


class DuplicateKey(ValueError):
    """JSON by its grammar, but an object names a key twice. `value` keeps the last of each; `on_top` says where."""

    def __init__(self, value: object, *, on_top: bool) -> None:
        super().__init__("an object names a key twice")
        self.value = value
        self.on_top = on_top


def loads_strict(body: bytes) -> object:
    """The value in `body`. Raises `NotJson` or `DuplicateKey`; their texts quote nothing of the input."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"not one JSON value in UTF-8 (byte {error.pos})") from None
    try:
        same = orjson.dumps(value) == body
    except TypeError:
        raise NotJson("nested too deeply") from None
    if not same:
        _look_for_duplicates(body, value)
    return value


def _look_for_duplicates(body: bytes, value: object) -> None:
    seen = _KeyWatch()
    try:
        json.loads(body, object_pairs_hook=seen.look)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    if seen.found:
        raise DuplicateKey(value, on_top=seen.last)


class _KeyWatch:
    """Told of every object, the outermost last."""

    __slots__ = ("found", "last")

    def __init__(self) -> None:
        self.found = False
        self.last = False

    def look(self, pairs: list[tuple[str, object]]) -> None:
        self.last = len({key for key, _ in pairs}) != len(pairs)
        self.found = self.found or self.last
