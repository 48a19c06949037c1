"""P6: `decide` over four levels, flat in the number of grants, against a dict lookup with an expiry.

The figure is `decide` alone, on facts as the broker keeps them; `question_us` adds what the broker gathers for each
call (arguments against their schema, what they point at, the cached standing).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, options
from benchmarks.p02_capability_call import ARGS, Facts, build, no_rule, per_call
from core_runtime.adapters.audit_log import AuditLog
from core_runtime.authority import OWNER, CallContext, Principal
from core_runtime.capability.decide import Request, decide
from core_runtime.capability.standing import stand
from core_runtime.clock import SystemClock
from core_runtime.handlers.store_get import SPEC

PROMISED_US = 5.0
CALLS = 100_000


def unsigned(data: bytes) -> str:
    """No signature is looked at here."""
    del data
    return ""


def decide_alone(count: int) -> Callable[[], object]:
    """One decision among `count` grants."""
    facts = Facts(count)
    principal = Principal(facts.pack_id)
    known = facts.facts(facts.pack_id, SPEC.id)
    standing = stand(principal, SPEC.id, SPEC, known, policy=facts.policy(), evaluate=no_rule)
    form = SPEC.parse(ARGS)
    request = Request(args=form, name=SPEC.asked(form, facts.pack_id), actor=OWNER)
    if not decide(request, standing, time.time()).allowed:
        raise SystemExit("the benchmark's own case is refused")
    return lambda: decide(request, standing, time.time())


def whole_question(folder: Path, count: int, calls: int) -> float:
    """As the broker asks, arguments and cache included."""
    clock = SystemClock()
    facts = Facts(count)
    trail = AuditLog(folder / str(count), clock, unsigned)
    broker = build(facts, trail, clock, None)
    context = CallContext("req_bench", clock.monotonic() + 3600, OWNER)
    principal = Principal(facts.pack_id)
    seconds = per_call(lambda: broker.decision(principal, SPEC.id, ARGS, context), calls)
    trail.close()
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=1)
    calls = CALLS // 50 if chosen.quick else CALLS
    report = Report("P6")
    by_count = {count: per_call(decide_alone(count), calls) for count in (10, 1_000, 10_000)}
    index = {(f"pack_{number}", SPEC.id): 4e9 for number in range(1_000)}
    floor = per_call(lambda: index["pack_7", SPEC.id] > time.time(), calls)
    with tempfile.TemporaryDirectory() as name:
        question = whole_question(Path(name), 1_000, calls // 2)
    first = Figure(
        what="decide, 1,000 grants, 4 levels",
        value=by_count[1_000],
        unit="us",
        promise=Promise(most=PROMISED_US),
        floor=Rival("dict look-up with expiry", floor),
    )
    flat = Figure(
        what="the same with 10,000 grants, against 10",
        value=by_count[10_000],
        unit="us",
        promise=Promise(most_ratio=1.5),
        peer=Rival("10 grants", by_count[10]),
    )
    report.show(first, flat, details={"question_us": round(question, 2)})


if __name__ == "__main__":
    end(main)
