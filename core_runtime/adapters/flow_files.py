"""Reads flow files: a pack's from its sealed copy, the owner's from the profile, the kernel's from the checkout.

Nothing is followed through a link; a file over the limit of the language is read one byte further and no more, so that
the loader says that it is too large.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from core_runtime.approval.model import SealedPack

MAX_FLOW_BYTES = 1_048_576
MAX_FILES = 500
SUFFIX = ".flow.yaml"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderFlowFiles:
    """The `FlowFiles` of one installation and profile."""

    def __init__(self, owner_folder: Path, core_folder: Path) -> None:
        self._owner = owner_folder
        self._core = core_folder

    def of_pack(self, sealed: SealedPack) -> Sequence[tuple[str, bytes]]:
        """See `FlowFiles`."""
        folder = sealed.root / "backend" / "flows"
        found = ((name, _read(folder / name)) for name in sealed.descriptor.flow_files)
        return [(name, data) for name, data in found if data is not None]

    def of_owner(self) -> Sequence[tuple[str, bytes]]:
        """See `FlowFiles`."""
        return list(_all(self._owner))

    def of_core(self) -> Sequence[tuple[str, bytes]]:
        """See `FlowFiles`."""
        return list(_all(self._core))


def _all(folder: Path) -> Iterator[tuple[str, bytes]]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX))
    except OSError:
        return
    for name in names[:MAX_FILES]:
        data = _read(folder / name)
        if data is not None:
            yield name, data


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(MAX_FLOW_BYTES + 1)
