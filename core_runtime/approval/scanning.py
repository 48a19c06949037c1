"""Looking: folders, records and sealed copies, and what was noticed about them.

Reading happens in threads, one pack at a time under its lock, so that a slow or huge pack holds up nobody else's
decision. A pack that cannot be read is noted and the others go on (AP-20). Looking never approves anything: at most
it finds the approved bytes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from core_runtime.approval.ledger import Ledger
from core_runtime.approval.locks import Locks
from core_runtime.approval.model import Observed, PackRecord
from core_runtime.approval.parts import ApprovalParts, load_records, note, observe, open_sealed, tampered_entry
from core_runtime.approval.records import SignedStore, TamperedRecord, TamperReason
from core_runtime.approval.rejections import RejectionBook
from core_runtime.errors import RumiError
from core_runtime.packs import Problem, ScannedPack


class Scanner:
    """Fills the ledger from the disk."""

    def __init__(
        self, parts: ApprovalParts, ledger: Ledger, store: SignedStore, rejections: RejectionBook, locks: Locks
    ) -> None:
        self._parts = parts
        self._ledger = ledger
        self._store = store
        self._rejections = rejections
        self._locks = locks

    async def load(self) -> None:
        """Read all records at the start."""
        found = await asyncio.to_thread(load_records, self._store)
        await asyncio.to_thread(self._rejections.load)
        for pack_id, record in found.items():
            self._ledger.put_record(pack_id, record)
        for tampered in [*found.values(), *self._rejections.tampered.values()]:
            if isinstance(tampered, TamperedRecord):
                note(self._parts, tampered_entry(tampered))

    async def recheck(self) -> None:
        """Compare the records on disk with what is believed. Disk never adds rights: it only takes belief away."""
        found = await asyncio.to_thread(load_records, self._store)
        for pack_id in sorted(found.keys() | self._ledger.records.keys()):
            async with self._locks.of(pack_id):
                now, known = found.get(pack_id), self._ledger.records.get(pack_id)
                if isinstance(known, PackRecord) and not isinstance(now, PackRecord):
                    now = await asyncio.to_thread(self._again, pack_id)
                    if isinstance(now, TamperedRecord):
                        self._ledger.put_record(pack_id, now)
                        note(self._parts, tampered_entry(now))
                elif isinstance(known, TamperedRecord) and isinstance(now, PackRecord):
                    self._ledger.put_record(pack_id, now)  # the owner put the true file back
                    await self._open(pack_id)

    def _again(self, pack_id: str) -> PackRecord | TamperedRecord:
        """Judge one record again under its pack's lock: the first look may have come before a write."""
        found = load_records(self._store).get(pack_id)
        return found or self._store.verdict(pack_id, TamperReason.MISSING)

    async def look(self, pack_ids: Collection[str] | None) -> None:
        """Look at the folders of these packs, or of all."""
        scanned = _by_id(await asyncio.to_thread(self._parts.catalog.scan))
        wanted = scanned.keys() | self._ledger.observed.keys() | self._ledger.records.keys()
        for pack_id in sorted(wanted if pack_ids is None else wanted & set(pack_ids)):
            async with self._locks.of(pack_id):
                await self._look_at(pack_id, scanned.get(pack_id, ()))

    def referenced(self) -> frozenset[str] | None:
        """Digests of sealed copies that some record still names; None while it cannot be known.

        A record that is not believed now may be put back by the owner, and then its sealed copy has to be there.
        """
        records = self._ledger.records.values()
        if self._parts.keys.locked or any(isinstance(record, TamperedRecord) for record in records):
            return None
        return frozenset(record.digest for record in records if isinstance(record, PackRecord) and record.digest)

    async def _look_at(self, pack_id: str, scanned: Sequence[ScannedPack]) -> None:
        if scanned:
            self._ledger.observed[pack_id] = await asyncio.to_thread(self._observe, scanned)
        else:
            self._ledger.observed.pop(pack_id, None)
        await self._open(pack_id)

    def _observe(self, scanned: Sequence[ScannedPack]) -> Observed:
        try:
            return observe(self._parts, scanned)
        except (RumiError, OSError) as error:
            message = error.message if isinstance(error, RumiError) else f"The folder cannot be read: {error.strerror}."
            return Observed(scanned[0].pack_id, scanned[0].root, problems=(Problem("", "", message),))

    async def _open(self, pack_id: str) -> None:
        """Have the sealed copy of an approved pack at hand, hashed again; note why not."""
        record, opened = self._ledger.record(pack_id), self._ledger.sealed.get(pack_id)
        if record is None or not record.digest or (opened is not None and opened.digest == record.digest):
            return
        try:
            sealed = await asyncio.to_thread(open_sealed, self._parts, record, self._ledger.observed.get(pack_id))
        except RumiError as error:
            self._ledger.sealed_problems[pack_id] = f"Its sealed copy cannot be used: {error.message}"
        else:
            self._ledger.sealed[pack_id] = sealed
            self._ledger.sealed_problems.pop(pack_id, None)


def _by_id(scanned: Sequence[ScannedPack]) -> dict[str, tuple[ScannedPack, ...]]:
    """The candidates of each id; ids that differ only in case claim each other's place (AP-13)."""
    folded: dict[str, list[ScannedPack]] = {}
    for item in scanned:
        folded.setdefault(item.pack_id.casefold(), []).append(item)
    return {
        item.pack_id: (item, *(other for other in group if other is not item))
        for group in folded.values()
        for item in group
    }
