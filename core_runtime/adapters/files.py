"""The small files of a profile: records, keys, settings. Atomic, durable, private, and never through a link.

Every path is walked from one descriptor of the profile's root, component by component, without following links; every
file is judged on its open descriptor: ours, regular, and closed to everybody else. A file that others could have
written or read is refused, not mended: it may be an attack, and it is evidence. Folders of ours that are too open are
closed. Trees of packs and databases have their own adapters.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core_runtime.approval.ports import FileOperations
from core_runtime.errors import Conflict, StorageFull, TooLarge, Unavailable, ValidationFailed
from core_runtime.ids import random_hex

FILE_MODE = 0o600
FOLDER_MODE = 0o700
RESERVE_BYTES = 262_144
RESERVE_NAME = ".reserve"

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}", re.ASCII)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SystemOperations:
    """`approval.ports.FileOperations` on the real system."""

    def open(self, name: str, flags: int, mode: int, dir_fd: int) -> int:
        """`openat`."""
        return os.open(name, flags, mode, dir_fd=dir_fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """`write`."""
        return os.write(fd, data)

    def chmod(self, fd: int, mode: int) -> None:
        """`fchmod`."""
        os.fchmod(fd, mode)

    def fsync(self, fd: int) -> None:
        """`fsync`."""
        os.fsync(fd)

    def mkdir(self, name: str, mode: int, dir_fd: int) -> None:
        """`mkdirat`."""
        os.mkdir(name, mode, dir_fd=dir_fd)

    def rename(self, name: str, target: str, dir_fd: int, target_dir_fd: int) -> None:
        """`renameat`."""
        os.rename(name, target, src_dir_fd=dir_fd, dst_dir_fd=target_dir_fd)

    def link(self, name: str, target: str, dir_fd: int) -> None:
        """`linkat`."""
        os.link(name, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)

    def unlink(self, name: str, dir_fd: int) -> None:
        """`unlinkat`."""
        os.unlink(name, dir_fd=dir_fd)

    def rmdir(self, name: str, dir_fd: int) -> None:
        """`unlinkat` with `AT_REMOVEDIR`."""
        os.rmdir(name, dir_fd=dir_fd)


class StateFiles:
    """`approval.ports.Files` below one root, which is made (0700) if it is not there."""

    def __init__(self, root: Path, operations: FileOperations | None = None) -> None:
        """Raises `Conflict` if the root is a link or belongs to somebody else."""
        self.root = root
        self._operations = operations or SystemOperations()
        root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        try:
            self._root = os.open(root, _FOLDER)
        except OSError as error:
            raise Conflict(
                f"The profile's folder cannot be used: {error.strerror}.", hint="It must be a folder, not a link."
            ) from None
        try:
            self._close_to_others(self._root, "the profile's folder")
        except PermissionError as error:
            self.close()
            raise Conflict(f"{error.strerror}.", hint="Choose another RUMI_USER_DATA, or chown it.") from None

    def close(self) -> None:
        """Give the root's descriptor back; the object is of no use afterwards."""
        os.close(self._root)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """See `Files`."""
        with self._folder_of(path, make=False) as place:
            if place is None:
                return None
            folder, name = place
            try:
                fd = os.open(name, _READ, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise PermissionError(errno.EPERM, f"{path} is a symbolic link") from None
                raise Unavailable(f"{path} cannot be read: {error.strerror}.") from None
            with os.fdopen(fd, "rb") as file:
                _judge_file(os.fstat(fd), path)
                data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise TooLarge(f"{path} is larger than {max_bytes} bytes.")
        return data

    def write_atomic(self, path: str, data: bytes, *, urgent: bool = False) -> None:
        """See `Files`."""
        try:
            self._replace(path, data)
        except StorageFull:
            if not (urgent and self._spend_reserve()):
                raise
            self._replace(path, data)

    def keep_reserve(self) -> bool:
        """Set some room aside for urgent writes, if there is none yet. False if the disk has none to give."""
        try:
            fd = self._operations.open(RESERVE_NAME, _NEW, FILE_MODE, self._root)
        except FileExistsError:
            return True
        except OSError:
            return False
        try:
            self._operations.write(fd, bytes(RESERVE_BYTES))
            self._operations.fsync(fd)
        except OSError:
            self._spend_reserve()
            return False
        finally:
            os.close(fd)
        return True

    def _spend_reserve(self) -> bool:
        try:
            self._operations.unlink(RESERVE_NAME, self._root)
        except OSError:
            return False
        return True

    def _replace(self, path: str, data: bytes) -> None:
        with self._changing(path) as (folder, name), self._temporary(folder, data) as temporary:
            self._operations.rename(temporary, name, folder, folder)
            self._operations.fsync(folder)

    def create(self, path: str, data: bytes) -> bool:
        """See `Files`. The file appears whole: it is linked into place, which fails if the name is taken."""
        with self._changing(path) as (folder, name), self._temporary(folder, data) as temporary:
            try:
                self._operations.link(temporary, name, folder)
            except FileExistsError:
                return False
            self._operations.unlink(temporary, folder)
            self._operations.fsync(folder)
            return True

    def delete(self, path: str) -> bool:
        """See `Files`."""
        with self._changing(path) as (folder, name):
            try:
                self._operations.unlink(name, folder)
            except FileNotFoundError:
                return False
            self._operations.fsync(folder)
            return True

    def move(self, path: str, target: str) -> None:
        """See `Files`."""
        with self._changing(path) as (folder, name), self._changing(target) as (target_folder, target_name):
            if _exists(target_name, target_folder):
                raise Conflict(f"{target} is there already.")
            self._operations.rename(name, target_name, folder, target_folder)
            self._operations.fsync(target_folder)
            self._operations.fsync(folder)

    def list(self, folder: str) -> tuple[str, ...]:
        """See `Files`."""
        with self._folder_of(_inside(folder), make=False) as place:
            if place is None:
                return ()
            with os.scandir(place[0]) as entries:
                names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        return tuple(sorted(name for name in names if not _TEMPORARY.fullmatch(name) and name != RESERVE_NAME))

    def make_folder(self, folder: str) -> Path:
        """Make a folder (0700) and give its path, for adapters that keep their own files in it."""
        with self._changing(_inside(folder)):
            return self.root / folder

    def remove_leftovers(self, folders: Iterable[str]) -> int:
        """Remove temporary files that an interrupted write left. Only at boot, under the profile's lock."""
        removed = 0
        for folder in folders:
            with self._folder_of(_inside(folder), make=False) as place:
                names = os.listdir(place[0]) if place else []  # noqa: PTH208 - of a descriptor
                for name in filter(_TEMPORARY.fullmatch, names):
                    if place and not stat.S_ISDIR(os.stat(name, dir_fd=place[0], follow_symlinks=False).st_mode):
                        self._operations.unlink(name, place[0])
                        removed += 1
        return removed

    @contextmanager
    def _temporary(self, folder: int, data: bytes) -> Iterator[str]:
        """A durable new file with these bytes; removed on the way out unless it was renamed."""
        temporary = f".tmp-{random_hex(8)}"
        try:
            fd = self._operations.open(temporary, _NEW, FILE_MODE, folder)
            try:
                self._operations.chmod(fd, FILE_MODE)  # a umask may have taken bits away
                rest = memoryview(data)
                while rest:
                    rest = rest[self._operations.write(fd, rest) :]
                self._operations.fsync(fd)
            finally:
                os.close(fd)
            yield temporary
        finally:
            with suppress(OSError):
                self._operations.unlink(temporary, folder)

    @contextmanager
    def _changing(self, path: str) -> Iterator[tuple[int, str]]:
        """Folder and name of a path that is about to change; the disk's refusals become errors of the tree."""
        try:
            with self._folder_of(path, make=True) as place:
                if place is None:
                    raise Unavailable(f"The folder of {path} vanished.")
                yield place
        except PermissionError as error:
            raise Conflict(f"{path} cannot be written: {error.strerror}.") from None
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(
                    f"No room to write {path}; nothing was changed.", hint="Free disk space, then try again."
                ) from None
            raise Unavailable(f"{path} cannot be written: {error.strerror}.") from None

    @contextmanager
    def _folder_of(self, path: str, *, make: bool) -> Iterator[tuple[int, str] | None]:
        *folders, name = _parts(path)
        fd = os.dup(self._root)
        try:
            for index, part in enumerate(folders):
                shown = "/".join(folders[: index + 1])
                below = self._open_folder(fd, part, shown, make=make)
                if below is None:
                    yield None
                    return
                os.close(fd)
                fd = below
            yield fd, name
        finally:
            os.close(fd)

    def _open_folder(self, parent: int, name: str, shown: str, *, make: bool) -> int | None:
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                return None
            with suppress(FileExistsError):
                self._operations.mkdir(name, FOLDER_MODE, parent)
                self._operations.fsync(parent)
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except (NotADirectoryError, OSError) as error:
            raise PermissionError(errno.EPERM, f"{shown} is not a folder of ours ({error.strerror})") from None
        try:
            self._close_to_others(fd, shown)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _close_to_others(self, fd: int, shown: str) -> None:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"{shown} belongs to another user")
        if stat.S_IMODE(status.st_mode) != FOLDER_MODE:
            self._operations.chmod(fd, FOLDER_MODE)


def _judge_file(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PermissionError(errno.EPERM, f"{path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{path} belongs to another user")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise PermissionError(errno.EPERM, f"{path} has mode {mode:04o} where 0600 is wanted")


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _inside(folder: str) -> str:
    """The path of something in a folder; the root's name is empty."""
    return f"{folder}/-" if folder else "-"


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\0" in part or len(part.encode("utf-8")) > 255 for part in parts):
        raise ValidationFailed(f"Not a path inside the profile: {path!r}")
    return parts
