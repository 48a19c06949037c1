"""One kernel for each profile root: an advisory lock that the system gives back when its holder dies, however it dies.

Two kernels over one state would each believe to be the only writer of records, ledgers and sockets. The file stays;
only the lock on it counts, so nothing has to be tidied up after a crash, and a process id found in it is for people
alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from core_runtime.errors import Conflict, Unavailable

LOCK_NAME = "kernel.lock"
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ProfileLock:
    """Held from construction until `release` (or the end of the process). Also a context manager."""

    def __init__(self, root: Path) -> None:
        """Take the lock. Raises `Conflict` if another kernel has it, `Unavailable` if the folder cannot be used."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(root / LOCK_NAME, _OPEN, 0o600)
        except OSError as error:
            raise Unavailable(
                f"The profile's folder cannot be used: {error.strerror}.",
                hint="Set RUMI_USER_DATA to a folder of yours.",
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._fd)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise Unavailable(f"The profile cannot be locked: {error.strerror}.") from None
            raise Conflict(
                f"Another kernel{holder} is running on this profile.",
                hint="Use that one (rumi status), stop it, or give this one its own RUMI_PROFILE or RUMI_USER_DATA.",
            ) from None
        with suppress(OSError):  # the number is for people; a full disk must not keep the kernel from starting
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        """See `release`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self.release()

    def _holder(self) -> str:
        try:
            text = os.pread(self._fd, 16, 0).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return f" (process {text})" if text.isdigit() else ""
