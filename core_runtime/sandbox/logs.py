"""What a pack wrote, kept in bounds: a ring of lines, and its raw output made safe to show.

A pack's text is hostile: it may hold terminal escapes, megabytes without a newline, or bytes that are no text. None of
it is ever parsed; it is cut, cleaned and shown.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping

from core_runtime.clock import Clock
from core_runtime.sandbox.status import LogLine, PackLogs

MAX_LINES = 1000
MAX_CHARACTERS = 524_288
MAX_OUTPUT_BYTES = 1_048_576

# C0 and C1 controls, directional and invisible format characters (CVE-2021-42574), lone surrogates.
_UNSAFE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ud800-\\udfff]"
)


class LogRing:
    """The last lines of one pack: at most 1,000 and at most 512 Ki characters."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[LogLine] = deque()
        self._size = 0
        self._dropped = 0

    def add(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None = None) -> None:
        """Keep one line; the oldest go. Sizes of `fields` were limited where they came in."""
        line = LogLine(self._clock.wall(), level[:16], printable(text[:MAX_CHARACTERS]), fields, run_id)
        self._lines.append(line)
        self._size += _weight(line)
        while len(self._lines) > MAX_LINES or (self._size > MAX_CHARACTERS and len(self._lines) > 1):
            self._size -= _weight(self._lines.popleft())
            self._dropped += 1

    def with_output(self, output: bytes) -> PackLogs:
        """The lines together with what the container wrote to standard output and error."""
        cut = output[-MAX_OUTPUT_BYTES:]
        text = printable(cut.decode("utf-8", errors="replace"))
        truncated = len(output) >= MAX_OUTPUT_BYTES
        return PackLogs(tuple(self._lines), text, output_truncated=truncated, first_seq=self._dropped + 1)


def printable(text: str) -> str:
    """`text` without what moves a terminal or hides in it; line feeds and tabs stay."""
    return text if text.isprintable() else _UNSAFE.sub("\ufffd", text)


def _weight(line: LogLine) -> int:
    return len(line.text) + 64 + sum(len(str(value)) for value in line.fields.values())
