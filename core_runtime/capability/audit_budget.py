"""A pack's budget of audit lines: what is over it is counted, and the count is a line. Nothing is lost silently.

Ten thousand refusals a second from one pack must not fill the disk (UD-17), nor must a busy, lawful pack. Lines within
the budget go to the trail at once; beyond it one line a second and kind says "and 412 more like this". High and
critical acts are always written out one by one. While a principal's count cannot be written, nothing further of it is
allowed: the rule that an act without its line does not happen holds for counted lines too.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from core_runtime.audit import AuditEntry, AuditTrail, Outcome
from core_runtime.capability.ports import Later
from core_runtime.clock import Clock
from core_runtime.errors import RumiError

FLUSH_SECONDS = 1.0
MAX_KINDS = 8
MAX_PRINCIPALS = 1024
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Budget:
    """Lines a second that one principal may cause in the long run, and at once."""

    per_second: float
    burst: float


DENIED = Budget(20.0, 20.0)
ALLOWED = Budget(100.0, 10_000.0)


class AuditBudget:
    """Stands in front of the trail for capability lines."""

    def __init__(
        self, trail: AuditTrail, clock: Clock, later: Later, *, denied: Budget = DENIED, allowed: Budget = ALLOWED
    ) -> None:
        self._trail = trail
        self._clock = clock
        self._later = later
        self._budgets = {True: denied, False: allowed}
        self._left: OrderedDict[tuple[str, bool], tuple[float, float]] = OrderedDict()
        self._owed: dict[tuple[str, bool], dict[str, tuple[AuditEntry, int]]] = {}
        self._scheduled = False

    def write(self, entry: AuditEntry, *, always: bool = False) -> int:
        """Write or count one line; 0 for a counted one, else its sequence number. Raises what the trail raises."""
        key = (entry.principal, entry.outcome is Outcome.DENY)
        if key in self._owed and not self._scheduled:
            self.flush()
        if always or self._spend(key):
            return self._trail.append(entry)
        kinds = self._owed.setdefault(key, {})
        kind = entry.action + "\n" + entry.rule
        if kind not in kinds and len(kinds) >= MAX_KINDS:
            kind, entry = OTHERS, replace(entry, action=OTHERS, rule="")
        kinds[kind] = (entry, kinds[kind][1] + 1 if kind in kinds else 1)
        self._schedule()
        return 0

    def flush(self) -> None:
        """Write the counts out. Raises what the trail raises; what was not written stays counted."""
        self._scheduled = False
        for key, kinds in list(self._owed.items()):
            for kind, (entry, count) in list(kinds.items()):
                self._trail.append(_counted(entry, count))
                del kinds[kind]
            del self._owed[key]

    def _spend(self, key: tuple[str, bool]) -> bool:
        budget = self._budgets[key[1]]
        now = self._clock.monotonic()
        left, since = self._left.get(key, (budget.burst, now))
        left = min(budget.burst, left + (now - since) * budget.per_second)
        self._left[key] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._left) > MAX_PRINCIPALS:
            self._left.popitem(last=False)
        return left >= 1.0

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._later(FLUSH_SECONDS, self._flush_later)

    def _flush_later(self) -> None:
        """A full disk must not break the loop: the next call meets the debt again, and fails on it."""
        try:
            self.flush()
        except RumiError:
            self._scheduled = False


def _counted(entry: AuditEntry, count: int) -> AuditEntry:
    reason = entry.details.get("reason", "")
    return replace(
        entry,
        request_id="",
        run_id=None,
        details={"reason": reason, "count": count, "text": f"and {count} more like this"},
    )
