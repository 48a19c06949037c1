"""Gathers what `decide` needs for one call: the standing of the principal, and what the arguments point at.

Standings are cached until the generation of the facts moves. Nothing is refused here, whatever is wrong with a call:
that is for `decide`, so that each refusal has one place, one order and one line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.authority import CallContext, Principal
from core_runtime.capability.catalogue import Catalogue, PermissionSpec, Subject
from core_runtime.capability.decide import PACK_HOP, Request, hops
from core_runtime.capability.model import Decision
from core_runtime.capability.ports import BrokerPorts
from core_runtime.capability.rates import MinuteWindow
from core_runtime.capability.standing import Standing, stand
from core_runtime.errors import ValidationFailed
from core_runtime.ids import request_id as new_request_id
from core_runtime.packs import StoreDecl
from core_runtime.wire.streams import Stream

MAX_STANDINGS = 8192


@dataclass(slots=True)
class Question:
    """One call on its way through the broker. `deadline` is on the monotonic clock; `inf` where nobody gave one."""

    principal: Principal
    permission: str
    args: Mapping[str, object]
    context: CallContext | None
    request: Request
    facts: Standing
    request_id: str
    invalid: ValidationFailed | None = None
    store: StoreDecl | None = None
    deadline: float = math.inf
    capped: bool = True
    stream_in: Stream | None = None
    rates: tuple[tuple[tuple[str, str], int], ...] = field(default=())

    @property
    def slot(self) -> tuple[str, str, int]:
        """Which calls this one shares its concurrency with."""
        depth = hops(self.request.chain) if self.request.hop else 0
        return self.principal.id, self.permission, depth

    def onward(self, deadline: float) -> CallContext | None:
        """The context with the new hop, for a call that goes on; unchanged for one that ends here."""
        hop = self.request.hop
        if not hop:
            return self.context
        if self.context is None:
            chain: tuple[str, ...] = (PACK_HOP + self.principal.id, hop)
            return CallContext(self.request_id, deadline, chain=chain)
        old = self.context
        return CallContext(
            request_id=old.request_id,
            deadline=min(old.deadline, deadline),
            actor=old.actor,
            run_id=old.run_id,
            chain=(*old.chain, hop),
            traceparent=old.traceparent,
            idempotency_key=old.idempotency_key,
        )


class Questions:
    """Makes questions. Belongs to the kernel's loop."""

    def __init__(self, catalogue: Catalogue, ports: BrokerPorts) -> None:
        self._catalogue = catalogue
        self._ports = ports
        self._standings: dict[tuple[str, str], Standing] = {}
        self._generation = -1
        self._windows = MinuteWindow()

    def of(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext | None
    ) -> Question:
        """The question of one call."""
        spec = self._catalogue.find(permission)
        facts = self._standing(principal, permission, spec)
        request = Request(
            actor=context.actor if context else None,
            chain=context.chain if context else (),
        )
        number = context.request_id if context and context.request_id else new_request_id()
        question = Question(principal, permission, args, context, request, facts, number)
        if spec is not None:
            try:
                request.args = form = spec.parse(args)
            except ValidationFailed as error:
                question.invalid = error
            else:
                request.name = spec.asked(form, principal.id)
                self._point(question, spec)
        if facts.counted:
            request.uses = {owner: self._ports.uses.used(owner, grant) for owner, grant in facts.counted}
        self._rate(question, spec)
        return question

    def again(self, old: Question) -> Question:
        """The same call, judged by what is known now."""
        new = self.of(old.principal, old.permission, old.args, old.context)
        new.deadline, new.capped, new.stream_in = old.deadline, old.capped, old.stream_in
        new.request_id = old.request_id
        return new

    def count(self, question: Question) -> None:
        """Count an allowed call against its rates."""
        now = self._ports.clock.monotonic()
        for key, _ in question.rates:
            self._windows.use(key, now)

    def _standing(self, principal: Principal, permission: str, spec: PermissionSpec | None) -> Standing:
        generation = self._ports.facts.generation()
        if generation != self._generation or len(self._standings) >= MAX_STANDINGS:
            self._standings.clear()
            self._generation = generation
        found = self._standings.get((principal.id, permission))
        if found is None:
            facts = self._ports.facts.facts(principal.id, permission)
            policy, rules = self._ports.facts.policy(), self._ports.risk_rules
            found = stand(principal, permission, spec, facts, policy=policy, evaluate=rules)
            if spec is not None:
                self._standings[principal.id, permission] = found
        return found

    def _point(self, question: Question, spec: PermissionSpec) -> None:
        """Look up what the arguments point at."""
        request = question.request
        if spec.subject is Subject.STORE:
            owner, _, store_id = request.name.partition("/")
            question.store = self._ports.targets.store(owner, store_id)
            own = owner == question.principal.id or question.principal.is_host
            request.foreign_store = not own and not (question.store and question.store.shared)
        elif spec.subject is Subject.INTERFACE:
            request.interface = self._ports.targets.interface(request.name)
        if spec.subject.is_hop:
            request.hop = f"{spec.subject.value}:{request.name}"

    def _rate(self, question: Question, spec: PermissionSpec | None) -> None:
        facts, actor = question.facts, question.request.actor
        limits: list[tuple[tuple[str, str], int]] = []
        rate = facts.config.get("rate_per_minute") if facts.config else None
        if isinstance(rate, int):
            limits.append(((question.principal.id, question.permission), rate))
        if actor is not None and spec is not None and spec.subject is Subject.INTERFACE:
            of_role = facts.policy.actor_rate_per_minute.get(actor.role)
            if of_role is not None:
                limits.append((("actor", actor.id), of_role))
        if limits:
            now = self._ports.clock.monotonic()
            question.rates = tuple(limits)
            question.request.retry_after = max(self._windows.wait(key, limit, now) for key, limit in limits)


def audit_line(question: Question, decision: Decision, outcome: Outcome, request_id: str) -> AuditEntry:
    """The one line of a call: who, what, why. A refusal names no value of its arguments (GR-19)."""
    details: dict[str, object] = {"reason": decision.reason.value}
    if outcome is Outcome.DENY:
        details.update(decision.details)
        if question.context is not None:
            details["call"] = question.context.request_id
    elif question.request.name:
        details["target"] = question.request.name
    return AuditEntry(
        AuditCategory.CAPABILITY,
        question.permission[:128],
        outcome,
        question.principal.id,
        request_id=request_id,
        actor=question.request.actor.id if question.request.actor else None,
        run_id=question.context.run_id if question.context else None,
        rule=decision.rule,
        details=details,
    )
