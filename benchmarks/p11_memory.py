"""P11: memory of an idle pack's container by its cgroup, and of the kernel's process with 20 idle packs.

The kernel's side is this process: the supervisor, 20 channels and the engine's client, without flows and interfaces.
The peer for the container is one of the same settings in which an interpreter does nothing.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sandbox_bench import Bench, bench, options, report

PACKS = 20
CONTAINER_LIMIT = 14_000_000
KERNEL_LIMIT = 110_000_000
SLEEPING = ("python3", "-I", "-c", "import time; time.sleep(60)")


def resident() -> int:
    """Bytes of this process that are in memory now (`VmRSS`)."""
    line = next(item for item in Path("/proc/self/status").read_text().splitlines() if item.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def idle_interpreter(setup: Bench) -> int:
    """What a container of the same settings holds in which Python sleeps."""
    spec = replace(await setup.bare_spec(setup.launch("hello_peer"), 0), entrypoint=SLEEPING)
    container = await setup.engine.create(spec)
    try:
        await setup.engine.start(container)
        await asyncio.sleep(1.0)
        return await setup.engine.memory(container)
    finally:
        await setup.engine.remove(container)


async def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", rounds=200)
    async with bench(chosen.image) as setup:
        names = [f"hello_{number}" for number in range(PACKS)]
        await asyncio.gather(*(setup.supervisor.start(setup.launch(name)) for name in names))
        await asyncio.gather(*(setup.answer(name) for name in names))
        await asyncio.sleep(2.0)
        gc.collect()
        idle = [await setup.supervisor.memory(name) for name in names]
        kernel = resident()
        for _ in range(chosen.rounds):
            await asyncio.gather(*(setup.answer(name) for name in names))
        await asyncio.sleep(2.0)
        gc.collect()
        after, kernel_after = [await setup.supervisor.memory(name) for name in names], resident()
        floor = await idle_interpreter(setup)
    value = statistics.median(idle)
    report(
        promise="P11",
        what="idle pack's container",
        value=round(value / 1e6, 2),
        floor=round(floor / 1e6, 2),
        ratio=round(value / floor, 2),
        limit=CONTAINER_LIMIT / 1e6,
        met=value <= CONTAINER_LIMIT and kernel <= KERNEL_LIMIT,
        unit="MB",
        peer="python3 sleeping in a container",
        largest=round(max(idle) / 1e6, 2),
        kernel_side=round(kernel / 1e6, 1),
        kernel_limit=KERNEL_LIMIT / 1e6,
        grown_by_load=round(statistics.median(after) / value - 1, 3),
        kernel_grown_by_load=round(kernel_after / kernel - 1, 3),
    )


if __name__ == "__main__":
    asyncio.run(main())
