"""Carrying out what the owner decides about a pack as a whole. The caller holds the pack's lock.

Yes needs its audit line and its record on disk before it counts. No counts at once: what stops, ends or is taken away
is in force in memory first, and neither a full disk nor a dead audit log can hold it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from core_runtime.approval.approving import Order, Prepared, Situation, prepare
from core_runtime.approval.codec import record_to_json
from core_runtime.approval.grants import unmet
from core_runtime.approval.ledger import Ledger
from core_runtime.approval.model import Act, DisabledBy, GrantChange, PackRecord, PackState
from core_runtime.approval.parts import ApprovalParts, note
from core_runtime.approval.records import SignedStore, TamperedRecord
from core_runtime.approval.rejections import RejectionBook
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.authority import Grant, Risk
from core_runtime.errors import ApprovalDenied, Conflict, NotFound, PolicyDenied, RumiError, ValidationFailed


class Decider:
    """Approve, reject, unblock, disable, enable."""

    def __init__(
        self,
        parts: ApprovalParts,
        ledger: Ledger,
        store: SignedStore,
        rejections: RejectionBook,
        settle: Callable[[str], object],
    ) -> None:
        self._parts = parts
        self._settle = settle
        self._ledger = ledger
        self._store = store
        self._rejections = rejections

    async def approve(self, order: Order, situation: Situation) -> GrantChange:
        """Approve; see `ApprovalService.approve`. Answers which grants are new and which are gone or narrower."""
        if self._ledger.status(order.pack_id).state is PackState.BLOCKED:
            raise _blocked(order.pack_id)
        prepared = await asyncio.to_thread(prepare, self._parts, situation, order)
        record = prepared.record
        self._may_ask(order.pack_id, record.identity, record.digest)
        self._may_be_child(order.pack_id, record.identity)
        before = self._ledger.grants(order.pack_id)
        seq = self._parts.audit.append(_approve_entry(order, prepared))
        if any(self._parts.book.risk(grant.permission).level >= Risk.HIGH.level for grant in record.grants):
            await self._parts.audit.durable(seq)
        if self._parts.keys.locked:
            await self._renew_key(order.act)
        try:
            await asyncio.to_thread(self._store.write, order.pack_id, record_to_json(record))
        except RumiError as error:
            details = {"error": error.code.value}
            note(self._parts, _entry("pack.approve", order.pack_id, order.act, details, Outcome.ERROR))
            raise
        self._ledger.put_record(order.pack_id, record)
        self._ledger.sealed[order.pack_id] = prepared.sealed
        self._ledger.sealed_problems.pop(order.pack_id, None)
        observed = replace(
            situation.observed,
            descriptor=replace(prepared.sealed.descriptor, root=situation.observed.root),
            digest=record.digest,
            problems=(),
        )
        self._ledger.observed[order.pack_id] = observed
        return _grant_change(self._parts, order.pack_id, before, record)

    async def reject(self, pack_id: str, reason: str, act: Act) -> str:
        """Count a refusal of the folder's bytes and withdraw their approval, if they have it."""
        digest, identity = self._ledger.status(pack_id).digest, self._ledger.identity(pack_id)
        if pack_id not in self._ledger.observed:
            raise NotFound(f"There is no pack {pack_id[:64]!r}.", hint="rumi pack list")
        if digest is None or identity is None:
            raise Conflict(f"{pack_id} is invalid: there is nothing to reject.", hint="Remove its folder.")
        details = {"digest": digest, "identity": identity, "reason": reason[:500]}
        note(self._parts, _entry("pack.reject", pack_id, act, details))
        record = self._ledger.record(pack_id)
        if record is not None and record.digest == digest:
            withdrawn = replace(record, digest="", grants=(), disabled=DisabledBy.NOTHING)
            withdrawn = replace(withdrawn, decided_by=act.by, decided_at=self._parts.clock.wall())
            await self._end(pack_id, withdrawn, "rejected")
        await asyncio.to_thread(self._rejections.reject, identity, digest)
        return "rejected"

    async def unblock(self, pack_id: str, act: Act) -> str:
        """Forget the refusals of its identity."""
        identity = self._ledger.identity(pack_id)
        if identity is None:
            raise NotFound(f"There is no pack {pack_id[:64]!r}.", hint="rumi pack list")
        self._parts.audit.append(_entry("pack.unblock", pack_id, act, {"identity": identity}))
        await asyncio.to_thread(self._rejections.clear, identity)
        return "unblocked"

    async def disable(self, pack_id: str, act: Act) -> str:
        """Switch an approved pack off."""
        record = self._approved(pack_id)
        note(self._parts, _entry("pack.disable", pack_id, act, {}))
        await self._end(pack_id, replace(record, disabled=DisabledBy.OWNER), "disabled")
        return "disabled"

    async def enable(self, pack_id: str, act: Act) -> str:
        """Switch it on again."""
        record = self._approved(pack_id)
        sealed = self._ledger.sealed.get(pack_id)
        lacking = unmet(sealed.descriptor, record.grants) if sealed else ()
        if lacking:
            raise Conflict(
                f"{pack_id} requires {', '.join(lacking)}, which it was not granted.",
                hint=f"rumi grant give {pack_id} {lacking[0]}",
            )
        self._parts.audit.append(_entry("pack.enable", pack_id, act, {}))
        after = replace(record, disabled=DisabledBy.NOTHING)
        await asyncio.to_thread(self._store.write, pack_id, record_to_json(after))
        self._ledger.put_record(pack_id, after)
        return "enabled"

    async def _end(self, pack_id: str, record: PackRecord, reason: str) -> None:
        """A no: in force at once, then written."""
        self._ledger.put_record(pack_id, record)
        self._settle(reason)
        await asyncio.to_thread(lambda: self._store.write(pack_id, record_to_json(record), urgent=True))

    def _approved(self, pack_id: str) -> PackRecord:
        record = self._ledger.record(pack_id)
        if record is None or not record.digest:
            known = pack_id in self._ledger.observed
            if not known:
                raise NotFound(f"There is no pack {pack_id[:64]!r}.", hint="rumi pack list")
            raise Conflict(f"{pack_id} is not approved.", hint=f"rumi pack plan {pack_id}")
        return record

    def _may_ask(self, pack_id: str, identity: str, digest: str) -> None:
        """Refuse what was refused, by the identity and the digest of the very bytes that were sealed."""
        record = self._ledger.record(pack_id)
        if record is not None and record.digest == digest:
            return
        if self._rejections.blocked(identity):
            raise _blocked(pack_id)
        seconds = self._rejections.cooling(identity, digest)
        if seconds > 0:
            raise Conflict(
                f"These bytes of {pack_id} were rejected; they may ask again in {int(seconds // 60) + 1} minutes.",
                hint=f"To forget the rejection: rumi pack unblock {pack_id}",
            )

    def _may_be_child(self, pack_id: str, identity: str) -> None:
        parent = self._ledger.parent_problem(pack_id, identity)
        if parent is not None:
            raise ApprovalDenied(
                f"{pack_id} needs {parent} to be approved and to name {identity} in its children.",
                hint=f"rumi pack plan {parent}",
            )

    async def _renew_key(self, act: Act) -> None:
        """The owner approved a plan that said what a new signing key means."""
        entry = _entry("signing_key.renew", "kernel", act, {"reason": self._parts.keys.locked})
        seq = self._parts.audit.append(entry)
        await self._parts.audit.durable(seq)
        stamp = str(int(self._parts.clock.wall() * 1000))
        await asyncio.to_thread(lambda: self._parts.keys.renew(self._parts.files, stamp=stamp))
        await asyncio.to_thread(self._store.load)
        await asyncio.to_thread(self._rejections.load)
        for pack_id, record in list(self._ledger.records.items()):
            if isinstance(record, TamperedRecord):
                self._ledger.put_record(pack_id, None)


def _blocked(pack_id: str) -> PolicyDenied:
    return PolicyDenied(f"{pack_id} is blocked: its author was rejected.", hint=f"rumi pack unblock {pack_id}")


def _entry(
    action: str, principal: str, act: Act, details: Mapping[str, object], outcome: Outcome = Outcome.OK
) -> AuditEntry:
    return AuditEntry(
        AuditCategory.APPROVAL,
        action,
        outcome,
        principal,
        request_id=act.request_id,
        actor=act.by,
        details=details,
        urgent=action in {"pack.reject", "pack.disable"},
    )


def _approve_entry(order: Order, prepared: Prepared) -> AuditEntry:
    record = prepared.record
    details = {
        "digest": record.digest,
        "identity": record.identity,
        "version": record.version,
        "plan_hash": prepared.plan.plan_hash,
        "grants": [{"permission": grant.permission, "mode": grant.mode.value} for grant in record.grants],
    }
    return _entry("pack.approve", order.pack_id, order.act, details)


def _grant_change(parts: ApprovalParts, pack_id: str, before: Mapping[str, Grant], record: PackRecord) -> GrantChange:
    after = {grant.permission: grant for grant in record.grants}
    given = tuple(sorted(name for name, grant in after.items() if before.get(name) != grant))
    taken = tuple(sorted(name for name, grant in before.items() if narrowed(parts, pack_id, grant, after.get(name))))
    return GrantChange(pack_id, given, taken)


def narrowed(parts: ApprovalParts, pack_id: str, old: Grant, new: Grant | None) -> bool:
    """True if something that `old` admitted may not be admitted any more."""
    if new is None:
        return True
    try:
        held = parts.book.within(old.permission, old.config, new.config, principal=pack_id)
    except ValidationFailed:
        return True
    return not held or (old.mode, old.expires_at, old.max_count) != (new.mode, new.expires_at, new.max_count)
