"""The rules of approval as pure functions: where a pack stands, and what refuses an approval.

Everything that an owner, an update or a renamed folder could try against them is data here; the service only gathers
the facts. Anything that is not known is a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from core_runtime.approval.model import DisabledBy, Observed, PackRecord, PackState, PackStatus
from core_runtime.approval.records import TamperedRecord
from core_runtime.ids import ancestors
from core_runtime.packs import PackDescriptor

COOLDOWN_SECONDS = 3_600.0
REJECTIONS_TO_BLOCK = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides where one pack stands, before its ancestors are looked at."""

    observed: Observed | None
    record: PackRecord | TamperedRecord | None
    sealed_problem: str = ""
    missing: str = ""
    blocked: bool = False
    cooling: bool = False


def standing(facts: Facts) -> PackStatus | None:
    """Where a pack stands; None for one that there is nothing to say of (no folder, no approval)."""
    status = _state_of(facts)
    return replace(status, holds_names=_holds_names(facts.record)) if status else None


def _holds_names(record: PackRecord | TamperedRecord | None) -> bool:
    """Names are let go of by the owner's act alone: not by a folder that broke, nor by a record somebody damaged."""
    if isinstance(record, TamperedRecord):
        return True
    return record is not None and bool(record.digest) and record.disabled is not DisabledBy.OWNER


def _state_of(facts: Facts) -> PackStatus | None:
    observed, record = facts.observed, facts.record
    digest = observed.digest if observed else None
    if isinstance(record, TamperedRecord):
        return PackStatus(PackState.INVALID, f"Its approval cannot be believed: {record.explanation}.", digest)
    approved = record.digest if record and record.digest else None
    if observed is None:
        return PackStatus(PackState.MODIFIED, "Its folder is gone.", None, approved) if approved else None
    if digest is None:
        return PackStatus(PackState.INVALID, _first_problem(observed), None, approved)
    if record is not None and approved == digest:
        return _approved(facts, record, observed)
    if facts.blocked:
        return PackStatus(PackState.BLOCKED, "Rejected three times.", digest, approved)
    if facts.cooling:
        return PackStatus(PackState.REJECTED, "These bytes were rejected.", digest, approved)
    if approved:
        reason = _first_problem(observed) if observed.descriptor is None else "Its files are not those approved."
        return PackStatus(PackState.MODIFIED, reason, digest, approved)
    if observed.descriptor is None:
        return PackStatus(PackState.INVALID, _first_problem(observed), digest)
    return PackStatus(PackState.PENDING, "Waiting for approval.", digest)


def _approved(facts: Facts, record: PackRecord, observed: Observed) -> PackStatus:
    state, reason = PackState.APPROVED, ""
    if observed.descriptor is None:
        state, reason = PackState.INVALID, _first_problem(observed)
    elif facts.sealed_problem:
        state, reason = PackState.INVALID, facts.sealed_problem
    elif record.disabled is DisabledBy.OWNER:
        state, reason = PackState.DISABLED, "Disabled by the owner."
    elif record.disabled is DisabledBy.MISSING_GRANT:
        state, reason = PackState.DISABLED, "A permission that it requires was not granted."
    elif facts.missing:
        state, reason = PackState.DISABLED, facts.missing
    return PackStatus(state, reason, observed.digest, record.digest)


def _first_problem(observed: Observed) -> str:
    return observed.problems[0].message if observed.problems else "Its files cannot be read."


@dataclass(frozen=True, slots=True)
class Ancestor:
    """What a child needs to know of an ancestor: does it stand, and whom does it consent to."""

    approved: bool
    descriptor: PackDescriptor | None


def parent_problem(pack_id: str, identities: Mapping[str, str], known: Mapping[str, Ancestor]) -> str | None:
    """The first ancestor that is not approved or does not consent to the next level's identity (GR-14), or None."""
    chain = (*ancestors(pack_id), pack_id)
    for parent, child in pairwise(chain):
        ancestor = known.get(parent)
        if ancestor is None or not ancestor.approved or ancestor.descriptor is None:
            return parent
        consent = ancestor.descriptor.children.get(child)
        if consent is None or consent.identity != identities.get(child):
            return parent
    return None


def missing_requirement(descriptor: PackDescriptor, kernel: str, versions: Mapping[str, str], names: set[str]) -> str:
    """What a pack requires and is not there, as a sentence, or empty. `versions` are those of approved packs."""
    wanted = descriptor.requires
    if wanted.kernel and not in_range(kernel, wanted.kernel):
        return f"It requires a kernel {wanted.kernel}; this one is {kernel}."
    for pack_id, versions_wanted in sorted(wanted.packs.items()):
        if pack_id not in versions:
            return f"It requires the pack {pack_id} {versions_wanted}, which is not approved."
        if not in_range(versions[pack_id], versions_wanted):
            return f"It requires the pack {pack_id} {versions_wanted}; approved is {versions[pack_id]}."
    absent = sorted(set(wanted.interfaces) - names)
    return f"It requires the interface {absent[0]}, which no approved pack provides." if absent else ""


def in_range(version: str, specifier: str) -> bool:
    """True if a version lies in a range such as `>=1.2,<2` (PEP 440). What does not parse does not match."""
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except ValueError:  # packaging's own errors, and that of a number of thousands of digits
        return False


def identity_problem(record: PackRecord | None, descriptor: PackDescriptor) -> str:
    """Why these files may not follow what was approved under this id (AP-15, BX-15), or empty."""
    if record is None:
        return ""
    if record.identity != descriptor.identity:
        return f"Approved under this id was {record.identity}; these files say {descriptor.identity}."
    if record.signer is not None and descriptor.signer is None:
        return "What was approved was signed; these files are not."
    if record.signer is not None and record.signer != descriptor.signer:
        return "These files are signed with another key than those approved."
    return ""


def version_problem(
    record: PackRecord | None, descriptor: PackDescriptor, digest: str, *, seen_plan: bool, named: str | None
) -> str:
    """Why this version may not follow the highest one approved (AP-16), or empty.

    A lower one needs the owner to name it. An equal one with other bytes needs that, or the hash of a plan he has seen.
    """
    if record is None or digest == record.digest or named == descriptor.version:
        return ""
    try:
        new, highest = Version(descriptor.version), Version(record.highest_version)
    except ValueError:
        return f"The versions {record.highest_version} and {descriptor.version} cannot be compared."
    if new < highest:
        return f"Version {descriptor.version} is older than {record.highest_version}, which was approved before."
    if new == highest and record.digest and not seen_plan:
        return f"Version {descriptor.version} was approved with other bytes."
    return ""


def highest(record: PackRecord | None, version: str) -> str:
    """The higher of the pinned and the new version."""
    if record is None:
        return version
    try:
        return max(record.highest_version, version, key=Version)
    except ValueError:
        return version
