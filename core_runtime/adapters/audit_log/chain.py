"""One line of the chain: from an entry to bytes, and back to the question whether it is whole. Pure.

`hash` is SHA-256 over the canonical JSON of the line without `hash`, and `prev` is the hash of the line before, so that
no line can be changed, taken out or put in without every later one showing it. Lines hold no control characters, no
long texts and nothing under a key that looks like a secret: this is the last gate before the disk (SE-01, SE-10).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from core_runtime.audit import AuditEntry
from core_runtime.canonical import canonical_json, sha256_hex
from core_runtime.errors import ErrorCode

GENESIS = "0" * 64
MAX_LINE_BYTES = 4096
MAX_TEXT = 500
MAX_ITEMS = 50
MAX_DEPTH = 4
REDACTED = "[redacted]"
FIELDS = frozenset(
    {"seq", "ts", "request_id", "category", "action", "outcome", "principal"}
    | {"actor", "run_id", "rule", "details", "prev", "hash"}
)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SECRET_KEY = re.compile(
    r"pass(word|phrase|wd)|secret|token|authorization|cookie|api_?key|private_?key|credential", re.IGNORECASE
)
_CODES = frozenset(ErrorCode)


class Stamp:
    """RFC 3339 times in UTC with milliseconds, and the day that a time belongs to; the second is kept between calls."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""
        self.day = ""

    def of(self, wall: float) -> str:
        """`2026-01-02T03:04:05.678Z`."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self.day = self._prefix[:10]
        return f"{self._prefix}.{int((wall - second) * 1000):03d}Z"


def forge(entry: AuditEntry, seq: int, ts: str, prev: str) -> tuple[bytes, str]:
    """The line as bytes with its newline, and its hash."""
    fields: dict[str, object] = {
        "seq": seq,
        "ts": ts,
        "request_id": clean(entry.request_id),
        "category": entry.category,
        "action": clean(entry.action),
        "outcome": entry.outcome,
        "principal": clean(entry.principal),
        "actor": None if entry.actor is None else clean(entry.actor),
        "run_id": None if entry.run_id is None else clean(entry.run_id),
        "rule": clean(entry.rule),
        "details": _object(entry.details, 0) if entry.details else {},
        "prev": prev,
    }
    body = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    if len(body) > MAX_LINE_BYTES - 80:
        body = orjson.dumps(_shortened(fields), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(body).hexdigest()
    return b'%s,"hash":"%s"}\n' % (body[:-1], digest.encode("ascii")), digest


def check(line: Mapping[str, object], seq: int, prev: str) -> str:
    """What is wrong with a parsed line that should be the one after `prev` with number `seq`; "" if nothing."""
    if line.keys() != FIELDS:
        return "it has not the fields of an audit line"
    if line["seq"] != seq or isinstance(line["seq"], bool):
        return f"its number is {line['seq']!r}, not {seq}"
    if line["prev"] != prev:
        return "it does not follow the line before it"
    return "" if line["hash"] == hash_of(line) else "its content does not match its hash"


def hash_of(line: Mapping[str, object]) -> str:
    """The hash that a parsed line should have; "" for what has no canonical form."""
    try:
        return sha256_hex(canonical_json({key: value for key, value in line.items() if key != "hash"}))
    except ValueError:
        return ""


def clean(text: str) -> str:
    """At most 500 characters, in which nothing moves a cursor, ends a line or turns a text around."""
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _shortened(fields: dict[str, object]) -> dict[str, object]:
    """Whatever an entry held: a line that fits."""
    texts = {key: value[:100] for key, value in fields.items() if isinstance(value, str) and key not in {"prev", "ts"}}
    return {**fields, **texts, "details": {"truncated": True}}


def _object(values: Mapping[str, object], depth: int) -> dict[str, object]:
    kept = values.items() if len(values) <= MAX_ITEMS else list(values.items())[:MAX_ITEMS]
    shown: dict[str, object] = {}
    for key, value in kept:
        name, is_secret = _key(key[:MAX_TEXT])
        shown[name] = REDACTED if is_secret and not _is_harmless(name, value) else _value(value, depth)
    return shown


@lru_cache(maxsize=512)
def _key(key: str) -> tuple[str, bool]:
    return clean(key), key == "code" or _SECRET_KEY.search(key) is not None


def _is_harmless(key: str, value: object) -> bool:
    """A confirmation code is a secret; the code of an error, and a yes or no, are none."""
    return key == "code" and (isinstance(value, bool) or value in _CODES)


def _value(value: object, depth: int) -> object:
    """JSON whose canonical form every reader agrees on: no floats, no numbers over 53 bits."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else clean(hex(value))
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return _object(value, depth + 1)
    if isinstance(value, list | tuple):
        return [_value(item, depth + 1) for item in value[:MAX_ITEMS]]
    return clean(str(value)) if isinstance(value, float) else type(value).__name__
