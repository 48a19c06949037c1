"""P3: from `start` to the first answer of a pack, against `docker run` of the same image and settings doing nothing.

Both sides alternate, so that a slow moment of the machine hits both. Needs the `docker` command for the peer; without
it the peer is the engine's API (create, start, wait), which does less than `docker run`.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, middle, options
from benchmarks.sandbox_bench import Bench, bench, docker_run


async def ours(setup: Bench, number: int) -> float:
    """Seconds from `start` to the first answer; the stop is not counted."""
    pack_id = f"hello_{number}"
    launch = setup.launch(pack_id)
    began = time.perf_counter()
    await setup.supervisor.start(launch)
    await setup.answer(pack_id)
    seconds = time.perf_counter() - began
    await setup.supervisor.stop(pack_id, "measured")
    return seconds


async def peer(setup: Bench, number: int) -> float:
    """Seconds of `docker run ... python3 -I -c pass`."""
    spec = await setup.bare_spec(setup.launch("hello_peer"), number)
    if shutil.which("docker"):
        return await asyncio.to_thread(docker_run, spec, setup.root / "seccomp.json")
    began = time.perf_counter()
    container = await setup.engine.create(spec)
    await setup.engine.start(container)
    while await setup.engine.exit_state(container) is None:
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - began
    await setup.engine.remove(container)
    return seconds


async def measured(image: str, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of both sides, in turns, after one of each that warms the caches."""
    async with bench(image) as setup:
        await ours(setup, 9999)
        await peer(setup, 999)
        pairs = [(await ours(setup, number), await peer(setup, number)) for number in range(rounds)]
    return [mine * 1000 for mine, _ in pairs], [theirs * 1000 for _, theirs in pairs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=15)
    report = Report("P3")
    mine, theirs = asyncio.run(measured(chosen.image, chosen.rounds))
    name = "docker run of the same image and settings" if shutil.which("docker") else "engine API: create, start, wait"
    first = Figure(
        what="from start to the first answer",
        value=middle(mine),
        unit="ms",
        promise=Promise(most_ratio=1.25),
        peer=Rival(f"{name}, python3 -I -c pass", middle(theirs)),
    )
    report.show(first, details={"best_ms": round(min(mine), 1), "peer_best_ms": round(min(theirs), 1)})


if __name__ == "__main__":
    end(main)
