"""Values that may hold `${...}`: compiled once, substituted in a single pass, never evaluated again.

What an expression gives is data: a `${`, a `{{` or a `__class__` inside it stays the text that it is. `$${` writes a
literal `${`. A value that is one expression keeps its type; inside a longer text a non-text becomes JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core_runtime.clock import Clock
from core_runtime.flows.expressions.compiler import Evaluator, compile_syntax, lookup
from core_runtime.flows.expressions.errors import ExpressionError, ExpressionSyntaxError
from core_runtime.flows.expressions.parser import Parser
from core_runtime.flows.expressions.scope import STEP_PREFIX, Meter, Scope
from core_runtime.flows.expressions.syntax import Group, Literal, Name, Parsed, Path, Reference, Syntax
from core_runtime.flows.expressions.values import bounded_text, to_text, weigh
from core_runtime.flows.limits import EXPRESSION_OPERATIONS, EXPRESSION_RESULT, MAX_VALUE

_SIMPLE: Final = re.compile(r"\$\{ *([a-z_][a-z0-9_]*)(?:\.([A-Za-z_][A-Za-z0-9_]*))? *\}", re.ASCII)
_RESERVED: Final = frozenset({"and", "or", "not", "in", "if", "else", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Template:
    """A value to be filled in. Without `evaluate` it is the constant `value`; `whole`: it is one single expression."""

    value: object = None
    evaluate: Evaluator | None = None
    references: tuple[Reference, ...] = ()
    operations: int = 0
    source: str = ""
    whole: bool = False

    def fill(self, scope: Scope) -> object:
        """The value in `scope`. Raises `ExpressionError`, `TooLarge`."""
        return self.value if self.evaluate is None else self.evaluate(scope)


def constant(value: object) -> Template:
    """A template without expressions."""
    return Template(value)


def compile_text(text: str) -> Template:
    """A text with any number of `${...}`. Raises `ExpressionSyntaxError` with an offset into `text`."""
    if "${" not in text:
        return Template(text)
    simple = _SIMPLE.fullmatch(text)
    if simple is not None and simple[1] not in _RESERVED:
        return _simple(text, simple[1], simple[2])
    parts = _parts(text)
    expressions = [part for part in parts if isinstance(part, Parsed)]
    if not expressions:
        return Template("".join(part for part in parts if isinstance(part, str)))
    operations = sum(part.operations for part in expressions)
    references = tuple(reference for part in expressions for reference in part.references)
    if len(parts) == 1:
        evaluate = _whole(expressions[0], text)
    else:
        evaluate = _joined([part if isinstance(part, str) else _whole(part, text) for part in parts])
    return Template(None, evaluate, references, operations, text, whole=len(parts) == 1)


def _simple(text: str, name: str, key: str | None) -> Template:
    """`${name}` and `${name.key}`, most of what is written, without a parser."""
    references = (Reference(name, key, optional=False, offset=2),)
    if key is None:
        evaluate = lookup(name)
    elif name == "steps":
        evaluate = lookup(STEP_PREFIX + key)
    elif name == "ctx":
        evaluate = lookup(key)
    else:
        evaluate = compile_syntax(Path(Name(name), (Group((key,), optional=False),)))
    return Template(None, _explained(evaluate, text), references, 2, text, whole=True)


def _parts(text: str) -> list[str | Parsed]:
    parts: list[str | Parsed] = []
    position = 0
    while True:
        start = text.find("${", position)
        if start < 0:
            break
        if start > 0 and text[start - 1] == "$":
            parts.append(text[position : start - 1] + "${")
            position = start + 2
            continue
        if start > position:
            parts.append(text[position:start])
        parsed = Parser(text, start + 2, closed=True).parse()
        parts.append(parsed)
        position = parsed.end
    if position < len(text):
        parts.append(text[position:])
    return parts


def _whole(parsed: Parsed, source: str) -> Evaluator:
    evaluate = compile_syntax(parsed.syntax)
    if _is_lookup(parsed.syntax):
        return _explained(evaluate, source)

    def metered(scope: Scope) -> object:
        scope.meter.left = scope.meter.allowance
        scope.meter.spend(parsed.operations)
        value = evaluate(scope)
        weigh(value, EXPRESSION_RESULT)
        return value

    return _explained(metered, source)


def _is_lookup(syntax: Syntax) -> bool:
    """True for a plain path: it makes nothing new and costs next to nothing, so it needs no meter."""
    if not isinstance(syntax, Path):
        return isinstance(syntax, Name | Literal)
    accessors = [item for group in syntax.groups for item in group.accessors]
    return isinstance(syntax.base, Name) and all(isinstance(item, str | Literal) for item in accessors)


def _explained(evaluate: Evaluator, source: str) -> Evaluator:
    def run(scope: Scope) -> object:
        try:
            return evaluate(scope)
        except ExpressionError as error:
            if "expression" not in error.details:
                error.details["expression"] = source[:200]
            raise

    return run


def _joined(parts: list[str | Evaluator]) -> Evaluator:
    def run(scope: Scope) -> object:
        return bounded_text("".join([part if isinstance(part, str) else to_text(part(scope)) for part in parts]))

    return run


def mapping_of(items: Mapping[str, Template]) -> Template:
    """An object of templates."""
    if all(item.evaluate is None for item in items.values()):
        return Template({key: item.value for key, item in items.items()})
    pairs = [(key, item.evaluate, item.value) for key, item in items.items()]

    def build(scope: Scope) -> object:
        return {key: value if evaluate is None else evaluate(scope) for key, evaluate, value in pairs}

    return _composed(build, list(items.values()))


def sequence_of(items: list[Template]) -> Template:
    """A list of templates."""
    if all(item.evaluate is None for item in items):
        return Template([item.value for item in items])
    pairs = [(item.evaluate, item.value) for item in items]

    def build(scope: Scope) -> object:
        return [value if evaluate is None else evaluate(scope) for evaluate, value in pairs]

    return _composed(build, items)


def _composed(build: Evaluator, items: list[Template]) -> Template:
    references = tuple(reference for item in items for reference in item.references)
    return Template(None, build, references, sum(item.operations for item in items))


def weighed(template: Template) -> Template:
    """The template as a whole value of a step: an object or list that it builds is at most 4 MiB.

    Without this, `{a: [x, x]}` over and over would make a value whose JSON doubles with every step.
    """
    build = template.evaluate
    if build is None or template.source:
        return template

    def run(scope: Scope) -> object:
        value = build(scope)
        weigh(value, MAX_VALUE)
        return value

    return Template(None, run, template.references, template.operations)


@dataclass(frozen=True, slots=True)
class Expression:
    """One bare expression, without `${}` around it, for rules outside of flows."""

    text: str
    evaluate_in: Evaluator
    references: tuple[Reference, ...]

    def evaluate(self, names: Mapping[str, object], clock: Clock, *, operations: int = EXPRESSION_OPERATIONS) -> object:
        """Its value over `names`, for at most so many operations. Raises `ExpressionError`, `TooLarge`."""
        return self.evaluate_in(Scope(dict(names), Meter(clock, operations)))


def compile_expression(text: str) -> Expression:
    """A bare expression or one in `${}`. Raises `ExpressionSyntaxError`."""
    stripped = text.strip()
    if stripped.startswith("${"):
        parsed = Parser(stripped, 2, closed=True).parse()
        if parsed.end != len(stripped):
            raise ExpressionSyntaxError("There is text behind the expression.", parsed.end, expected="the end")
    else:
        parsed = Parser(stripped).parse()
    return Expression(stripped, _whole(parsed, stripped), parsed.references)
