"""How one principal stands towards one permission: everything of a decision that does not depend on the call.

Computed once for each (principal, permission) and generation of the facts, so that `decide` is a walk over ready
values however many grants there are. Pure. What cannot be understood (a stored configuration that its schema refuses)
narrows to nothing, never to a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core_runtime.authority import Grant, GrantMode, Principal
from core_runtime.capability.catalogue import PermissionSpec
from core_runtime.capability.model import Decision, Effect, GrantLevel, Reason
from core_runtime.capability.narrow import NarrowingRefused, narrow
from core_runtime.capability.policy import ActorPolicy, RiskEvaluator
from core_runtime.capability.ports import PrincipalFacts
from core_runtime.errors import ValidationFailed

_STRICTNESS = (GrantMode.ALWAYS, GrantMode.ASK, GrantMode.NEVER)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which level of the hierarchy leaves nothing, and why."""

    level: str
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The facts of `decide`. `declared` and `config` have every name in full; `config` is None where `refusal` is set.

    `deciding` are the levels that can say no by themselves: those with a grant, and those that should have one and have
    not. `counted` are the grants with `max_count`, whose uses have to be asked for at each call.
    """

    principal: Principal
    permission: str
    facts: PrincipalFacts
    policy: ActorPolicy
    evaluate: RiskEvaluator
    spec: PermissionSpec | None = None
    declared: Mapping[str, object] | None = None
    config: Mapping[str, object] | None = None
    refusal: Refusal | None = None
    mode: GrantMode = GrantMode.ALWAYS
    deciding: tuple[GrantLevel, ...] = ()
    counted: tuple[tuple[str, Grant], ...] = ()
    own_grant: Grant | None = None
    granted: Decision = field(default_factory=Decision)


def stand(
    principal: Principal,
    permission: str,
    spec: PermissionSpec | None,
    facts: PrincipalFacts,
    *,
    policy: ActorPolicy,
    evaluate: RiskEvaluator,
) -> Standing:
    """Narrow along the hierarchy and collect what a decision needs."""
    if spec is None:
        return Standing(principal, permission, facts, policy, evaluate)
    declared = _declared(principal, spec, facts)
    config, refusal = _narrowed(principal, spec, facts, declared)
    grants = [(level.owner, level.grant) for level in facts.levels if level.grant is not None]
    rule = f"ceiling:{principal.id}" if principal.is_host else f"grant:{principal.id}:{permission}"
    return Standing(
        principal,
        permission,
        facts,
        policy,
        evaluate,
        spec,
        declared,
        config,
        refusal,
        mode=max((grant.mode for _, grant in grants), key=_STRICTNESS.index, default=GrantMode.ALWAYS),
        deciding=tuple(_deciding(principal, facts)),
        counted=tuple((owner, grant) for owner, grant in grants if grant.max_count is not None),
        own_grant=next((grant for owner, grant in grants if owner == principal.id), None),
        granted=Decision(Effect.ALLOW, Reason.GRANTED, rule),
    )


def _deciding(principal: Principal, facts: PrincipalFacts) -> Iterator[GrantLevel]:
    """A ceiling alone only narrows; a pack's own level needs a grant, and any other level one of the two."""
    own_seen = principal.is_host
    for level in facts.levels:
        own = level.owner == principal.id and not principal.is_host
        own_seen = own_seen or own
        only_narrows = level.admits_all or level.config is not None
        if own or level.grant is not None or not only_narrows:
            yield level
    if not own_seen:
        yield GrantLevel(principal.id)


def _declared(principal: Principal, spec: PermissionSpec, facts: PrincipalFacts) -> Mapping[str, object] | None:
    if facts.declared is None:
        return None
    try:
        return spec.qualify(spec.defaults(facts.declared.config), principal.id)
    except ValidationFailed:
        return None


def _narrowed(
    principal: Principal, spec: PermissionSpec, facts: PrincipalFacts, declared: Mapping[str, object] | None
) -> tuple[Mapping[str, object] | None, Refusal | None]:
    config = spec.unlimited() if principal.is_host else declared
    if config is None:
        return None, Refusal(principal.id, "not declared")
    for owner, raw in _limits(facts):
        try:
            config = narrow(config, spec.qualify(spec.defaults(raw), owner))
        except ValidationFailed as error:
            return None, Refusal(owner, error.message)
        except NarrowingRefused as error:
            return None, Refusal(owner, str(error))
    return config, None


def _limits(facts: PrincipalFacts) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every configuration that narrows, with the level whose names it is written in, from the host downwards."""
    for level in facts.levels:
        if level.admits_all:
            continue
        if level.config is not None:
            yield level.owner, level.config
        if level.grant is not None:
            yield level.owner, level.grant.config
