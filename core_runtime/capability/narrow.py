"""Narrowing: what two levels of the hierarchy both allow. Pure, and it can only ever take away.

Both sides are configurations after defaults, so they have the same keys. Lists meet in their intersection (patterns in
the narrower one), numbers in the minimum, booleans in AND, objects key by key; strings must be equal; a difference of
type denies. There is no value that widens: a property test holds that against generated configurations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core_runtime.capability.globs import EVERYTHING, any_covers, intersect


class NarrowingRefused(Exception):
    """The two levels have nothing in common. `pointer` is a JSON pointer into the configuration."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer or '/'}: {why}")
        self.pointer = pointer
        self.why = why


def narrow(upper: Mapping[str, object], lower: Mapping[str, object], pointer: str = "") -> dict[str, object]:
    """The configuration that both levels allow. Raises `NarrowingRefused`."""
    if upper.keys() != lower.keys():
        odd = min(upper.keys() ^ lower.keys())
        raise NarrowingRefused(f"{pointer}/{odd}", "one level has this key and the other has not")
    return {key: _meet(upper[key], lower[key], f"{pointer}/{key}") for key in lower}


def within(wanted: object, ceiling: object) -> bool:
    """True if `wanted` allows nothing that `ceiling` does not. Same types and rules as `narrow`."""
    kind = _kind(wanted)
    if kind == "other" or kind != _kind(ceiling):
        return False
    if isinstance(wanted, Mapping) and isinstance(ceiling, Mapping):
        return wanted.keys() == ceiling.keys() and all(within(wanted[key], ceiling[key]) for key in wanted)
    if kind == "list":
        return all(_holds(_list(ceiling), item) for item in _list(wanted))
    if kind == "number":
        return _number(wanted) <= _number(ceiling)
    if kind == "boolean":
        return bool(ceiling) or not wanted
    return wanted == ceiling


def _meet(upper: object, lower: object, pointer: str) -> object:
    kind = _kind(lower)
    if kind == "other" or kind != _kind(upper):
        raise NarrowingRefused(pointer, "the levels have different types")
    if isinstance(upper, Mapping) and isinstance(lower, Mapping):
        return narrow(upper, lower, pointer)
    if kind == "list":
        return _meet_lists(_list(upper), _list(lower))
    if kind == "boolean":
        return bool(upper) and bool(lower)
    if kind == "number":
        return upper if _number(upper) <= _number(lower) else lower
    if upper != lower:
        raise NarrowingRefused(pointer, "the levels name different values")
    return lower


def _meet_lists(upper: Sequence[object], lower: Sequence[object]) -> list[object]:
    if all(isinstance(item, str) for item in (*upper, *lower)):
        return list(intersect([str(item) for item in upper], [str(item) for item in lower]))
    if EVERYTHING in upper:
        return list(lower)
    if EVERYTHING in lower:
        return list(upper)
    return [item for item in lower if _holds(upper, item)]


def _holds(items: Sequence[object], wanted: object) -> bool:
    if isinstance(wanted, str):
        return any_covers(items, wanted)
    return EVERYTHING in items or any(type(item) is type(wanted) and item == wanted for item in items)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list | tuple):
        return "list"
    return "null" if value is None else "other"


def _number(value: object) -> float | int:
    return value if isinstance(value, int | float) else math.nan


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
