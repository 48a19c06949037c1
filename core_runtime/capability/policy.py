"""The one policy point: may this actor have this interface called, now? A pure table.

It binds actors (people and programs outside), not packs: what a pack may do is its grants. The risk is the interface's
own, raised by its rules, never lowered; what is not marked is low to the owner and high to everybody else. An actor of
an unknown role gets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from core_runtime.authority import Actor, Risk
from core_runtime.capability.globs import any_covers
from core_runtime.packs import RiskRule


class Preset(StrEnum):
    """Which of the two tables holds; the profile's name."""

    PRIVATE = "private"
    SHARED = "shared"


class OwnerApprovals(StrEnum):
    """How much the owner is asked in the private preset. `off` still asks for critical, with a code."""

    ALL = "all"
    CRITICAL_ONLY = "critical_only"
    OFF = "off"


class PolicyEffect(StrEnum):
    """The three answers of the table."""

    REFUSE = "refuse"
    ASK = "ask"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class ActorPolicy:
    """The owner's rules. The allow-lists hold interface patterns; rates are calls a minute by role."""

    preset: Preset = Preset.PRIVATE
    owner_approvals: OwnerApprovals = OwnerApprovals.ALL
    sub_admin_allow: tuple[str, ...] = ()
    guest_allow: tuple[str, ...] = ()
    shared_allow_critical: bool = False
    actor_rate_per_minute: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and the rule that gave it. `code` says that a yes needs the code of the approver's channel."""

    effect: PolicyEffect = PolicyEffect.REFUSE
    rule: str = "policy:default"
    code: bool = False


class RiskEvaluator(Protocol):
    """Evaluates the condition of a risk rule. Pure, bounded by its own fuel; raises for a condition that fails."""

    def __call__(self, condition: str, args: Mapping[str, object]) -> bool:
        """True if the condition holds for these arguments."""


@dataclass(frozen=True, slots=True)
class InterfaceTarget:
    """What the policy must know of an interface: who provides it and what its manifest says of its risk."""

    owner: str
    risk: Risk | None = None
    rules: tuple[RiskRule, ...] = ()


def effective_risk(
    target: InterfaceTarget | None, actor: Actor | None, args: Mapping[str, object], evaluate: RiskEvaluator
) -> Risk:
    """The risk of one call. Unknown is high; a rule that cannot be evaluated counts as true."""
    if target is None:
        return Risk.HIGH
    trusted = actor is None or actor.role == "owner"
    risk = target.risk or (Risk.LOW if trusted else Risk.HIGH)
    for rule in target.rules:
        if rule.risk.level > risk.level and _holds(rule.when, args, evaluate):
            risk = rule.risk
    return risk


def judge(policy: ActorPolicy, actor: Actor | None, interface: str, risk: Risk) -> Verdict:
    """The table. Without an actor only critical is refused: nobody is there to be asked."""
    if actor is None:
        if risk is Risk.CRITICAL:
            return Verdict(rule="policy:no_actor:critical")
        return Verdict(PolicyEffect.ALLOW, "policy:no_actor")
    rule = f"policy:{policy.preset}:{actor.role[:32]}"
    if actor.role == "owner":
        return _owner(policy, risk, rule)
    if actor.role == "sub_admin" and any_covers(policy.sub_admin_allow, interface):
        return _from_medium(risk, rule)
    if actor.role == "guest" and policy.preset is Preset.SHARED and any_covers(policy.guest_allow, interface):
        if risk is Risk.CRITICAL and not policy.shared_allow_critical:
            return Verdict(rule=f"{rule}:critical")
        return _from_medium(risk, rule)
    return Verdict(rule=rule)


def _owner(policy: ActorPolicy, risk: Risk, rule: str) -> Verdict:
    if policy.preset is Preset.SHARED:
        return _from_medium(risk, rule)
    if risk is Risk.CRITICAL:
        return Verdict(PolicyEffect.ASK, rule, code=True)
    if risk is Risk.HIGH and policy.owner_approvals is OwnerApprovals.ALL:
        return Verdict(PolicyEffect.ASK, rule)
    return Verdict(PolicyEffect.ALLOW, rule)


def _from_medium(risk: Risk, rule: str) -> Verdict:
    if risk is Risk.LOW:
        return Verdict(PolicyEffect.ALLOW, rule)
    return Verdict(PolicyEffect.ASK, rule, code=risk is Risk.CRITICAL)


def _holds(condition: str, args: Mapping[str, object], evaluate: RiskEvaluator) -> bool:
    try:
        return bool(evaluate(condition, args))
    except Exception:  # noqa: BLE001 - a rule that fails must not lower the risk, whatever it raised
        return True
