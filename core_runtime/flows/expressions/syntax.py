"""The shape of an expression after parsing: small frozen values, nothing in them can run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A use of a name: `steps.a.b` has name `steps` and key `a`. `optional` if a `?` or `default` covers it."""

    name: str
    key: str | None
    optional: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: object


@dataclass(frozen=True, slots=True)
class Name:
    """A name at the start of a path."""

    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """Accessors up to a `?` (then `optional`) or to the end of the path: keys as text, indexes as syntax."""

    accessors: tuple[str | Syntax, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A base with accessors behind it."""

    base: Syntax
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    function: str
    arguments: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Negative:
    """Unary minus."""

    operand: Syntax


@dataclass(frozen=True, slots=True)
class Not:
    """Logical not."""

    operand: Syntax


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`first` and then pairs of operator and operand, from left to right."""

    first: Syntax
    rest: tuple[tuple[str, Syntax], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; chains are refused by the parser."""

    operator: str
    left: Syntax
    right: Syntax


@dataclass(frozen=True, slots=True)
class Logic:
    """`and` or `or` over two or more operands."""

    operator: str
    operands: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`value if condition else other`."""

    condition: Syntax
    value: Syntax
    other: Syntax


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """`{"key": a}`."""

    items: tuple[tuple[str, Syntax], ...]


Syntax = Literal | Name | Path | Call | Negative | Not | Arithmetic | Comparison | Logic | Choice | ListOf | ObjectOf


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression, the names that it uses, how many operations it has, and where its text ends."""

    syntax: Syntax
    references: tuple[Reference, ...]
    operations: int
    end: int
