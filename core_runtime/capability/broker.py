"""The broker: the only road from a wish to a handler.

Who asks is the `Principal` that the channel established; nothing in the arguments can name another. For each call, in
this order: decide, write the audit line, act. A line that cannot be written stops the act; a refusal leaves exactly one
line and no effect. The broker holds no authority of its own: it acts on facts, and everything about them that could be
cached is dropped when their generation moves. It belongs to the kernel's loop; other threads hand their calls over.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from core_runtime.audit import AuditEntry, Outcome
from core_runtime.authority import CallContext, Principal, Risk
from core_runtime.capability.answers import failed, settle, weigh
from core_runtime.capability.audit_budget import ALLOWED, DENIED, AuditBudget, Budget
from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.capability.decide import decide
from core_runtime.capability.explain import Refused, explain
from core_runtime.capability.live_streams import LiveStreams
from core_runtime.capability.model import CapabilityCall, Decision, Reason
from core_runtime.capability.ports import BrokerPorts, Handler, Invocation
from core_runtime.capability.questions import Question, Questions, audit_line
from core_runtime.capability.slots import Slots
from core_runtime.errors import DeadlineExceeded, RumiError
from core_runtime.ids import request_id as new_request_id

HOST_CONCURRENCY = 256
Args = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Audit budgets of one principal."""

    denied_lines: Budget = DENIED
    allowed_lines: Budget = ALLOWED


class Broker:
    """Answers wishes: a value at once, or an awaitable of one. Every failure is a `RumiError` with a request id."""

    def __init__(
        self,
        catalogue: Catalogue,
        handlers: Mapping[str, Handler],
        ports: BrokerPorts,
        limits: BrokerLimits | None = None,
    ) -> None:
        odd = {spec.id for spec in catalogue.all()} ^ set(handlers)
        if odd:
            raise ValueError(f"only one of catalogue and handlers has {', '.join(sorted(odd))}")
        limits = limits or BrokerLimits()
        self._handlers = dict(handlers)
        self._ports = ports
        self._clock = ports.clock
        self._questions = Questions(catalogue, ports)
        self._slots = Slots()
        self._streams = LiveStreams(ports.later)
        self._budget = AuditBudget(
            ports.trail, ports.clock, ports.later, denied=limits.denied_lines, allowed=limits.allowed_lines
        )

    def capability(self, call: CapabilityCall) -> object | Awaitable[object]:
        """One wish of a pack, from its channel."""
        question = self._questions.of(Principal(call.pack_id), call.name, call.args, call.context)
        question.deadline = call.deadline
        question.stream_in = call.stream_in
        return self._run(question)

    def ask(
        self, principal: Principal, permission: str, args: Args, context: CallContext | None
    ) -> object | Awaitable[object]:
        """The same road for flows and the host. An interface or flow call has only the context's deadline."""
        question = self._questions.of(principal, permission, args, context)
        if context is not None:
            question.deadline = context.deadline
            question.capped = not question.request.hop
        return self._run(question)

    def decision(self, principal: Principal, permission: str, args: Args, context: CallContext | None) -> Decision:
        """What `decide` says, without effect and without a line (`rumi grant test`, listings, event delivery)."""
        question = self._questions.of(principal, permission, args, context)
        return decide(question.request, question.facts, self._clock.wall())

    def authority_changed(self) -> None:
        """Called after a revocation: streams that are no longer allowed end now, not half a second later."""
        self._streams.check()

    def note_refusal(self, entry: AuditEntry) -> None:
        """The line of a wish that was refused before it became a question; counts against its pack's budget."""
        with suppress(RumiError):  # nothing was done, so nothing has to be stopped
            self._budget.write(entry)

    def close(self) -> None:
        """Write out what was only counted so far. Raises what the trail raises."""
        self._budget.flush()

    def _run(self, question: Question) -> object | Awaitable[object]:
        spec, decision = self._decide(question)
        if spec.immediate:
            return self._act(question, spec, decision, _no_slot)
        limit = HOST_CONCURRENCY if question.principal.is_host else spec.concurrency
        release = self._slots.take(question.slot, limit)
        if release is None:
            return self._queued(question, spec, limit)
        return self._act(question, spec, decision, release)

    async def _queued(self, question: Question, spec: PermissionSpec, limit: int) -> object:
        """Wait for a slot, then decide again: what was revoked meanwhile does not happen."""
        try:
            seconds = self._seconds(question, spec)
            async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                release = await self._slots.wait(question.slot, limit)
        except TimeoutError:
            raise self._too_late(question, spec) from None
        again = self._questions.again(question)
        try:
            spec, decision = self._decide(again)
        except BaseException:
            release()
            raise
        answer = self._act(again, spec, decision, release)
        return await answer if isinstance(answer, Awaitable) else answer

    def _decide(self, question: Question) -> tuple[PermissionSpec, Decision]:
        decision = decide(question.request, question.facts, self._clock.wall())
        spec = question.facts.spec
        if spec is None or not decision.allowed:
            raise self._refuse(question, decision)
        return spec, decision

    def _refuse(self, question: Question, decision: Decision) -> RumiError:
        """The explained refusal. It stands whether or not its line can be written: there is no effect to hold back."""
        number = new_request_id()
        error = explain(Refused(decision, question.request, question.facts, question.invalid), number)
        try:
            self._budget.write(audit_line(question, decision, Outcome.DENY, number))
        except RumiError as unwritten:
            error.details["audit"] = unwritten.code.value
        return error

    def _act(
        self, question: Question, spec: PermissionSpec, decision: Decision, release: Callable[[], None]
    ) -> object | Awaitable[object]:
        try:
            answer = self._begin(question, spec, decision)
        except Exception as error:  # noqa: BLE001 - whatever a handler raised leaves as one typed error
            release()
            raise failed(spec, error, question.request_id) from None
        if type(answer) is not dict and isinstance(answer, Awaitable):
            return self._later(question, spec, answer, release)
        release()
        return self._finish(question, spec, answer)

    def _begin(self, question: Question, spec: PermissionSpec, decision: Decision) -> object | Awaitable[object]:
        """Audit, then count, then act; nothing of the later if the earlier fails."""
        deadline = self._deadline(question, spec)
        if deadline <= self._clock.monotonic():
            raise self._too_late(question, spec)
        grave = spec.risk.level >= Risk.HIGH.level
        seq = 0
        if decision.reason is not Reason.OWN_INTERFACE:
            line = audit_line(question, decision, Outcome.ALLOW, question.request_id)
            seq = self._budget.write(line, always=grave)
        if question.rates:
            self._questions.count(question)
        invocation = self._invocation(question, spec, deadline)
        counted = question.facts.counted if decision.reason is not Reason.OWN_INTERFACE else ()
        if not grave and not counted:
            return self._handlers[spec.id](invocation)
        written = [self._ports.uses.use(owner, grant) for owner, grant in counted]
        return self._guarded(seq if grave else 0, written, spec, invocation)

    async def _guarded(
        self, seq: int, written: list[Awaitable[None]], spec: PermissionSpec, invocation: Invocation
    ) -> object:
        """The effect of a grave or counted call, once its line and its count are on disk."""
        if seq:
            await self._ports.trail.durable(seq)
        for count in written:
            await count
        answer = self._handlers[spec.id](invocation)
        return await answer if isinstance(answer, Awaitable) else answer

    async def _later(
        self, question: Question, spec: PermissionSpec, pending: Awaitable[object], release: Callable[[], None]
    ) -> object:
        seconds = self._seconds(question, spec)
        answer = await settle(pending, spec, seconds=seconds, request_id=question.request_id, release=release)
        return self._finish(question, spec, answer)

    def _finish(self, question: Question, spec: PermissionSpec, answer: object) -> object:
        if type(answer) is dict or not isinstance(answer, AsyncIterator):
            return weigh(answer, spec, question.request_id)
        return self._streams.guard(answer, lambda: self._recheck(question))

    def _recheck(self, question: Question) -> RumiError | None:
        """None while a running stream would still be allowed; depth, rate and uses were settled when it began."""
        now = self._questions.again(question)
        now.request.hop, now.request.retry_after, now.request.uses = "", 0.0, {}
        decision = decide(now.request, now.facts, self._clock.wall())
        if decision.allowed or decision.reason is Reason.CONFIRMATION_NEEDED:
            return None
        return self._refuse(now, decision)

    def _invocation(self, question: Question, spec: PermissionSpec, deadline: float) -> Invocation:
        principal, context, form = question.principal, question.context, question.request.args
        return Invocation(
            principal,
            form if form is not None else spec.parse(question.args),
            question.request.name,
            question.facts.config or {},
            question.request_id,
            deadline,
            lambda permission, args: self.decision(principal, permission, args, context).allowed,
            question.onward(deadline),
            question.store,
            question.stream_in,
        )

    def _deadline(self, question: Question, spec: PermissionSpec) -> float:
        """The caller's deadline, clamped to the permission's timeout; what is no number is no deadline (UD-10)."""
        wanted = question.deadline if not math.isnan(question.deadline) else math.inf
        return min(wanted, self._clock.monotonic() + spec.timeout) if question.capped else wanted

    def _seconds(self, question: Question, spec: PermissionSpec) -> float:
        return max(0.0, self._deadline(question, spec) - self._clock.monotonic())

    def _too_late(self, question: Question, spec: PermissionSpec) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The deadline of {spec.id} passed before it could begin.",
            hint="Give the call more time, or make fewer of them at once.",
            request_id=question.request_id,
        )


def _no_slot() -> None:
    """An immediate handler holds none."""
