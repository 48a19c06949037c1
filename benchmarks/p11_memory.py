"""P11: memory of a kernel with 20 idle packs, of an idle pack's container, and of both after load.

The kernel is `rumi serve` in a process of its own, its memory what is resident (`VmRSS`); a container's memory is its
cgroup's without what can be dropped at once. The peer for the container is one of the same settings in which an
interpreter sleeps. Load is calls of all packs over the owner's socket and, a thousand at a time, flows of one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, middle, options
from benchmarks.sandbox_bench import Bench, bench
from benchmarks.whole_kernel import WholeKernel, whole_kernel

PACKS = 20
IDLE_SECONDS = 3.0
MB = 1e6
SLEEPING = ("python3", "-I", "-c", "import time; time.sleep(60)")


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory now."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / MB


async def sleeping_interpreter(setup: Bench) -> float:
    """Megabytes of a container of the same settings in which Python sleeps."""
    spec = replace(await setup.bare_spec(setup.launch("hello_peer"), 0), entrypoint=SLEEPING)
    container = await setup.engine.create(spec)
    try:
        await setup.engine.start(container)
        await asyncio.sleep(1.0)
        return await setup.engine.memory(container) / MB
    finally:
        await setup.engine.remove(container)


async def containers(setup: Bench, kernel: WholeKernel) -> list[float]:
    """Megabytes of each of the kernel's containers."""
    instance = str((await asyncio.to_thread(kernel.ask, "GET", "/api/status"))["instance_id"])
    found = await setup.engine.list(instance)
    return [await setup.engine.memory(item.id) / MB for item in found]


def load(kernel: WholeKernel, packs: int, rounds: int) -> None:
    """Calls of each pack and runs of each pack's flow, eight at once."""
    names = [f"hello_{number}" for number in range(packs)] * rounds
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(kernel.call, names))
        list(pool.map(kernel.run_flow, names))


async def measured(image: str, rounds: int, packs: int, idle: float) -> dict[str, float]:
    """Megabytes: the kernel and the middle container, idle and idle again after load; the largest; the peer."""
    with whole_kernel(packs) as kernel:
        await asyncio.to_thread(kernel.start)
        async with bench(image) as setup:
            await asyncio.sleep(idle)
            before, each_before = resident(kernel.pid), await containers(setup, kernel)
            await asyncio.to_thread(load, kernel, packs, rounds)
            busy = resident(kernel.pid)
            await asyncio.sleep(idle)
            after, each_after = resident(kernel.pid), await containers(setup, kernel)
            peer = await sleeping_interpreter(setup)
        kernel.stop()
    return {
        "kernel": before,
        "kernel_in_load": busy,
        "kernel_after": after,
        "container": middle(each_before),
        "largest": max(each_before),
        "container_after": middle(each_after),
        "peer": peer,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=100)
    packs, idle = (2, 0.5) if chosen.quick else (PACKS, IDLE_SECONDS)
    report = Report("P11")
    began = time.perf_counter()
    found = asyncio.run(measured(chosen.image, chosen.rounds, packs, idle))
    promise = Promise(most_ratio=1.1)
    report.show(
        Figure(what=f"kernel with {packs} idle packs", value=found["kernel"], unit="MB", promise=Promise(most=110)),
        Figure(
            what="container of an idle pack",
            value=found["container"],
            unit="MB",
            promise=Promise(most=14),
            peer=Rival("sleeping python3 in such a container", found["peer"]),
        ),
        Figure(
            what="kernel after load",
            value=found["kernel_after"],
            unit="MB",
            promise=promise,
            floor=Rival("before", found["kernel"]),
        ),
        Figure(
            what="container after load",
            value=found["container_after"],
            unit="MB",
            promise=promise,
            floor=Rival("before", found["container"]),
        ),
        details={
            "largest_container_mb": round(found["largest"], 2),
            "kernel_in_load_mb": round(found["kernel_in_load"], 1),
            "calls_and_flow_runs": 2 * packs * chosen.rounds,
            "seconds": round(time.perf_counter() - began),
        },
    )


if __name__ == "__main__":
    end(main)
