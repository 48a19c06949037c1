"""What the pieces of approval share: the ports that they were given, and the few things done with several of them.

Everything here that touches a disk blocks; the service calls it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core_runtime.approval.codec import record_from_json
from core_runtime.approval.diff import MAX_TEXT_BYTES, file_changes
from core_runtime.approval.digest import TreeDigest
from core_runtime.approval.model import Observed, PackRecord, SealedPack
from core_runtime.approval.plan import Candidate, PlanEnvironment, permission_problems
from core_runtime.approval.ports import Files, PermissionBook, SealedTrees, TreeReader
from core_runtime.approval.records import SignedStore, TamperedRecord, TamperReason
from core_runtime.audit import AuditCategory, AuditEntry, AuditTrail, Outcome
from core_runtime.clock import Clock
from core_runtime.errors import Conflict, NotFound, RumiError, ValidationFailed
from core_runtime.packs import PackCatalog, PackDescriptor, Problem, ScannedPack
from core_runtime.signing import KeyRing

GRANTS_PURPOSE = "approval.grants"
REJECTIONS_PURPOSE = "approval.rejections"
FOLDER = "permissions"


@dataclass(frozen=True, slots=True)
class ApprovalParts:
    """The ports of approval. `environment` is asked for each plan, since the image may change while we run."""

    catalog: PackCatalog
    reader: TreeReader
    sealed: SealedTrees
    files: Files
    keys: KeyRing
    audit: AuditTrail
    clock: Clock
    book: PermissionBook
    environment: Callable[[], PlanEnvironment]

    def grants_store(self) -> SignedStore:
        """`permissions/<pack_id>.grants.json`."""
        return SignedStore(self.files, self.keys, purpose=GRANTS_PURPOSE, folder=FOLDER, suffix=".grants.json")

    def rejections_store(self) -> SignedStore:
        """`permissions/<hash of identity>.rejections.json`."""
        return SignedStore(self.files, self.keys, purpose=REJECTIONS_PURPOSE, folder=FOLDER, suffix=".rejections.json")


def observe(parts: ApprovalParts, scanned: Sequence[ScannedPack]) -> Observed:
    """What one pack's folder holds now; several folders that claim one id are all refused. Blocking."""
    first = scanned[0]
    if len(scanned) > 1:
        places = ", ".join(sorted(f"{item.root.parent.name}/{item.root.name}" for item in scanned))
        problem = Problem("", "", f"The same id stands in two folders: {places}.", "Remove or rename one of them.")
        return Observed(first.pack_id, first.root, problems=(problem,))
    try:
        digest = parts.reader.digest(first.root).digest
    except (ValidationFailed, NotFound) as error:
        problem = Problem(str(error.details.get("path", "")), "", error.message, error.hint)
        return Observed(first.pack_id, first.root, problems=(problem, *first.problems))
    descriptor, problems = judged(parts, first)
    return Observed(first.pack_id, first.root, descriptor, digest, problems)


def judged(parts: ApprovalParts, scanned: ScannedPack) -> tuple[PackDescriptor | None, tuple[Problem, ...]]:
    """The descriptor, if it is sound: it names its own folder, and its permissions exist."""
    descriptor = scanned.descriptor
    if descriptor is None:
        return None, scanned.problems or (Problem("ecosystem.json", "", "The pack's files cannot be read."),)
    if descriptor.pack_id != scanned.pack_id:
        text = f"pack_id is {descriptor.pack_id}, but the folder is {scanned.pack_id}."
        return None, (Problem("ecosystem.json", "/pack_id", text, "They must be equal."),)
    problems = permission_problems(descriptor, parts.book)
    return (None if problems else descriptor), (*scanned.problems, *problems)


def read_sound(parts: ApprovalParts, scanned: ScannedPack) -> PackDescriptor:
    """The descriptor, or `ValidationFailed` with every problem."""
    descriptor, problems = judged(parts, scanned)
    if descriptor is None:
        raise invalid_pack(scanned.pack_id, problems)
    return descriptor


def invalid_pack(pack_id: str, problems: Sequence[Problem]) -> ValidationFailed:
    """The error for a pack whose files are not in order."""
    lines = [f"{item.file}{item.pointer}: {item.message}" for item in problems]
    return ValidationFailed(
        f"{pack_id} is invalid. {' '.join(lines)}"[:4000],
        hint=problems[0].hint if problems else "",
        details={"problems": lines[:100]},
    )


def compare(
    parts: ApprovalParts, descriptor: PackDescriptor, tree: TreeDigest, previous: SealedPack | None
) -> Candidate:
    """The files in question against those approved. Blocking; reads below `descriptor.root`."""
    before = None
    if previous is not None and previous.digest != tree.digest:
        with suppress(Conflict, NotFound):
            before = parts.sealed.verify(previous.digest)
    elif previous is not None:
        before = tree
    old_root = previous.root if previous else descriptor.root
    changes = file_changes(
        before,
        tree,
        lambda path: parts.reader.read_file(old_root, path, MAX_TEXT_BYTES + 1),
        lambda path: parts.reader.read_file(descriptor.root, path, MAX_TEXT_BYTES + 1),
    )
    return Candidate(descriptor, tree.digest, changes)


def open_sealed(parts: ApprovalParts, record: PackRecord, observed: Observed | None) -> SealedPack:
    """The sealed copy, hashed again; made anew from the folder if that still holds the approved bytes.

    Raises `RumiError` if neither is whole. Blocking.
    """
    try:
        parts.sealed.verify(record.digest)
    except (NotFound, Conflict):
        if observed is None or observed.digest != record.digest:
            raise
        parts.sealed.seal(observed.root, record.digest)
        details = {"digest": record.digest, "mended": "copied again from the folder, whose bytes are the approved ones"}
        note(parts, AuditEntry(AuditCategory.SECURITY, "sealed.damaged", Outcome.OK, record.pack_id, details=details))
    root = parts.sealed.path(record.digest)
    return SealedPack(root, record.digest, read_sound(parts, parts.catalog.read(root, record.pack_id)))


def load_records(store: SignedStore) -> dict[str, PackRecord | TamperedRecord]:
    """All records, decoded; one whose content makes no sense counts as tampered. Blocking."""
    loaded = store.load()
    found: dict[str, PackRecord | TamperedRecord] = dict(loaded.tampered)
    for name, record in loaded.records.items():
        try:
            found[name] = record_from_json(name, record.body)
        except ValueError:
            found[name] = store.verdict(name, TamperReason.BAD_CONTENT)
    return found


def note(parts: ApprovalParts, entry: AuditEntry) -> None:
    """Write a line about what happens anyway (something was seen, or ended): a full disk must not hinder that."""
    with suppress(RumiError):
        parts.audit.append(entry)


def tampered_entry(found: TamperedRecord) -> AuditEntry:
    """The line for a record that is not believed."""
    return AuditEntry(
        AuditCategory.SECURITY,
        "record.tampered",
        Outcome.DENY,
        found.name,
        rule=found.reason.value,
        details={"file": found.file, "explanation": found.explanation},
    )
