"""P7: audit lines handed to the system, and made durable with 64 waiting; against `write` alone, chain and write, and
one fdatasync for each line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import orjson
import uvloop

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, options
from core_runtime.adapters.audit_log import AuditLog, verify
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.clock import SystemClock

LINES = 100_000
WAITERS = 64
WAITED = 500
ROUNDS = 20
PROMISED_APPENDS = 150_000
PROMISED_DURABLE = 50_000
ENTRY = AuditEntry(
    AuditCategory.CAPABILITY,
    "store.get",
    Outcome.ALLOW,
    "notes",
    request_id="req_0123456789abcdef01234567",
    actor="owner",
    rule="grant:notes:store.get",
    details={"reason": "granted", "target": "notes/notes"},
)


def per_second(action: Callable[[], object], count: int) -> float:
    """How often a second, the best of many short rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count // ROUNDS):
            action()
        best = min(best, time.perf_counter() - began)
    return count // ROUNDS / best


def peers(folder: Path, lines: int) -> dict[str, float]:
    """The floors of the same run, with a line of the same size."""
    descriptor = os.open(folder / "peer", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = b"x" * 430 + b"\n"
    state = {"prev": "0" * 64, "pad": "x" * 330}

    def chain() -> None:
        data = orjson.dumps(state)
        state["prev"] = hashlib.sha256(data).hexdigest()
        os.write(descriptor, data)

    def synced() -> None:
        os.write(descriptor, line)
        os.fdatasync(descriptor)

    return {
        "write": per_second(lambda: os.write(descriptor, line), lines),
        "chain_and_write": per_second(chain, lines),
        "one_fdatasync_each": per_second(synced, min(lines, 1_000)),
    }


async def durable(log: AuditLog, waited: int) -> float:
    """Lines a second, each awaited until it is on disk, `WAITERS` at once."""

    async def one() -> None:
        for _ in range(waited):
            await log.durable(log.append(ENTRY))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(WAITERS)))
    return WAITERS * waited / (time.perf_counter() - began)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=4)
    lines, waited = (LINES // 50, WAITED // 50) if chosen.quick else (LINES, WAITED)
    report = Report("P7")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = AuditLog(folder / "audit", SystemClock(), lambda data: hashlib.sha256(data).hexdigest())
        appends = per_second(lambda: log.append(ENTRY), lines)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            made_durable = max(runner.run(durable(log, waited)) for _ in range(chosen.rounds))
        log.close()
        if not verify(folder / "audit")["ok"]:
            raise SystemExit("the trail of this benchmark does not verify")
        least = peers(folder, lines)
    report.show(
        Figure(
            what="audit lines handed to the system",
            value=appends,
            unit="lines/s",
            promise=Promise(least=PROMISED_APPENDS),
            floor=Rival("chain and write", least["chain_and_write"]),
        ),
        Figure(
            what=f"audit lines made durable with {WAITERS} waiting",
            value=made_durable,
            unit="lines/s",
            promise=Promise(least=PROMISED_DURABLE),
            peer=Rival("one fdatasync for each line", least["one_fdatasync_each"]),
        ),
        details={"write_alone_per_second": round(least["write"])},
    )


if __name__ == "__main__":
    end(main)
