"""Approval as the kernel uses it: look at folders, say where packs stand, carry out what the owner decides.

Every change of one pack happens under that pack's lock; disk work happens in threads; what is asked on each call is
answered from memory. A decision that was begun is finished even if the one who asked goes away. Nothing here starts
or stops a container: who does is told of each change and acts on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import TypeVar

from core_runtime.approval.approving import Order, Situation, plan_of_folder
from core_runtime.approval.deciding import Decider
from core_runtime.approval.granting import Granter, GrantResult
from core_runtime.approval.ledger import Ledger
from core_runtime.approval.locks import Locks
from core_runtime.approval.model import (
    Act,
    GrantChange,
    GrantWish,
    Notice,
    PackChange,
    PackState,
    PackStatus,
    PackView,
    SealedPack,
)
from core_runtime.approval.notices import notices
from core_runtime.approval.parts import ApprovalParts, note, open_sealed
from core_runtime.approval.plan import Plan
from core_runtime.approval.rating import rate
from core_runtime.approval.rejections import RejectionBook
from core_runtime.approval.scanning import Scanner
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.authority import Grant, Risk
from core_runtime.errors import ApprovalDenied, NotFound, RumiError
from core_runtime.packs import PackDescriptor

T = TypeVar("T")
OnChange = Callable[[PackChange], None]
OnGrants = Callable[[GrantChange], None]


class ApprovalService:
    """The facade over all of approval. Build it, `await start()`, then use it on the kernel's loop alone."""

    def __init__(self, parts: ApprovalParts) -> None:
        self._parts = parts
        self._store = parts.grants_store()
        self._rejections = RejectionBook(parts.rejections_store(), parts.clock)
        self._ledger = Ledger(self._rejections, parts.environment().kernel)
        self._locks = Locks()
        self._on_change: list[OnChange] = []
        self._on_grants: list[OnGrants] = []
        self._running: set[asyncio.Task[object]] = set()
        self._scanner = Scanner(parts, self._ledger, self._store, self._rejections, self._locks)
        self._granter = Granter(parts, self._ledger, self._store, self._tell_grants)
        self._decider = Decider(parts, self._ledger, self._store, self._rejections, self._settle)

    async def start(self) -> tuple[PackChange, ...]:
        """Read records, look at every folder, hash the sealed copies again, remove those that nothing refers to."""
        await self._scanner.load()
        changes = await self.scan()
        referenced = self._scanner.referenced()
        if referenced is not None:
            await asyncio.to_thread(self._parts.sealed.collect, referenced)
        return changes

    def on_change(self, callback: OnChange) -> None:
        """Be told of every change of a standing, on the loop, after it is in force; must not block or raise."""
        self._on_change.append(callback)

    def on_grants(self, callback: OnGrants) -> None:
        """Be told of grants given and taken, after they are in force."""
        self._on_grants.append(callback)

    async def scan(self, pack_ids: Collection[str] | None = None) -> tuple[PackChange, ...]:
        """Look at the folders (of `pack_ids`, or all of them) and at the records now; what changed because of it."""
        await self._scanner.look(pack_ids)
        return self._settle("scan")

    async def recheck_records(self) -> tuple[PackChange, ...]:
        """Read the signed records again, to notice one that was edited, put back or taken away while we run."""
        await self._scanner.recheck()
        return self._settle("records")

    def state(self, pack_id: str) -> PackStatus:
        """Where a pack stands; a look-up. Unknown packs stand nowhere (`invalid`)."""
        return self._ledger.status(pack_id)

    def grants_of(self, pack_id: str) -> Mapping[str, Grant]:
        """The grants of a pack by permission, whatever its state; a look-up."""
        return self._ledger.grants(pack_id)

    def sealed(self, pack_id: str) -> SealedPack:
        """What runs. Raises `ApprovalDenied` unless the pack and its ancestors are approved; a look-up."""
        status = self._ledger.status(pack_id)
        if not status.runnable:
            raise _denied(pack_id, status)
        return self._ledger.sealed[pack_id]

    def ceiling(self, pack_id: str) -> PackDescriptor | None:
        """What the approved bytes say of themselves, whether or not they may run now; for `decide`."""
        found = self._ledger.sealed.get(pack_id)
        return found.descriptor if found else None

    def would_offer(self, interface: str) -> str | None:
        """A pack that is not approved and whose folder declares `interface`: whom the owner may want to approve."""
        for pack_id, observed in self._ledger.observed.items():
            offered = observed.descriptor.interfaces() if observed.descriptor else ()
            if any(decl.name == interface for decl in offered) and not self._ledger.status(pack_id).runnable:
                return pack_id
        return None

    async def sealed_for_start(self, pack_id: str) -> SealedPack:
        """As `sealed`, with the copy hashed again: to be called before each start of a container."""
        sealed = self.sealed(pack_id)
        record = self._ledger.record(pack_id)
        if record is None:
            raise _denied(pack_id, self._ledger.status(pack_id))
        try:
            opened = await asyncio.to_thread(open_sealed, self._parts, record, self._ledger.observed.get(pack_id))
        except RumiError as error:
            async with self._locks.of(pack_id):
                self._ledger.sealed.pop(pack_id, None)
                self._ledger.sealed_problems[pack_id] = f"Its sealed copy is damaged: {error.message}"
            self._settle("sealed copy damaged")
            raise _denied(pack_id, self._ledger.status(pack_id)) from None
        if self.sealed(pack_id) is not sealed:
            raise _denied(pack_id, self._ledger.status(pack_id))
        return opened

    def get(self, pack_id: str) -> PackView:
        """One pack. Raises `NotFound`."""
        self._settle("time")
        return self._view(pack_id)

    def list(self) -> tuple[PackView, ...]:
        """Every pack that there is something to say of, sorted by id."""
        self._settle("time")
        return tuple(self._view(pack_id) for pack_id in self._ledger.listed())

    def notices(self) -> tuple[Notice, ...]:
        """What diagnostics should say about packs, records and the signing key."""
        return notices(self._parts.keys, self._ledger, self._rejections)

    async def plan(self, pack_id: str) -> Plan:
        """What approving the folder as it is now would mean. Raises `NotFound` or `ValidationFailed`."""
        await self._seen(pack_id)
        return await asyncio.to_thread(plan_of_folder, self._parts, self._situation(pack_id))

    async def approve(self, order: Order) -> PackView:
        """Let these bytes run, with these grants, or change nothing.

        Raises `Conflict` (the plan changed, a cooldown, an older version), `PolicyDenied` (blocked, another identity, a
        grant too wide), `ApprovalDenied` (an ancestor), `ValidationFailed`, `StorageFull`, `Unavailable`.
        """
        await self._seen(order.pack_id)
        return await self._whole(self._approve(order))

    async def approve_bundled(self, listed: Iterable[tuple[str, str]], act: Act) -> tuple[str, ...]:
        """Approve packs that wait, by id and exact digest, with what they require up to medium; ids now approved.

        What the owner rejected, blocked or disabled stays so; one that cannot be approved is left and noted.
        """
        done = []
        for pack_id, digest in sorted(listed):
            status = self.state(pack_id)
            waits = status.state in {PackState.PENDING, PackState.MODIFIED} and status.digest == digest
            if waits:
                try:
                    await self.approve(Order(pack_id, digest=digest, most=Risk.MEDIUM, act=act))
                except RumiError as error:
                    details = {"error": error.code.value, "message": error.message}
                    entry = AuditEntry(AuditCategory.APPROVAL, "pack.approve", Outcome.ERROR, pack_id, details=details)
                    note(self._parts, entry)
            if self.state(pack_id).approved_digest == digest:
                done.append(pack_id)
        return tuple(done)

    async def reject(self, pack_id: str, reason: str, act: Act) -> PackView:
        """Say no to the bytes in the folder; the third no to an identity blocks it. Withdraws their approval."""
        return await self._whole(self._change(pack_id, self._decider.reject(pack_id, reason, act)))

    async def unblock(self, pack_id: str, act: Act) -> PackView:
        """Forget the refusals of the pack's identity: it may ask again at once."""
        return await self._whole(self._change(pack_id, self._decider.unblock(pack_id, act)))

    async def disable(self, pack_id: str, act: Act) -> PackView:
        """Keep an approved pack off. In force at once, also when it cannot be written down."""
        return await self._whole(self._change(pack_id, self._decider.disable(pack_id, act)))

    async def enable(self, pack_id: str, act: Act) -> PackView:
        """Undo `disable`. Raises `Conflict` while a required permission is not granted."""
        return await self._whole(self._change(pack_id, self._decider.enable(pack_id, act)))

    async def give(self, pack_id: str, wish: GrantWish, act: Act) -> Grant:
        """Give or replace a grant, within the ceiling of the approved bytes. The same again changes nothing."""
        return await self._whole(self._locked(pack_id, self._granter.give(pack_id, wish, act)))

    async def take(self, pack_id: str, permission: str, act: Act) -> Grant:
        """Take a grant away: no call that starts after this returned is admitted by it. `NotFound` if there is none."""
        return await self._whole(self._locked(pack_id, self._granter.take(pack_id, permission, act)))

    async def batch(self, items: Sequence[tuple[str, GrantWish, bool]], act: Act) -> tuple[GrantResult, ...]:
        """Up to 50 of (pack id, wish, take): each answered for itself, in order."""
        self._granter.check_batch(items)
        results = []
        for pack_id, wish, take in items:
            try:
                grant = await (self.take(pack_id, wish.permission, act) if take else self.give(pack_id, wish, act))
                results.append(GrantResult(grant=grant))
            except RumiError as error:
                results.append(GrantResult(error=error))
        return tuple(results)

    async def _approve(self, order: Order) -> PackView:
        async with self._locks.of(order.pack_id):
            self._settle("time")
            grants = await self._decider.approve(order, self._situation(order.pack_id))
            self._settle("approved")
            self._tell_grants(grants)
            return self._view(order.pack_id)

    async def _change(self, pack_id: str, work: Coroutine[object, object, str]) -> PackView:
        async with self._locks.of(pack_id):
            self._settle("time")
            reason = "decided"
            try:
                reason = await work
            finally:
                self._settle(reason)
            return self._view(pack_id)

    async def _locked(self, pack_id: str, work: Coroutine[object, object, T]) -> T:
        async with self._locks.of(pack_id):
            try:
                return await work
            finally:
                self._settle("grants")

    async def _whole(self, work: Coroutine[object, object, T]) -> T:
        """Finish what was begun, even if the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have gone away; then nobody else asks for it

    async def _seen(self, pack_id: str) -> None:
        """A folder that was put there a moment ago is looked at now rather than denied."""
        if pack_id not in self._ledger.observed:
            await self.scan({pack_id})

    def _situation(self, pack_id: str) -> Situation:
        observed = self._ledger.observed.get(pack_id)
        if observed is None:
            raise NotFound(f"There is no pack {pack_id[:64]!r}.", hint="rumi pack list")
        return self._ledger.situation(observed, self._parts.keys.locked)

    def _settle(self, reason: str) -> tuple[PackChange, ...]:
        changes = self._ledger.settle(reason)
        for change in changes:
            note(self._parts, _entry(change))
            for callback in self._on_change:
                callback(change)
        return changes

    def _tell_grants(self, change: GrantChange) -> None:
        if change.given or change.taken:
            for callback in self._on_grants:
                callback(change)

    def _view(self, pack_id: str) -> PackView:
        status, observed = self._ledger.status(pack_id), self._ledger.observed.get(pack_id)
        record, sealed = self._ledger.record(pack_id), self._ledger.sealed.get(pack_id)
        descriptor = (observed.descriptor if observed else None) or (sealed.descriptor if sealed else None)
        if not self._ledger.knows(pack_id):
            raise NotFound(f"There is no pack {pack_id[:64]!r}.", hint="rumi pack list")
        return PackView(
            pack_id=pack_id,
            status=status,
            identity=descriptor.identity if descriptor else "",
            version=descriptor.version if descriptor else "",
            signer=descriptor.signer if descriptor else None,
            rating=rate(descriptor, self._parts.book).value if descriptor else None,
            description=descriptor.description.values if descriptor else {},
            problems=observed.problems if observed else (),
            record=record,
        )


def _denied(pack_id: str, status: PackStatus) -> ApprovalDenied:
    if status.parent is not None and status.state is PackState.APPROVED:
        return ApprovalDenied(
            f"{pack_id} belongs to {status.parent}, which is not approved or does not consent to it.",
            hint=f"rumi pack plan {status.parent}",
        )
    return ApprovalDenied(f"{pack_id} is {status.state.value}. {status.reason}", hint=f"rumi pack plan {pack_id}")


def _entry(change: PackChange) -> AuditEntry:
    state = change.new.state.value if change.new else "gone"
    details: dict[str, object] = {"from": change.old.state.value if change.old else None, "to": state}
    if change.new:
        details |= {"digest": change.new.digest, "parent": change.new.parent, "reason": change.new.reason}
    return AuditEntry(
        AuditCategory.APPROVAL,
        f"pack.{state}",
        Outcome.OK if change.new and change.new.runnable else Outcome.DENY,
        change.pack_id,
        rule=change.reason,
        details=details,
        urgent=True,
    )
