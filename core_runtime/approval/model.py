"""The words of approval: states, records, what was seen on disk, what is answered. Frozen values; nothing here acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from core_runtime.authority import Grant
from core_runtime.packs import PackDescriptor, Problem


class PackState(StrEnum):
    """Where a pack stands. Only `approved` ever runs."""

    PENDING = "pending"
    APPROVED = "approved"
    MODIFIED = "modified"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    INVALID = "invalid"
    DISABLED = "disabled"


class DisabledBy(StrEnum):
    """Why an approved pack is kept off by its own record."""

    NOTHING = ""
    OWNER = "owner"
    MISSING_GRANT = "missing_grant"


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, for records and the audit trail: `owner`, `token:<name>`, and the request it came with."""

    by: str = "owner"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PackRecord:
    """What the owner decided about a pack id: the approved bytes, whose they are, and the grants.

    `digest` is empty once an approval was withdrawn; identity, signer and the highest version approved stay pinned.
    Times are Unix seconds.
    """

    pack_id: str
    identity: str
    version: str
    highest_version: str
    digest: str
    decided_by: str
    decided_at: float
    signer: str | None = None
    grants: tuple[Grant, ...] = ()
    disabled: DisabledBy = DisabledBy.NOTHING

    def grant(self, permission: str) -> Grant | None:
        """The grant of exactly that permission."""
        return next((grant for grant in self.grants if grant.permission == permission), None)


@dataclass(frozen=True, slots=True)
class Rejections:
    """How often an identity was refused; `digests` maps refused digests to when (Unix seconds)."""

    identity: str
    count: int = 0
    blocked: bool = False
    digests: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """A pack's folder as it was last seen. `digest` is None if the folder has none (see `problems`)."""

    pack_id: str
    root: Path
    descriptor: PackDescriptor | None = None
    digest: str | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedPack:
    """What runs: the folder of the sealed copy, its digest, and what its own files say."""

    root: Path
    digest: str
    descriptor: PackDescriptor


@dataclass(frozen=True, slots=True)
class PackStatus:
    """Where a pack stands now, as `decide` and people need it.

    `reason` is a sentence; `parent` names the first ancestor that is not approved or does not consent, or is None.
    `digest` is that of the folder as last seen, `approved_digest` that of the bytes that may run. `holds_names` is true
    while an approval stands that the owner did not switch off, even one that cannot be used right now: until then
    nobody else gets the pack's interface names and flow ids (BX-11).
    """

    state: PackState
    reason: str = ""
    digest: str | None = None
    approved_digest: str | None = None
    parent: str | None = None
    holds_names: bool = False

    @property
    def runnable(self) -> bool:
        """True if the sealed copy may run: approved, and every ancestor too."""
        return self.state is PackState.APPROVED and self.parent is None


@dataclass(frozen=True, slots=True)
class PackChange:
    """A pack's standing changed. `old` or `new` is None where it was not, or is no longer, listed."""

    pack_id: str
    old: PackStatus | None
    new: PackStatus | None
    reason: str

    @property
    def started(self) -> bool:
        """True if its sealed copy may run now and could not before, or is another one."""
        return self.new is not None and self.new.runnable and not self.same_bytes_ran

    @property
    def stopped(self) -> bool:
        """True if what ran before may not run on."""
        return (
            self.old is not None and self.old.runnable and not (self.new and self.new.runnable and self.same_bytes_ran)
        )

    @property
    def same_bytes_ran(self) -> bool:
        """True if it was runnable before with the bytes that are approved now."""
        return bool(
            self.old and self.old.runnable and self.new and self.old.approved_digest == self.new.approved_digest
        )


@dataclass(frozen=True, slots=True)
class GrantChange:
    """Grants of a pack changed; `taken` names those that are gone or narrower, whose streams have to end."""

    pack_id: str
    given: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantWish:
    """A grant as it is asked for. None means: as declared, the default of its risk, no end, any number of times."""

    permission: str
    config: Mapping[str, object] | None = None
    mode: str | None = None
    expires_at: float | None = None
    max_count: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for diagnostics: severity `warning` or `problem`, a stable code, whom it concerns, what to do."""

    severity: str
    code: str
    subject: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PackView:
    """One pack for lists and pages. Holds no host path."""

    pack_id: str
    status: PackStatus
    identity: str
    version: str
    signer: str | None
    rating: int | None
    description: Mapping[str, str]
    problems: tuple[Problem, ...]
    record: PackRecord | None

    def to_json(self) -> dict[str, object]:
        """The fields that scripts may rely on, and the rest for pages."""
        return {
            "pack_id": self.pack_id,
            "state": self.status.state.value,
            "reason": self.status.reason,
            "digest": self.status.digest,
            "approved_digest": self.status.approved_digest,
            "parent_problem": self.status.parent,
            "version": self.version or None,
            "identity": self.identity,
            "signer": self.signer,
            "rating": self.rating,
            "description": dict(self.description),
            "problems": [
                {"file": item.file, "pointer": item.pointer, "message": item.message, "hint": item.hint}
                for item in self.problems
            ],
        }
