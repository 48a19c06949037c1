"""The plan: everything that saying yes to these bytes would mean, as one JSON object with one hash.

Pure: the service gathers files, records and what other packs provide. The hash covers all that is shown and all that
the meaning depends on, existing grants and the versions of image and catalogue included, so a yes to one plan can
never be used for another (BX-14). It must not depend on where the files lie: the plan of the folder and of the sealed
copy are one.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core_runtime.approval import rating as ratings
from core_runtime.approval.codec import grant_to_json
from core_runtime.approval.diff import FileChange, visible
from core_runtime.approval.model import PackRecord
from core_runtime.approval.ports import PermissionBook
from core_runtime.approval.sentences import LANGUAGES, Sentence, sentence
from core_runtime.authority import Grant, Risk
from core_runtime.canonical import fingerprint
from core_runtime.errors import ValidationFailed
from core_runtime.packs import DeclaredPermission, PackDescriptor, Problem, Text


@dataclass(frozen=True, slots=True)
class PlanEnvironment:
    """Versions that give a plan its meaning: a change of one makes it another plan."""

    kernel: str
    catalogue: str
    image: str


@dataclass(frozen=True, slots=True)
class Provider:
    """Who provides an interface of others, and what that pack was granted: what a caller can get done through it."""

    pack_id: str
    interface: str
    risk: Risk | None
    grants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """The files in question: what they say, their digest, and how they differ from those approved."""

    descriptor: PackDescriptor
    digest: str
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Everything else that the plan depends on. `previous` is the descriptor of the bytes approved now."""

    environment: PlanEnvironment
    record: PackRecord | None = None
    previous: PackDescriptor | None = None
    providers: Sequence[Provider] = ()
    warnings: Sequence[Sentence] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan as JSON, its `plan_hash` included."""

    content: Mapping[str, object]

    @property
    def plan_hash(self) -> str:
        """64 hex digits over all the rest."""
        return str(self.content["plan_hash"])

    @property
    def digest(self) -> str:
        """The tree digest that the plan is about."""
        return str(self.content["digest"])


def permission_problems(descriptor: PackDescriptor, book: PermissionBook) -> tuple[Problem, ...]:
    """Declared permissions that do not exist or whose configuration their schema refuses."""
    problems = []
    for index, item in enumerate(descriptor.permissions):
        pointer = f"/permissions/{index}"
        if not book.known(item.permission):
            text = f"There is no permission {visible(item.permission)}."
            problems.append(Problem("permissions.json", f"{pointer}/type", text, "rumi permission list"))
            continue
        try:
            book.normalise(item.permission, item.config)
        except ValidationFailed as error:
            problems.append(Problem("permissions.json", pointer, error.message, error.hint))
    return tuple(problems)


def build_plan(candidate: Candidate, context: PlanContext, book: PermissionBook) -> Plan:
    """Put the plan together. The descriptor's permissions must be without `permission_problems`."""
    descriptor = candidate.descriptor
    rated = ratings.rate(descriptor, book)
    content: dict[str, object] = {
        "pack_id": descriptor.pack_id,
        "digest": candidate.digest,
        "identity": descriptor.identity,
        "signer": descriptor.signer,
        "version": descriptor.version,
        "approved_version": context.record.version if context.record and context.record.digest else None,
        "description": _words(descriptor.description),
        "files": [change.to_json() for change in candidate.changes],
        "permissions": _permissions(descriptor, context.previous, book),
        "rating": rated.value,
        "rating_reasons": list(rated.reasons),
        "warnings": list(context.warnings),
        "notes": [sentence("one_domain")] if descriptor.interfaces() else [],
        "grants": [grant_to_json(grant) for grant in (context.record.grants if context.record else ())],
        "environment": {
            "kernel": context.environment.kernel,
            "catalogue": context.environment.catalogue,
            "image": context.environment.image,
        },
        **_offers(descriptor),
        **_needs(descriptor, context.providers),
    }
    return Plan({**content, "plan_hash": fingerprint(content)})


def _permissions(descriptor: PackDescriptor, old: PackDescriptor | None, book: PermissionBook) -> list[object]:
    rows: list[object] = [_permission(item, descriptor, old, book) for item in descriptor.permissions]
    dropped = [item for item in (old.permissions if old else ()) if descriptor.declared(item.permission) is None]
    return rows + [_row(item, "gone", book) for item in dropped if book.known(item.permission)]


def _permission(
    item: DeclaredPermission, descriptor: PackDescriptor, old: PackDescriptor | None, book: PermissionBook
) -> dict[str, object]:
    before = old.declared(item.permission) if old else None
    if before is None:
        return _row(item, "new", book)
    new, past = book.normalise(item.permission, item.config), book.normalise(item.permission, before.config)
    if dict(new) == dict(past) and item.background == before.background:
        return _row(item, "same", book)
    within = book.within(item.permission, new, past, principal=descriptor.pack_id)
    narrower = within and not (item.background and not before.background)
    return _row(item, "narrower" if narrower else "wider", book)


def _row(item: DeclaredPermission, change: str, book: PermissionBook) -> dict[str, object]:
    config = book.normalise(item.permission, item.config)
    return {
        "permission": item.permission,
        "change": change,
        "risk": book.risk(item.permission).value,
        "sentence": {language: book.sentence(item.permission, config, language) for language in LANGUAGES},
        "reason": _words(item.reason),
        "optional": item.optional,
        "background": item.background,
        "config": dict(config),
    }


def _offers(descriptor: PackDescriptor) -> dict[str, object]:
    """What the pack brings: components with their interfaces, flows, routes, settings, stores, sandbox."""
    return {
        "components": [
            {"id": part.id, "type": part.type, "version": part.version, "requires": list(part.requires)}
            for part in descriptor.components
        ],
        "interfaces": [
            {
                "name": decl.name,
                "risk": decl.risk.value if decl.risk else None,
                "risk_rules": [{"when": visible(rule.when), "risk": rule.risk.value} for rule in decl.risk_rules],
                "summary": _words(decl.summary),
            }
            for decl in descriptor.interfaces()
        ],
        "subscriptions": [
            {"topic": item.topic, "interface": item.interface}
            for part in descriptor.components
            for item in part.subscribes
        ],
        "flows": list(descriptor.flow_files),
        "modifiers": list(descriptor.modifier_files),
        "blocks": list(descriptor.blocks),
        "routes": [
            {
                "path": route.path,
                "kind": route.kind,
                "auth": route.auth,
                "mount": route.mount,
                "methods": list(route.methods),
                "target": route.interface or route.flow or route.app or route.root,
            }
            for route in descriptor.ingress
        ],
        "settings": [{"key": item.key, "type": item.type, "default": item.default} for item in descriptor.settings],
        "stores": [
            {"store_id": item.store_id, "quota_bytes": item.quota_bytes, "shared": item.shared}
            for item in descriptor.stores
        ],
        "sandbox": ratings.above_default(descriptor.sandbox),
        "children": [
            {
                "pack_id": child,
                "identity": decl.identity,
                "permissions": [{"permission": p.permission, "config": dict(p.config)} for p in decl.permissions],
            }
            for child, decl in sorted(descriptor.children.items())
        ],
    }


def _needs(descriptor: PackDescriptor, providers: Sequence[Provider]) -> dict[str, object]:
    """What the pack needs of others, and what those others can do in turn."""
    patterns = ratings.called_patterns(descriptor)
    called = [
        {
            "interface": provider.interface,
            "provider": provider.pack_id,
            "risk": provider.risk.value if provider.risk else None,
            "provider_permissions": list(provider.grants),
        }
        for provider in sorted(providers, key=lambda item: (item.interface, item.pack_id))
        if provider.pack_id != descriptor.pack_id
        and any(fnmatch.fnmatchcase(provider.interface, pattern) for pattern in patterns)
    ]
    return {
        "calls": patterns,
        "called": called,
        "hosts": _hosts(descriptor),
        "requires": {
            "kernel": descriptor.requires.kernel,
            "packs": dict(descriptor.requires.packs),
            "interfaces": list(descriptor.requires.interfaces),
        },
    }


def _hosts(descriptor: PackDescriptor) -> list[str]:
    hosts: set[str] = set()
    for item in descriptor.permissions:
        for key in ("domains", "hosts", "addresses"):
            value = item.config.get(key)
            if item.permission in ratings.NETWORK and isinstance(value, list | tuple | str):
                hosts.update([value] if isinstance(value, str) else (str(host) for host in value))
    return sorted(hosts)


def _words(text: Text) -> dict[str, str]:
    """An author's words: shown, quoted, and with nothing in them that acts on a terminal."""
    return {language: "\n".join(visible(line) for line in words.split("\n")) for language, words in text.values.items()}


def held(grants: Sequence[Grant]) -> tuple[str, ...]:
    """The permissions of some grants, sorted."""
    return tuple(sorted(grant.permission for grant in grants))
