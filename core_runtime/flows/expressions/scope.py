"""What an expression can see: names to plain JSON values, in scopes that inherit, and the fuel of one evaluation.

A scope holds only data. Step values live under `steps.<id>`, a key that no name can be, so that one lookup serves
both. Rounds and branches get a child scope: they read outwards and write only into themselves.
"""

from __future__ import annotations

from typing import Final

from core_runtime.clock import Clock
from core_runtime.flows.expressions.errors import out_of_fuel
from core_runtime.flows.limits import EXPRESSION_OPERATIONS

STEP_PREFIX: Final = "steps."
CONTEXTS: Final = frozenset({"inputs", "steps", "ctx", "error", "run", "settings"})
MISSING: Final = object()


class Meter:
    """Operations that the evaluation under way may still spend of its `allowance`, and the clock that `now()` reads."""

    __slots__ = ("allowance", "clock", "left")

    def __init__(self, clock: Clock, allowance: int = EXPRESSION_OPERATIONS) -> None:
        self.clock = clock
        self.allowance = allowance
        self.left = 0

    def spend(self, operations: int) -> None:
        """Raise `TooLarge` once the fuel is used up."""
        self.left -= operations
        if self.left < 0:
            raise out_of_fuel()

    def spend_text(self, length: int) -> None:
        """The price of touching `length` characters."""
        self.spend(1 + (length >> 8))

    def spend_items(self, count: int) -> None:
        """The price of touching `count` elements."""
        self.spend(1 + (count >> 4))

    def spend_comparisons(self, count: int) -> None:
        """The price of comparing `count` elements one by one."""
        self.spend(1 + (count >> 2))


class Scope:
    """Names of one level and the level around it."""

    __slots__ = ("meter", "names", "parent")

    def __init__(self, names: dict[str, object], meter: Meter, parent: Scope | None = None) -> None:
        self.names = names
        self.meter = meter
        self.parent = parent

    def find(self, name: str) -> object:
        """The value of `name` in this scope or the nearest around it, or `MISSING`."""
        scope: Scope | None = self
        while scope is not None:
            value = scope.names.get(name, MISSING)
            if value is not MISSING:
                return value
            scope = scope.parent
        return MISSING

    def all_steps(self) -> dict[str, object]:
        """`steps` as one object, for the rare expression that takes it whole."""
        return {
            name[len(STEP_PREFIX) :]: value for name, value in self._merged().items() if name.startswith(STEP_PREFIX)
        }

    def all_outputs(self) -> dict[str, object]:
        """`ctx` as one object: outputs and names that were set, without the contexts."""
        merged = self._merged()
        return {name: value for name, value in merged.items() if name not in CONTEXTS and "." not in name}

    def _merged(self) -> dict[str, object]:
        merged: dict[str, object] = {}
        scope: Scope | None = self
        while scope is not None:
            merged = scope.names | merged
            scope = scope.parent
        return merged
