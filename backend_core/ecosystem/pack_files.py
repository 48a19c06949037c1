"""Opens files of a folder that a stranger wrote.

Everything is reached from a descriptor of the pack's root, component by component, without following a link and without
ever blocking on a FIFO or a device (AP-09, AP-20, AP-22). What is not a plain file or folder of sane size does not
exist here, it is a `Problem`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core_runtime.packs import Problem

MAX_JSON_BYTES = 1_048_576
MAX_JSON_TOGETHER = 4_194_304  # of one pack: what it says of itself is read again at every change, before any approval
MAX_ENTRIES = 2_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UnreadableFile(Exception):
    """Carries the `Problem` that a file is."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class PackFolder:
    """One pack's root, held open. Paths are relative, with `/`, and name files of the pack only."""

    def __init__(self, root: Path) -> None:
        self._root_fd = os.open(root, _DIRECTORY)
        self._left = MAX_JSON_TOGETHER

    def close(self) -> None:
        """Let go of the root."""
        os.close(self._root_fd)

    def read_json(self, path: str) -> object:
        """Parse a strict JSON file (UTF-8, no repeated key, no NaN, 1 MiB, 4 MiB in all). Raises `UnreadableFile`."""
        raw = self.read_bytes(path, MAX_JSON_BYTES)
        self._left -= len(raw)
        if self._left < 0:
            text = f"The JSON files of this pack are larger than {MAX_JSON_TOGETHER:,} bytes together."
            raise UnreadableFile(Problem(path, "", text))
        try:
            return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        except UnicodeDecodeError:
            raise UnreadableFile(Problem(path, "", "This file is not UTF-8.")) from None
        except RecursionError:
            raise UnreadableFile(Problem(path, "", "This file nests too deeply.")) from None
        except ValueError as error:
            raise UnreadableFile(Problem(path, "", f"This is not valid JSON: {error}")) from None

    def read_bytes(self, path: str, limit: int) -> bytes:
        """The bytes of one regular file of at most `limit` bytes. Raises `UnreadableFile`."""
        try:
            with self._parent(path) as (folder, name):
                descriptor = os.open(name, _FILE, dir_fd=folder)
        except FileNotFoundError:
            raise UnreadableFile(Problem(path, "", "This file is missing.")) from None
        except OSError as error:
            raise UnreadableFile(Problem(path, "", f"This file cannot be read: {error.strerror}.")) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnreadableFile(Problem(path, "", "This is not a regular file."))
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise UnreadableFile(Problem(path, "", f"This file is larger than {limit:,} bytes."))
        return data

    def exists(self, path: str) -> bool:
        """True if something is there, of whatever kind."""
        try:
            with self._parent(path) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def size_of(self, folder: str, names: Iterable[str]) -> int:
        """Bytes of these files of one folder together. Raises `UnreadableFile`."""
        try:
            with self._parent(f"{folder}/x") as (opened, _):
                return sum(os.stat(name, dir_fd=opened, follow_symlinks=False).st_size for name in names)
        except OSError as error:
            raise UnreadableFile(Problem(folder, "", f"This folder cannot be read: {error.strerror}.")) from None

    def names(self, path: str, *, folders: bool = False, suffix: str = "") -> tuple[str, ...]:
        """Sorted names of the regular files (or folders) in the folder `path`; empty if there is none.

        Raises `UnreadableFile` for a folder that is a link or holds more than 2,000 entries.
        """
        found: list[str] = []
        try:
            with self._parent(path + "/x") as (folder, _), os.scandir(folder) as entries:
                for count, entry in enumerate(entries):
                    if count >= MAX_ENTRIES:
                        raise UnreadableFile(Problem(path, "", f"This folder holds more than {MAX_ENTRIES:,} entries."))
                    fits = entry.is_dir(follow_symlinks=False) if folders else entry.is_file(follow_symlinks=False)
                    if fits and entry.name.endswith(suffix) and not entry.name.startswith("."):
                        found.append(entry.name)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise UnreadableFile(Problem(path, "", f"This folder cannot be read: {error.strerror}.")) from None
        return tuple(sorted(found))

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        opened: list[int] = []
        current = self._root_fd
        try:
            for part in folders:
                current = os.open(part, _DIRECTORY, dir_fd=current)
                opened.append(current)
            yield current, name
        finally:
            for descriptor in opened:
                os.close(descriptor)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return result


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
