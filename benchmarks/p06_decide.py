"""P6: `decide` over four levels, flat in the number of grants, against a dict lookup with an expiry.

`value` is `decide` alone, on facts as the broker keeps them; `question_us` adds what the broker gathers for each call
(arguments against their schema, what they point at, the cached standing).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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


def whole_question(folder: Path, count: int) -> float:
    """As the broker asks, arguments and cache included."""
    clock = SystemClock()
    facts = Facts(count)
    trail = AuditLog(folder / str(count), clock, unsigned)
    broker = build(facts, trail, clock, None)
    context = CallContext("req_bench", clock.monotonic() + 3600, OWNER)
    principal = Principal(facts.pack_id)
    seconds = per_call(lambda: broker.decision(principal, SPEC.id, ARGS, context), CALLS // 2)
    trail.close()
    return seconds


def main() -> None:
    """Measure and print."""
    by_count = {count: per_call(decide_alone(count), CALLS) for count in (10, 1_000, 10_000)}
    index = {(f"pack_{number}", SPEC.id): 4e9 for number in range(1_000)}
    floor = per_call(lambda: index["pack_7", SPEC.id] > time.time(), CALLS)
    with tempfile.TemporaryDirectory() as name:
        question = whole_question(Path(name), 1_000)
    result = {
        "promise": "P6",
        "what": "decide, 1,000 grants, 4 levels",
        "value": round(by_count[1_000], 2),
        "unit": "us",
        "limit": PROMISED_US,
        "met": by_count[1_000] <= PROMISED_US,
        "by_number_of_grants": {str(count): round(value, 2) for count, value in by_count.items()},
        "question_us": round(question, 2),
        "floor": round(floor, 2),
        "ratio": round(by_count[1_000] / floor, 1),
        "peer": "dict lookup with expiry",
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
