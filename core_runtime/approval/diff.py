"""What changed between the approved files and the new ones, for a person to read.

The text is a stranger's and is shown on a terminal or a page: whatever is not printable, and every character that
reorders text (CVE-2021-42574), is shown as its escape. Size and work are bounded, whatever the files hold; what is
left out is said.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core_runtime.approval.digest import FileEntry, TreeDigest

MAX_TEXT_BYTES = 65_536
MAX_DIFF_CHARS = 262_144
MAX_PAIRS = 250_000
CONTEXT_LINES = 3

Reader = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that was `added`, `changed` or `removed`; `diff` is None where `omitted` says why."""

    path: str
    change: str
    size: int
    executable: bool
    sha256: str
    diff: str | None = None
    omitted: str = ""

    def to_json(self) -> dict[str, object]:
        """`{path, change, size, executable, sha256, diff, omitted}`."""
        return {
            "path": self.path,
            "change": self.change,
            "size": self.size,
            "executable": self.executable,
            "sha256": self.sha256,
            "diff": self.diff,
            "omitted": self.omitted,
        }


def file_changes(
    before: TreeDigest | None, after: TreeDigest, read_before: Reader, read_after: Reader
) -> tuple[FileChange, ...]:
    """Every file that differs, sorted by path. The readers give the first `MAX_TEXT_BYTES` + 1 bytes of a file."""
    old = before.by_path() if before else {}
    new = after.by_path()
    left = MAX_DIFF_CHARS
    changes = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was == now:
            continue
        text, omitted = _text_diff(was, now, read_before, read_after)
        if text is not None and len(text) > left:
            text, omitted = None, "the plan's limit for text is reached"
        left -= len(text or "")
        shown = now or was
        if shown is not None:
            change = "removed" if now is None else "added" if was is None else "changed"
            changes.append(FileChange(path, change, shown.size, shown.executable, shown.sha256, text, omitted))
    return tuple(changes)


def _text_diff(
    was: FileEntry | None, now: FileEntry | None, read_before: Reader, read_after: Reader
) -> tuple[str | None, str]:
    if max(entry.size for entry in (was, now) if entry) > MAX_TEXT_BYTES:
        return None, f"larger than {MAX_TEXT_BYTES} bytes"
    old = _lines(read_before(was.path)) if was else []
    new = _lines(read_after(now.path)) if now else []
    if old is None or new is None:
        return None, "not text"
    return "\n".join(unified(old, new)), ""


def _lines(raw: bytes) -> list[str] | None:
    """The lines of a text as they may be shown, or None for what is no text."""
    if b"\0" in raw:
        return None
    try:
        return [visible(line) for line in raw.decode("utf-8").split("\n")] if raw else []
    except UnicodeDecodeError:
        return None


def visible(line: str) -> str:
    """A line without anything that a terminal or a page would act on."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == "\t" else _escape(char) for char in line)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def unified(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Unified diff without a head. Long, wholly different middles are shown as one replaced block: difflib is cubic."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    if (len(old) - start - end) * (len(new) - start - end) <= MAX_PAIRS:
        return list(difflib.unified_diff(old, new, n=CONTEXT_LINES, lineterm=""))[2:]
    removed, added = old[start : len(old) - end], new[start : len(new) - end]
    head = f"@@ -{start + 1},{len(removed)} +{start + 1},{len(added)} @@"
    return [head, *(f"-{line}" for line in removed), *(f"+{line}" for line in added)]
