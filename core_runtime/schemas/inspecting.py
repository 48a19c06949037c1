"""A schema before it is accepted: everything that could not be bounded later is refused here, all reasons at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from core_runtime.schemas.answers import SchemaProblem, escaped
from core_runtime.schemas.patterns import LinearPattern, PatternRefused

MAX_SCHEMA_NODES: Final = 5_000
MAX_SCHEMA_DEPTH: Final = 32
MAX_SCHEMA_CHARACTERS: Final = 262_144
MAX_ENUM: Final = 1_000
MAX_EXPANDED: Final = 20_000
MAX_PATTERN_STATES: Final = 10_000
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

REFUSED_KEYWORDS: Final = {
    "$dynamicRef": "use a local $ref",
    "$dynamicAnchor": "use $defs and a local $ref",
    "$recursiveRef": "use a local $ref",
    "$recursiveAnchor": "use $defs and a local $ref",
    "$anchor": "use $defs and a local $ref",
    "$vocabulary": "leave it out",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
}
_ONE: Final = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "contentSchema"}
)
_MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


def inspect_schema(schema: object) -> tuple[list[SchemaProblem], dict[str, LinearPattern]]:
    inspector = _Inspector()
    try:
        inspector.bound(schema)
        inspector.visit(schema, "")
        if not inspector.problems:
            inspector.expand(schema)
    except _Enough:
        pass
    return inspector.problems, inspector.patterns


class _Enough(Exception):
    """Looking further would cost too much; the problem is noted."""


class _Inspector:
    """Walks a schema once and notes whatever could not be bounded later."""

    def __init__(self) -> None:
        self.problems: list[SchemaProblem] = []
        self.patterns: dict[str, LinearPattern] = {}
        self.states = 0
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        self._root: object = None
        self._visited: set[int] = set()

    def bound(self, schema: object) -> None:
        """Size and depth, over everything in it."""
        nodes = characters = 0
        stack = [(schema, 1)]
        while stack:
            current, depth = stack.pop()
            if isinstance(current, str):
                characters += len(current)
            elif isinstance(current, Mapping | list):
                nodes += len(current)
                if isinstance(current, Mapping) and nodes <= MAX_SCHEMA_NODES:
                    characters += sum(len(str(key)) for key in current)
                if nodes <= MAX_SCHEMA_NODES:
                    parts = current.values() if isinstance(current, Mapping) else current
                    stack.extend((item, depth + 1) for item in parts)
            if nodes > MAX_SCHEMA_NODES or characters > MAX_SCHEMA_CHARACTERS or depth > MAX_SCHEMA_DEPTH:
                self._note("", f"larger than {MAX_SCHEMA_NODES} values or nested more than {MAX_SCHEMA_DEPTH} deep")
                raise _Enough

    def _note(self, pointer: str, message: str) -> None:
        self.problems.append(SchemaProblem(pointer, message))

    def visit(self, schema: object, pointer: str) -> None:
        """One subschema."""
        if isinstance(schema, bool):
            return
        if not isinstance(schema, Mapping):
            self._note(pointer, "a schema is an object, true or false")
            return
        self._visited.add(id(schema))
        for key, value in schema.items():
            self._keyword(str(key), value, pointer)
        for child, where in _children(schema):
            self.visit(child, f"{pointer}/{where}")

    def _keyword(self, key: str, value: object, pointer: str) -> None:
        where = f"{pointer}/{escaped(key)}"
        if key in REFUSED_KEYWORDS:
            self._note(where, f"{key} is not to be had here: {REFUSED_KEYWORDS[key]}")
        elif key == "$ref" and not (isinstance(value, str) and (value == "#" or value.startswith("#/"))):
            self._note(where, "only local references (#/...) are followed")
        elif key == "$id":
            self._note(where, "$id is refused: it would change what a $ref means")
        elif key == "$schema" and str(value).rstrip("#") != DIALECT:
            self._note(where, f"only Draft 2020-12 is spoken ({DIALECT})")
        elif key == "enum" and isinstance(value, list) and len(value) > MAX_ENUM:
            self._note(where, f"more than {MAX_ENUM} values")
        elif key == "pattern" and isinstance(value, str):
            self._pattern(value, where)
        elif key == "patternProperties" and isinstance(value, Mapping):
            for text in value:
                self._pattern(str(text), f"{where}/{escaped(str(text))}")

    def _pattern(self, text: str, where: str) -> None:
        if text in self.patterns:
            return
        try:
            self.patterns[text] = pattern = LinearPattern(text)
        except PatternRefused as error:
            self._note(where, f"the pattern is refused: {error}")
            return
        self.states += pattern.size
        if self.states > MAX_PATTERN_STATES:
            self._note(where, f"all patterns together have more than {MAX_PATTERN_STATES} states")
            raise _Enough

    def expand(self, schema: object) -> None:
        """Refuse recursion of references and schemas that grow too large once their references are followed."""
        self._root = schema
        if self._size(schema) > MAX_EXPANDED:
            self._note("", f"more than {MAX_EXPANDED} rules once its references are followed")

    def _size(self, schema: object) -> int:
        if not isinstance(schema, Mapping):
            return 1
        known = self._sizes.get(id(schema))
        if known is not None:
            return known
        if id(schema) in self._open:
            self._note("", "a $ref leads back to itself: recursive schemas are refused")
            raise _Enough
        self._open.add(id(schema))
        total = 1 + len(schema)
        for child, where in _children(schema):
            if not where.startswith(("$defs/", "definitions/")):
                total += self._size(child)
        if "$ref" in schema:
            total += self._size(self._target(str(schema["$ref"])))
        self._open.discard(id(schema))
        self._sizes[id(schema)] = total
        return total

    def _target(self, reference: str) -> object:
        current = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(current, Mapping) and key in current:
                current = current[key]
            elif isinstance(current, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(current):
                current = current[int(key)]
            else:
                self._note("", f"$ref {reference[:80]!r} leads nowhere")
                raise _Enough
        if not isinstance(current, bool) and id(current) not in self._visited:
            self._note("", f"$ref {reference[:80]!r} leads to no schema")
            raise _Enough
        return current


def _children(schema: Mapping[str, object]) -> Iterator[tuple[object, str]]:
    for key, value in schema.items():
        if key in _ONE:
            yield value, key
        elif key in _MANY and isinstance(value, list):
            yield from ((item, f"{key}/{index}") for index, item in enumerate(value))
        elif key in _NAMED and isinstance(value, Mapping):
            yield from ((item, f"{key}/{escaped(str(name))}") for name, item in value.items())
