"""How the kernel is and what it wrote down, as the owner's doors see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core_runtime.approval.service import ApprovalService
from core_runtime.clock import iso
from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.ports import AuditQuery, Health, JsonList, JsonObject, Metric
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.packs import KERNEL_VERSION
from core_runtime.sandbox.supervisor import Supervisor
from core_runtime.settings import LoadedSettings


class AuditReader(Protocol):
    """The trail, read from its files. Blocking work is done in threads behind it."""

    async def search(self, query: AuditQuery, before: int | None) -> list[dict[str, object]]:
        """Matching lines: the newest first, or with `query.after` the oldest first; at most `query.limit`."""

    async def check(self) -> dict[str, object]:
        """`{ok, files, lines, first_bad}`."""


class AuditDoor:
    """`AuditPort`."""

    def __init__(self, reader: AuditReader) -> None:
        self._reader = reader

    async def query(self, query: AuditQuery) -> JsonObject:
        """See `AuditPort`. A cursor is the sequence number that older lines lie before; it says nothing secret."""
        before = None
        if query.cursor is not None:
            if not query.cursor.isascii() or not query.cursor.isdigit() or len(query.cursor) > 18:
                raise ValidationFailed("That is no cursor of this list.", hint="Begin again without a cursor.")
            before = int(query.cursor)
        lines = await self._reader.search(query, before)
        if query.after is not None:
            return {"items": lines, "cursor": None}
        full = len(lines) >= query.limit
        return {"items": lines[::-1], "cursor": str(lines[-1]["seq"]) if full and lines else None}

    async def verify(self) -> JsonObject:
        """See `AuditPort`."""
        return await self._reader.check()


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What the status page tells of the kernel itself. `addresses` is filled once it listens."""

    settings: LoadedSettings
    started_at: float
    instance_id: str
    ready: Callable[[], bool]
    addresses: Callable[[], Mapping[str, object]]


class StatusDoor:
    """`StatusPort` and `HealthPort`."""

    def __init__(
        self,
        facts: KernelFacts,
        approvals: ApprovalService,
        supervisor: Supervisor,
        *,
        diagnostics: DiagnosticsBook,
        checks: Callable[[], Awaitable[Sequence[Diagnostic]]],
    ) -> None:
        self._facts = facts
        self._approvals = approvals
        self._supervisor = supervisor
        self._diagnostics = diagnostics
        self._checks = checks

    async def status(self) -> JsonObject:
        """See `StatusPort`."""
        values = self._facts.settings.values
        views = self._approvals.list()
        return {
            "version": KERNEL_VERSION,
            "state": "ready" if self._facts.ready() else "starting",
            "profile": values.profile,
            "security_mode": values.security_mode,
            "instance_id": self._facts.instance_id,
            "started_at": iso(self._facts.started_at),
            "addresses": dict(self._facts.addresses()),
            "packs": dict(Counter(view.status.state.value for view in views)),
            "running": [item.pack_id for item in self._supervisor.status() if item.state.value == "ready"],
            "diagnostics": [entry.to_json() for entry in self._current()],
        }

    async def settings(self) -> JsonList:
        """See `StatusPort`."""
        return [
            {
                "name": item.name,
                "variable": item.variable,
                "value": item.value,
                "source": item.source,
                "description": item.description,
            }
            for item in self._facts.settings.explained
        ]

    async def diagnostics(self) -> JsonList:
        """See `StatusPort`: what is known, and what the checks of the doctor find now."""
        found = await self._checks()
        return [entry.to_json() for entry in (*self._current(), *found)]

    async def health(self) -> Health:
        """See `HealthPort`."""
        if not self._facts.ready():
            return Health.DOWN
        worst = self._current()[:1]
        return Health.DEGRADED if worst and worst[0].severity is Severity.PROBLEM else Health.UP

    async def metrics(self) -> Sequence[Metric]:
        """See `HealthPort`."""
        running = Counter(item.state.value for item in self._supervisor.status())
        states = Counter(view.status.state.value for view in self._approvals.list())
        return [
            Metric("rumi_ready", float(self._facts.ready()), help="1 once the boot sequence has ended."),
            *(
                Metric("rumi_packs", count, help="Packs by state.", labels=(("state", s),))
                for s, count in states.items()
            ),
            *(
                Metric("rumi_containers", count, help="Containers by state.", labels=(("state", s),))
                for s, count in running.items()
            ),
        ]

    def _current(self) -> tuple[Diagnostic, ...]:
        notices = [
            Diagnostic(
                Severity.PROBLEM if item.severity == "problem" else Severity.WARNING,
                item.code,
                item.subject,
                item.message,
                item.hint,
            )
            for item in self._approvals.notices()
        ]
        order = [Severity.PROBLEM, Severity.WARNING, Severity.INFO]
        return tuple(sorted((*notices, *self._diagnostics.all()), key=lambda item: order.index(item.severity)))
