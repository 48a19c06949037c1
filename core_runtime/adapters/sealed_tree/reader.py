"""Walks and hashes a folder that may be hostile.

By descriptors all the way: no component is followed as a link, nothing but a regular file is opened for its content
(a FIFO would hang us, a device could act), each file is judged again on the very descriptor that is read, and every
limit is checked before the first byte is hashed. A file that vanishes, changes or cannot be read makes the whole
folder invalid: a digest "without that file" must never exist (AP-20).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from core_runtime.approval import digest as rules
from core_runtime.approval.digest import EXCLUDED_NAMES, FileEntry, TreeDigest, invalid, tree_digest
from core_runtime.errors import NotFound, RumiError, ValidationFailed

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
BUFFER_BYTES = 1_048_576
_SET_ID = stat.S_ISUID | stat.S_ISGID
FILES_PER_JOB = 50
THREADS = 2

T = TypeVar("T")


class FoundFile(NamedTuple):
    """A regular file as the walk saw it; the descriptor that is read later must be the same one."""

    folder: str
    name: str
    path: str
    size: int
    executable: bool
    device: int
    inode: int


def digest_of(path: Path) -> TreeDigest:
    """The digest of a pack folder; needs no kernel. Raises `NotFound`, or `ValidationFailed` with path and reason."""
    with open_root(path) as root:
        return hash_tree(root, walk(root, EXCLUDED_NAMES))


class FolderReader:
    """`approval.ports.TreeReader` on the real disk."""

    def digest(self, root: Path) -> TreeDigest:
        """See `digest_of`."""
        return digest_of(root)

    def read_file(self, root: Path, path: str, max_bytes: int) -> bytes:
        """The first `max_bytes` of one regular file. Raises `ValidationFailed` if it is not one."""
        rules.check_path(path)
        folder, _, name = path.rpartition("/")
        try:
            with open_root(root) as top, _open_below(top, folder) as fd, _open_file(name, fd) as file:
                _check_kind(os.fstat(file), path)
                with os.fdopen(file, "rb", closefd=False) as reader:
                    return reader.read(max_bytes)
        except OSError as error:
            raise _refusal(path, error) from None


@contextmanager
def open_root(path: Path) -> Iterator[int]:
    """A descriptor of the pack's folder, which itself must not be a link."""
    try:
        fd = os.open(path, OPEN_FOLDER)
    except FileNotFoundError:
        raise NotFound("There is no such folder.", hint="Name the folder that holds backend/ecosystem.json.") from None
    except OSError as error:
        raise invalid("", "unreadable", f"the folder cannot be opened: {error.strerror}.") from None
    try:
        yield fd
    finally:
        os.close(fd)


def walk(root: int, excluded: frozenset[str]) -> list[FoundFile]:
    """Every regular file below `root`, or `ValidationFailed`. Opens folders only; stops at the first limit passed."""
    walker = _Walker(excluded)
    walker.visit(root, "", 1)
    rules.check_twins(file.path for file in walker.files)
    return walker.files


class _Walker:
    """The state of one walk: what was found and how much of the limits is used."""

    def __init__(self, excluded: frozenset[str]) -> None:
        self._excluded = excluded
        self._folders = 0
        self._bytes = 0
        self.files: list[FoundFile] = []

    def visit(self, fd: int, folder: str, depth: int) -> None:
        """Judge every entry of one open folder; folders at once, so at most `MAX_DEPTH` descriptors are open."""
        path, prefix = folder, f"{folder}/" if folder else ""
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if name in self._excluded:
                        continue
                    path = prefix + name
                    rules.check_name(name, path)
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        self._descend(fd, name, path, depth)
                    else:
                        self._keep(status, folder, name, path)
        except OSError as error:
            raise _refusal(path, error) from None

    def _descend(self, fd: int, name: str, path: str, depth: int) -> None:
        self._folders += 1
        if self._folders > rules.MAX_FOLDERS:
            raise invalid("", "folder_count", f"more than {rules.MAX_FOLDERS} folders.")
        if depth >= rules.MAX_DEPTH:
            raise invalid(path, "depth", f"more than {rules.MAX_DEPTH} levels deep.")
        below = os.open(name, OPEN_FOLDER, dir_fd=fd)
        try:
            self.visit(below, path, depth + 1)
        finally:
            os.close(below)

    def _keep(self, status: os.stat_result, folder: str, name: str, path: str) -> None:
        _check_kind(status, path)
        rules.check_length(path)
        size = status.st_size
        rules.check_size(path, size)
        self._bytes += size
        executable = bool(status.st_mode & stat.S_IXUSR)
        self.files.append(FoundFile(folder, name, path, size, executable, status.st_dev, status.st_ino))
        rules.check_totals(len(self.files), self._bytes)


def hash_tree(root: int, files: Sequence[FoundFile]) -> TreeDigest:
    """Hash the files of a walk in two threads."""

    def hash_one(found: FoundFile, fd: int, view: memoryview) -> FileEntry:
        hasher = hashlib.sha256()
        for chunk in chunks(fd, found, view):
            hasher.update(chunk)
        return FileEntry(found.path, found.executable, found.size, hasher.hexdigest())

    return tree_digest(read_all(root, files, hash_one))


def read_all(root: int, files: Sequence[FoundFile], consume: Callable[[FoundFile, int, memoryview], T]) -> list[T]:
    """Hand the content of every file to `consume`, in two threads, in jobs of some fifty files each.

    The results are in the order of `files`. Of several files that are refused, the first is named, whichever thread
    came upon it first, so that the same folder always gets the same answer.
    """
    jobs = deque(enumerate(files[start : start + FILES_PER_JOB] for start in range(0, len(files), FILES_PER_JOB)))
    results: dict[int, list[T]] = {}
    refusals: dict[int, RumiError] = {}

    def work() -> None:
        view = memoryview(bytearray(BUFFER_BYTES))
        while True:
            try:
                number, part = jobs.popleft()
            except IndexError:
                return
            try:
                results[number] = [
                    found for group in _by_folder(part) for found in _read_group(root, group, view, consume)
                ]
            except RumiError as error:
                refusals[number] = error
                jobs.clear()  # jobs are taken in order: what comes before this one is done or being done

    helpers = min(THREADS, len(jobs)) - 1
    if helpers > 0:
        with ThreadPoolExecutor(helpers, thread_name_prefix="tree") as pool:
            helping = [pool.submit(work) for _ in range(helpers)]
            work()
        for helper in helping:
            helper.result()
    else:
        work()
    if refusals:
        raise refusals[min(refusals)]
    return [found for number in sorted(results) for found in results[number]]


def _by_folder(files: Sequence[FoundFile]) -> Iterator[list[FoundFile]]:
    group: list[FoundFile] = []
    for found in files:
        if group and group[0].folder != found.folder:
            yield group
            group = []
        group.append(found)
    if group:
        yield group


def _read_group(
    root: int,
    group: Sequence[FoundFile],
    view: memoryview,
    consume: Callable[[FoundFile, int, memoryview], T],
) -> list[T]:
    results = []
    path = group[0].folder
    try:
        with _open_below(root, path) as folder:
            for found in group:
                path = found.path
                fd = os.open(found.name, OPEN_FILE, dir_fd=folder)
                try:
                    _check_same(os.fstat(fd), found)
                    results.append(consume(found, fd, view))
                finally:
                    os.close(fd)
    except OSError as error:
        raise _refusal(path, error) from None
    return results


def chunks(fd: int, found: FoundFile, view: memoryview) -> Iterable[memoryview]:
    """The bytes of one file through a reused buffer; exactly as many as the walk saw, or the tree is refused."""
    count = os.readv(fd, [view])
    if count == found.size and count < len(view):
        return (view[:count],)
    return _rest(fd, found, view, count)


def _rest(fd: int, found: FoundFile, view: memoryview, count: int) -> Iterator[memoryview]:
    done = 0
    while count:
        done += count
        if done > found.size:
            break
        yield view[:count]
        count = os.readv(fd, [view])
    if done != found.size:
        raise _changed(found.path)


def _check_kind(status: os.stat_result, path: str) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) and status.st_nlink == 1 and not mode & _SET_ID:
        return
    if stat.S_ISLNK(mode):
        raise invalid(path, "link", "a symbolic link.", "Replace it by the file that it points to.")
    if not stat.S_ISREG(mode):
        raise invalid(path, "special", "neither a file nor a folder (a FIFO, socket or device).", "Remove it.")
    if status.st_nlink > 1:
        raise invalid(path, "hard_link", "has more than one name (a hard link).", "Copy the file instead.")
    if mode & _SET_ID:
        raise invalid(path, "set_id", "has a set-uid or set-gid bit.", "chmod ug-s on it.")


def _check_same(status: os.stat_result, found: FoundFile) -> None:
    _check_kind(status, found.path)
    same = status.st_ino == found.inode and status.st_dev == found.device and status.st_size == found.size
    if not same or bool(status.st_mode & stat.S_IXUSR) is not found.executable:
        raise _changed(found.path)


def _changed(path: str) -> ValidationFailed:
    return invalid(path, "changed", "changed while it was read.", "Wait until nothing writes to the folder.")


@contextmanager
def _open_below(root: int, folder: str) -> Iterator[int]:
    """A descriptor of a folder below `root`, no component followed as a link."""
    fd = os.dup(root)
    try:
        for part in folder.split("/") if folder else ():
            below = os.open(part, OPEN_FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _open_file(name: str, folder: int) -> Iterator[int]:
    fd = os.open(name, OPEN_FILE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _refusal(path: str, error: OSError) -> ValidationFailed:
    """What the system said about `path`, as the reason why the whole folder is invalid."""
    if isinstance(error, FileNotFoundError):
        return invalid(path, "vanished", "vanished while it was read.", "Wait until nothing writes to the folder.")
    if isinstance(error, PermissionError):
        return invalid(path, "unreadable", "cannot be read by the kernel's user.", "Make it readable.")
    return invalid(path, "unreadable", f"cannot be read: {error.strerror}.")
