"""Where sockets live, and what is done about what is found there at start.

Only what is certainly ours and certainly dead is removed: a folder of our own making below a 0700 folder of ours, with
sockets in it that nobody answers. Everything else is left alone and named in a clear error.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from pathlib import Path

from core_runtime.errors import Conflict, Unavailable

LONGEST_PATH = 107
PROBE_SECONDS = 0.5
_RANDOM_NAME = re.compile(r"[0-9a-f]{8}", re.ASCII)
_DESCRIPTORS = Path("/proc/self/fd")


def socket_address(folder: Path, name: str, directory: int, *, descriptors: Path = _DESCRIPTORS) -> str:
    """An address for `name` in `folder`, whose open descriptor is `directory`. Raises `Unavailable` if there is none.

    Through the descriptor the address is short however deep the folder lies; `sun_path` holds 107 bytes (unix(7)).
    """
    if (descriptors / str(directory)).exists():
        return str(descriptors / str(directory) / name)
    path = os.fsencode(folder / name)
    if len(path) <= LONGEST_PATH:
        return str(folder / name)
    raise Unavailable(
        f"The path of a pack's socket has {len(path)} bytes, over the {LONGEST_PATH} of the system; /proc is missing.",
        hint="Mount /proc, or set RUMI_USER_DATA to a shorter path.",
    )


def own_folder(folder: Path) -> None:
    """See to it that `folder` is a folder of ours with mode 0700. Raises `Unavailable` if something else is there."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _in_the_way(folder, _kind(found.st_mode))
    if found.st_uid != os.geteuid():
        raise _in_the_way(folder, "a folder of somebody else")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def remove_stale(entry: Path) -> None:
    """Remove the folder of a container start of a kernel that died.

    Raises `Conflict` if one of its sockets still answers, `Unavailable` if it is not such a folder.
    """
    found = entry.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _in_the_way(entry, _kind(found.st_mode))
    if found.st_uid != os.geteuid() or not _RANDOM_NAME.fullmatch(entry.name):
        raise _in_the_way(entry, "a folder that the kernel did not make")
    directory = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names = os.listdir(directory)  # noqa: PTH208 - of the descriptor, whatever the path is now
        for name in names:
            _check_leftover(entry, name, directory)
        for name in names:
            os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)
    entry.rmdir()


def _check_leftover(folder: Path, name: str, directory: int) -> None:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISSOCK(found.st_mode):
        if _answers(socket_address(folder, name, directory)):
            raise Conflict(
                f"The socket run/s/{folder.name}/{name} of this profile is in use.",
                hint="Stop the other kernel of this profile first (rumi status).",
            )
    elif not stat.S_ISREG(found.st_mode):
        raise _in_the_way(folder / name, _kind(found.st_mode))


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((text for test, text in kinds if test(mode)), "a special file")


def _in_the_way(path: Path, what: str) -> Unavailable:
    shown = "/".join(path.parts[path.parts.index("run") :]) if "run" in path.parts else path.name
    return Unavailable(
        f"{shown} of this profile is {what}; the kernel needs this place for the sockets of packs.",
        hint="Look at what it is, move it away, and start again.",
    )
