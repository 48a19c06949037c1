"""The words of the capability system: what is asked, what is known, what was decided.

Frozen values only. The default of every `Decision` is no, and a decision always says which rule made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from core_runtime.authority import Actor, CallContext, Grant, Risk
from core_runtime.wire.streams import Stream


class Effect(StrEnum):
    """What a decision means for the act."""

    DENY = "deny"
    CONFIRM = "confirm"
    ALLOW = "allow"


class Reason(StrEnum):
    """Why; one for each step of `decide`, in its order."""

    NOT_APPROVED = "not_approved"
    PARENT_NOT_APPROVED = "parent_not_approved"
    UNKNOWN_PERMISSION = "unknown_permission"
    NOT_TRUSTED = "not_trusted"
    NOT_DECLARED = "not_declared"
    NO_GRANT = "no_grant"
    GRANT_EXPIRED = "grant_expired"
    GRANT_USED_UP = "grant_used_up"
    GRANT_NEVER = "grant_never"
    BAD_ARGUMENTS = "bad_arguments"
    CONFIG_REFUSES = "config_refuses"
    ACTOR_REFUSED = "actor_refused"
    NOT_BACKGROUND = "not_background"
    TOO_DEEP = "too_deep"
    CYCLE = "cycle"
    RATE_LIMITED = "rate_limited"
    CONFIRMATION_NEEDED = "confirmation_needed"
    OWN_INTERFACE = "own_interface"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: effect, enum reason, and the rule in words of the model (`grant:notes:store.get`)."""

    effect: Effect = Effect.DENY
    reason: Reason = Reason.NO_GRANT
    rule: str = "default"
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """True only for a plain yes."""
        return self.effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class CapabilityCall:
    """A wish as it came in: `pack_id` is what the channel established, never a field of a frame.

    `context` is None on the pack's own account. `deadline` is on the monotonic clock, already clamped by policy.
    """

    pack_id: str
    name: str
    args: Mapping[str, object]
    context: CallContext | None
    deadline: float
    stream_in: Stream | None = None


@dataclass(frozen=True, slots=True)
class GrantLevel:
    """One level of the hierarchy (`host`, a parent, the pack itself) with what it allows of one permission.

    `grant` is None where that level has none; `admits_all` marks an absent `policy.ceiling`, which does not limit.
    """

    owner: str
    grant: Grant | None = None
    config: Mapping[str, object] | None = None
    admits_all: bool = False


@dataclass(frozen=True, slots=True)
class PermissionInfo:
    """What `decide` and people need of one catalogue entry."""

    id: str
    risk: Risk
    sentence: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ActorRequest:
    """The actor part of a question, for the policy point."""

    actor: Actor | None
    risk: Risk
