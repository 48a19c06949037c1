"""P4: 20 packs from nothing to all ready, against 20 bare containers started side by side through the engine's API.

Measured here is the sandbox's part of a boot: the supervisor with its sockets, read-back and hellos. The peer gets the
same image and settings, the same number of requests at once, and no program that answers: it is over when the last
start request is answered.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sandbox_bench import Bench, bench, options, report

PACKS = 20
LIMIT = 1.2


async def ours(setup: Bench, number: int) -> float:
    """Seconds until all are ready."""
    launches = [setup.launch(f"hello_{number}_{index}") for index in range(PACKS)]
    began = time.perf_counter()
    await asyncio.gather(*(setup.supervisor.start(launch) for launch in launches))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(setup.supervisor.stop(launch.descriptor.pack_id, "measured") for launch in launches))
    return seconds


async def peer(setup: Bench) -> float:
    """Seconds until all are started."""
    launch = setup.launch("hello_peer")
    specs = [await setup.bare_spec(launch, index) for index in range(PACKS)]
    made: list[str] = []

    async def start(index: int) -> None:
        container = await setup.engine.create(specs[index])
        made.append(container)
        await setup.engine.start(container)

    began = time.perf_counter()
    await asyncio.gather(*(start(index) for index in range(PACKS)))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(setup.engine.remove(container) for container in made))
    return seconds


async def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=3)
    async with bench(chosen.image) as setup:
        await setup.engine.image(chosen.image)
        pairs = [(await ours(setup, number), await peer(setup)) for number in range(chosen.rounds)]
    value, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    report(
        promise="P4",
        what=f"{PACKS} packs to all ready",
        value=round(value * 1000, 1),
        floor=round(floor * 1000, 1),
        ratio=round(value / floor, 3),
        limit=LIMIT,
        met=value / floor <= LIMIT,
        unit="ms",
        peer="engine API",
        rounds=chosen.rounds,
    )


if __name__ == "__main__":
    asyncio.run(main())
