"""How much a pack may ask for: what its `sandbox` section wants, capped by policy. Pure.

The caps are the owner's; a pack's wish is only ever cut down (or lifted to what an agent needs to start at all), never
an error, so that a pack written for a larger host still runs here.
"""

from __future__ import annotations

from dataclasses import dataclass

from core_runtime.packs import SandboxRequest

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that any pack gets. Memory in bytes, cpus in cores."""

    memory: int = 2048 * MIB
    cpus: float = 2.0
    pids: int = 256
    concurrency: int = 64
    max_streams: int = 1024


# Below these the agent itself does not start: an interpreter, its threads, the engine's init process.
LEAST = Caps(memory=32 * MIB, cpus=0.1, pids=16, concurrency=1, max_streams=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container gets."""

    memory_bytes: int
    nano_cpus: int
    pids: int
    concurrency: int
    max_streams: int
    shm: bool


def limits_of(request: SandboxRequest, caps: Caps) -> Limits:
    """Cut `request` to `caps`."""
    return Limits(
        memory_bytes=int(_within(request.memory, LEAST.memory, caps.memory)),
        nano_cpus=round(_within(request.cpus, LEAST.cpus, caps.cpus) * 1_000_000_000),
        pids=int(_within(request.pids, LEAST.pids, caps.pids)),
        concurrency=int(_within(request.concurrency, LEAST.concurrency, caps.concurrency)),
        max_streams=int(_within(request.max_streams, LEAST.max_streams, caps.max_streams)),
        shm=request.shm,
    )


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
