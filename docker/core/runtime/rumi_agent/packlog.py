"""The pack's log: lines become `log` frames, limited in size and rate, and kept back until `hello` is out."""

from __future__ import annotations

import sys
from _thread import allocate_lock
from time import monotonic

from rumi_agent.codec import NotJson, encode_frame, encode_value
from rumi_agent.errors import printable
from rumi_agent.limits import LOG_BURST, LOG_KEPT_BEFORE_HELLO, LOG_LINE_BYTES, LOG_LINES_PER_SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LEVELS = frozenset({"debug", "info", "warning", "error"})
_ALIASES = {"warn": "warning", "critical": "error", "fatal": "error", "trace": "debug"}
_CUT = " ... (cut)"


def cut_text(text: object, limit: int) -> str:
    """At most `limit` bytes of UTF-8 of `text`; what has no UTF-8 form is escaped."""
    try:
        raw = str(text).encode("utf-8", "backslashreplace")
    except BaseException:
        raw = printable(text).encode()
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - len(_CUT)].decode("utf-8", "ignore") + _CUT


class PackLog:
    """`send` puts a frame on the wire. A bucket of 400 lines fills by 200 a second; the rest is counted."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._lock = allocate_lock()
        self._tokens = float(LOG_BURST)
        self._filled = monotonic()
        self._dropped = 0
        self._kept: list[bytes] | None = []

    def write(self, level: str, text: object, fields: Mapping[str, object], run_id: str | None) -> None:
        """One line. Never raises, never waits."""
        with self._lock:
            if not self._may_pass():
                self._dropped += 1
                return
            dropped, self._dropped = self._dropped, 0
        if dropped:
            fields = {**fields, "dropped_before": dropped}
        self._emit(_line(level, text, fields, run_id))

    def write_exception(self, what: str, error: BaseException, run_id: str | None) -> None:
        """A traceback. Never raises."""
        try:
            from rumi_agent.trace import traceback_text

            self.write("error", what + "\n" + traceback_text(error), {"type": type(error).__name__}, run_id)
        except BaseException as failure:
            sys.stderr.write(f"rumi-agent: {what}; its traceback could not be logged: {type(failure).__name__}\n")

    def open(self) -> None:
        """`hello` is out: send what was kept back."""
        with self._lock:
            kept, self._kept = self._kept or [], None
        for frame in kept:
            self._send(frame)

    def _emit(self, frame: bytes) -> None:
        with self._lock:
            kept = self._kept
            if kept is not None:
                if len(kept) < LOG_KEPT_BEFORE_HELLO:
                    kept.append(frame)
                return
        self._send(frame)

    def _may_pass(self) -> bool:
        now = monotonic()
        self._tokens = min(float(LOG_BURST), self._tokens + (now - self._filled) * LOG_LINES_PER_SECOND)
        self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _line(level: object, text: object, fields: Mapping[str, object], run_id: str | None) -> bytes:
    name = str(level).lower()
    name = _ALIASES.get(name, name)
    frame: dict[str, object] = {
        "k": "log",
        "level": name if name in _LEVELS else "info",
        "text": cut_text(text, LOG_LINE_BYTES),
        "fields": _safe_fields(fields),
    }
    if run_id is not None:
        frame["run_id"] = run_id
    return encode_frame(frame)


def _safe_fields(fields: Mapping[str, object]) -> dict[str, object]:
    safe: dict[str, object] = {}
    room = LOG_LINE_BYTES
    for name, value in fields.items():
        key = cut_text(name, 128)
        try:
            size = len(encode_value(value))
        except NotJson:
            value = cut_text(repr_of(value), 512)  # noqa: PLW2901
            size = len(value.encode())
        room -= size + len(key.encode())
        if room < 0:
            safe["cut"] = True
            break
        safe[key] = value
    return safe


def repr_of(value: object) -> str:
    """`repr` that cannot fail."""
    try:
        return repr(value)
    except BaseException as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"
