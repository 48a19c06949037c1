"""Log lines of a pack: limited in rate and size before anybody else sees them, with the loss counted, never silent."""

from __future__ import annotations

from core_runtime.clock import Clock
from core_runtime.errors import RumiError
from core_runtime.sandbox.channel.budget import Bucket
from core_runtime.sandbox.ports import ChannelEvents
from core_runtime.wire.encode import value_bytes
from core_runtime.wire.messages import Log

LEVELS = frozenset({"debug", "info", "warning", "error"})
RUN_ID_LENGTH = 64


class LogLines:
    """Passes on at most `rate` lines a second of at most `size` bytes of text and as much of fields each."""

    def __init__(self, events: ChannelEvents, clock: Clock, *, rate: float, size: int) -> None:
        self._events = events
        self._clock = clock
        self._size = size
        self._bucket = Bucket(burst=rate, rate=rate, now=clock.monotonic())
        self._dropped = 0

    def line(self, message: Log) -> bool:
        """Pass `message` on; False if it was dropped for being one too many."""
        if not self._bucket.take(self._clock.monotonic()):
            self._dropped += 1
            return False
        level = message.level if message.level in LEVELS else "info"
        run_id = message.run_id if message.run_id and len(message.run_id) <= RUN_ID_LENGTH else None
        self._events.log(level, self._cut(message.text), self._fields(message), run_id)
        return True

    def report_loss(self) -> None:
        """Say how many lines were dropped since the last report, if any were."""
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._events.log("warning", f"{count} log lines dropped: too many a second.", {"dropped": count}, None)

    def _cut(self, text: str) -> str:
        raw = text.encode()
        if len(raw) <= self._size:
            return text
        kept = raw[: self._size].decode(errors="ignore")
        return f"{kept} [cut: {len(raw)} bytes]"

    def _fields(self, message: Log) -> dict[str, object]:
        try:
            size = value_bytes(message.fields)
        except RumiError:
            size = self._size + 1
        return dict(message.fields) if size <= self._size else {"dropped_fields": f"over {self._size} bytes"}
