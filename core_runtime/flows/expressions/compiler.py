"""Syntax to closures, once at load. A closure takes a `Scope` and gives a plain JSON value; it holds nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from core_runtime.flows.expressions.errors import ExpressionError, MissingName
from core_runtime.flows.expressions.functions import FUNCTIONS
from core_runtime.flows.expressions.scope import MISSING, STEP_PREFIX, Scope
from core_runtime.flows.expressions.syntax import (
    Arithmetic,
    Call,
    Choice,
    Comparison,
    Group,
    ListOf,
    Literal,
    Logic,
    Name,
    Negative,
    Not,
    ObjectOf,
    Path,
    Syntax,
)
from core_runtime.flows.expressions.values import calculate, contains, equal, ordered, type_name

Evaluator = Callable[[Scope], object]
_Access = tuple[str, "str | Evaluator"]


def compile_syntax(syntax: Syntax) -> Evaluator:
    """The closure of one expression."""
    return _COMPILERS[type(syntax)](syntax)


def _literal(syntax: Literal) -> Evaluator:
    value = syntax.value
    return lambda _scope: value


def _name(syntax: Name) -> Evaluator:
    return lookup(syntax.name)


def lookup(name: str) -> Evaluator:
    """Read one name; `steps` and `ctx` as whole objects are put together on demand."""
    if name == "steps":
        return Scope.all_steps
    if name == "ctx":
        return Scope.all_outputs

    def read(scope: Scope) -> object:
        value = scope.names.get(name, MISSING)
        if value is MISSING:
            value = scope.find(name)
            if value is MISSING:
                raise MissingName(name.removeprefix(STEP_PREFIX), "steps" if name.startswith(STEP_PREFIX) else "")
        return value

    return read


def member(value: object, key: object, where: str) -> object:
    """The element of an object or list; nothing else has elements. Raises `MissingName`."""
    if isinstance(key, str):
        if isinstance(value, Mapping):
            found = value.get(key, MISSING)
            if found is not MISSING:
                return found
    elif isinstance(key, int) and not isinstance(key, bool):
        if isinstance(value, list | tuple) and -len(value) <= key < len(value):
            return value[key]
    else:
        raise ExpressionError(f"An index is a number or a text, not {type_name(key)}.")
    raise MissingName((key if isinstance(key, str) else f"[{key}]")[:80], where)


def _path(syntax: Path) -> Evaluator:
    base, groups = _base(syntax.base, syntax.groups)
    where = syntax.base.name if isinstance(syntax.base, Name) else "the value"
    if not groups:
        return base
    if len(groups) == 1 and not groups[0].optional:
        return _walk(base, _accessors(groups[0], where))
    parts = []
    for group in groups:
        parts.append((_accessors(group, where), group.optional))
        where = ".".join([where, *(_shown(item) for item in group.accessors)])

    def read(scope: Scope) -> object:
        source = base
        value: object = None
        for accessors, optional in parts:
            try:
                value = source(scope)
                for place, accessor in accessors:
                    value = member(value, accessor if isinstance(accessor, str) else accessor(scope), place)
            except MissingName:
                if optional:
                    return None
                raise
            if optional and value is None:
                return None
            source = _constant(value)
        return value

    return read


def _constant(value: object) -> Evaluator:
    return lambda _scope: value


def _base(base: Syntax, groups: tuple[Group, ...]) -> tuple[Evaluator, tuple[Group, ...]]:
    """`steps.x` and `ctx.x` are single names underneath."""
    if isinstance(base, Name) and base.name in {"steps", "ctx"} and groups and groups[0].accessors:
        first, *rest = groups[0].accessors
        key = first.value if isinstance(first, Literal) else first
        if isinstance(key, str):
            name = STEP_PREFIX + key if base.name == "steps" else key
            return lookup(name), (Group(tuple(rest), groups[0].optional), *groups[1:])
    return compile_syntax(base), groups


def _shown(accessor: str | Syntax) -> str:
    return accessor if isinstance(accessor, str) else "[...]"


def _accessors(group: Group, where: str) -> list[_Access]:
    found: list[_Access] = []
    for item in group.accessors:
        found.append((where, item if isinstance(item, str) else compile_syntax(item)))
        where = f"{where}.{_shown(item)}"
    return found


def _walk(base: Evaluator, accessors: list[_Access]) -> Evaluator:
    if not accessors:
        return base
    if len(accessors) == 1 and isinstance(accessors[0][1], str):
        return _one_key(base, accessors[0][1], accessors[0][0])

    def walk(scope: Scope) -> object:
        value = base(scope)
        for where, accessor in accessors:
            value = member(value, accessor if isinstance(accessor, str) else accessor(scope), where)
        return value

    return walk


def _one_key(base: Evaluator, key: str, where: str) -> Evaluator:
    def read(scope: Scope) -> object:
        value = base(scope)
        if type(value) is dict and key in value:
            return value[key]
        return member(value, key, where)

    return read


def _call(syntax: Call) -> Evaluator:
    function = FUNCTIONS[syntax.function].call
    arguments = [compile_syntax(argument) for argument in syntax.arguments]
    if syntax.function == "default":
        return _default(*arguments)
    if len(arguments) == 1:
        only = arguments[0]
        return lambda scope: function(scope.meter, only(scope))
    return lambda scope: function(scope.meter, *(argument(scope) for argument in arguments))


def _default(value: Evaluator, fallback: Evaluator) -> Evaluator:
    def evaluate(scope: Scope) -> object:
        try:
            found = value(scope)
        except MissingName:
            found = None
        return fallback(scope) if found is None else found

    return evaluate


def _negative(syntax: Negative) -> Evaluator:
    operand = compile_syntax(syntax.operand)
    return lambda scope: calculate("-", 0, operand(scope), scope.meter)


def _not(syntax: Not) -> Evaluator:
    operand = compile_syntax(syntax.operand)
    return lambda scope: not operand(scope)


def _arithmetic(syntax: Arithmetic) -> Evaluator:
    first = compile_syntax(syntax.first)
    rest = [(operator, compile_syntax(operand)) for operator, operand in syntax.rest]

    def evaluate(scope: Scope) -> object:
        value = first(scope)
        for operator, operand in rest:
            value = calculate(operator, value, operand(scope), scope.meter)
        return value

    return evaluate


def _comparison(syntax: Comparison) -> Evaluator:
    left, right, operator = compile_syntax(syntax.left), compile_syntax(syntax.right), syntax.operator
    if operator == "==":
        return lambda scope: equal(left(scope), right(scope), scope.meter)
    if operator == "!=":
        return lambda scope: not equal(left(scope), right(scope), scope.meter)
    if operator == "in":
        return lambda scope: contains(left(scope), right(scope), scope.meter)
    return lambda scope: ordered(operator, left(scope), right(scope))


def _logic(syntax: Logic) -> Evaluator:
    operands = [compile_syntax(operand) for operand in syntax.operands]
    stops_at = syntax.operator == "or"

    def evaluate(scope: Scope) -> object:
        value: object = None
        for operand in operands:
            value = operand(scope)
            if bool(value) is stops_at:
                break
        return value

    return evaluate


def _choice(syntax: Choice) -> Evaluator:
    condition, value, other = (compile_syntax(part) for part in (syntax.condition, syntax.value, syntax.other))
    return lambda scope: value(scope) if condition(scope) else other(scope)


def _list(syntax: ListOf) -> Evaluator:
    items = [compile_syntax(item) for item in syntax.items]
    return lambda scope: [item(scope) for item in items]


def _object(syntax: ObjectOf) -> Evaluator:
    items = [(key, compile_syntax(item)) for key, item in syntax.items]
    return lambda scope: {key: item(scope) for key, item in items}


_COMPILERS: Final[dict[type, Callable[..., Evaluator]]] = {
    Literal: _literal,
    Name: _name,
    Path: _path,
    Call: _call,
    Negative: _negative,
    Not: _not,
    Arithmetic: _arithmetic,
    Comparison: _comparison,
    Logic: _logic,
    Choice: _choice,
    ListOf: _list,
    ObjectOf: _object,
}
