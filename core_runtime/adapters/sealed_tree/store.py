"""The sealed copies: `sealed/<digest>/`, read-only, made once, hashed again before they are used.

A copy is built under a temporary name, its bytes hashed while they are written, compared with the approval, made
durable and only then renamed to its digest, so a folder with that name is always whole. Nothing is left out when a
sealed copy is hashed again: a `__pycache__` planted there would run, so it must count (AP-04).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from core_runtime.adapters.sealed_tree.flushing import FlushAll, no_flush_all
from core_runtime.adapters.sealed_tree.reader import (
    OPEN_FOLDER,
    THREADS,
    FoundFile,
    chunks,
    digest_of,
    hash_tree,
    open_root,
    read_all,
    walk,
)
from core_runtime.approval.digest import EXCLUDED_NAMES, FileEntry, TreeDigest, tree_digest
from core_runtime.approval.ports import FileOperations
from core_runtime.errors import Conflict, NotFound, StorageFull, Unavailable, ValidationFailed
from core_runtime.ids import is_digest, random_hex

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}", re.ASCII)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o444, 0o555, 0o555
FEW_FILES = 64
"""Up to so many files are flushed one by one, which leaves alone what others have in memory on the same disk."""


class SealedStore:
    """`approval.ports.SealedTrees` below one folder of the profile, which must exist and be ours alone."""

    def __init__(
        self,
        folder: Path,
        operations: FileOperations,
        flush_all_of: Callable[[int], FlushAll | None] = no_flush_all,
    ) -> None:
        self._folder = folder
        self._operations = operations
        self._flush_all_of = flush_all_of

    def path(self, digest: str) -> Path:
        """Where the copy of `digest` is or would be."""
        if not is_digest(digest):
            raise ValidationFailed("Not a digest: 64 lower-case hex digits are wanted.")
        return self._folder / digest

    def seal(self, root: Path, expected: str) -> TreeDigest:
        """Copy `root`. Raises `Conflict` if its bytes are not `expected`, `StorageFull` or `Unavailable`; then nothing
        is there that was not before."""
        target = self.path(expected)
        with suppress(NotFound, Conflict):
            kept = self.verify(expected)
            if digest_of(root).digest == expected:
                return kept
        with _storage_errors(), open_root(self._folder) as sealed:
            name = f".tmp-{random_hex(8)}"
            try:
                copied = self._copy(root, sealed, name)
                _compare(copied, expected)
                self._put_in_place(sealed, name, target.name)
            except BaseException:
                with suppress(OSError):
                    _remove(self._operations, sealed, name)
                raise
        return copied

    def verify(self, digest: str) -> TreeDigest:
        """Hash the copy again, everything in it. Raises `NotFound`, or `Conflict` if it is not what its name says."""
        with open_root(self.path(digest)) as root:
            try:
                found = hash_tree(root, walk(root, frozenset()))
            except ValidationFailed as error:
                raise Conflict("A sealed copy is damaged.", details={"digest": digest, **error.details}) from None
        if found.digest != digest:
            raise Conflict("A sealed copy is damaged.", details={"digest": digest, "reason": "digest"})
        return found

    def collect(self, keep: Collection[str]) -> int:
        """Remove copies that nothing refers to and what interrupted seals left; returns how many were removed."""
        removed = 0
        with _storage_errors(), open_root(self._folder) as sealed:
            for name in os.listdir(sealed):  # noqa: PTH208 - of a descriptor
                if _TEMPORARY.fullmatch(name) or (is_digest(name) and name not in keep):
                    _remove(self._operations, sealed, name)
                    removed += 1
        return removed

    def _copy(self, root: Path, sealed: int, name: str) -> TreeDigest:
        with open_root(root) as source:
            files = walk(source, EXCLUDED_NAMES)
            self._operations.mkdir(name, 0o700, sealed)
            copy = os.open(name, OPEN_FOLDER, dir_fd=sealed)
            try:
                flush_all = self._flush_all_of(copy) if len(files) > FEW_FILES else None
                folders = sorted({parent for file in files for parent in _parents(file.path)})
                for folder in folders:
                    self._operations.mkdir(folder, 0o700, copy)
                copier = _Copier(self._operations, copy, early=flush_all is None)
                copied = tree_digest(read_all(source, files, copier))
                self._close_folders(copy, [*reversed(folders), "."])
                if flush_all is not None:
                    flush_all()
                else:
                    self._flush_each(copy, [file.path for file in files], [*reversed(folders), "."])
            finally:
                os.close(copy)
        return copied

    def _close_folders(self, copy: int, folders: Sequence[str]) -> None:
        for folder in folders:
            fd = os.open(folder, OPEN_FOLDER, dir_fd=copy)
            try:
                self._operations.chmod(fd, FOLDER_MODE)
            finally:
                os.close(fd)

    def _flush_each(self, copy: int, files: Sequence[str], folders: Sequence[str]) -> None:
        """Flush all files, whose writing out was started while copying, then all folders."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="seal") as pool:
            for _ in pool.map(
                lambda part: self._flush(copy, part), (files[start::THREADS] for start in range(THREADS))
            ):
                pass
        self._flush(copy, folders)

    def _flush(self, copy: int, paths: Sequence[str]) -> None:
        for path in paths:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=copy)
            try:
                self._operations.fsync(fd)
            finally:
                os.close(fd)

    def _put_in_place(self, sealed: int, name: str, target: str) -> None:
        """Rename into place; a damaged copy of that name is moved out of the way first."""
        try:
            self._operations.rename(name, target, sealed, sealed)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
            aside = f".tmp-{random_hex(8)}"
            self._operations.rename(target, aside, sealed, sealed)
            self._operations.rename(name, target, sealed, sealed)
            _remove(self._operations, sealed, aside)
        self._operations.fsync(sealed)


class _Copier:
    """Writes each file of a walk into the copy while hashing exactly the bytes that are written.

    `early`: have the system begin to write each file out at once, so that its flush at the end is short.
    """

    def __init__(self, operations: FileOperations, copy: int, *, early: bool) -> None:
        self._operations = operations
        self._copy = copy
        self._early = early

    def __call__(self, found: FoundFile, fd: int, view: memoryview) -> FileEntry:
        """Copy one file; see `reader.read_all`."""
        hasher = hashlib.sha256()
        with _storage_errors():
            out = self._operations.open(found.path, _NEW_FILE, 0o600, self._copy)
        try:
            for chunk in chunks(fd, found, view):
                hasher.update(chunk)
                self._write(out, chunk)
            with _storage_errors():
                self._operations.chmod(out, PROGRAM_MODE if found.executable else FILE_MODE)
                if self._early:
                    os.posix_fadvise(out, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(out)
        return FileEntry(found.path, found.executable, found.size, hasher.hexdigest())

    def _write(self, out: int, rest: memoryview) -> None:
        with _storage_errors():
            while rest:
                rest = rest[self._operations.write(out, rest) :]


def _compare(copied: TreeDigest, expected: str) -> None:
    if copied.digest != expected:
        raise Conflict("The pack changed while it was sealed.", hint="Look at the plan again.")


def _parents(path: str) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _remove(operations: FileOperations, sealed: int, name: str) -> None:
    """Remove one copy, whole or half-made; links in it are removed, never followed."""
    try:
        status = os.stat(name, dir_fd=sealed, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        operations.unlink(name, sealed)
        return
    for _, folders, files, fd in os.fwalk(name, topdown=False, follow_symlinks=False, dir_fd=sealed):
        operations.chmod(fd, 0o700)
        for entry in files:
            operations.unlink(entry, fd)
        for entry in folders:
            if stat.S_ISLNK(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode):
                operations.unlink(entry, fd)
            else:
                operations.rmdir(entry, fd)
    operations.rmdir(name, sealed)


@contextmanager
def _storage_errors() -> Iterator[None]:
    """What the disk refuses, as the errors of the tree. An error of the pack's folder has been named before."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("No room for the sealed copy.", hint="Free disk space, then try again.") from None
        raise Unavailable(f"The sealed copy cannot be written: {error.strerror}.") from error
