"""P2: `store.get` as a pack sees it from inside its container: decide, audit line, SQLite; and the broker's share.

The kernel is `rumi serve` in a process of its own; the pack `bench_store` has two processors and measures by its own
clock, few enough calls that each gets its whole audit line. Floor: a broker over a socket that looks up one grant and
writes one chained line. The broker's share is measured in this process, against one grant looked up, one chained line
written, one row read. Without the sandbox image (and with `--quick`) only the share is measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import orjson
import uvloop

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, options
from benchmarks.sandbox_bench import image_is_there
from benchmarks.socket_broker import IN_FLIGHT, floor_of
from benchmarks.whole_kernel import whole_kernel
from core_runtime.adapters.audit_log import AuditLog
from core_runtime.adapters.sqlite_store import SqliteStores
from core_runtime.authority import OWNER, CallContext, Grant
from core_runtime.capability.audit_budget import Budget
from core_runtime.capability.broker import Broker, BrokerLimits
from core_runtime.capability.model import CapabilityCall, GrantLevel
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget
from core_runtime.capability.ports import BrokerPorts, PrincipalFacts
from core_runtime.capability.stores import StorePlace, StoreWrite
from core_runtime.clock import SystemClock
from core_runtime.handlers.listing import SPECS, builtin_catalogue
from core_runtime.handlers.store_get import make as make_store_get
from core_runtime.packs import DeclaredPermission, StoreDecl, Text

CALLS = 30_000
ROUNDS = 30
PROMISED_US = 150.0
PROMISED_RATE = 15_000.0
INSIDE_CALLS = 1_600
ROOT = Path(__file__).resolve().parent.parent
UNLIMITED = BrokerLimits(allowed_lines=Budget(1e12, 1e12))
ARGS: Mapping[str, object] = {"store": "notes", "key": "a"}
VALUE = b'{"title":"a note","text":"' + b"x" * 150 + b'"}'


class Facts:
    """`count` grants, four levels, one declared ceiling each."""

    def __init__(self, count: int, pack_id: str = "a__b__notes") -> None:
        self.pack_id = pack_id
        self.grants = {f"pack_{number}": Grant("store.get", {"stores": ["notes"]}) for number in range(count - 1)}
        self.grants[pack_id] = Grant("store.get", {"stores": ["notes"]}, expires_at=4e9)

    def generation(self) -> int:
        """Nothing changes here."""
        return 1

    def policy(self) -> ActorPolicy:
        """The default."""
        return ActorPolicy()

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        """Host, two parents, the pack."""
        ceiling = {"stores": [f"{principal_id}/*"]}
        levels = (
            GrantLevel("host", config={"stores": ["*"]}),
            GrantLevel("a", config=ceiling),
            GrantLevel("a__b", config=ceiling),
            GrantLevel(principal_id, self.grants.get(principal_id)),
        )
        declared = DeclaredPermission(permission, {"stores": ["notes"]}, Text())
        return PrincipalFacts(
            approved=True, parents=(("a", True), ("a__b", True)), declared=declared, levels=levels, generation=1
        )

    def interface(self, name: str) -> InterfaceTarget | None:
        """None is called."""
        del name
        return None

    def store(self, pack_id: str, store_id: str) -> StoreDecl | None:
        """The one store of the pack."""
        return StoreDecl(store_id) if pack_id == self.pack_id else None

    def used(self, owner: str, grant: Grant) -> int:
        """No grant here counts its uses."""
        del owner, grant
        return 0

    async def use(self, owner: str, grant: Grant) -> None:
        """See `used`."""


def nothing(*given: object, **named: object) -> None:
    """What no call of this benchmark needs."""
    del given, named


def no_rule(condition: str, args: Mapping[str, object]) -> bool:
    """No interface, no rule."""
    del condition, args
    return False


def build(facts: Facts, trail: AuditLog, clock: SystemClock, stores: SqliteStores | None) -> Broker:
    """A broker whose only live handler is `store.get`."""
    ports = BrokerPorts(facts, facts, facts, trail, clock, no_rule, nothing)
    handlers = dict.fromkeys((spec.id for spec in SPECS), nothing)
    live = {"store.get": make_store_get(stores)} if stores else {}
    return Broker(builtin_catalogue(), {**handlers, **live}, ports, UNLIMITED)


def per_call(action: Callable[[], object], calls: int) -> float:
    """Microseconds for one call, the best of many short rounds: a busy machine disturbs some of them, not all."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls // ROUNDS):
            action()
        best = min(best, time.perf_counter() - began)
    return best / (calls // ROUNDS) * 1e6


def make_floor(folder: Path, path: Path) -> Callable[[], object]:
    """One dict lookup, one chained line, one row."""
    grants = {("notes", "store.get"): 4e9}
    connection = sqlite3.connect(path)
    descriptor = os.open(folder / "floor.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    chain = {"prev": "0" * 64}

    def floor() -> object:
        if grants["notes", "store.get"] <= time.time():
            return None
        line = orjson.dumps({"principal": "notes", "action": "store.get", **chain})
        chain["prev"] = hashlib.sha256(line).hexdigest()
        os.write(descriptor, line)
        row = connection.execute("SELECT value FROM entries WHERE store='notes' AND scope='' AND key=?", (b"a",))
        return orjson.loads(row.fetchone()[0])

    return floor


def latency(action: Callable[[], object], calls: int) -> float:
    """The median of single calls in microseconds."""
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        action()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


async def share(calls: int) -> dict[str, float]:
    """The broker in this process: the middle and the best of its times and the best of the floor's, in microseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = SystemClock()
        facts = Facts(1000)
        trail = AuditLog(folder / "audit", clock, lambda data: hashlib.sha256(data).hexdigest())
        stores = SqliteStores(folder / "stores", clock)
        store = await stores.opened(facts.pack_id)
        await store.set(StorePlace(facts.pack_id, "notes"), StoreWrite("a", VALUE, 1_000_000))
        broker = build(facts, trail, clock, stores)
        context = CallContext("req_bench", clock.monotonic() + 3600, OWNER)
        call = CapabilityCall(facts.pack_id, "store.get", ARGS, context, clock.monotonic() + 3600)
        floor = make_floor(folder, folder / "stores" / f"{facts.pack_id}.sqlite3")
        ours, least = per_call(lambda: broker.capability(call), calls), per_call(floor, calls)
        middle = latency(lambda: broker.capability(call), calls // 10)
        trail.close()
        await stores.close()
    return {"middle": middle, "best": ours, "floor": least}


def inside(rounds: int) -> dict[str, float]:
    """`p50_us` and `per_second` as the pack measured them: the medians of some rounds."""
    with whole_kernel(0) as kernel:
        kernel.install_from(ROOT / "benchmarks" / "packs" / "bench_store")
        kernel.start()
        kernel.approve("bench_store")
        kernel.wait_for(lambda: "bench_store" in kernel.running(), "the start of bench_store")
        wanted = {"calls": INSIDE_CALLS, "threads": IN_FLIGHT}
        path = "/api/interfaces/bench.store_get/call"
        found = [kernel.ask("POST", path, {"args": wanted}) for _ in range(rounds)]
        kernel.stop()
    return {name: statistics.median(float(str(item[name])) for item in found) for name in ("p50_us", "per_second")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=3)
    report = Report("P2")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        mine = runner.run(share(CALLS // 30 if chosen.quick else CALLS))
        broker = Figure(
            what="the broker's share, in its process",
            value=mine["middle"],
            unit="us",
            promise=Promise(most=PROMISED_US),
            floor=Rival("dict look-up, chained line, one row", mine["floor"]),
        )
        details = {"best_of_share_us": round(mine["best"], 1), "share_per_second": round(1e6 / mine["best"])}
        if chosen.quick or not image_is_there(chosen.image):
            report.show(broker, details=details)
            return
        with tempfile.TemporaryDirectory() as name:
            floor = runner.run(floor_of(Path(name), INSIDE_CALLS))
    found = inside(chosen.rounds)
    peer = "socket broker: grant check, chained line"
    report.show(
        Figure(
            what="store.get seen from inside the container",
            value=found["p50_us"],
            unit="us",
            promise=Promise(most=PROMISED_US),
            floor=Rival(peer, floor["p50_us"]),
        ),
        Figure(
            what="the same from 16 threads",
            value=found["per_second"],
            unit="calls/s",
            promise=Promise(least=PROMISED_RATE),
            peer=Rival(f"{peer}, 16 under way", floor["per_second"]),
        ),
        broker,
        details=details,
    )


if __name__ == "__main__":
    end(main)
