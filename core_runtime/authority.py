"""Who may ask, and what they hold: the words shared by approval, capability, flows and the interfaces.

Plain frozen values. Nothing here decides; `capability.decide` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from core_runtime.ids import HOST_PRINCIPAL

MAX_CHAIN_DEPTH = 10


class Risk(StrEnum):
    """How bad a wrong yes would be."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def level(self) -> int:
        """0 for low up to 3 for critical, for comparisons."""
        return ("low", "medium", "high", "critical").index(self.value)


class Scope(StrEnum):
    """What an API token or a session may do. Every route names the one that it needs."""

    READ = "read"
    OPERATE = "operate"
    APPROVE = "approve"


class GrantMode(StrEnum):
    """How a grant is used: silently, by asking each time, or not at all."""

    ALWAYS = "always"
    ASK = "ask"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program outside, on whose behalf something happens."""

    id: str
    role: str
    groups: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """`{"id", "role", "groups"}` as packs and clients see it."""
        return {"id": self.id, "role": self.role, "groups": list(self.groups)}


OWNER = Actor("owner", "owner")


@dataclass(frozen=True, slots=True)
class Grant:
    """One principal may use one permission, within `config`, while `mode`, time and uses last."""

    permission: str
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    mode: GrantMode = GrantMode.ALWAYS
    expires_at: float | None = None
    max_count: int | None = None
    granted_by: str = "owner"
    granted_at: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class CallContext:
    """On whose behalf a call happens; it travels with the call and can only be narrowed.

    `chain` lists the interface, flow and pack hops so far ("interface:notes.add", "flow:greet"), for depth and cycles.
    `deadline` is on the monotonic clock. A call of a pack's own account has no context at all.
    """

    request_id: str
    deadline: float
    actor: Actor | None = None
    run_id: str | None = None
    chain: tuple[str, ...] = ()
    traceparent: str | None = None
    idempotency_key: str | None = None

    @property
    def depth(self) -> int:
        """Number of hops so far."""
        return len(self.chain)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as established by the channel it came in on: a pack id or `host`."""

    id: str

    @property
    def is_host(self) -> bool:
        """True for what the owner does through the command line or the admin API."""
        return self.id == HOST_PRINCIPAL


HOST = Principal(HOST_PRINCIPAL)
