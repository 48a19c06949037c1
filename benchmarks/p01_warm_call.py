"""P1: a warm call of an interface in a container, 200 bytes of JSON, policy point included, from the kernel's loop.

Floor: the same bytes from the same loop, echoed over a Unix socket by a bare Python loop. Peers: `docker exec` in the
same container, and a Flask service in a process of its own. All take turns, so that a slow moment of the machine hits
all. `wire_alone` leaves the policy out; `whole_road` adds what the broker does besides: forms, audit line, slots.
Without a container engine the agent runs as a child process (`"where": "process"`): the same wire, but no walls.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from backend_core.ecosystem.describe import read_pack
from benchmarks.bench_common import Figure, Promise, Report, Rival, end, parser_of, settled
from benchmarks.p02_capability_call import UNLIMITED, Facts, no_rule, nothing
from benchmarks.sandbox_bench import bench, image_is_there
from benchmarks.warm_call_peers import IN_FLIGHT, Floor, docker_exec, flask_figures, micro
from core_runtime.adapters.audit_log import AuditLog
from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.authority import HOST, OWNER, CallContext, Principal
from core_runtime.capability.broker import Broker
from core_runtime.capability.model import GrantLevel
from core_runtime.capability.policy import InterfaceTarget
from core_runtime.capability.ports import BrokerPorts, PrincipalFacts
from core_runtime.clock import SystemClock
from core_runtime.handlers.interface_call import make as make_interface_call
from core_runtime.handlers.listing import SPECS, builtin_catalogue
from core_runtime.ids import random_hex
from core_runtime.packs import PackDescriptor
from core_runtime.sandbox.channel import ChannelConfig, PackChannel
from core_runtime.sandbox.ports import ComponentReport, PackLaunch
from core_runtime.wire.streams import Stream

ROOT = Path(__file__).resolve().parent.parent
PACK = "bench_echo"
INTERFACE = "bench.echo"
ARGS: dict[str, object] = {"text": "x" * 189}
MESSAGE: dict[str, object] = {
    "k": "call", "id": 1, "name": INTERFACE, "args": ARGS, "deadline_ms": 30000, "token": "0" * 32,
}  # fmt: skip
MOST_RATIO = 3.0
LEAST_RATE = 25_000
SETUP = """
def run(context):
    context["interface_registry"].register("bench.echo", lambda args, ctx: args)
"""
AGENT = """
import sys
sys.path.insert(0, sys.argv[1])
from rumi_agent.agent import Options
from rumi_agent.main import main
main(Options(socket=sys.argv[2], pack=sys.argv[3], deps=None))
"""
Call = Callable[[], Awaitable[object]]


def write_pack(folder: Path) -> PackDescriptor:
    """The smallest pack that gives back what it is given. Raises `SystemExit` if its files are refused."""
    component = folder / "backend" / "components" / "echo"
    component.mkdir(parents=True)
    described = {"pack_id": PACK, "pack_identity": "local:bench", "version": "1.0.0"}
    manifest = {"type": "service", "id": "echo", "version": "1.0.0", "connectivity": {"provides": [INTERFACE]}}
    (folder / "backend" / "ecosystem.json").write_text(json.dumps(described))
    (component / "manifest.json").write_text(json.dumps(manifest))
    (component / "setup.py").write_text(SETUP)
    scanned = read_pack(folder, PACK)
    if scanned.descriptor is None:
        raise SystemExit(f"the pack of this benchmark cannot be read: {scanned.problems}")
    return replace(scanned.descriptor, sandbox=replace(scanned.descriptor.sandbox, cpus=2.0))


@dataclass
class Running:
    """The pack, up: how it is called without the policy point, and its container if it has one."""

    call: Callable[[CallContext, Mapping[str, object]], Awaitable[object]]
    where: str
    container: str = ""


@asynccontextmanager
async def in_container(image: str) -> AsyncIterator[Running]:
    """Through the supervisor, with the settings of every pack (but two processors)."""
    async with bench(image) as setup:
        sealed = setup.root / "sealed" / PACK
        descriptor = write_pack(sealed)
        await setup.supervisor.start(PackLaunch(descriptor, sealed, random_hex(32), {}))
        (container,) = await setup.engine.list(setup.instance)
        yield Running(
            lambda context, args: setup.supervisor.call(PACK, INTERFACE, args, context=context),
            "container",
            container.name,
        )


class _Up:
    """Waits for the hello."""

    def __init__(self) -> None:
        self.hello = asyncio.Event()

    def ready(self, components: Sequence[ComponentReport]) -> None:
        """It is there."""
        if any(part.error for part in components):
            raise SystemExit(f"the pack of this benchmark does not load: {components}")
        self.hello.set()

    def log(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None) -> None:
        """Say it: an agent with something to say measures something else."""
        print(level, text, fields, run_id, file=sys.stderr)

    def closed(self, reason: str) -> None:
        """Nobody waits for it."""

    def capability(self, call: object) -> object:
        """No wishes are made here."""
        raise LookupError(call)


@asynccontextmanager
async def in_process() -> AsyncIterator[Running]:
    """The same agent and wire without a container."""
    clock, up = SystemClock(), _Up()
    with tempfile.TemporaryDirectory(prefix="rumi-bench-") as name:
        root = Path(name)
        write_pack(root / "pack")
        channel = PackChannel(PACK, up, up, ChannelConfig(), clock)
        listener = await UnixListeners(root / "run", clock).listen(
            peer_uid=os.geteuid(), channel_factory=lambda: channel
        )
        places = [str(ROOT / "docker/core/runtime"), str(listener.folder / "kernel.sock"), str(root / "pack")]
        agent = await asyncio.create_subprocess_exec(sys.executable, "-I", "-B", "-c", AGENT, *places)
        try:
            await asyncio.wait_for(up.hello.wait(), 20)
            yield Running(lambda context, args: channel.call(INTERFACE, args, context=context), "process")
        finally:
            channel.stop(1.0)
            await asyncio.wait_for(agent.wait(), 10)
            await listener.close()


class _Target(Facts):
    """One interface, that of the pack; the owner, who calls it, is bound by policy alone."""

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        """See `Facts`."""
        del principal_id, permission
        return PrincipalFacts(approved=True, levels=(GrantLevel(HOST.id, admits_all=True),), generation=1)

    def interface(self, name: str) -> InterfaceTarget | None:
        """See `Facts`."""
        return InterfaceTarget(PACK) if name == INTERFACE else None


class _Route:
    """The way from the broker to the pack."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def call(
        self,
        caller: Principal,
        name: str,
        args: Mapping[str, object],
        context: CallContext,
        *,
        stream_in: Stream | None = None,
    ) -> Awaitable[object]:
        """There is one pack and one interface."""
        del caller, name, stream_in
        return self._running.call(context, args)

    def visible(self, caller: Principal, context: CallContext | None) -> Sequence[Any]:
        """Nobody asks."""
        del caller, context
        return ()


def with_policy(running: Running, trail: AuditLog, clock: SystemClock) -> tuple[Call, Call]:
    """Two ways to call for the owner: the policy point and the wire; and the whole road through the broker."""
    facts = _Target(1000)
    ports = BrokerPorts(facts, facts, facts, trail, clock, no_rule, nothing)
    handlers = dict.fromkeys((spec.id for spec in SPECS), nothing)
    broker = Broker(
        builtin_catalogue(), {**handlers, "interface.call": make_interface_call(_Route(running))}, ports, UNLIMITED
    )
    wanted = {"name": INTERFACE, "args": ARGS}

    async def judged() -> object:
        context = CallContext("req_bench", clock.monotonic() + 30.0, OWNER)
        if not broker.decision(HOST, "interface.call", wanted, context).allowed:
            raise SystemExit("the policy refuses the call of this benchmark")
        return await running.call(context, ARGS)

    async def whole() -> object:
        context = CallContext("req_bench", clock.monotonic() + 30.0, OWNER)
        answer = broker.ask(HOST, "interface.call", wanted, context)
        return await answer if isinstance(answer, Awaitable) else answer

    return judged, whole


async def latencies(call: Call, count: int) -> list[float]:
    """Seconds of each of `count` calls, one after the other."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return times


async def rate(call: Call, count: int) -> float:
    """Calls a second with 16 under way."""

    async def some() -> None:
        for _ in range(count // IN_FLIGHT):
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
    return count // IN_FLIGHT * IN_FLIGHT / (time.perf_counter() - began)


async def measure(
    running: Running, chosen: argparse.Namespace, root: Path
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Of every way, in turns: the middle of single calls in seconds, and calls a second."""
    clock, floor = SystemClock(), Floor(root, MESSAGE)
    trail = AuditLog(root / "audit", clock, lambda data: hashlib.sha256(data).hexdigest())
    context = CallContext("req_bench", clock.monotonic() + 3600.0, OWNER)
    judged, whole = with_policy(running, trail, clock)
    ways: dict[str, Call] = {
        "floor": floor.call,
        "judged": judged,
        "wire": lambda: running.call(context, ARGS),
        "whole": whole,
    }
    for way in (judged, whole):
        if await way() != ARGS:
            raise SystemExit("the pack did not give back what it was given")
    await floor.connect()
    await rate(judged, chosen.calls // 4)
    singles: dict[str, list[float]] = {name: [] for name in ways}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            singles[name] += await latencies(way, chosen.calls // 20)
            rates[name].append(await rate(way, chosen.calls))
    floor.close()
    trail.close()
    return (
        {name: statistics.median(times) for name, times in singles.items()},
        {name: statistics.median(found) for name, found in rates.items()},
    )


def figures_of(p50: Mapping[str, float], per_second: Mapping[str, float], where: str) -> tuple[Figure, Figure]:
    """The figures against what is promised."""
    bare = "the same bytes echoed over a socket by a bare loop"
    return (
        Figure(
            what=f"warm call of an interface in a {where}, policy point included",
            value=micro(p50["judged"]),
            unit="us",
            promise=Promise(most_ratio=MOST_RATIO),
            floor=Rival(bare, micro(p50["floor"])),
        ),
        Figure(
            what=f"the same with {IN_FLIGHT} in flight on one connection",
            value=per_second["judged"],
            unit="calls/s",
            promise=Promise(least=LEAST_RATE),
            floor=Rival(bare, per_second["floor"]),
        ),
    )


async def measured(chosen: argparse.Namespace, *, contained: bool) -> tuple[tuple[Figure, Figure], dict[str, object]]:
    """The figures, and what stands beside them."""
    with tempfile.TemporaryDirectory(prefix="rumi-bench-") as name:
        async with in_container(chosen.image) if contained else in_process() as running:
            p50, per_second = await measure(running, chosen, Path(name))
            executed = await asyncio.to_thread(docker_exec, running.container, 1 if chosen.quick else 10)
            figures = figures_of(p50, per_second, running.where)
    flask = await asyncio.to_thread(flask_figures, ARGS, 40 if chosen.quick else 1000)
    ways = {"wire_alone": "wire", "whole_road": "whole"}
    beside = {name: {"p50_us": micro(p50[way]), "per_second": round(per_second[way])} for name, way in ways.items()}
    return figures, {**beside, "flask": flask, "docker_exec_us": executed}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = parser_of(__doc__, rounds=5)
    places = ("container", "process")
    parser.add_argument("--where", choices=places, help="container if the image is there, else process")
    parser.add_argument("--calls", type=int, default=20_000, help="calls in each round of the throughput")
    chosen = settled(parser, arguments)
    if chosen.quick:
        chosen.calls = 320
    report = Report("P1")
    contained = (chosen.where or ("container" if image_is_there(chosen.image) else "process")) == "container"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        (first, second), details = runner.run(measured(chosen, contained=contained))
    report.show(first, second, details=details)


if __name__ == "__main__":
    end(main)
