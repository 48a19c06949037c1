"""One uid for each pack, for ever: which number, and how the host sees it.

Two packs never share a uid and a uid is never given out again, so a socket or a file that outlived its pack can never
be opened by another one, and SO_PEERCRED tells packs apart. Numbers come from one range of 4,096 that belongs to this
kernel alone on this machine (an adapter registers it). Pure but for the small `StateFile` port; if the book cannot be
read, nothing is handed out: guessing would be reuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.ids import is_pack_id
from core_runtime.sandbox.engine_port import EngineInfo

RANGE_SIZE = 4096
LEAST_BASE = 1_048_576  # above what useradd and systemd hand out by themselves
HIGHEST_UID = 2**31 - 1
INNER_BASE = 10_000  # inside the map of a rootless or remapped engine
NOBODY = 65_534
FORMAT = 1


class StateFile(Protocol):
    """One small file, replaced as a whole."""

    def read(self) -> bytes | None:
        """Its bytes, or None if it does not exist yet."""

    def write(self, data: bytes) -> None:
        """Replace it atomically and durably, mode 0600."""


@dataclass(frozen=True, slots=True)
class UidRange:
    """`count` uids from `base` on."""

    base: int
    count: int = RANGE_SIZE

    @property
    def end(self) -> int:
        """The first uid after the range."""
        return self.base + self.count

    def overlaps(self, other: UidRange) -> bool:
        """True if any uid is in both."""
        return self.base < other.end and other.base < self.end


@dataclass(frozen=True, slots=True)
class UidPair:
    """One uid as the container sees it and as the kernel sees it (they differ with a user namespace)."""

    inside: int
    outside: int


@dataclass(frozen=True, slots=True)
class UidMap:
    """Where the uids of packs begin, inside and outside. Equal without a user namespace."""

    inside_base: int
    outside_base: int

    def pair(self, number: int) -> UidPair:
        """The `number`-th pack's uid."""
        return UidPair(self.inside_base + number, self.outside_base + number)


def subordinate_ranges(text: str) -> list[UidRange]:
    """The ranges of an /etc/subuid or /etc/subgid file (`name:start:count` lines; others are skipped)."""
    ranges = []
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 3 and parts[1].isdecimal() and parts[2].strip().isdecimal():
            ranges.append(UidRange(int(parts[1]), int(parts[2])))
    return ranges


def subordinate_start(text: str, names: Sequence[str]) -> int | None:
    """Where the first range of one of `names` (a login name or a uid as text) begins."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 3 and parts[0] in names and parts[1].isdecimal():
            return int(parts[1])
    return None


def first_free_range(subordinate: Iterable[UidRange], registered: Iterable[UidRange]) -> UidRange:
    """The first range above every subordinate one that no other kernel has. Raises `Unavailable` if there is none."""
    base = max([LEAST_BASE, *(item.end for item in subordinate)])
    taken = sorted(registered, key=lambda item: item.base)
    candidate = UidRange(-(-base // RANGE_SIZE) * RANGE_SIZE)
    for other in taken:
        if candidate.overlaps(other):
            candidate = UidRange(-(-other.end // RANGE_SIZE) * RANGE_SIZE)
    if candidate.end > HIGHEST_UID:
        raise Unavailable("No range of 4,096 uids is free for packs.", hint="Set RUMI_UID_BASE to one that is free.")
    return candidate


def map_without_namespace(reserved: UidRange) -> UidMap:
    """An ordinary engine: the container's uid is the host's."""
    return UidMap(reserved.base, reserved.base)


def map_of_remapped_engine(root_folder: str) -> UidMap:
    """`userns-remap`: the engine keeps its data below `<root>/<uid>.<gid>` of the user that stands for root inside."""
    last = root_folder.rstrip("/").rpartition("/")[2]
    uid, dot, gid = last.partition(".")
    if not (dot and uid.isdecimal() and gid.isdecimal()):
        raise ValidationFailed(
            "The engine remaps users, but not in a way that says which uids packs get on the host.",
            hint="Use userns-remap as Docker documents it, a rootless engine, or an engine without remapping.",
        )
    return UidMap(INNER_BASE, int(uid) + INNER_BASE)


def map_of_rootless_engine(start: int) -> UidMap:
    """A rootless engine: uid 0 inside is the user itself, uid n is `start` + n - 1 of the user's subordinate range."""
    return UidMap(INNER_BASE, start + INNER_BASE - 1)


class PackUids:
    """The book of who has which number. One per kernel; written before a number is used."""

    def __init__(self, book: StateFile, map_of: Callable[[EngineInfo], UidMap], count: int = RANGE_SIZE) -> None:
        self._book = book
        self._map_of = map_of
        self._map: tuple[EngineInfo, UidMap] | None = None
        self._count = count
        self._numbers: dict[str, int] | None = None
        self._lock = Lock()  # starts run side by side, and the book is written in a thread

    def of(self, pack_id: str, info: EngineInfo) -> UidPair:
        """The pack's uid on this engine, given out now if it has none. Raises `Unavailable` if the range is used up."""
        with self._lock:
            if self._map is None or self._map[0] != info:
                self._map = (info, self._map_of(info))
            number = self._number(pack_id)
            if number >= self._count:  # an edited book: such a uid would be another kernel's, or a person's
                raise _damaged()
            return self._map[1].pair(number)

    def _number(self, pack_id: str) -> int:
        numbers = self._loaded()
        if pack_id not in numbers:
            if not is_pack_id(pack_id):
                raise ValidationFailed("Not a pack id.")
            number = max(numbers.values(), default=-1) + 1
            if number >= self._count:
                raise Unavailable(
                    "All uids for packs are used up; none is ever given to a second pack.",
                    hint="Set RUMI_UID_BASE to a fresh range and remove run/uids.json of this profile.",
                )
            grown = {**numbers, pack_id: number}
            self._book.write(json.dumps({"format": FORMAT, "packs": grown}, indent=1).encode())
            self._numbers = numbers = grown
        return numbers[pack_id]

    def _loaded(self) -> dict[str, int]:
        if self._numbers is None:
            self._numbers = _parse(self._book.read())
        return self._numbers


class SameUid:
    """Permissive mode: packs are child processes of the kernel's own user, and a uid says nothing."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def of(self, pack_id: str, info: EngineInfo) -> UidPair:
        """The kernel's uid, whoever asks; there is no inside, so that number is nobody's."""
        del pack_id, info
        return UidPair(NOBODY, self._uid)


def _parse(data: bytes | None) -> dict[str, int]:
    if data is None:
        return {}
    try:
        document = json.loads(data)
        packs = document["packs"]
        good = document["format"] == FORMAT and len(set(packs.values())) == len(packs)
        good = good and all(is_pack_id(key) and type(value) is int and value >= 0 for key, value in packs.items())
    except (ValueError, TypeError, KeyError, AttributeError):
        good = False
    if not good:
        raise _damaged()
    return dict(packs)


def _damaged() -> Unavailable:
    return Unavailable(
        "run/uids.json of this profile is damaged, so no uid can be given out safely.",
        hint="Restore it from a backup; or remove it and set RUMI_UID_BASE to a fresh range.",
    )
