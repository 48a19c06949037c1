"""What operators do to plain JSON values; every operation checks types and bounds what it makes.

`"a" * 10**9` and ever larger products end here: texts do not multiply, whole numbers stay within 64 bits, texts and
lists stay within the size of a result. Only `dict`, `list`, `str`, numbers, booleans and None are ever looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import orjson

from core_runtime.errors import TooLarge
from core_runtime.flows.expressions.errors import ExpressionError
from core_runtime.flows.expressions.scope import Meter
from core_runtime.flows.limits import EXPRESSION_RESULT, MAX_DEPTH, MAX_INTEGER, MIN_INTEGER

_SCALARS: Final = frozenset({int, float, bool, type(None)})
_COMPARED_DIRECTLY: Final = frozenset({int, float, str})
_MAX_NESTING: Final = 4 * MAX_DEPTH


def type_name(value: object) -> str:
    """The JSON type in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else "no JSON value"


def too_large(limit: int) -> TooLarge:
    """A result over its limit."""
    return TooLarge(
        f"A value is larger than {limit >> 20} MiB.", hint="Work on parts, or keep it in a store of a pack."
    )


def bounded_text(text: str, limit: int = EXPRESSION_RESULT) -> str:
    """`text` if it is within `limit` characters."""
    if len(text) > limit:
        raise too_large(limit)
    return text


def weigh(value: object, limit: int) -> int:
    """About the number of characters of the value's JSON, shared parts counted as often as they stand somewhere.

    Stops and raises `TooLarge` as soon as `limit` is passed, so the price is bounded whatever the value is.
    """
    kind = type(value)
    if kind is str:
        total = len(value) + 2  # type: ignore[arg-type]
    elif kind in _SCALARS:
        return 4
    else:
        total = _weigh_container(value, limit)
    if total > limit:
        raise too_large(limit)
    return total


def _weigh_container(value: object, limit: int) -> int:
    total = 2
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        current, depth = stack.pop()
        if depth > _MAX_NESTING:
            raise ExpressionError(f"A value is nested more than {_MAX_NESTING} deep.")
        if isinstance(current, Mapping):
            total += sum(map(len, current)) + 4 * len(current)
            parts = current.values()
        elif isinstance(current, list | tuple):
            total += len(current)
            parts = current  # type: ignore[assignment]
        else:
            raise ExpressionError("A value is no JSON value.")
        for part in parts:
            kind = type(part)
            if kind is str:
                total += len(part) + 2
            elif kind in _SCALARS:
                total += 4
            else:
                total += 2
                stack.append((part, depth + 1))
        if total > limit:
            raise too_large(limit)
    return total


def to_text(value: object) -> str:
    """A text as it is; anything else as compact JSON."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    return to_json(value)


def to_json(value: object) -> str:
    """Compact JSON, keys in their order. Raises `ExpressionError` for what has none."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        raise ExpressionError("The value has no JSON form.") from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def is_number(value: object) -> bool:
    """True for a JSON number; booleans are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: object, right: object, meter: Meter) -> bool:
    """JSON equality: 1 equals 1.0, true does not equal 1; bounded by fuel, not by the stack."""
    stack = [(left, right)]
    while stack:
        one, other = stack.pop()
        if type(one) in _COMPARED_DIRECTLY and type(other) in _COMPARED_DIRECTLY:
            if one != other:
                return False
        elif isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
            if one is not other:
                return False
        elif isinstance(one, Mapping) and isinstance(other, Mapping):
            if one.keys() != other.keys():
                return False
            meter.spend_comparisons(len(one))
            stack.extend((one[key], other[key]) for key in one)
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return False
            meter.spend_comparisons(len(one))
            stack.extend(zip(one, other, strict=True))
        elif one != other or type_name(one) != type_name(other):
            return False
    return True


def contains(item: object, container: object, meter: Meter) -> bool:
    """`item in container`: a part of a text, an element of a list, a key of an object."""
    if isinstance(container, str) and isinstance(item, str):
        meter.spend_text(len(container))
        return item in container
    if isinstance(container, Mapping):
        return isinstance(item, str) and item in container
    if isinstance(container, list | tuple):
        if isinstance(item, str):
            meter.spend_items(len(container))
            return item in container
        meter.spend_comparisons(len(container))
        return any(equal(item, element, meter) for element in container)
    raise ExpressionError(f"`in` needs a list, an object or a text on its right, not {type_name(container)}.")


def ordered(operator: str, left: object, right: object) -> bool:
    """`< <= > >=` between two numbers or two texts."""
    comparable = (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))
    if not comparable:
        raise ExpressionError(
            f"`{operator}` needs two numbers or two texts, not {type_name(left)} and {type_name(right)}."
        )
    return bool(_ORDER[operator](left, right))


_ORDER: Final[dict[str, Callable[[object, object], object]]] = {
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}


def add(left: object, right: object, meter: Meter) -> object:
    """Numbers are added, texts and lists are joined."""
    if is_number(left) and is_number(right):
        return finite(left + right)  # type: ignore[operator]
    if isinstance(left, str) and isinstance(right, str):
        meter.spend_text(len(left) + len(right))
        return bounded_text(left + right)
    if isinstance(left, list) and isinstance(right, list):
        meter.spend_items(len(left) + len(right))
        return [*left, *right]
    raise ExpressionError(
        f"`+` needs two numbers, two texts or two lists, not {type_name(left)} and {type_name(right)}."
    )


def calculate(operator: str, left: object, right: object, meter: Meter) -> object:
    """One step of arithmetic."""
    if operator == "+":
        return add(left, right, meter)
    if not (is_number(left) and is_number(right)):
        raise ExpressionError(f"`{operator}` needs two numbers, not {type_name(left)} and {type_name(right)}.")
    finite(left), finite(right)
    try:
        return finite(_ARITHMETIC[operator](left, right))
    except ZeroDivisionError:
        raise ExpressionError(f"`{operator}` by zero.") from None
    except OverflowError:
        raise ExpressionError("The number is too large.") from None


def _divide(left: object, right: object) -> object:
    if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
        return left // right
    return left / right  # type: ignore[operator]


_ARITHMETIC: Final[dict[str, Callable[[object, object], object]]] = {
    "-": lambda a, b: a - b,  # type: ignore[operator]
    "*": lambda a, b: a * b,  # type: ignore[operator]
    "/": _divide,
    "%": lambda a, b: a % b,  # type: ignore[operator]
}


def finite(value: object) -> object:
    """A number that JSON and 64 bits can hold. Raises `ExpressionError` for any other."""
    if isinstance(value, int):
        if MIN_INTEGER <= value <= MAX_INTEGER:
            return value
    elif isinstance(value, float) and value - value == 0:
        return value
    raise ExpressionError("The number is too large.", hint="Whole numbers have 64 bits, others are finite.")
