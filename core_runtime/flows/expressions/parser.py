"""Tokens to syntax: recursive descent with its own depth and operation counts, so that no text can exhaust the stack.

Refused on purpose: comparison chains (`a == b == c` means different things to different readers), assignments, filters,
attribute calls, lambdas and loops. An unknown operator makes the flow invalid at load, never "false" at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from core_runtime.flows.expressions.errors import ExpressionSyntaxError
from core_runtime.flows.expressions.functions import FUNCTIONS
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
    Parsed,
    Path,
    Reference,
    Syntax,
)
from core_runtime.flows.expressions.tokens import Token, token_at, unquoted
from core_runtime.flows.limits import EXPRESSION_DEPTH, EXPRESSION_OPERATIONS, MAX_INTEGER

_Item = TypeVar("_Item")
_CONSTANTS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_FOREIGN: Final = {
    "&&": "`and`",
    "||": "`or`",
    "!": "`not`",
    "=": "`==`",
    "|": "a function, such as upper(x)",
    "&": "`and`",
    "**": "`*`",
    "//": "`/`",
}
_FOREIGN_WORDS: Final = {"True": "true", "False": "false", "None": "null", "AND": "and", "OR": "or", "NOT": "not"}


class Parser:
    """Parses one expression that starts at `offset`; with `closed` it ends at the `}` of `${...}`."""

    def __init__(self, source: str, offset: int = 0, *, closed: bool = False) -> None:
        self._source = source
        self._closed = closed
        self._token = token_at(source, offset)
        self._depth = 0
        self._operations = 0
        self._lenient = 0
        self._references: list[Reference] = []

    def parse(self) -> Parsed:
        """The whole expression. Raises `ExpressionSyntaxError`."""
        if self._token.kind == "end" or self._is("}"):
            raise ExpressionSyntaxError("The expression is empty.", self._token.offset, expected="a name or a value")
        syntax = self._expression()
        token = self._token
        if self._closed and token.text != "}":
            raise self._unexpected("the closing `}`" if token.kind == "end" else "an operator or the closing `}`")
        if not self._closed and token.kind != "end":
            raise self._unexpected("an operator or the end")
        return Parsed(syntax, tuple(self._references), self._operations, token.end)

    def _advance(self) -> Token:
        token = self._token
        self._token = token_at(self._source, token.end)
        return token

    def _is(self, text: str) -> bool:
        return self._token.text == text and self._token.kind in {"operator", "keyword"}

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._advance()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected(f"`{text}`")

    def _unexpected(self, expected: str) -> ExpressionSyntaxError:
        token = self._token
        if token.kind == "end":
            return ExpressionSyntaxError("The expression ends too early.", token.offset, expected=expected)
        if token.kind == "operator" and token.text in _FOREIGN:
            expected = _FOREIGN[token.text]
        return ExpressionSyntaxError(f"`{token.text[:40]}` is not expected here.", token.offset, expected=expected)

    def _count(self) -> None:
        self._operations += 1
        if self._operations > EXPRESSION_OPERATIONS:
            raise ExpressionSyntaxError(
                "The expression has too many operations.", self._token.offset, expected="at most 10,000"
            )

    def _deeper(self, parse: Callable[[], Syntax]) -> Syntax:
        self._depth += 1
        if self._depth > EXPRESSION_DEPTH:
            raise ExpressionSyntaxError(
                "The expression is nested too deep.", self._token.offset, expected=f"at most {EXPRESSION_DEPTH} levels"
            )
        try:
            return parse()
        finally:
            self._depth -= 1

    def _expression(self) -> Syntax:
        return self._deeper(self._choice)

    def _choice(self) -> Syntax:
        value = self._logic("or", lambda: self._logic("and", self._negation))
        if not self._accept("if"):
            return value
        self._count()
        condition = self._logic("or", lambda: self._logic("and", self._negation))
        self._expect("else")
        return Choice(condition, value, self._expression())

    def _logic(self, word: str, operand: Callable[[], Syntax]) -> Syntax:
        first = operand()
        if not self._is(word):
            return first
        operands = [first]
        while self._accept(word):
            self._count()
            operands.append(operand())
        return Logic(word, tuple(operands))

    def _negation(self) -> Syntax:
        if self._accept("not"):
            self._count()
            return Not(self._deeper(self._negation))
        return self._comparison()

    def _operator(self) -> str | None:
        if self._is("not"):
            self._advance()
            self._expect("in")
            return "not in"
        return self._advance().text if self._token.text in _COMPARISONS and self._is(self._token.text) else None

    def _comparison(self) -> Syntax:
        left = self._sum()
        operator = self._operator()
        if operator is None:
            return left
        self._count()
        right = self._sum()
        offset = self._token.offset
        if self._operator() is not None:
            raise ExpressionSyntaxError("Comparisons cannot be chained.", offset, expected="`a == b and b == c`")
        if operator == "not in":
            return Not(Comparison("in", left, right))
        return Comparison(operator, left, right)

    def _sum(self) -> Syntax:
        return self._arithmetic({"+", "-"}, self._product)

    def _product(self) -> Syntax:
        return self._arithmetic({"*", "/", "%"}, self._unary)

    def _arithmetic(self, operators: set[str], operand: Callable[[], Syntax]) -> Syntax:
        first = operand()
        rest = []
        while self._token.kind == "operator" and self._token.text in operators:
            self._count()
            rest.append((self._advance().text, operand()))
        return Arithmetic(first, tuple(rest)) if rest else first

    def _unary(self) -> Syntax:
        if self._accept("-"):
            self._count()
            return Negative(self._deeper(self._unary))
        return self._postfix()

    def _postfix(self) -> Syntax:
        token = self._token
        slot = len(self._references)
        base = self._primary()
        groups: list[Group] = []
        accessors: list[str | Syntax] = []
        while True:
            if self._accept("."):
                if self._token.kind not in {"name", "keyword"}:
                    raise self._unexpected("a key")
                accessors.append(self._advance().text)
            elif self._is("["):
                self._advance()
                index = self._expression()
                self._expect("]")
                accessors.append(index)
            elif self._accept("?"):
                groups.append(Group(tuple(accessors), optional=True))
                accessors = []
            else:
                break
            self._count()
        if isinstance(base, Name):
            self._refer(
                base.name, token.offset, slot, (groups[0] if groups else Group(tuple(accessors), optional=False))
            )
        if accessors:
            groups.append(Group(tuple(accessors), optional=False))
        return Path(base, tuple(groups)) if groups or isinstance(base, Name) else base

    def _refer(self, name: str, offset: int, slot: int, group: Group) -> None:
        first = group.accessors[0] if group.accessors else None
        key = first if isinstance(first, str) else first.value if isinstance(first, Literal) else None
        optional = group.optional or self._lenient > 0
        text = key if isinstance(key, str) else None
        self._references.insert(slot, Reference(name, text, optional, offset))

    def _primary(self) -> Syntax:
        self._count()
        token = self._token
        if token.kind == "number":
            return Literal(self._number(self._advance()))
        if token.kind == "text":
            return Literal(unquoted(self._advance()))
        if token.kind == "keyword" and token.text in _CONSTANTS:
            return Literal(_CONSTANTS[self._advance().text])
        if token.kind == "name":
            return self._name_or_call()
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return inner
        if self._accept("["):
            return ListOf(tuple(self._items("]", lambda _: self._expression())))
        if self._accept("{"):
            return ObjectOf(tuple(self._items("}", self._pair)))
        raise self._unexpected("a name or a value")

    def _number(self, token: Token) -> int | float:
        if not token.text.isdigit():
            value = float(token.text)
            if value - value == 0:
                return value
        elif len(token.text) <= 30 and int(token.text) <= MAX_INTEGER:
            return int(token.text)
        raise ExpressionSyntaxError("The number is too large.", token.offset, expected="one of 64 bits")

    def _name_or_call(self) -> Syntax:
        token = self._advance()
        if not self._is("("):
            if token.text in _FOREIGN_WORDS:
                raise ExpressionSyntaxError(
                    f"Unknown name `{token.text}`.", token.offset, f"`{_FOREIGN_WORDS[token.text]}`"
                )
            return Name(token.text)
        function = FUNCTIONS.get(token.text)
        if function is None:
            raise ExpressionSyntaxError(
                f"Unknown function `{token.text}`.", token.offset, name=token.text, known=tuple(FUNCTIONS)
            )
        self._advance()
        arguments = self._items(")", lambda index: self._argument(lenient=token.text == "default" and index == 0))
        if not function.least <= len(arguments) <= function.most:
            raise ExpressionSyntaxError(
                f"`{token.text}` is given {len(arguments)} values.", token.offset, expected=function.usage
            )
        return Call(token.text, tuple(arguments))

    def _argument(self, *, lenient: bool) -> Syntax:
        self._lenient += lenient
        try:
            return self._expression()
        finally:
            self._lenient -= lenient

    def _items(self, closing: str, parse: Callable[[int], _Item]) -> list[_Item]:
        items: list[_Item] = []
        if self._accept(closing):
            return items
        while True:
            items.append(parse(len(items)))
            if self._accept(closing):
                return items
            self._expect(",")
            if self._accept(closing):
                return items

    def _pair(self, _index: int) -> tuple[str, Syntax]:
        if self._token.kind != "text":
            raise self._unexpected("a key in quotes")
        key = unquoted(self._advance())
        self._expect(":")
        return key, self._expression()
