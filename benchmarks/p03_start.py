"""P3: from `start` to the first answer of a pack, against `docker run` of the same image and settings doing nothing.

Both sides alternate, so that a slow moment of the machine hits both. Needs the `docker` command for the peer; without
it the peer is the engine's API (create, start, wait), which does less than `docker run`.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sandbox_bench import Bench, bench, docker_run, options, report

LIMIT = 1.25


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


async def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=15)
    async with bench(chosen.image) as setup:
        await ours(setup, 9999)
        await peer(setup, 999)
        pairs = [(await ours(setup, number), await peer(setup, number)) for number in range(chosen.rounds)]
    value, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    report(
        promise="P3",
        what="start to first answer",
        value=round(value * 1000, 1),
        floor=round(floor * 1000, 1),
        ratio=round(value / floor, 3),
        limit=LIMIT,
        met=value / floor <= LIMIT,
        unit="ms",
        peer="docker run" if shutil.which("docker") else "engine API",
        rounds=chosen.rounds,
    )


if __name__ == "__main__":
    asyncio.run(main())
