"""The range of uids that belongs to one kernel on this machine, and the files behind it.

Two kernels on one machine must never give one uid to two packs, so ranges are written into a small register that all
kernels of this user share, under an exclusive lock. A range whose owner's folder is gone is free again. It must never
widen what it may touch: it reads /etc/subuid and /etc/subgid, and writes only the register and the file it is given.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.ids import random_hex
from core_runtime.sandbox.engine_port import EngineInfo
from core_runtime.sandbox.uids import (
    RANGE_SIZE,
    UidMap,
    UidRange,
    first_free_range,
    map_of_remapped_engine,
    map_of_rootless_engine,
    map_without_namespace,
    subordinate_ranges,
    subordinate_start,
)

SUBORDINATE_FILES = (Path("/etc/subuid"), Path("/etc/subgid"))
MACHINE_REGISTER = Path("/var/lib/rumi/uid-ranges")
MAX_BYTES = 4_194_304
LOCK_TRIES, LOCK_PAUSE_SECONDS = 100, 0.05


class DurableFile:
    """A `StateFile`: written beside, synced, renamed, and the folder synced; mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """See `StateFile`."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        """See `StateFile`."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.{random_hex(6)}")
        try:
            with open(beside, "xb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def register_path(*, uid: int, home: Path) -> Path:
    """Where ranges are registered: machine-wide for root, else for all kernels of this user."""
    return MACHINE_REGISTER if uid == 0 else home / ".local" / "state" / "rumi" / "uid-ranges"


def reserve_range(register: Path, owner: Path, *, wanted_base: int = 0) -> UidRange:
    """The range of the profile folder `owner`: the one it has, `wanted_base`'s, or the first free one.

    Raises `ValidationFailed` if `wanted_base` overlaps another kernel's, `Unavailable` if there is no room.
    """
    with _locked(register):
        ranges = _read(register)
        others = {path: item for path, item in ranges.items() if path != str(owner) and Path(path).exists()}
        chosen = ranges.get(str(owner))
        if wanted_base:
            chosen = UidRange(wanted_base)
            if any(chosen.overlaps(item) for item in others.values()):
                raise ValidationFailed(
                    "RUMI_UID_BASE overlaps the uids of another kernel on this machine.",
                    hint=f"Unset it, or choose one that is {RANGE_SIZE} or more away from {register.name}'s entries.",
                )
        elif chosen is None or any(chosen.overlaps(item) for item in others.values()):
            subordinate = [item for path in SUBORDINATE_FILES for item in subordinate_ranges(_text(path))]
            chosen = first_free_range(subordinate, others.values())
        if ranges != {**others, str(owner): chosen}:
            lines = [f"{item.base} {item.count} {path}" for path, item in {**others, str(owner): chosen}.items()]
            DurableFile(register).write(("\n".join(lines) + "\n").encode())
    return chosen


def uid_map(info: EngineInfo, reserved: UidRange, *, user_names: tuple[str, ...]) -> UidMap:
    """Where this engine's container uids appear on the host. `user_names`: the login name and uid of this user."""
    if info.rootless:
        start = subordinate_start(_text(SUBORDINATE_FILES[0]), user_names)
        if start is None:
            raise ValidationFailed(
                "The engine is rootless, but this user has no line in /etc/subuid.",
                hint="Run the kernel as the user who runs the engine.",
            )
        return map_of_rootless_engine(start)
    return map_of_remapped_engine(info.root_folder) if info.user_namespace else map_without_namespace(reserved)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextmanager
def _locked(register: Path) -> Iterator[None]:
    try:
        register.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(register.with_name(f"{register.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"The register of uid ranges cannot be opened: {error.strerror}.",
            hint="Set RUMI_UID_BASE, or make the folder writable for this user.",
        ) from None
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock within five seconds; its holders need milliseconds."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return
    raise Unavailable(
        "Another kernel holds the register of uid ranges.", hint="Start again when it is up, or set RUMI_UID_BASE."
    )


def _read(register: Path) -> dict[str, UidRange]:
    try:
        with register.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    ranges: dict[str, UidRange] = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        base, _, rest = line.partition(" ")
        count, _, path = rest.partition(" ")
        if not (base.isdecimal() and count.isdecimal() and path) or len(raw) > MAX_BYTES:
            raise Unavailable(
                "The register of uid ranges is damaged, so no range can be taken safely.",
                hint=f"Repair or remove the file {register.name}, when no other kernel runs.",
            )
        ranges[path] = UidRange(int(base), int(count))
    return ranges
