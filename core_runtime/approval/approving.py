"""The one act that lets bytes run: seal, judge again what was sealed, record. All or nothing.

The order is the safety. First the folder is copied and hashed; from then on only the copy is read, so the plan, the
ceiling and the grants are about the very bytes that will run, whatever happens to the folder meanwhile (AP-12). The
signed record is one atomic write, after the audit line; before it nothing has changed, after it everything has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core_runtime.approval.grants import make_grant, unmet, wishes_as_declared
from core_runtime.approval.model import Act, DisabledBy, GrantWish, Observed, PackRecord, SealedPack
from core_runtime.approval.parts import ApprovalParts, compare, read_sound
from core_runtime.approval.plan import Plan, PlanContext, Provider, build_plan
from core_runtime.approval.records import TamperedRecord
from core_runtime.approval.rules import highest, identity_problem, missing_requirement, version_problem
from core_runtime.approval.sentences import Sentence, sentence
from core_runtime.authority import Grant, Risk
from core_runtime.errors import Conflict, PolicyDenied, ValidationFailed
from core_runtime.packs import PackDescriptor


@dataclass(frozen=True, slots=True)
class Order:
    """What the owner says yes to. `version` names one that is older than what was approved.

    `wishes` None: every required permission as declared, up to `most`; `digest` is set where only those bytes are
    meant.
    """

    pack_id: str
    plan_hash: str | None = None
    wishes: Sequence[GrantWish] | None = None
    version: str | None = None
    digest: str | None = None
    most: Risk = Risk.CRITICAL
    act: Act = field(default_factory=Act)


@dataclass(frozen=True, slots=True)
class Situation:
    """What was known on the kernel's loop when the act began."""

    observed: Observed
    record: PackRecord | TamperedRecord | None
    previous: SealedPack | None
    providers: tuple[Provider, ...]
    locked: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    interfaces: frozenset[str] = frozenset()

    @property
    def believed(self) -> PackRecord | None:
        """The record, unless it was tampered with."""
        return self.record if isinstance(self.record, PackRecord) else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Sealed, planned, granted, and not yet recorded."""

    plan: Plan
    sealed: SealedPack
    record: PackRecord


def plan_of_folder(parts: ApprovalParts, situation: Situation) -> Plan:
    """The plan for what lies in the folder now. Blocking; raises `ValidationFailed` for files not in order."""
    observed = situation.observed
    tree = parts.reader.digest(observed.root)
    descriptor = read_sound(parts, parts.catalog.read(observed.root, observed.pack_id))
    candidate = compare(parts, descriptor, tree, situation.previous)
    return build_plan(candidate, _context(parts, situation, descriptor, tree.digest), parts.book)


def prepare(parts: ApprovalParts, situation: Situation, order: Order) -> Prepared:
    """Seal the folder and work out the record. Blocking; changes nothing but that a sealed copy may be there."""
    root = situation.observed.root
    digest = parts.reader.digest(root).digest
    if order.digest is not None and digest != order.digest:
        raise Conflict(f"{order.pack_id} holds other bytes than those listed.", hint="Look at its plan.")
    read_sound(parts, parts.catalog.read(root, order.pack_id))
    tree = parts.sealed.seal(root, digest)
    sealed_root = parts.sealed.path(digest)
    descriptor = read_sound(parts, parts.catalog.read(sealed_root, order.pack_id))
    _check(situation, descriptor, digest, order)
    candidate = compare(parts, descriptor, tree, situation.previous)
    plan = build_plan(candidate, _context(parts, situation, descriptor, digest), parts.book)
    if order.plan_hash is not None and order.plan_hash != plan.plan_hash:
        raise Conflict(
            "The plan is not the one that you saw: the files, a grant or what they depend on changed.",
            hint=f"Look again: rumi pack plan {order.pack_id}",
            details={"plan_hash": plan.plan_hash, "digest": digest},
        )
    return Prepared(
        plan, SealedPack(sealed_root, digest, descriptor), _record(parts, situation, descriptor, digest, order)
    )


def _check(situation: Situation, descriptor: PackDescriptor, digest: str, order: Order) -> None:
    record = situation.believed
    problem = identity_problem(record, descriptor)
    if problem:
        raise PolicyDenied(f"{order.pack_id} cannot be approved: {problem}", hint="Put it under another pack id.")
    problem = version_problem(record, descriptor, digest, seen_plan=order.plan_hash is not None, named=order.version)
    if problem:
        raise Conflict(
            f"{order.pack_id} was not approved: {problem}",
            hint=f"Read rumi pack plan {order.pack_id}, then: "
            f"rumi pack approve {order.pack_id} --version {descriptor.version}",
            details={"version": descriptor.version},
        )
    if situation.locked and order.plan_hash is None:
        raise Conflict(
            f"The signing key cannot be believed: {situation.locked}.",
            hint=f"Put the key back, or read what a new one means: rumi pack plan {order.pack_id}",
        )


def _record(
    parts: ApprovalParts, situation: Situation, descriptor: PackDescriptor, digest: str, order: Order
) -> PackRecord:
    now, record = parts.clock.wall(), situation.believed
    grants = _grants(parts, situation, descriptor, order, now)
    return PackRecord(
        pack_id=order.pack_id,
        identity=descriptor.identity,
        signer=descriptor.signer,
        version=descriptor.version,
        highest_version=highest(record, descriptor.version),
        digest=digest,
        decided_by=order.act.by,
        decided_at=now,
        grants=grants,
        disabled=DisabledBy.MISSING_GRANT if unmet(descriptor, grants) else DisabledBy.NOTHING,
    )


def _grants(
    parts: ApprovalParts, situation: Situation, descriptor: PackDescriptor, order: Order, now: float
) -> tuple[Grant, ...]:
    wishes = order.wishes
    if wishes is None:
        old = situation.previous.descriptor if situation.previous else None
        held = _held(situation.believed, now)
        wishes = wishes_as_declared(descriptor, old, held, parts.book)
        wishes = [wish for wish in wishes if _allowed(parts, wish, held, order.most)]
    names = [wish.permission for wish in wishes]
    if len(set(names)) != len(names):
        raise ValidationFailed("A permission is named twice in the grants.")
    return tuple(make_grant(wish, descriptor, parts.book, by=order.act.by, now=now) for wish in wishes)


def _held(record: PackRecord | None, now: float) -> dict[str, Grant]:
    """The grants of the last approval that have not expired."""
    grants = record.grants if record else ()
    return {grant.permission: grant for grant in grants if grant.expires_at is None or grant.expires_at > now}


def _allowed(parts: ApprovalParts, wish: GrantWish, held: Mapping[str, Grant], most: Risk) -> bool:
    """Not riskier than what may be given without asking, unless the owner gave it before."""
    return wish.permission in held or parts.book.risk(wish.permission).level <= most.level


def _context(parts: ApprovalParts, situation: Situation, descriptor: PackDescriptor, digest: str) -> PlanContext:
    environment = parts.environment()
    names = {decl.name for decl in descriptor.interfaces()} | situation.interfaces
    missing = missing_requirement(descriptor, environment.kernel, situation.versions, names)
    return PlanContext(
        environment=environment,
        record=situation.believed,
        previous=situation.previous.descriptor if situation.previous else None,
        providers=situation.providers,
        warnings=tuple(_warnings(situation, descriptor, digest, missing)),
    )


def _warnings(situation: Situation, descriptor: PackDescriptor, digest: str, missing: str) -> list[Sentence]:
    record, found = situation.believed, []
    if situation.locked:
        found.append(sentence("key_locked", situation.locked))
    elif isinstance(situation.record, TamperedRecord):
        found.append(sentence("tampered", situation.record.explanation))
    if identity_problem(record, descriptor):
        found.append(sentence("identity"))
    if version_problem(record, descriptor, digest, seen_plan=True, named=None):
        found.append(sentence("older_version", descriptor.version, record.highest_version if record else ""))
    elif version_problem(record, descriptor, digest, seen_plan=False, named=None):
        found.append(sentence("same_version", descriptor.version))
    if missing:
        found.append(sentence("missing", missing))
    return found


def disabled_after(record: PackRecord, descriptor: PackDescriptor) -> PackRecord:
    """A record whose missing grants were given meanwhile is switched on again."""
    if record.disabled is DisabledBy.MISSING_GRANT and not unmet(descriptor, record.grants):
        return replace(record, disabled=DisabledBy.NOTHING)
    return record
