"""Turns a decision into its asker's error: what was refused, why, and the exact command that would change it.

The hint is ready to paste, quoted for a shell. It names only what the asker itself wrote (its permission, its names):
another pack's stores, actors or rules never show through. Pure.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core_runtime.capability.catalogue import PermissionSpec
from core_runtime.capability.decide import Request
from core_runtime.capability.model import Decision, Reason
from core_runtime.capability.standing import Standing
from core_runtime.errors import (
    ApprovalDenied,
    ConfirmationRequired,
    GrantDenied,
    PolicyDenied,
    RateLimited,
    RumiError,
    TrustDenied,
    ValidationFailed,
)

_STATE_COMMANDS = {"blocked": "unblock", "disabled": "enable"}


@dataclass(frozen=True, slots=True)
class Refused:
    """Everything that an explanation is made from."""

    decision: Decision
    request: Request
    facts: Standing
    invalid: ValidationFailed | None = None

    @property
    def who(self) -> str:
        """The principal."""
        return self.facts.principal.id

    @property
    def what(self) -> str:
        """The permission, cut to a length that fits a sentence; unprintable characters are escaped."""
        text = self.facts.permission[:64]
        return text if text.isprintable() else repr(text)[1:-1]

    @property
    def level(self) -> str:
        """The level of the hierarchy that said no."""
        return str(self.decision.details.get("level", self.who))


def explain(refused: Refused, request_id: str) -> RumiError:
    """The error for a decision that is no plain yes."""
    error = _EXPLANATIONS[refused.decision.reason](refused)
    error.request_id = request_id
    error.details.setdefault("reason", refused.decision.reason.value)
    error.details.setdefault("permission", refused.what)
    return error


def command(*words: str, options: Sequence[str] = ()) -> str:
    """A `rumi` command line, quoted for a shell. `words` that look like options stay words."""
    guard = ["--"] if any(word.startswith("-") for word in words) else []
    return shlex.join(["rumi", *(words if not guard else ()), *options, *guard, *(words if guard else ())])


def grant_command(pack_id: str, permission: str, config: Mapping[str, object], *, options: Sequence[str] = ()) -> str:
    """`rumi grant give PACK PERMISSION --config JSON`."""
    given = ["--config", json.dumps(config, ensure_ascii=False)] if config else []
    words = ["rumi", "grant", "give"]
    named = [pack_id, permission]
    if pack_id.startswith("-"):
        return shlex.join([*words, *given, *options, "--", *named])
    return shlex.join([*words, *named, *given, *options])


def needed_config(spec: PermissionSpec, request: Request, facts: Standing) -> dict[str, object]:
    """The existing grant's configuration with what these arguments need added, or what was declared."""
    current = dict(facts.own_grant.config) if facts.own_grant else {}
    if spec.names is None:
        return current
    if request.args is None or not spec.names.argument:
        return current or dict(facts.facts.declared.config if facts.facts.declared else {})
    listed = current.get(spec.names.key, [])
    wanted = spec.names.short(request.name, facts.principal.id)
    kept = list(listed) if isinstance(listed, list) else []
    return {**current, spec.names.key: kept if wanted in kept else [*kept, wanted]}


def _give(refused: Refused, *, options: Sequence[str] = ()) -> str:
    spec = refused.facts.spec
    if spec is None:
        return command("permission", "list")
    config = needed_config(spec, refused.request, refused.facts)
    return grant_command(refused.who, spec.id, config, options=options)


def _not_approved(refused: Refused) -> RumiError:
    state = refused.facts.facts.reason or "not approved"
    verb = _STATE_COMMANDS.get(state, "approve")
    return ApprovalDenied(
        f"The pack {refused.who} is {state}.", hint=command("pack", verb, refused.who), details={"state": state}
    )


def _parent(refused: Refused) -> RumiError:
    parent = str(refused.decision.details.get("parent", ""))
    return ApprovalDenied(
        f"The pack {refused.who} needs its parent {parent}, which is not approved.",
        hint=command("pack", "approve", parent),
    )


def _unknown(refused: Refused) -> RumiError:
    return GrantDenied(f"There is no permission {refused.what!r}.", hint=command("permission", "list"))


def _not_trusted(refused: Refused) -> RumiError:
    return TrustDenied(f"The host artifact behind {refused.what} is not trusted.", hint=command("trust", "list"))


def _not_declared(refused: Refused) -> RumiError:
    spec = refused.facts.spec
    needs = needed_config(spec, refused.request, refused.facts) if spec else {}
    line = json.dumps({"type": refused.what, **needs, "reason": "..."}, ensure_ascii=False)
    return GrantDenied(
        f"The pack {refused.who} does not declare {refused.what} for this in its permissions.json.",
        hint=f"Its author has to declare {line} in permissions.json; then: {command('pack', 'approve', refused.who)}",
    )


def _no_grant(refused: Refused) -> RumiError:
    if refused.level != refused.who:
        return _other_level(refused)
    return GrantDenied(f"The pack {refused.who} has no grant for {refused.what}.", hint=_give(refused))


def _ended(text: str) -> Callable[[Refused], RumiError]:
    def build(refused: Refused) -> RumiError:
        if refused.level != refused.who:
            return _other_level(refused)
        return GrantDenied(f"The grant of {refused.what} to {refused.who} {text}.", hint=_give(refused))

    return build


def _bad_arguments(refused: Refused) -> RumiError:
    return refused.invalid or ValidationFailed(f"The arguments of {refused.what} are not valid.")


def _config(refused: Refused) -> RumiError:
    if refused.decision.rule == "store:not_shared":
        return GrantDenied(
            "There is no store of that name that its pack shares.",
            hint='The pack that owns the store has to declare it with "shared": true.',
        )
    if refused.level != refused.who or refused.facts.principal.is_host:
        return _other_level(refused)
    return GrantDenied(f"The grant of {refused.what} to {refused.who} does not admit this.", hint=_give(refused))


def _other_level(refused: Refused) -> RumiError:
    if refused.level == "host":
        return GrantDenied(
            f"The owner's ceiling (policy.ceiling) does not admit {refused.what} for this.",
            hint=f"Widen policy.ceiling for {refused.what}, or take the entry out.",
        )
    return GrantDenied(
        f"The parent pack {refused.level} does not hold or hand down {refused.what} for this.",
        hint=command("pack", "show", refused.level),
    )


def _actor(refused: Refused) -> RumiError:
    actor = refused.request.actor
    role = actor.role[:32] if actor else "nobody"
    keys = {"guest": "policy.guest_allow", "sub_admin": "policy.sub_admin_allow"}
    where = keys.get(role)
    return PolicyDenied(
        f"The owner's policy does not let {role} call this.",
        hint=f"The owner can list it in {where}." if where else "Call it on behalf of an actor who may.",
    )


def _background(refused: Refused) -> RumiError:
    if refused.decision.rule == "background:confirmation":
        return PolicyDenied(
            f"{refused.what} asks a person first, and nobody is behind this call.",
            hint=_give(refused, options=("--mode", "always")),
        )
    return PolicyDenied(
        f"The pack {refused.who} may use {refused.what} only while it answers a call with an actor.",
        hint='Its author has to declare the permission with "background": true in permissions.json; '
        f"then: {command('pack', 'approve', refused.who)}",
    )


def _chain(refused: Refused) -> RumiError:
    path = " -> ".join((*refused.request.chain, refused.request.hop))
    if refused.decision.reason is Reason.CYCLE:
        return PolicyDenied(
            f"This call would go round in a circle: {path}", hint="Break the circle at one of its hops."
        )
    limit = refused.decision.details.get("limit")
    return PolicyDenied(
        f"Calls are nested deeper than {limit}: {path}", hint="Call fewer interfaces and flows in turn."
    )


def _rate(refused: Refused) -> RumiError:
    seconds = refused.decision.details.get("retry_after", 60)
    return RateLimited(
        f"{refused.what} was used too often in this minute.",
        hint=f"Try again in {seconds} s.",
        details={"retry_after": seconds},
    )


def _confirm(refused: Refused) -> RumiError:
    if refused.decision.rule.startswith("policy:"):
        return ConfirmationRequired(
            "The owner's policy asks a person before this call.",
            hint="This version cannot ask a person yet: the interface's manifest would have to declare a lower risk.",
            details={"code": bool(refused.decision.details.get("code"))},
        )
    return ConfirmationRequired(
        f"{refused.what} asks a person before each use.", hint=_give(refused, options=("--mode", "always"))
    )


_EXPLANATIONS: Mapping[Reason, Callable[[Refused], RumiError]] = {
    Reason.NOT_APPROVED: _not_approved,
    Reason.PARENT_NOT_APPROVED: _parent,
    Reason.UNKNOWN_PERMISSION: _unknown,
    Reason.NOT_TRUSTED: _not_trusted,
    Reason.NOT_DECLARED: _not_declared,
    Reason.NO_GRANT: _no_grant,
    Reason.GRANT_EXPIRED: _ended("has expired"),
    Reason.GRANT_USED_UP: _ended("is used up"),
    Reason.GRANT_NEVER: _ended('says "never"'),
    Reason.BAD_ARGUMENTS: _bad_arguments,
    Reason.CONFIG_REFUSES: _config,
    Reason.ACTOR_REFUSED: _actor,
    Reason.NOT_BACKGROUND: _background,
    Reason.TOO_DEEP: _chain,
    Reason.CYCLE: _chain,
    Reason.RATE_LIMITED: _rate,
    Reason.CONFIRMATION_NEEDED: _confirm,
}
