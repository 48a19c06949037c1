"""Every name that an expression uses is known where it is used, or the file does not load.

The walk follows the order in which the steps will run, with the names that exist at each point; rounds and branches
keep theirs to themselves. While it walks it makes the final steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from core_runtime.flows.expressions.scope import CONTEXTS, STEP_PREFIX
from core_runtime.flows.expressions.syntax import Reference
from core_runtime.flows.expressions.template import Template
from core_runtime.flows.loading.draft import Block, Draft, nulls_of
from core_runtime.flows.loading.fields import Reader, offset_place
from core_runtime.flows.loading.order import ordered
from core_runtime.flows.model import Guard, Step, slot_of
from core_runtime.flows.problems import Place, shown
from core_runtime.flows.source import Node

_RUN_KEYS: Final = ("id", "flow_id", "actor", "started_at")
_ERROR_KEYS: Final = ("code", "message", "hint", "details", "request_id", "step", "flow_id")

Known = set[str]


@dataclass(slots=True)
class Checker:
    """Checks and finishes the blocks of one file. `inputs` are the known keys of the inputs, None if any is."""

    reader: Reader
    ids: Mapping[str, Place]
    inputs: Collection[str] | None
    settings: Collection[str] | None = None
    everywhere: Known = field(default_factory=set)

    def survey(self, blocks: Sequence[Block]) -> None:
        """Note every name that any step gives, to tell `unknown` from `not here`."""
        for block in blocks:
            self.everywhere.update(block.binds)
            for draft in block.drafts:
                self.everywhere.update((slot_of(draft.id), *draft.sets, *([draft.output] if draft.output else [])))
                self.survey(list(draft.all_blocks()))

    def finish(self, block: Block, known: Known, phases: Sequence[str] | None = None) -> tuple[Step, ...]:
        """The final steps of a block. `known` grows by what the block gives."""
        if block.looping:
            known.update(name for draft in block.drafts for name in draft.gives())
        steps = []
        for draft in ordered(block, self.reader.findings, phases):
            steps.append(self._step(draft, known))
            known.update((slot_of(draft.id), *draft.sets))
            if draft.output is not None:
                known.add(draft.output)
        return tuple(steps)

    def _step(self, draft: Draft, known: Known) -> Step:
        for template, node in draft.templates:
            self.check(template, node, known)
        finished: dict[str, tuple[Step, ...]] = {}
        given: Known = set()
        for block in draft.blocks:
            inside = known | set(block.binds)
            finished[block.label] = self.finish(block, inside)
            for template, node in draft.inner_templates:
                self.check(template, node, inside)
            if not block.local:
                given |= inside
        guard = draft.guard
        if draft.handlers is not None and guard is not None:
            guard = replace(guard, on_error=self.finish(draft.handlers, known | {"error"}))
        known |= given
        nulls = {block.label: nulls_of(block) for block in draft.blocks}
        return _made(draft, draft.finish(finished, nulls), guard)

    def check(self, template: Template, node: Node, known: Known) -> None:
        """Every reference of one template."""
        for reference in template.references:
            name = reference.name
            if (name in known and name not in CONTEXTS) or self.reader.findings.full:
                continue
            if name in CONTEXTS:
                self._context(reference, node, known)
            else:
                self._variable(reference, name, node, known)

    def _context(self, reference: Reference, node: Node, known: Known) -> None:
        name, key = reference.name, reference.key
        if name == "error" and "error" not in known:
            self._add(
                reference, node, "`error` exists only in `errors`, `finally` and `on_error`.", "a name that exists here"
            )
        elif key is None:
            return
        elif name == "steps":
            self._step_value(reference, key, node, known)
        elif name == "ctx":
            if key not in known or key in CONTEXTS:
                self._variable(reference, key, node, known)
        else:
            self._key(reference, key, node)

    def _key(self, reference: Reference, key: str, node: Node) -> None:
        keys = {"inputs": self.inputs, "settings": self.settings, "run": _RUN_KEYS, "error": _ERROR_KEYS}[
            reference.name
        ]
        if keys is None or key in keys or reference.optional:
            return
        self._add(
            reference,
            node,
            f"Unknown reference `{reference.name}.{key[:80]}`.",
            _listed(reference.name, keys),
            key,
            keys,
        )

    def _step_value(self, reference: Reference, key: str, node: Node, known: Known) -> None:
        if STEP_PREFIX + key in known:
            return
        if key not in self.ids:
            self._add(reference, node, f"Unknown step {shown(key)}.", "the id of a step", key, list(self.ids))
        elif not reference.optional:
            line = self.ids[key].line
            self._add(
                reference,
                node,
                f"The step {shown(key)} (line {line}) has no value here.",
                "a step that runs before, in this list or around it; or `?`",
            )

    def _variable(self, reference: Reference, name: str, node: Node, known: Known) -> None:
        if name in self.everywhere:
            if not reference.optional:
                self._add(
                    reference,
                    node,
                    f"`{name[:80]}` has no value here.",
                    "a name that is set before, in this list or around it; or `?`",
                )
            return
        names = sorted(item for item in known if not item.startswith(STEP_PREFIX))
        as_input = self.inputs is not None and name in self.inputs
        expected = f"`inputs.{name}`" if as_input else "a context, an output or a loop name"
        message = f"Unknown reference `{name[:80]}`."
        if reference.optional:
            self.reader.findings.warn(self._place(reference, node), message + " It is always null.", expected=expected)
        else:
            self._add(reference, node, message, expected, "" if as_input else name, [*names, *sorted(CONTEXTS)])

    def _add(
        self, reference: Reference, node: Node, message: str, expected: str, name: str = "", known: Collection[str] = ()
    ) -> None:
        self.reader.findings.add(self._place(reference, node), message, expected=expected, name=name, known=known)

    def _place(self, reference: Reference, node: Node) -> Place:
        holder = self._holder(reference, node)
        return node.place if holder is None else offset_place(holder, reference.offset)

    def _holder(self, reference: Reference, node: Node) -> Node | None:
        """The scalar inside a value that holds the reference; looked for only once there is a mistake."""
        value = node.value
        if isinstance(value, str):
            return node if reference in self.reader.template(node).references else None
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        found = (self._holder(reference, child) for child in children)
        return next((holder for holder in found if holder is not None), None)


def _listed(name: str, keys: Collection[str]) -> str:
    return "one of " + ", ".join(f"{name}.{key}" for key in sorted(keys)[:10]) if keys else f"{name} has no keys"


def _made(draft: Draft, action: object, guard: Guard | None) -> Step:
    return Step(
        draft.id,
        draft.kind,
        action,  # type: ignore[arg-type]
        draft.place,
        slot_of(draft.id),
        draft.output,
        guard,
        draft.phase,
        draft.priority,
        tuple(name for name, _place in draft.depends_on),
        draft.nulls(),
    )
