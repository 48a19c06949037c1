"""P10: the digest of 1,000 files and 50 MB, the durable seal of the same, and noticing that nothing changed.

Floors: bare hashlib in two threads over the same files; a bare copy in two threads, made durable by one `syncfs`.
Peers: `sha256sum`, `openssl`, a copy with `fsync` of each file. Seals are kept until the end, because ext4 takes long
to find room for a new file where many were removed a moment ago; for the same reason `--folder` should name a place
where nothing else removes many files meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, in_turns, middle, parser_of, settled
from core_runtime.adapters.files import SystemOperations
from core_runtime.adapters.sealed_tree import SealedStore, digest_of, flush_all_of
from core_runtime.adapters.watch import signature_of

FILES, FOLDERS, BYTES = 1_000, 20, 50_000
SEALS = 5


def make_pack(root: Path, files: int) -> list[Path]:
    """The files, on disk."""
    dice = random.Random(10)
    paths = []
    for number in range(files):
        path = root / f"folder{number % FOLDERS:02}" / f"file{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(BYTES))
        paths.append(path)
    os.sync()
    return paths


def in_two_threads(paths: list[Path], job: Callable[[list[Path]], object]) -> None:
    """Fifty files a job."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, [paths[start : start + 50] for start in range(0, len(paths), 50)]))


def bare_hash(paths: list[Path]) -> None:
    """The floor: open, read and hash each file, and nothing else."""
    in_two_threads(paths, lambda part: [hashlib.sha256(path.read_bytes()).hexdigest() for path in part])


def bare_copy(paths: list[Path], target: Path, *, flush_each: bool) -> None:
    """The floor of sealing: copy without hashing or checking, durably."""
    target.mkdir()

    def job(part: list[Path]) -> None:
        for path in part:
            with (target / path.name).open("xb") as file:
                file.write(path.read_bytes())
                if flush_each:
                    file.flush()
                    os.fsync(file.fileno())

    folder = os.open(target, os.O_RDONLY)
    try:
        flush_all = None if flush_each else flush_all_of(folder)
        in_two_threads(paths, job)
        (flush_all or os.sync)()
    finally:
        os.close(folder)


class Sealing:
    """Seals and bare copies below one folder, each in a fresh place and timed from a flushed disk on."""

    def __init__(self, place: Path, root: Path, paths: list[Path]) -> None:
        self._place = place
        self._root = root
        self._paths = paths
        self._wanted = digest_of(root).digest
        self._numbers = count()

    def seconds(self, work: Callable[[Path], object]) -> float:
        """Of one work in a new folder."""
        folder = self._place / f"s{next(self._numbers)}"
        os.sync()
        began = time.perf_counter()
        work(folder)
        return time.perf_counter() - began

    def seal(self, folder: Path) -> None:
        """As approving does."""
        folder.mkdir(mode=0o700)
        SealedStore(folder, SystemOperations(), flush_all_of).seal(self._root, self._wanted)

    def measured(self, rounds: int) -> dict[str, float]:
        """Milliseconds: the medians, in turns."""
        works: dict[str, Callable[[Path], object]] = {
            "seal": self.seal,
            "copy": lambda folder: bare_copy(self._paths, folder, flush_each=False),
            "copy_fsync_each": lambda folder: bare_copy(self._paths, folder, flush_each=True),
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                times[name].append(self.seconds(work) * 1000)
        return {name: middle(found) for name, found in times.items()}

    def clear(self) -> None:
        """Make the read-only copies removable, also for those who are not root."""
        for folder, _, _ in os.walk(self._place):
            Path(folder).chmod(0o700)


def tools(names: Sequence[str]) -> dict[str, Callable[[], object]]:
    """The peers that are installed."""
    commands = {"sha256sum": ["sha256sum"], "openssl": ["openssl", "dgst", "-sha256"]}
    return {
        name: lambda command=command: subprocess.run([*command, *names], check=True, stdout=subprocess.DEVNULL)  # type: ignore[misc]
        for name, command in commands.items()
        if shutil.which(name)
    }


def figures(root: Path, paths: list[Path], sealing: Sealing, rounds: int) -> tuple[Sequence[Figure], dict[str, object]]:
    """Everything, in turns; times in milliseconds."""
    works = {
        "floor": lambda: bare_hash(paths),
        "digest": lambda: digest_of(root),
        "notice": lambda: signature_of(root),
        "stat": lambda: [path.stat() for path in paths],
    }
    times = in_turns(works, rounds)
    peers = {name: middle(found) * 1000 for name, found in in_turns(tools([str(p) for p in paths]), 3).items()}
    seals = sealing.measured(min(rounds, SEALS))
    took = {name: middle(found) * 1000 for name, found in times.items()}
    sha256sum = Rival("sha256sum", peers["sha256sum"]) if "sha256sum" in peers else None
    return (
        Figure(
            what=f"digest of {len(paths)} files, {len(paths) * BYTES / 1e6:g} MB",
            value=took["digest"],
            unit="ms",
            promise=Promise(most=30),
            floor=Rival("hashlib in two threads", took["floor"]),
            peer=sha256sum,
        ),
        Figure(
            what="durable seal of the same",
            value=seals["seal"],
            unit="ms",
            promise=Promise(most=200),
            floor=Rival("bare copy in two threads, one syncfs", seals["copy"]),
            peer=Rival("bare copy in two threads, fsync of each file", seals["copy_fsync_each"]),
        ),
        Figure(
            what="noticing that nothing changed",
            value=took["notice"],
            unit="ms",
            promise=Promise(most=5),
            floor=Rival("stat of each file by its path", took["stat"]),
        ),
    ), {
        "best_ms": {name: round(min(found) * 1000, 2) for name, found in times.items()},
        "peers_ms": {name: round(value, 1) for name, value in peers.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_of(__doc__, rounds=21)
    parser.add_argument("--folder", type=Path, default=None, help="where; /var/tmp if that is there")
    chosen = settled(parser, arguments)
    report = Report("P10")
    where = chosen.folder or (Path("/var/tmp") if Path("/var/tmp").is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="rumi-bench-", dir=where) as name:
        place, root = Path(name) / "sealed", Path(name) / "pack"
        place.mkdir(mode=0o700)
        paths = make_pack(root, 40 if chosen.quick else FILES)
        sealing = Sealing(place, root, paths)
        (first, *also), details = figures(root, paths, sealing, chosen.rounds)
        sealing.clear()
    report.show(first, *also, details=details)


if __name__ == "__main__":
    end(main)
