"""All that is known of packs in memory, and where each of them stands because of it.

One object, changed on the kernel's loop alone. `settle` judges every pack anew from the facts and says what changed; it
never reads a disk. Questions that each call asks (`status`, `grants`, `sealed`) are a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from core_runtime.approval.approving import Situation
from core_runtime.approval.model import Observed, PackChange, PackRecord, PackState, PackStatus, SealedPack
from core_runtime.approval.plan import Provider, held
from core_runtime.approval.records import TamperedRecord
from core_runtime.approval.rejections import RejectionBook
from core_runtime.approval.rules import Ancestor, Facts, missing_requirement, parent_problem, standing
from core_runtime.authority import Grant
from core_runtime.packs import InterfaceDecl

UNKNOWN = PackStatus(PackState.INVALID, "There is no such pack.")
NO_GRANTS: Mapping[str, Grant] = MappingProxyType({})


class Ledger:
    """Observed folders, records, sealed copies and the standings that follow."""

    def __init__(self, rejections: RejectionBook, kernel_version: str) -> None:
        self._rejections = rejections
        self._kernel_version = kernel_version
        self._statuses: dict[str, PackStatus] = {}
        self._grants: dict[str, Mapping[str, Grant]] = {}
        self.observed: dict[str, Observed] = {}
        self.records: dict[str, PackRecord | TamperedRecord] = {}
        self.sealed: dict[str, SealedPack] = {}
        self.sealed_problems: dict[str, str] = {}

    def status(self, pack_id: str) -> PackStatus:
        """Where a pack stands, as of the last `settle`."""
        return self._statuses.get(pack_id, UNKNOWN)

    def knows(self, pack_id: str) -> bool:
        """True if the pack is listed."""
        return pack_id in self._statuses

    def listed(self) -> tuple[str, ...]:
        """The ids that there is something to say of, sorted."""
        return tuple(sorted(self._statuses))

    def grants(self, pack_id: str) -> Mapping[str, Grant]:
        """The grants of a pack by permission."""
        return self._grants.get(pack_id, NO_GRANTS)

    def record(self, pack_id: str) -> PackRecord | None:
        """The record, if there is one that is believed."""
        found = self.records.get(pack_id)
        return found if isinstance(found, PackRecord) else None

    def put_record(self, pack_id: str, record: PackRecord | TamperedRecord | None) -> None:
        """Set, replace or forget a record; the grants follow at once."""
        self._grants.pop(pack_id, None)
        if record is None:
            self.records.pop(pack_id, None)
            return
        self.records[pack_id] = record
        if isinstance(record, PackRecord):
            self._grants[pack_id] = MappingProxyType({grant.permission: grant for grant in record.grants})
        if isinstance(record, TamperedRecord) or not record.digest:
            self.sealed.pop(pack_id, None)

    def settle(self, reason: str) -> tuple[PackChange, ...]:
        """Judge every pack anew; what changed, parents before their children."""
        ids = self.observed.keys() | self.records.keys()
        versions = {pack_id: record.version for pack_id, record in self._approved_records().items()}
        names = {decl.name for pack_id in versions for decl in self._interfaces(pack_id)}
        before, after = self._statuses, {}
        for pack_id in sorted(ids):
            status = standing(self._facts(pack_id, versions, names))
            if status is not None:
                after[pack_id] = status
        self._statuses = self._with_parents(after)
        return tuple(
            PackChange(pack_id, before.get(pack_id), self._statuses.get(pack_id), reason)
            for pack_id in sorted(before.keys() | self._statuses.keys())
            if before.get(pack_id) != self._statuses.get(pack_id)
        )

    def parent_problem(self, pack_id: str, identity: str) -> str | None:
        """As in a status, for files with that identity, before there is an approval."""
        return parent_problem(pack_id, {**self._identities(), pack_id: identity}, self._ancestors(self._statuses))

    def providers(self) -> tuple[Provider, ...]:
        """Every interface of every approved pack, with what that pack was granted."""
        found = []
        for pack_id, record in sorted(self._approved_records().items()):
            grants = held(record.grants)
            found += [Provider(pack_id, decl.name, decl.risk, grants) for decl in self._interfaces(pack_id)]
        return tuple(found)

    def identity(self, pack_id: str) -> str | None:
        """Under which identity a pack's refusals are counted: what its files say, else what was approved."""
        observed, record = self.observed.get(pack_id), self.record(pack_id)
        if observed and observed.descriptor:
            return observed.descriptor.identity
        return record.identity if record else None

    def situation(self, observed: Observed, locked: str) -> Situation:
        """Everything known that a plan of this folder depends on."""
        others = {pack_id for pack_id in self._approved_records() if pack_id != observed.pack_id}
        return Situation(
            observed=observed,
            record=self.records.get(observed.pack_id),
            previous=self.sealed.get(observed.pack_id),
            providers=self.providers(),
            locked=locked,
            versions={pack_id: record.version for pack_id, record in self._approved_records().items()},
            interfaces=frozenset(decl.name for pack_id in others for decl in self._interfaces(pack_id)),
        )

    def _facts(self, pack_id: str, versions: Mapping[str, str], names: set[str]) -> Facts:
        observed, identity = self.observed.get(pack_id), self.identity(pack_id)
        digest = observed.digest if observed else None
        return Facts(
            observed=observed,
            record=self.records.get(pack_id),
            sealed_problem=self._sealed_problem(pack_id),
            missing=self._missing(pack_id, versions, names),
            blocked=identity is not None and self._rejections.blocked(identity),
            cooling=bool(identity and digest and self._rejections.cooling(identity, digest) > 0),
        )

    def _sealed_problem(self, pack_id: str) -> str:
        return "" if pack_id in self.sealed else self.sealed_problems.get(pack_id, "Its sealed copy is not there.")

    def _missing(self, pack_id: str, versions: Mapping[str, str], names: set[str]) -> str:
        sealed = self.sealed.get(pack_id)
        return missing_requirement(sealed.descriptor, self._kernel_version, versions, names) if sealed else ""

    def _with_parents(self, statuses: dict[str, PackStatus]) -> dict[str, PackStatus]:
        known, identities = self._ancestors(statuses), self._identities()
        return {
            pack_id: replace(status, parent=parent_problem(pack_id, identities, known))
            for pack_id, status in statuses.items()
        }

    def _ancestors(self, statuses: Mapping[str, PackStatus]) -> dict[str, Ancestor]:
        return {
            pack_id: Ancestor(statuses[pack_id].state is PackState.APPROVED, sealed.descriptor)
            for pack_id, sealed in self.sealed.items()
            if pack_id in statuses
        }

    def _identities(self) -> dict[str, str]:
        return {pack_id: record.identity for pack_id, record in self._approved_records().items()} | {
            pack_id: observed.descriptor.identity
            for pack_id, observed in self.observed.items()
            if observed.descriptor and not self._has_approval(pack_id)
        }

    def _has_approval(self, pack_id: str) -> bool:
        record = self.record(pack_id)
        return record is not None and bool(record.digest)

    def _approved_records(self) -> dict[str, PackRecord]:
        return {
            pack_id: record
            for pack_id, record in self.records.items()
            if isinstance(record, PackRecord) and record.digest
        }

    def _interfaces(self, pack_id: str) -> tuple[InterfaceDecl, ...]:
        sealed = self.sealed.get(pack_id)
        return sealed.descriptor.interfaces() if sealed else ()
