"""Lists of steps: the keys that all steps share, exactly one kind each, ids that are unique in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from core_runtime.errors import ErrorCode
from core_runtime.flows.limits import MAX_ATTEMPTS, MAX_STEPS, MAX_TIMEOUT
from core_runtime.flows.loading.draft import Block, Draft
from core_runtime.flows.loading.fields import Reader
from core_runtime.flows.loading.kinds import KINDS, KindContext, Needs, check_variable
from core_runtime.flows.model import Guard, Kind, Retry
from core_runtime.flows.problems import Place, shown
from core_runtime.flows.source import Node

_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}", re.ASCII)
_COMMON: Final = frozenset(
    {"id", "phase", "priority", "depends_on", "when", "output", "timeout", "retry", "on_error", "normalize"}
)
_RETRY_KEYS: Final = ("max_attempts", "backoff", "interval", "max_interval", "on")
_PASSING: Final = frozenset(
    {
        ErrorCode.UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.RATE_LIMITED,
        ErrorCode.INTERFACE_ERROR,
        ErrorCode.HANDLER_ERROR,
    }
)
_DEFAULT_TIMEOUT_KINDS: Final = frozenset({Kind.CALL, Kind.FILE, Kind.FLOW})
ON_ERROR_WORDS: Final = ("stop", "continue")


@dataclass(slots=True)
class Defaults:
    """`defaults:` of the flow."""

    timeout: float | None = None
    on_error: str = "stop"
    retry: Retry | None = None


@dataclass(slots=True)
class StepReader:
    """Reads lists of steps of one file."""

    reader: Reader
    owner: str
    defaults: Defaults = field(default_factory=Defaults)
    needs: Needs = field(default_factory=Needs)
    phases: tuple[str, ...] = ()
    ids: dict[str, Place] = field(default_factory=dict)
    count: int = 0
    _context: KindContext | None = None

    def block(
        self, node: Node | None, label: str, *, local: bool, binds: tuple[str, ...] = (), top: bool = False
    ) -> Block:
        """A list of steps; `top` for the flow's own, where `phase` has a meaning."""
        drafts = []
        for position, item in enumerate(self.reader.sequence(node, label)):
            draft = self._step(item, top=top)
            if draft is not None:
                draft.position = position
                drafts.append(draft)
        return Block(label, drafts, local, binds)

    def _step(self, node: Node, *, top: bool) -> Draft | None:
        self.count += 1
        if self.count > MAX_STEPS:
            if self.count == MAX_STEPS + 1:
                self.reader.findings.add(node.place, f"More than {MAX_STEPS} steps.", expected=f"at most {MAX_STEPS}")
            return None
        if not isinstance(node.value, dict):
            self.reader.wrong(node, "a step", "a mapping with `id` and one kind")
            return None
        fields: dict[str, Node] = node.value
        step_id = self._id(node, fields)
        kind = self._kind(node, fields, step_id)
        if kind is None:
            return None
        if self._context is None:
            self._context = KindContext(self.reader, self, self.owner, self.needs)
        made = KINDS[kind].read(self._context, fields, fields[kind])
        draft = Draft(step_id, kind, node.place, made.finish, made.templates, made.inner, made.blocks, sets=made.sets)
        self._common(draft, fields, top=top)
        return draft

    def _id(self, node: Node, fields: dict[str, Node]) -> str:
        item = fields.get("id")
        if item is None:
            self.reader.findings.add(node.place, "The step has no `id`.", expected="an id that is unique in the flow")
            return f"line_{node.place.line}"
        step_id = self.reader.text(item, "id") or f"line_{node.place.line}"
        if not _ID.fullmatch(step_id):
            self.reader.findings.add(
                item.place,
                f"{shown(step_id)} is no id.",
                expected="letters, digits, `_` and `-`, not beginning with a digit",
            )
        first = self.ids.get(step_id)
        if first is None:
            self.ids[step_id] = item.place
        else:
            self.reader.findings.add(
                item.place,
                f"The id {shown(step_id)} stands twice.",
                expected=f"another id (first in line {first.line})",
            )
        return step_id

    def _kind(self, node: Node, fields: dict[str, Node], step_id: str) -> Kind | None:
        kinds = [key for key in fields if key in KINDS]
        if len(kinds) != 1:
            self._unknown(fields, set(KINDS), step_id)
            what = "has no kind" if not kinds else "has several kinds: " + ", ".join(kinds)
            self.reader.findings.add(
                node.place, f"The step {shown(step_id)} {what}.", expected="exactly one of " + ", ".join(KINDS)
            )
            return None
        kind = Kind(kinds[0])
        allowed = KINDS[kind].keys
        if any(key not in _COMMON and key not in allowed and key != kind for key in fields):
            self._unknown(fields, {kind, *allowed}, step_id)
        return kind

    def _unknown(self, fields: dict[str, Node], more: set[str], step_id: str) -> None:
        allowed = sorted(str(key) for key in _COMMON | more)
        elsewhere = {key for kind in KINDS.values() for key in kind.keys}
        for key, item in fields.items():
            if key in _COMMON or key in more:
                continue
            if key in elsewhere:
                self.reader.findings.add(
                    item.key_place,
                    f"{shown(key)} has no meaning in the step {shown(step_id)}.",
                    expected="it only with a kind that uses it",
                )
                continue
            self.reader.findings.add(
                item.key_place,
                f"Unknown key {shown(key)} in the step {shown(step_id)}.",
                expected="one of " + ", ".join(allowed),
                name=key,
                known=allowed,
            )

    def _common(self, draft: Draft, fields: dict[str, Node], *, top: bool) -> None:
        reader = self.reader
        draft.output = self._output(fields.get("output"))
        if "phase" in fields:
            self._phase(draft, fields["phase"], top=top)
        elif top and self.phases:
            draft.phase = self.phases[0]
        if "priority" in fields:
            draft.priority = reader.whole(fields["priority"], "priority", -1_000_000, 1_000_000) or 0
        if "depends_on" in fields:
            draft.depends_on = self._depends_on(fields["depends_on"])
        if "normalize" in fields:
            reader.findings.add(
                fields["normalize"].key_place,
                "`normalize` is part of the language, but this version does not run it yet.",
                expected="a step without it",
            )
        draft.guard = self._guard(draft, fields)

    def _output(self, node: Node | None) -> str | None:
        name = self.reader.text(node, "output")
        if name is None or node is None or self._context is None:
            return None
        return name if check_variable(self._context, name, node.place) else None

    def _phase(self, draft: Draft, node: Node, *, top: bool) -> None:
        name = self.reader.text(node, "phase")
        if not top:
            self.reader.findings.add(
                node.key_place, "`phase` has no meaning inside another step.", expected="it at the top level"
            )
        elif name is not None and name not in self.phases:
            self.reader.findings.add(
                node.place, f"Unknown phase {shown(name)}.", expected="one of `phases`", name=name, known=self.phases
            )
        draft.phase = name if name in self.phases and name is not None else self.phases[0] if self.phases else ""

    def _depends_on(self, node: Node) -> tuple[tuple[str, Place], ...]:
        items = [node] if isinstance(node.value, str) else self.reader.sequence(node, "depends_on")
        named = ((self.reader.text(item, "depends_on"), item.place) for item in items)
        return tuple((name, place) for name, place in named if name is not None)

    def _guard(self, draft: Draft, fields: dict[str, Node]) -> Guard | None:
        when = key = None
        timeout = self.defaults.timeout if draft.kind in _DEFAULT_TIMEOUT_KINDS else None
        retry = self.defaults.retry if draft.kind in _DEFAULT_TIMEOUT_KINDS else None
        if "when" in fields:
            when = self.reader.condition(fields["when"], "when")
            draft.templates.append((when, fields["when"]))
        if "timeout" in fields:
            timeout = self.reader.seconds(fields["timeout"], "timeout", MAX_TIMEOUT)
        if "retry" in fields:
            retry = self.retry(fields["retry"])
        if "idempotency_key" in fields:
            key = self.reader.template(fields["idempotency_key"])
            draft.templates.append((key, fields["idempotency_key"]))
        goes_on = self._on_error(draft, fields.get("on_error"))
        if when is None and key is None and timeout is None and retry is None and not goes_on:
            return None
        return Guard(when, timeout, retry, () if goes_on else None, key)

    def _on_error(self, draft: Draft, node: Node | None) -> bool:
        if node is None:
            return self.defaults.on_error == "continue"
        if isinstance(node.value, dict):
            self.reader.unknown_keys(node, ("steps",), "`on_error`")
            draft.handlers = self.block(node.value.get("steps"), "on_error", local=True, binds=("error",))
            return True
        return self.reader.choice(node, "on_error", ON_ERROR_WORDS) == "continue"

    def retry(self, node: Node) -> Retry | None:
        """`retry: {max_attempts, backoff, interval, max_interval, on}`."""
        reader = self.reader
        fields = reader.mapping(node, "retry")
        if fields is None:
            return None
        reader.unknown_keys(node, _RETRY_KEYS, "`retry`")
        if "max_attempts" not in fields:
            reader.findings.add(node.place, "`retry` has no `max_attempts`.", expected="how often it is tried in all")
        attempts = reader.whole(fields.get("max_attempts"), "max_attempts", 1, MAX_ATTEMPTS)
        backoff = reader.choice(fields.get("backoff"), "backoff", ("fixed", "exponential"))
        interval = reader.seconds(fields.get("interval"), "interval", MAX_TIMEOUT)
        longest = reader.seconds(fields.get("max_interval"), "max_interval", MAX_TIMEOUT)
        return Retry(attempts or 1, backoff != "fixed", interval or 1.0, longest or 60.0, self._codes(fields.get("on")))

    def _codes(self, node: Node | None) -> frozenset[str]:
        if node is None:
            return frozenset(code.value for code in _PASSING)
        known = [code.value for code in ErrorCode]
        codes = set()
        for item in [node] if isinstance(node.value, str) else self.reader.sequence(node, "on"):
            code = self.reader.choice(item, "on", known)
            if code is not None:
                codes.add(code)
        return frozenset(codes)
