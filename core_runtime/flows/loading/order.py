"""In which order a list of steps runs, decided once at load, and the same on every machine.

The flow's own steps go by phase, priority and id; a nested list goes by priority and then as it is written, since
there the list is the sequence. After that both are sorted topologically: by `depends_on`, and by what a step reads. A
step that reads a name which only a later one gives is moved behind it (the page's own example needs this: `check` reads
what `each` gives); otherwise nothing moves. A `?` only asks: it moves a step unless that would make a cycle.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core_runtime.flows.expressions.scope import STEP_PREFIX
from core_runtime.flows.expressions.template import Template
from core_runtime.flows.loading.draft import Block, Draft
from core_runtime.flows.problems import Findings, shown

Needed = dict[str, bool]


def ordered(block: Block, findings: Findings, phases: Sequence[str] | None) -> list[Draft]:
    """The drafts of a block in their order; `phases` only for the flow's own steps. Cycles become findings."""
    ranks = {name: rank for rank, name in enumerate(phases or ())}
    if phases is None:
        base = sorted(block.drafts, key=lambda draft: (draft.priority, draft.position))
    else:
        base = sorted(block.drafts, key=lambda draft: (ranks.get(draft.phase, 0), draft.priority, draft.id))
    edges = _edges(base, findings, ranks)
    if edges.in_order():
        return base
    for chosen in (edges.both(), edges.hard):
        positions = _topological(len(base), chosen)
        if len(positions) == len(base):
            return [base[position] for position in positions]
    _report_cycle(base, edges.hard, findings)
    return base


@dataclass(slots=True)
class _Edges:
    """Which positions each position has to wait for."""

    hard: dict[int, set[int]] = field(default_factory=dict)
    soft: dict[int, set[int]] = field(default_factory=dict)

    def add(self, before: int, after: int, *, hard: bool) -> None:
        (self.hard if hard else self.soft).setdefault(after, set()).add(before)

    def in_order(self) -> bool:
        return all(before < after for edges in (self.hard, self.soft) for after in edges for before in edges[after])

    def both(self) -> dict[int, set[int]]:
        return {after: self.hard.get(after, set()) | self.soft.get(after, set()) for after in {*self.hard, *self.soft}}


def _edges(base: list[Draft], findings: Findings, ranks: Mapping[str, int]) -> _Edges:
    edges = _Edges()
    positions = {draft.id: position for position, draft in enumerate(base)}
    givers: dict[str, list[int]] = {}
    for position, draft in enumerate(base):
        for name in draft.gives():
            givers.setdefault(name, []).append(position)
    for position, draft in enumerate(base):
        for before in _explicit(draft, base, positions, findings, ranks):
            edges.add(before, position, hard=True)
        for name, required in needs_of(draft).items():
            others = [other for other in givers.get(name, ()) if other != position]
            earlier = [other for other in others if other < position]
            if earlier:
                edges.add(earlier[-1], position, hard=required)
            elif others and position not in givers[name] and _same_phase(base[others[0]], draft, ranks):
                edges.add(others[0], position, hard=required)
    return edges


def _same_phase(one: Draft, other: Draft, ranks: Mapping[str, int]) -> bool:
    return ranks.get(one.phase, 0) == ranks.get(other.phase, 0)


def _explicit(
    draft: Draft, base: list[Draft], positions: Mapping[str, int], findings: Findings, ranks: Mapping[str, int]
) -> Iterator[int]:
    for name, place in draft.depends_on:
        before = positions.get(name)
        if before is None:
            findings.add(
                place,
                f"`depends_on` names the unknown step {shown(name)}.",
                expected="a step of the same list",
                name=name,
                known=positions,
            )
        elif name == draft.id:
            findings.add(place, f"The step {shown(name)} depends on itself.", expected="another step")
        elif ranks.get(base[before].phase, 0) > ranks.get(draft.phase, 0):
            findings.add(
                place, f"The step {shown(name)} belongs to a later phase.", expected="a step of this phase or before"
            )
        else:
            yield before


def needs_of(draft: Draft) -> Needed:
    """The names that a step reads from around it, each with whether it must be there."""
    needed: Needed = {}
    for template, _node in draft.templates:
        _collect(template, needed)
    for block in draft.all_blocks():
        inner: Needed = {}
        for template, _node in draft.inner_templates:
            _collect(template, inner)
        given = set(block.binds)
        for nested in block.drafts:
            given.update(nested.gives())
            for name, required in needs_of(nested).items():
                inner[name] = inner.get(name, False) or required
        for name, required in inner.items():
            if name not in given:
                needed[name] = needed.get(name, False) or required
            elif block.looping:
                needed.setdefault(name, False)
    return needed


def _collect(template: Template, needed: Needed) -> None:
    for reference in template.references:
        name = reference.name
        if name in {"steps", "ctx"}:
            if reference.key is None:
                continue
            name = STEP_PREFIX + reference.key if name == "steps" else reference.key
        needed[name] = needed.get(name, False) or not reference.optional


def _topological(count: int, edges: Mapping[int, set[int]]) -> list[int]:
    """Kahn's algorithm with a heap, so that ties keep the base order; shorter than `count` if there is a cycle."""
    waiting = {position: len(edges.get(position, ())) for position in range(count)}
    after: dict[int, list[int]] = {}
    for position, befores in edges.items():
        for before in befores:
            after.setdefault(before, []).append(position)
    ready = [position for position in range(count) if not waiting[position]]
    heapq.heapify(ready)
    found: list[int] = []
    while ready:
        position = heapq.heappop(ready)
        found.append(position)
        for later in after.get(position, ()):
            waiting[later] -= 1
            if not waiting[later]:
                heapq.heappush(ready, later)
    return found


def _report_cycle(base: list[Draft], edges: Mapping[int, set[int]], findings: Findings) -> None:
    done = set(_topological(len(base), edges))
    position = min(set(range(len(base))) - done)
    path: list[int] = []
    while position not in path:
        path.append(position)
        position = min(before for before in edges[position] if before not in done)
    cycle = [*path[path.index(position) :], position]
    names = " -> ".join(base[index].id for index in cycle)
    findings.add(
        base[cycle[0]].place,
        f"These steps wait for each other: {names}.",
        expected="steps without a cycle of `depends_on` and of the values that they read",
    )
