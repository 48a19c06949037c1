"""Makes a whole file system durable at once, for trees of many files.

A thousand `fsync` are a thousand commits of the journal, one after the other; `syncfs` (Linux) is one. It is used only
where it is known to cover what a row of `fsync` would: on file systems that write their data out before they answer,
by a system that reports errors of that writing (Linux 5.8 and later). Anywhere else there is no answer here, and each
file is flushed by itself. Must never say that something is durable which may not be.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable

# `f_type` of statfs(2): the ext family, XFS, Btrfs, F2FS. Not FUSE, whose servers may ignore the call.
_COVERED = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010})
_REPORTS_ERRORS = (5, 8)
_STATFS_BYTES = 512
_WORD = (1 << 32) - 1

FlushAll = Callable[[], None]


def no_flush_all(fd: int) -> FlushAll | None:
    """The answer where each file has to be flushed by itself."""
    del fd
    return None


def flush_all_of(fd: int) -> FlushAll | None:
    """What flushes the whole file system of an open folder, or None where that is not known to be enough.

    To be asked before the writing begins: from then on, errors of the writing out are reported (as `OSError`).
    """
    if _release() < _REPORTS_ERRORS:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs") or _type_of(library, fd) not in _COVERED:
        return None

    def flush_all() -> None:
        if library.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return flush_all


def _release() -> tuple[int, ...]:
    """The version of the running system, `(0,)` where it is not Linux."""
    system = os.uname()
    found = re.match(r"(\d+)\.(\d+)", system.release) if system.sysname == "Linux" else None
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _type_of(library: ctypes.CDLL, fd: int) -> int:
    """The kind of file system: the first word of `struct statfs`; 0 if it cannot be told."""
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if library.fstatfs(fd, answer) != 0:
        return 0
    return ctypes.c_long.from_buffer(answer).value & _WORD
