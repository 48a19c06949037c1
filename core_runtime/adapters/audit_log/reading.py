"""Reading the audit files: verify the chain, show the newest lines, search. Works without a running kernel.

Nothing is trusted: files may be cut, edited, huge or not ours. Reading is by blocks, so memory stays flat.
"""

from __future__ import annotations

import hmac
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from core_runtime.adapters.audit_log.chain import GENESIS, check
from core_runtime.canonical import canonical_json

HEADS = "heads.jsonl"
MAX_QUERY = 1000
MAX_BYTES = 64 * 1024
_BLOCK = 256 * 1024
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl", re.ASCII)
Line = dict[str, object]
Sign = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; empty means any. Times are RFC 3339 in UTC, `since` included, `until` not.

    `before` and `after` bound the sequence number, both excluded; 0 means no bound.
    """

    category: str = ""
    principal: str = ""
    action: str = ""
    outcome: str = ""
    request_id: str = ""
    run_id: str = ""
    since: str = ""
    until: str = ""
    before: int = 0
    after: int = 0

    def matches(self, line: Line) -> bool:
        """True for a line that is looked for."""
        for name in ("category", "principal", "action", "outcome", "request_id", "run_id"):
            wanted = getattr(self, name)
            if wanted and line.get(name) != wanted:
                return False
        seq = line.get("seq")
        if not isinstance(seq, int) or (self.before and seq >= self.before) or seq <= self.after:
            return False
        ts = str(line.get("ts", ""))
        return (not self.since or ts >= self.since) and (not self.until or ts < self.until)


def day_files(folder: Path) -> list[Path]:
    """The daily files, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(item for item in folder.iterdir() if _DAY.fullmatch(item.name) and not item.is_symlink())


def tail(folder: Path, count: int = 50) -> list[Line]:
    """The newest `count` (at most 1,000) lines, oldest first."""
    return list(reversed(query(folder, Filter(), limit=count)))


def query(folder: Path, wanted: Filter, *, limit: int = 100) -> list[Line]:
    """The newest matching lines (at most `limit`, at most 1,000), newest first. Unreadable lines are left out."""
    # A follower wants what comes next after what it has seen: of the lines behind it, the oldest are kept.
    found: deque[Line] = deque(maxlen=min(limit, MAX_QUERY) if wanted.after else None)
    for path in reversed(day_files(folder)):
        if wanted.since and path.stem < wanted.since[:10]:
            break
        for raw in _reversed_lines(path):
            line = parse(raw)
            if line is not None and wanted.after and _seq(line) <= wanted.after:
                return list(found)
            if line is not None and wanted.matches(line):
                found.append(line)
                if not wanted.after and len(found) >= min(limit, MAX_QUERY):
                    return list(found)
    return list(found)


def last_lines(folder: Path, count: int) -> list[Line | None]:
    """The last `count` lines, newest first; None stands for one that is no line of ours."""
    raw = (line for path in reversed(day_files(folder)) for line in _reversed_lines(path))
    return [parse(line) for line in islice(raw, count)]


def _seq(line: Line) -> int:
    seq = line.get("seq")
    return seq if isinstance(seq, int) else 0


def verify(folder: Path, *, sign: Sign | None = None) -> dict[str, object]:
    """`{"ok", "files", "lines", "first_bad"}`; `first_bad` is null or `{"file", "line", "seq", "reason"}`.

    Follows the chain over all files and compares it with the signed heads; with `sign` their signatures are checked
    too. The first line that is left after pruning must continue a head.
    """
    files = day_files(folder)
    try:
        heads = read_heads(folder, sign=sign)
    except ValueError as error:
        return _report(files, 0, {"file": HEADS, "line": None, "seq": None, "reason": str(error)})
    seq, prev, lines = 0, GENESIS, 0
    for path in files:
        for number, raw in enumerate(_forward_lines(path), 1):
            line = parse(raw)
            if lines == 0 and line is not None:
                seq, prev = _begin(line, heads)
            reason = "it is no JSON object of one line" if line is None else check(line, seq + 1, prev)
            head = heads.get(seq + 1)
            if line is None or reason or (head and head["hash"] != line["hash"]):
                reason = reason or "it is not the line that was signed"
                return _report(files, lines, {"file": path.name, "line": number, "seq": seq + 1, "reason": reason})
            seq, prev, lines = seq + 1, str(line["hash"]), lines + 1
    if heads and max(heads) > seq:
        where = files[-1].name if files else None
        reason = f"lines after {seq} are missing: line {max(heads)} was signed"
        return _report(files, lines, {"file": where, "line": None, "seq": seq + 1, "reason": reason})
    return _report(files, lines, None)


def read_heads(folder: Path, *, sign: Sign | None = None) -> dict[int, Line]:
    """The signed heads by sequence number. Raises `ValueError` for one that is malformed or wrongly signed."""
    heads: dict[int, Line] = {}
    path = folder / HEADS
    if not path.exists():
        return heads
    for number, raw in enumerate(_forward_lines(path), 1):
        head = parse(raw)
        if (
            head is None
            or head.keys() != {"seq", "ts", "file", "hash", "signature"}
            or not isinstance(head["seq"], int)
        ):
            raise ValueError(f"line {number} is no signed head")
        signature = str(head["signature"]).encode("utf-8")
        if sign is not None and not hmac.compare_digest(signature, sign(head_bytes(head)).encode("utf-8")):
            raise ValueError(f"line {number} has a wrong signature")
        heads[head["seq"]] = head
    return heads


def head_bytes(head: Mapping[str, object]) -> bytes:
    """What is signed of a head."""
    return canonical_json({"purpose": "audit-head", **{key: head[key] for key in ("seq", "ts", "file", "hash")}})


def parse(raw: bytes) -> Line | None:
    """One line as an object; None for what is none, or is longer than any of ours."""
    if len(raw) > MAX_BYTES:
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _begin(line: Line, heads: Mapping[int, Line]) -> tuple[int, str]:
    """Where the chain begins: at the first line of all, or behind a signed head if what was before is pruned."""
    seq = line.get("seq")
    head = heads.get(seq - 1) if isinstance(seq, int) else None
    return (seq - 1, str(head["hash"])) if isinstance(seq, int) and head else (0, GENESIS)


def _report(files: list[Path], lines: int, first_bad: Line | None) -> dict[str, object]:
    return {"ok": first_bad is None, "files": len(files), "lines": lines, "first_bad": first_bad}


def _forward_lines(path: Path) -> Iterator[bytes]:
    """Lines without their newline; one that is too long comes cut, which `parse` refuses."""
    with path.open("rb") as file:
        while raw := file.readline(MAX_BYTES + 2):
            if not raw.endswith(b"\n") and len(raw) < MAX_BYTES:  # perhaps just being written: look once more
                file.seek(-len(raw), os.SEEK_CUR)
                raw = file.readline(MAX_BYTES + 2)
            yield raw.removesuffix(b"\n")


def _reversed_lines(path: Path) -> Iterator[bytes]:
    """Lines from the last to the first; a longer one than ours is handed on in pieces, which `parse` refuses."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            file.seek(position)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = first if len(first) <= MAX_BYTES else b""
        if rest:
            yield rest
