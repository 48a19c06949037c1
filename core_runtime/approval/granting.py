"""Giving and taking grants of packs that are approved. The caller holds the pack's lock.

A grant counts once its audit line and its record are on disk. Taking one away counts at once, in memory, before
anything is written, and the write may use the reserved space: neither a full disk nor a dead audit log can keep a
right alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core_runtime.approval.approving import disabled_after
from core_runtime.approval.codec import record_to_json
from core_runtime.approval.deciding import narrowed
from core_runtime.approval.grants import MAX_BATCH, check_principal, make_grant
from core_runtime.approval.ledger import Ledger
from core_runtime.approval.model import Act, GrantChange, GrantWish, PackRecord
from core_runtime.approval.parts import ApprovalParts, note
from core_runtime.approval.records import SignedStore
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.authority import Grant, Risk
from core_runtime.errors import Conflict, NotFound, RumiError, ValidationFailed


@dataclass(frozen=True, slots=True)
class GrantResult:
    """The answer to one item of a batch: exactly one of the two is set."""

    grant: Grant | None = None
    error: RumiError | None = None


class Granter:
    """Give and take."""

    def __init__(
        self,
        parts: ApprovalParts,
        ledger: Ledger,
        store: SignedStore,
        tell: Callable[[GrantChange], None],
    ) -> None:
        self._parts = parts
        self._ledger = ledger
        self._store = store
        self._tell = tell

    def check_batch(self, items: Sequence[object]) -> None:
        """Refuse a batch over the limit as a whole (GR-16)."""
        if len(items) > MAX_BATCH:
            raise ValidationFailed(f"A batch holds at most {MAX_BATCH} grants.", hint="Send it in parts.")

    async def give(self, pack_id: str, wish: GrantWish, act: Act) -> Grant:
        """Give or replace one grant."""
        record = self._holder(pack_id)
        sealed = self._ledger.sealed.get(pack_id)
        if sealed is None:
            raise Conflict(f"The sealed copy of {pack_id} is not in order.", hint="rumi doctor")
        grant = make_grant(wish, sealed.descriptor, self._parts.book, by=act.by, now=self._parts.clock.wall())
        before = record.grant(wish.permission)
        if before is not None and _same(before, grant):
            return before
        others = tuple(item for item in record.grants if item.permission != grant.permission)
        after = disabled_after(replace(record, grants=(*others, grant)), sealed.descriptor)
        seq = self._parts.audit.append(_entry("grant.give", pack_id, grant, act))
        if self._parts.book.risk(grant.permission).level >= Risk.HIGH.level:
            await self._parts.audit.durable(seq)
        await asyncio.to_thread(self._store.write, pack_id, record_to_json(after))
        self._ledger.put_record(pack_id, after)
        lost = before is not None and narrowed(self._parts, pack_id, before, grant)
        self._tell(GrantChange(pack_id, (grant.permission,), (grant.permission,) if lost else ()))
        return grant

    async def take(self, pack_id: str, permission: str, act: Act) -> Grant:
        """Take one grant away."""
        record = self._holder(pack_id)
        grant = record.grant(permission)
        if grant is None:
            raise NotFound(f"{pack_id} holds no grant of {permission[:128]!r}.", hint=f"rumi grant list {pack_id}")
        after = replace(record, grants=tuple(item for item in record.grants if item is not grant))
        self._ledger.put_record(pack_id, after)
        self._tell(GrantChange(pack_id, taken=(permission,)))
        note(self._parts, _entry("grant.take", pack_id, grant, act))
        await asyncio.to_thread(lambda: self._store.write(pack_id, record_to_json(after), urgent=True))
        return grant

    def _holder(self, pack_id: str) -> PackRecord:
        check_principal(pack_id)
        record = self._ledger.record(pack_id)
        if record is None or not record.digest:
            if pack_id not in self._ledger.observed:
                raise NotFound(f"There is no pack {pack_id!r}.", hint="rumi pack list")
            raise Conflict(f"{pack_id} is not approved, so it can hold no grant.", hint=f"rumi pack plan {pack_id}")
        return record


def _same(old: Grant, new: Grant) -> bool:
    return replace(old, granted_at=new.granted_at, granted_by=new.granted_by) == new


def _entry(action: str, pack_id: str, grant: Grant, act: Act) -> AuditEntry:
    return AuditEntry(
        AuditCategory.PERMISSION,
        action,
        Outcome.OK,
        pack_id,
        request_id=act.request_id,
        actor=act.by,
        rule=f"grant:{pack_id}:{grant.permission}",
        details={
            "permission": grant.permission,
            "config": dict(grant.config),
            "mode": grant.mode.value,
            "expires_at": grant.expires_at,
            "max_count": grant.max_count,
        },
        urgent=action == "grant.take",
    )
