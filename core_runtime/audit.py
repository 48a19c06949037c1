"""The words of the audit trail, shared by everything that must leave a line.

An entry names who, what, the outcome and the rule; never a secret, a code, a token or the values of arguments. The log
itself (hash chain, files, fsync) is an adapter; here is only what is said and the port through which it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class AuditCategory(StrEnum):
    """Where a line belongs; retention and queries go by it."""

    APPROVAL = "approval"
    PERMISSION = "permission"
    CAPABILITY = "capability"
    NETWORK = "network"
    FLOW = "flow"
    SECURITY = "security"
    SYSTEM = "system"
    CONFIRMATION = "confirmation"


class Outcome(StrEnum):
    """How it ended, as far as the line knows."""

    ALLOW = "allow"
    DENY = "deny"
    OK = "ok"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line to be written; the log adds `seq`, `ts`, `prev` and `hash`.

    `urgent` marks what must work on a full disk too (stopping, revoking, disabling): it may use the reserved space.
    """

    category: AuditCategory
    action: str
    outcome: Outcome
    principal: str
    request_id: str = ""
    actor: str | None = None
    run_id: str | None = None
    rule: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    urgent: bool = False


class AuditTrail(Protocol):
    """What a feature needs of the log."""

    def append(self, entry: AuditEntry) -> int:
        """Hand one line to the operating system and return its sequence number.

        Raises `StorageFull` or `Unavailable` when it cannot be written; the caller must then not act.
        """

    async def durable(self, seq: int) -> None:
        """Return once the line `seq` is on disk (group commit). Awaited before high and critical effects."""
