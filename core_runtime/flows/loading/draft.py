"""A step while it is being read: what it says, what it needs, what it gives; not yet checked against its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from core_runtime.flows.expressions.template import Template
from core_runtime.flows.model import Action, Guard, Kind, Step, slot_of
from core_runtime.flows.problems import Place
from core_runtime.flows.source import Node


@dataclass(slots=True)
class Block:
    """A nested list of steps. `local`: its names end with it; `binds`: names that exist inside from the start."""

    label: str
    drafts: list[Draft]
    local: bool
    binds: tuple[str, ...] = ()
    looping: bool = False


@dataclass(slots=True)
class Draft:
    """One step of the file. `finish` makes its action once the blocks are finished."""

    id: str
    kind: Kind
    place: Place
    finish: Callable[[dict[str, tuple[Step, ...]], dict[str, tuple[str, ...]]], Action]
    templates: list[tuple[Template, Node]]
    inner_templates: list[tuple[Template, Node]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    handlers: Block | None = None
    sets: tuple[str, ...] = ()
    output: str | None = None
    guard: Guard | None = None
    phase: str = ""
    priority: int = 100
    depends_on: tuple[tuple[str, Place], ...] = ()
    position: int = 0

    def gives(self) -> list[str]:
        """Names that this step may leave in the scope around it, its own value first."""
        names = [slot_of(self.id), *self.sets]
        if self.output is not None:
            names.append(self.output)
        for block in self.blocks:
            if not block.local:
                names.extend(name for draft in block.drafts for name in draft.gives())
        return names

    def nulls(self) -> tuple[str, ...]:
        """Names that are null if it does not run: values and outputs, not what `set` would have set."""
        names = [slot_of(self.id)]
        if self.output is not None:
            names.append(self.output)
        for block in self.blocks:
            if not block.local:
                names.extend(nulls_of(block))
        return tuple(names)

    def all_blocks(self) -> Iterator[Block]:
        """Its nested lists, handlers of errors included."""
        yield from self.blocks
        if self.handlers is not None:
            yield self.handlers


def nulls_of(block: Block) -> tuple[str, ...]:
    """Names that stay null if none of the block's steps runs."""
    return tuple(name for draft in block.drafts for name in draft.nulls())
