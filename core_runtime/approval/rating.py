"""The rating: 8 for a pack that can do next to nothing, down to 1, with one sentence for each point lost.

It is an aid for a person who has to choose where to look first. Nothing is ever allowed or refused because of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core_runtime.approval.ports import PermissionBook
from core_runtime.approval.sentences import Sentence, sentence
from core_runtime.authority import Risk
from core_runtime.packs import PackDescriptor, SandboxRequest

BEST, WORST = 8, 1
NETWORK = frozenset({"http.request", "net.connect", "net.local"})


@dataclass(frozen=True, slots=True)
class Rating:
    """1 to 8, and a sentence for each point between it and 8."""

    value: int
    reasons: tuple[Sentence, ...]


def rate(descriptor: PackDescriptor, book: PermissionBook) -> Rating:
    """Rate what a pack's files ask for."""
    names = {risk: _of_risk(descriptor, book, risk) for risk in (Risk.HIGH, Risk.CRITICAL)}
    found = (
        ("critical", names[Risk.CRITICAL]),
        ("high", names[Risk.HIGH]),
        ("everything", [item.permission for item in descriptor.permissions if _wants_everything(item.config)]),
        ("doors", open_doors(descriptor)),
        ("network", [item.permission for item in descriptor.permissions if item.permission in NETWORK]),
        ("background", [item.permission for item in descriptor.permissions if item.background]),
        ("modifiers", list(descriptor.modifier_files)),
        ("others", called_patterns(descriptor)),
        ("resources", above_default(descriptor.sandbox)),
    )
    reasons = [sentence(key, _join(values)) for key, values in found if values]
    if descriptor.signer is None:
        reasons.append(sentence("unsigned"))
    reasons = reasons[: BEST - WORST]
    return Rating(BEST - len(reasons), tuple(reasons))


def open_doors(descriptor: PackDescriptor) -> list[str]:
    """Routes that need no sign-in, or lie outside the pack's own place."""
    return [route.path for route in descriptor.ingress if route.auth != "actor" or route.mount == "absolute"]


def above_default(asked: SandboxRequest) -> list[str]:
    """What a pack asks of its container beyond the defaults, each as `name value`."""
    usual = SandboxRequest()
    names = ("memory", "cpus", "pids", "concurrency", "max_streams")
    over = [f"{name} {getattr(asked, name)}" for name in names if getattr(asked, name) > getattr(usual, name)]
    return [*over, "shm"] if asked.shm else over


def called_patterns(descriptor: PackDescriptor) -> list[str]:
    """Names and patterns of interfaces of others that a pack may call, as declared."""
    patterns: set[str] = set(descriptor.requires.interfaces)
    for item in descriptor.permissions:
        if item.permission == "interface.call":
            wanted = item.config.get("interfaces")
            patterns.update([wanted] if isinstance(wanted, str) else _strings(wanted))
    return sorted(patterns)


def _of_risk(descriptor: PackDescriptor, book: PermissionBook, risk: Risk) -> list[str]:
    names = [item.permission for item in descriptor.permissions]
    return [name for name in names if book.known(name) and book.risk(name) is risk]


def _wants_everything(config: object) -> bool:
    if isinstance(config, dict):
        return any(_wants_everything(value) for value in config.values())
    if isinstance(config, list | tuple):
        return any(_wants_everything(value) for value in config)
    return config == "*"


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def _join(values: Iterable[str]) -> str:
    listed = list(values)
    return ", ".join(listed[:5]) + (f", +{len(listed) - 5}" if len(listed) > 5 else "")
