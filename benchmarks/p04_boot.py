"""P4: a kernel with 20 approved packs from the start of its program to all ready; and a kernel alone.

Ours is `rumi serve` in a process of its own: interpreter and imports, profile, records, sealed copies hashed again,
containers created, read back, started, every agent's hello. The peer gets the same engine, image and settings and only
has to be started: 20 containers side by side through the engine's API, over when the last start request is answered.
`the sandbox's part` is ours without the kernel around it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, middle, options
from benchmarks.sandbox_bench import Bench, bench
from benchmarks.whole_kernel import WholeKernel, whole_kernel

PACKS = 20


async def sandbox(setup: Bench, number: int, packs: int) -> float:
    """Seconds until all are ready, by the supervisor alone."""
    launches = [setup.launch(f"hello_{number}_{index}") for index in range(packs)]
    began = time.perf_counter()
    await asyncio.gather(*(setup.supervisor.start(launch) for launch in launches))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(setup.supervisor.stop(launch.descriptor.pack_id, "measured") for launch in launches))
    return seconds


async def bare(setup: Bench, packs: int) -> float:
    """Seconds until all of the peer's are started."""
    launch = setup.launch("hello_peer")
    specs = [await setup.bare_spec(launch, index) for index in range(packs)]
    made: list[str] = []

    async def start(index: int) -> None:
        container = await setup.engine.create(specs[index])
        made.append(container)
        await setup.engine.start(container)

    began = time.perf_counter()
    await asyncio.gather(*(start(index) for index in range(packs)))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(setup.engine.remove(container) for container in made))
    return seconds


def booted(kernel: WholeKernel, packs: int) -> float:
    """Seconds of one boot. Raises `SystemExit` if a pack is missing."""
    seconds = kernel.start()
    if len(kernel.running()) != packs:
        raise SystemExit(f"only {kernel.running()} came up")
    kernel.stop()
    return seconds


async def measured(image: str, rounds: int, packs: int) -> dict[str, list[float]]:
    """Milliseconds of each, in turns."""
    found: dict[str, list[float]] = {"boot": [], "bare": [], "sandbox": [], "alone": []}
    with whole_kernel(packs) as full, whole_kernel(0) as empty:
        async with bench(image) as setup:
            await setup.engine.image(image)
            for number in range(rounds):
                found["boot"].append(await asyncio.to_thread(booted, full, packs))
                found["bare"].append(await bare(setup, packs))
                found["sandbox"].append(await sandbox(setup, number, packs))
                found["alone"].append(await asyncio.to_thread(booted, empty, 0))
    return {name: [seconds * 1000 for seconds in values] for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=5)
    packs = 2 if chosen.quick else PACKS
    report = Report("P4")
    found = asyncio.run(measured(chosen.image, chosen.rounds, packs))
    peer = Rival(f"{packs} bare containers, side by side through the engine's API", middle(found["bare"]))
    report.show(
        Figure(
            what=f"boot with {packs} approved packs to all ready",
            value=middle(found["boot"]),
            unit="ms",
            promise=Promise(most_ratio=1.2),
            peer=peer,
        ),
        Figure(
            what="the sandbox's part",
            value=middle(found["sandbox"]),
            unit="ms",
            promise=Promise(most_ratio=1.2),
            peer=peer,
        ),
        Figure(what="kernel alone ready", value=middle(found["alone"]), unit="ms", promise=Promise(most=1000)),
        details={"best_ms": {name: round(min(values)) for name, values in found.items()}},
    )


if __name__ == "__main__":
    end(main)
