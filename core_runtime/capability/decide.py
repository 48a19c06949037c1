"""`decide`: may this principal use this permission with these arguments, now? A pure function.

The order is that of the design, and the first no wins: approved and unmodified, every parent approved, in the
catalogue, host artifact trusted, within the declared ceiling, a live grant at every level, narrowed configuration,
actor's policy or background, depth and cycles, rate, confirmation. Each question is one function that answers None
(no objection) or the decision; a new question is a new line in `decide`, and its default is no.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from core_runtime.authority import MAX_CHAIN_DEPTH, Actor, Grant, GrantMode, Risk
from core_runtime.capability.catalogue import Subject
from core_runtime.capability.fields import Form
from core_runtime.capability.model import Decision, Effect, GrantLevel, Reason
from core_runtime.capability.policy import InterfaceTarget, PolicyEffect, Verdict, effective_risk, judge
from core_runtime.capability.standing import Standing

PACK_HOP = "pack:"
_NO_USES: Mapping[str, int] = MappingProxyType({})
_OWN = Decision(Effect.ALLOW, Reason.OWN_INTERFACE, "own_interface")
_NO_VERDICT = Verdict(PolicyEffect.ALLOW, "policy:none")


@dataclass(slots=True)
class Request:
    """One question. Not frozen only because one is made for every call; nothing changes it.

    `args` is None where they did not validate; `name` is what they point at, in full. `chain` are the hops so far,
    `hop` the one that this call would add.
    `uses` counts by level for grants with `max_count`; `retry_after` is in seconds, over 0 when a rate is used up.
    """

    args: Form | None = None
    name: str = ""
    actor: Actor | None = None
    chain: tuple[str, ...] = ()
    hop: str = ""
    interface: InterfaceTarget | None = None
    foreign_store: bool = False
    uses: Mapping[str, int] = field(default_factory=lambda: _NO_USES)
    retry_after: float = 0.0


def decide(request: Request, facts: Standing, now: float) -> Decision:
    """The decision, with the reason and the rule that made it. `now` is Unix time that never runs backwards."""
    no = _not_approved(facts) or _not_known(facts)
    own = _is_own_interface(request, facts)
    if not no and not own:
        no = _over_ceiling(request, facts) or _no_grant(request, facts, now) or _not_admitted(request, facts)
    if no:
        return no
    verdict = _policy(request, facts)
    return (
        _actor_refused(request, facts, verdict, own=own)
        or _chain_refused(request)
        or _rate_refused(request, facts)
        or _confirmation(facts, verdict, own=own)
        or (_OWN if own else facts.granted)
    )


def hops(chain: tuple[str, ...]) -> int:
    """How deep a chain is: interface and flow hops, without the pack that it started from."""
    return len(chain) - (bool(chain) and chain[0].startswith(PACK_HOP))


def _deny(reason: Reason, rule: str, **details: object) -> Decision:
    return Decision(Effect.DENY, reason, rule, details)


def _not_approved(facts: Standing) -> Decision | None:
    if facts.principal.is_host:
        return None
    if not facts.facts.approved:
        return _deny(Reason.NOT_APPROVED, f"approval:{facts.principal.id}", state=facts.facts.reason)
    for parent, approved in facts.facts.parents:
        if not approved:
            return _deny(Reason.PARENT_NOT_APPROVED, f"approval:{parent}", parent=parent)
    return None


def _not_known(facts: Standing) -> Decision | None:
    if facts.spec is None:
        return _deny(Reason.UNKNOWN_PERMISSION, "catalogue")
    if not facts.facts.trusted:
        return _deny(Reason.NOT_TRUSTED, f"trust:{facts.permission}")
    return None


def _is_own_interface(request: Request, facts: Standing) -> bool:
    spec = facts.spec
    return (
        spec is not None
        and spec.subject is Subject.INTERFACE
        and request.interface is not None
        and request.interface.owner == facts.principal.id
    )


def _over_ceiling(request: Request, facts: Standing) -> Decision | None:
    if facts.principal.is_host or facts.spec is None:
        return None
    if facts.declared is None:
        return _deny(Reason.NOT_DECLARED, f"ceiling:{facts.principal.id}")
    if request.args is not None and facts.spec.admits(facts.declared, request.name, facts.principal.id):
        return _deny(Reason.NOT_DECLARED, f"ceiling:{facts.principal.id}")
    return None


def _no_grant(request: Request, facts: Standing, now: float) -> Decision | None:
    for level in facts.deciding:
        reason = _level_refuses(level, request.uses, now)
        if reason is not None:
            return _deny(reason, f"grant:{level.owner}:{facts.permission}", level=level.owner)
    return None


def _level_refuses(level: GrantLevel, uses: Mapping[str, int], now: float) -> Reason | None:
    grant = level.grant
    if grant is None:
        return Reason.NO_GRANT
    if _expired(grant, now):
        return Reason.GRANT_EXPIRED
    if _used_up(grant, uses.get(level.owner, 0)):
        return Reason.GRANT_USED_UP
    return Reason.GRANT_NEVER if grant.mode is GrantMode.NEVER else None


def _expired(grant: Grant, now: float) -> bool:
    """Expiry exactly now is expired; what is no finite number is expired as well (GR-15)."""
    limit: object = grant.expires_at
    if limit is None:
        return False
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        return True
    return limit <= now


def _used_up(grant: Grant, uses: int) -> bool:
    limit: object = grant.max_count
    return limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or uses >= limit)


def _not_admitted(request: Request, facts: Standing) -> Decision | None:
    if request.args is None or facts.spec is None:
        return _deny(Reason.BAD_ARGUMENTS, "arguments")
    if facts.config is None:
        level = facts.refusal.level if facts.refusal else facts.principal.id
        return _deny(Reason.CONFIG_REFUSES, f"narrow:{level}", level=level)
    if facts.spec.admits(facts.config, request.name, facts.principal.id):
        return _deny(Reason.CONFIG_REFUSES, facts.granted.rule, level=facts.principal.id)
    if request.foreign_store:
        return _deny(Reason.CONFIG_REFUSES, "store:not_shared")
    return None


def _policy(request: Request, facts: Standing) -> Verdict:
    if facts.spec is None or facts.spec.subject is not Subject.INTERFACE:
        return _NO_VERDICT
    given: object = getattr(request.args, "args", None)
    args = given if isinstance(given, Mapping) else {}
    risk = effective_risk(request.interface, request.actor, args, facts.evaluate)
    return judge(facts.policy, request.actor, request.name, risk)


def _actor_refused(request: Request, facts: Standing, verdict: Verdict, *, own: bool) -> Decision | None:
    if request.actor is not None:
        return _deny(Reason.ACTOR_REFUSED, verdict.rule) if verdict.effect is PolicyEffect.REFUSE else None
    if own:
        return None
    if verdict.effect is PolicyEffect.REFUSE:
        return _deny(Reason.ACTOR_REFUSED, verdict.rule)
    if facts.principal.is_host:
        return None
    if _own_account(request.chain, facts) and not _background(facts):
        return _deny(Reason.NOT_BACKGROUND, f"background:{facts.principal.id}:{facts.permission}")
    return _deny(Reason.NOT_BACKGROUND, "background:confirmation") if _asks(facts) else None


def _own_account(chain: tuple[str, ...], facts: Standing) -> bool:
    """True unless another pack's own account is being served: a pack must not launder its calls through itself."""
    return not (chain and chain[0].startswith(PACK_HOP) and chain[0] != PACK_HOP + facts.principal.id)


def _background(facts: Standing) -> bool:
    return facts.facts.declared is not None and facts.facts.declared.background


def _asks(facts: Standing) -> bool:
    critical = facts.spec is not None and facts.spec.risk is Risk.CRITICAL
    return facts.mode is GrantMode.ASK or critical


def _chain_refused(request: Request) -> Decision | None:
    if not request.hop:
        return None
    if request.hop in request.chain:
        return _deny(Reason.CYCLE, "chain:cycle")
    if hops(request.chain) >= MAX_CHAIN_DEPTH:
        return _deny(Reason.TOO_DEEP, "chain:depth", limit=MAX_CHAIN_DEPTH)
    return None


def _rate_refused(request: Request, facts: Standing) -> Decision | None:
    if request.retry_after <= 0:
        return None
    return _deny(Reason.RATE_LIMITED, f"rate:{facts.permission}", retry_after=math.ceil(request.retry_after))


def _confirmation(facts: Standing, verdict: Verdict, *, own: bool) -> Decision | None:
    if verdict.effect is PolicyEffect.ASK:
        return Decision(Effect.CONFIRM, Reason.CONFIRMATION_NEEDED, verdict.rule, {"code": verdict.code})
    if own or not _asks(facts):
        return None
    return Decision(Effect.CONFIRM, Reason.CONFIRMATION_NEEDED, facts.granted.rule)
