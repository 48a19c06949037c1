"""Finds the candidate folders: `ecosystem/packs/<id>/` and `ecosystem/<id>/`.

The same id in both places, or two that differ only in case, disable each other (AP-13): nobody can guess which was
meant, so nobody does.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from backend_core.ecosystem.describe import read_pack
from core_runtime.ids import FOLDER_NAMES
from core_runtime.packs import Problem, ScannedPack

PACKS_FOLDER = "packs"
MAX_PACKS = 1_000


class EcosystemCatalog:
    """The `PackCatalog` over the ecosystem folder of one installation."""

    def __init__(self, ecosystem_dir: Path) -> None:
        self._root = ecosystem_dir

    @property
    def watched_folders(self) -> tuple[Path, ...]:
        """Where packs are dropped, for the watcher."""
        return (self._root, self._root / PACKS_FOLDER)

    def candidates(self) -> list[tuple[str, Path]]:
        """`(folder name, path)` of everything that wants to be a pack, sorted, at most 1,000."""
        places = [
            (entry.name, Path(entry.path))
            for folder in (self._root / PACKS_FOLDER, self._root)
            for entry in _entries(folder)
            if not (folder == self._root and entry.name in FOLDER_NAMES)
        ]
        return sorted(places)[:MAX_PACKS]

    def scan(self) -> Sequence[ScannedPack]:
        """See `PackCatalog`. One entry for each id; twins come as one entry with a problem that names both."""
        by_fold: dict[str, list[tuple[str, Path]]] = defaultdict(list)
        for name, path in self.candidates():
            by_fold[name.casefold()].append((name, path))
        found: list[ScannedPack] = []
        for twins in by_fold.values():
            if len(twins) == 1:
                found.append(read_pack(twins[0][1], twins[0][0]))
            else:
                found.extend(self._refused_twins(twins))
        return sorted(found, key=lambda pack: pack.pack_id)

    def read(self, root: Path, pack_id: str) -> ScannedPack:
        """See `PackCatalog`."""
        return read_pack(root, pack_id)

    def _refused_twins(self, twins: list[tuple[str, Path]]) -> list[ScannedPack]:
        places = " and ".join(str(path.relative_to(self._root)) for _, path in twins)
        problem = Problem("", "", f"Two folders want one id: {places}.", "Keep one of them and move the other away.")
        return [ScannedPack(name, path, problems=(problem,)) for name, path in dict(twins).items()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and _is_folder_like(entry)]
    except OSError:
        return []


def _is_folder_like(entry: os.DirEntry[str]) -> bool:
    """A folder, or a link that pretends to be one: the latter is shown as a problem, never followed."""
    try:
        return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and entry.is_dir())
    except OSError:
        return False
