"""P10: digest of 1,000 files and 50 MB, the durable seal of the same, and noticing that nothing changed.

Floors and peers in the same run: bare hashlib in two threads over the same files, a bare copy with `fsync` of each
file, `sha256sum`, `openssl`. One JSON line on standard output; times in milliseconds, the median of the runs.
Promise: digest <= 30, seal <= 200, noticing <= 5.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core_runtime.adapters.files import SystemOperations
from core_runtime.adapters.sealed_tree import SealedStore, digest_of
from core_runtime.adapters.watch import signature_of

FILES, FOLDERS, BYTES = 1_000, 20, 50_000
RUNS = 11


def median_ms(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of some runs, after one that warms the caches."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1000, 2)


def make_pack(root: Path) -> list[Path]:
    """The files, on disk."""
    dice = random.Random(10)
    paths = []
    for number in range(FILES):
        path = root / f"folder{number % FOLDERS:02}" / f"file{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(BYTES))
        paths.append(path)
    os.sync()
    return paths


def bare_hash(paths: list[Path]) -> None:
    """The floor: open, read and hash each file in two threads, fifty a job, and nothing else."""

    def job(part: list[Path]) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in part]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, [paths[start : start + 50] for start in range(0, len(paths), 50)]))


def bare_copy(paths: list[Path], target: Path) -> None:
    """The floor of sealing: copy in two threads without hashing or checking, flushing each file."""
    target.mkdir()

    def job(part: list[Path]) -> None:
        for path in part:
            with (target / path.name).open("xb") as file:
                file.write(path.read_bytes())
                file.flush()
                os.fsync(file.fileno())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, [paths[start : start + 50] for start in range(0, len(paths), 50)]))
    shutil.rmtree(target)


def run_tool(*command: str) -> float | None:
    """A peer's time, or None where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    return median_ms(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 3)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        root, sealed = Path(place) / "pack", Path(place) / "sealed"
        sealed.mkdir(mode=0o700)
        paths = make_pack(root)
        names = [str(path) for path in paths]
        store = SealedStore(sealed, SystemOperations())
        wanted = digest_of(root).digest
        seals = []
        for _ in range(5):
            store.collect(())
            os.sync()
            started = time.perf_counter()
            store.seal(root, wanted)
            seals.append((time.perf_counter() - started) * 1000)
        result = {
            "promise": "P10",
            "files": FILES,
            "bytes": FILES * BYTES,
            "digest_ms": median_ms(lambda: digest_of(root)),
            "seal_durable_ms": round(statistics.median(seals), 2),
            "notice_ms": median_ms(lambda: signature_of(root)),
            "floor_hashlib_two_threads_ms": median_ms(lambda: bare_hash(paths)),
            "floor_copy_fsync_ms": median_ms(lambda: bare_copy(paths, Path(place) / "copy"), 3),
            "peer_sha256sum_ms": run_tool("sha256sum", *names),
            "peer_openssl_ms": run_tool("openssl", "dgst", "-sha256", *names),
            "promised": {"digest_ms": 30, "seal_durable_ms": 200, "notice_ms": 5},
        }
        store.collect(())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
