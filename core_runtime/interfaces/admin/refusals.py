"""Refusals at the door in the audit trail: one line each, and counted lines when there are many.

A source that hammers the door would otherwise fill the disk with lines about itself. Each source has, for each reason
and name, a budget of lines a minute; what is over it is counted and said in one line when the minute is over. A trail
that cannot be written changes nothing here: the request is refused all the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from core_runtime.audit import AuditCategory, AuditEntry, AuditTrail, Outcome
from core_runtime.errors import RumiError

LINES_PER_MINUTE = 20
WINDOW_SECONDS = 60.0
MAX_KEYS = 256


_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Tally:
    written: int = 0
    held: int = 0


class RefusalLog:
    """Writes and counts refusals. `close` says what was still held back."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit
        self._tallies: OrderedDict[_Key, _Tally] = OrderedDict()
        self._timers: dict[_Key, asyncio.TimerHandle] = {}

    def note(self, source: str, reason: str, *, request_id: str, by: str = "anonymous") -> None:
        """Note one refusal. Has to be called on the loop."""
        key = (source, reason, by)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._open(key)
        if tally.written < LINES_PER_MINUTE:
            tally.written += 1
            self._write(key, request_id, {})
        else:
            tally.held += 1

    def close(self) -> None:
        """Stop the timers and write every count that is still open."""
        for key in list(self._tallies):
            self._settle(key)

    def _open(self, key: _Key) -> _Tally:
        while len(self._tallies) >= MAX_KEYS:
            self._settle(next(iter(self._tallies)))
        self._tallies[key] = _Tally()
        self._timers[key] = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._settle, key)
        return self._tallies[key]

    def _settle(self, key: _Key) -> None:
        tally = self._tallies.pop(key)
        self._timers.pop(key).cancel()
        if tally.held:
            self._write(key, "", {"more_like_this": tally.held})

    def _write(self, key: _Key, request_id: str, details: dict[str, object]) -> None:
        source, reason, by = key
        entry = AuditEntry(
            category=AuditCategory.SECURITY,
            action="api.refused",
            outcome=Outcome.DENY,
            principal="host",
            request_id=request_id,
            actor=by,
            rule=f"door:{reason}",
            details={"source": source, **details},
        )
        try:
            self._audit.append(entry)
        except RumiError:
            return
