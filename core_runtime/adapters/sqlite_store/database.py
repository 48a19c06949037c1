"""Opens one SQLite file, or says why it cannot be trusted. All of it blocks: never call it on the loop.

A damaged database is copied into quarantine and refused; it is never repaired, emptied or replaced in silence, because
an empty store that answers looks like data that never was (ST-12). Three signs beyond SQLite's own check: an existing
file of no bytes (ours are made under another name and renamed whole), a log without its main file, and a main file that
was open when the kernel ended but has lost its log: the marker beside it tells, since the log exists before the marker.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

from core_runtime.errors import RumiError, StorageFull, Unavailable

BUSY_MILLISECONDS = 5000
PAGE_BYTES = 4096
_FULL_SYNC = 2
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True)
class Layout:
    """What is in the file: `format` is its user_version, `schema` makes it, `max_bytes` stops its growth."""

    format: int
    schema: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Database:
    """One open file: the connection that writes, the one that reads, and the marker that says "open"."""

    path: Path
    writer: sqlite3.Connection
    reader: sqlite3.Connection

    def close(self) -> None:
        """Close cleanly: SQLite folds its log into the file."""
        with contextlib.suppress(OSError):
            _marker(self.path).unlink(missing_ok=True)
        self.reader.close()
        self.writer.close()


def open_database(path: Path, layout: Layout) -> Database:
    """Open or make the file. Raises `Unavailable` or `StorageFull`, naming the file relative to the profile."""
    name = f"{path.parent.name}/{path.name}"
    try:
        _private_folder(path.parent)
        if not _is_there(path):
            _make(path, layout)
        _check_files(path)
        return _connect(path, layout, name)
    except _DamagedError as damage:
        copy = _quarantine(path)
        raise Unavailable(
            f"The database {name} is damaged ({damage}) and was not opened.",
            hint=f"Restore it from a backup, or move {name} and its companions away to begin empty. {copy}",
            details={"reason": "STORE_DAMAGED"},
        ) from None
    except sqlite3.Error as error:
        raise translate(error, name) from None
    except OSError as error:
        raise os_failure(error, name) from None


def translate(error: sqlite3.Error, name: str) -> RumiError:
    """An error of ours for one of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(
            f"There is no room left for {name}; nothing was changed.", hint="Free space, then try again."
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Unavailable(
            f"{name} is locked by another process.",
            hint="Close the program that has it open.",
            details={"reason": "BUSY"},
        )
    if code in _DAMAGED:
        return Unavailable(f"{name} is damaged.", hint="Restore it from a backup.", details={"reason": "STORE_DAMAGED"})
    kind = getattr(error, "sqlite_errorname", type(error).__name__)
    return Unavailable(f"{name} cannot be used ({kind}).", hint="rumi doctor checks the folder and the disk.")


def os_failure(error: OSError, name: str) -> RumiError:
    """An error of ours for one of the system."""
    if error.errno in {28, 122}:  # ENOSPC, EDQUOT
        return StorageFull(
            f"There is no room left for {name}; nothing was changed.", hint="Free space, then try again."
        )
    return Unavailable(f"{name} cannot be used ({error.strerror}).", hint="rumi doctor checks the folder and the disk.")


class _DamagedError(Exception):
    """What is wrong with the files, in words."""


def _marker(path: Path) -> Path:
    return path.with_name(path.name + "-open")


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise Unavailable(f"{folder.name} is no folder of its own.", hint="Replace the link by a real folder.")


def _is_there(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        left = [item.name for item in (_companion(path, "-wal"), _marker(path)) if item.exists()]
        if left:
            raise _DamagedError(f"{path.name} is missing, but {left[0]} is there") from None
        return False
    if not stat.S_ISREG(mode):
        raise Unavailable(f"{path.parent.name}/{path.name} is no regular file.", hint="Replace it by the real file.")
    return True


def _check_files(path: Path) -> None:
    if path.stat().st_size == 0:
        raise _DamagedError("it is empty")
    if _marker(path).exists() and not _companion(path, "-wal").exists():
        raise _DamagedError("it was open when the kernel ended, and its log is gone")
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _make(path: Path, layout: Layout) -> None:
    """Make a whole, valid database under another name, then rename: a crash leaves none or all of it."""
    new = path.with_name(f".{path.name}.new")
    for leftover in (new, _companion(new, "-wal"), _companion(new, "-shm"), _companion(new, "-journal")):
        leftover.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(f"BEGIN; {layout.schema}; PRAGMA user_version={layout.format}; COMMIT;")
    finally:
        connection.close()
        os.fsync(descriptor)
        os.close(descriptor)
    new.rename(path)
    _sync_folder(path.parent)


def _connect(path: Path, layout: Layout, name: str) -> Database:
    with contextlib.ExitStack() as opened:
        writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        opened.callback(writer.close)
        _verify(writer, layout, name)
        _configure(writer, name)
        writer.execute(f"PRAGMA max_page_count={max(1, layout.max_bytes // PAGE_BYTES)}")
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        opened.callback(reader.close)
        _configure(reader, name)
        reader.execute("PRAGMA query_only=ON")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if _companion(path, "-wal").exists():
            _marker(path).touch(mode=0o600)
            _sync_folder(path.parent)
        opened.pop_all()
        return Database(path, writer, reader)


def _verify(connection: sqlite3.Connection, layout: Layout, name: str) -> None:
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > layout.format:
            raise Unavailable(
                f"{name} was written by a newer version (format {found}; this one knows {layout.format}).",
                hint="Start the newer version again, or restore a backup made before the change.",
                details={"reason": "STORE_NEWER"},
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise _DamagedError(str(error)) from None
        raise
    if verdict != "ok" or found < 1:
        raise _DamagedError("its check failed" if verdict != "ok" else "it holds no store")


def _configure(connection: sqlite3.Connection, name: str) -> None:
    """Set what durability rests on, and read it back: a file system that cannot do WAL says so only here (ST-13)."""
    wanted = {"journal_mode": "wal", "synchronous": _FULL_SYNC, "busy_timeout": BUSY_MILLISECONDS, "foreign_keys": 1}
    for pragma, value in wanted.items():
        connection.execute(f"PRAGMA {pragma}={value}")
        (found,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        if found != value:
            raise Unavailable(
                f"{name} cannot be opened safely: {pragma} stays {found} instead of {value}.",
                hint="Keep user_data on a local disk.",
                details={"reason": "STORE_UNSAFE"},
            )
    connection.execute("PRAGMA trusted_schema=OFF")


def _quarantine(path: Path) -> str:
    """Copy the evidence aside, once per content. Says where it is, for people."""
    files = [item for item in (path, _companion(path, "-wal"), _companion(path, "-shm")) if item.is_file()]
    digest = hashlib.sha256()
    try:
        for item in files:
            with item.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        folder = path.parent / "quarantine" / f"{path.stem}-{digest.hexdigest()[:16]}"
        if not folder.exists():
            partial = folder.with_name(f".{folder.name}.new")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(mode=0o700, parents=True)
            for item in files:
                shutil.copyfile(item, partial / item.name)
                (partial / item.name).chmod(0o600)
            partial.rename(folder)
    except OSError as error:
        return f"It could not be copied aside ({error.strerror})."
    return f"A copy is in {path.parent.name}/quarantine/{folder.name}."


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
