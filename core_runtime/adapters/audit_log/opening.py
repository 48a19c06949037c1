"""Taking the chain up again at start, or refusing to: an audit log that lost its end is evidence, not a fresh start.

What is mended: bytes behind the last newline, which a crash in the middle of a write leaves; they are moved into a side
file. What is not: a last line that does not check, lines that a signed head names and that are gone, a head with a
wrong signature, a file of a link or of somebody else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from core_runtime.adapters.audit_log.chain import GENESIS, check, hash_of
from core_runtime.adapters.audit_log.reading import HEADS, MAX_BYTES, Line, day_files, last_lines, read_heads
from core_runtime.canonical import canonical_json
from core_runtime.errors import Unavailable

CHECKED_LINES = 100
RESERVED_BYTES = 256 * 1024
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where the chain stands: number, hash and time of the last line, the day of its file.

    `torn` is the number of bytes that were cut off, `headed` the number of the newest signed line.
    """

    seq: int = 0
    hash: str = GENESIS
    ts: str = ""
    day: str = ""
    torn: int = 0
    headed: int = 0


def continue_chain(folder: Path, sign: Callable[[bytes], str]) -> ChainEnd:
    """The end of the chain in `folder`, which is made if it is not there. Raises `Unavailable`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise _broken("its folder is a link")
        files = day_files(folder)
        torn = _cut_torn(files[-1]) if files else 0
        lines = _checked(last_lines(folder, CHECKED_LINES))
        heads = read_heads(folder, sign=sign)
    except OSError as error:
        raise _broken(error.strerror or "it cannot be read") from None
    except ValueError as error:
        raise _broken(f"heads.jsonl: {error}") from None
    newest = max(heads, default=0)
    if not lines:
        if newest or any(path.stat().st_size for path in files):
            raise _broken("its lines are gone or unreadable")
        return ChainEnd(day=files[-1].stem if files else "", torn=torn)
    last = lines[0]
    seq = last["seq"]
    if not isinstance(seq, int) or seq < newest:
        raise _broken(f"its lines after {seq} are missing: line {newest} was signed")
    signed = next((line for line in lines if line["seq"] == newest), None)
    if signed is not None and signed["hash"] != heads[newest]["hash"]:
        raise _broken(f"line {newest} is not the one that was signed")
    return ChainEnd(seq, str(last["hash"]), str(last["ts"]), files[-1].stem, torn, newest)


def open_day(folder: Path, day: str) -> tuple[int, int]:
    """The descriptor of a day's file, for appending, and its size. Raises `OSError`, `Unavailable` for a link."""
    if (folder / f"{day}.jsonl").is_symlink():
        raise _broken(f"{day}.jsonl is a link")
    descriptor = os.open(folder / f"{day}.jsonl", _FLAGS, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o600)
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    return descriptor, found.st_size


def append_head(folder: Path, head: dict[str, object]) -> None:
    """Append one signed head and make it durable: all of it or nothing. Raises `OSError`."""
    line = canonical_json(head) + b"\n"
    descriptor = os.open(folder / HEADS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, "short write")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reserve:
    """Space set aside, so that stopping, revoking and disabling can leave their line on a full disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".reserve"
        self.prepare()

    def prepare(self) -> None:
        """Set the space aside, if it is not and there is any."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
            finally:
                os.close(descriptor)

    def release(self) -> bool:
        """Give the space back. False if there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _checked(newest_first: list[Line | None]) -> list[Line]:
    """The last lines, which must be a chain among themselves; the whole of it is for `verify`."""
    lines = [line for line in newest_first if line is not None]
    if len(lines) != len(newest_first):
        raise _broken("one of its last lines is no line")
    for line, before in pairwise(lines):
        seq = before.get("seq")
        wrong = check(line, seq + 1 if isinstance(seq, int) else -1, str(before.get("hash")))
        if wrong:
            raise _broken(f"line {line.get('seq')}: {wrong}")
    if lines and lines[-1].get("hash") != hash_of(lines[-1]):
        raise _broken(f"line {lines[-1].get('seq')}: its content does not match its hash")
    return lines


def _cut_torn(path: Path) -> int:
    """Move what stands behind the last newline into a side file; how many bytes it was."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        end = os.pread(descriptor, min(size, MAX_BYTES), max(0, size - MAX_BYTES))
        torn = end[end.rfind(b"\n") + 1 :]
        if not torn:
            return 0
        if len(torn) == len(end) and size > len(end):
            raise _broken(f"{path.name} ends in something that is no line")
        _keep(path, torn)
        os.ftruncate(descriptor, size - len(torn))
        os.fsync(descriptor)
        return len(torn)
    finally:
        os.close(descriptor)


def _keep(path: Path, torn: bytes) -> None:
    for number in range(1, 1000):
        side = path.with_name(f"{path.stem}.torn-{number}")
        try:
            descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        try:
            os.write(descriptor, torn)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    raise _broken("too many torn lines were kept already")


def _broken(why: str) -> Unavailable:
    return Unavailable(
        f"The audit log cannot be continued: {why}.",
        hint="rumi audit verify names the first bad line. Move the audit folder away to begin a new chain.",
        details={"reason": "AUDIT_BROKEN"},
    )
