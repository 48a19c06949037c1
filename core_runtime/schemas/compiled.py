"""Accepting a schema and applying it, both in bounded time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Final

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.schemas.answers import SchemaProblem, message_of, pointer_of
from core_runtime.schemas.inspecting import inspect_schema
from core_runtime.schemas.keywords import OutOfTime, deadline, keywords
from core_runtime.schemas.patterns import LinearPattern, PatternTooCostly

MAX_DATA_NODES: Final = 100_000
MAX_DATA_CHARACTERS: Final = 4_194_304
MAX_DATA_DEPTH: Final = 128
MAX_ANSWERS: Final = 20
ON_LOOP_SECONDS: Final = 0.03
_PLAIN: Final = frozenset({int, float, bool, type(None)})


Schema = Mapping[str, object] | bool


class CompiledSchema:
    """A schema that was accepted. Thread-safe. `cost` is its size: values and states of its patterns."""

    __slots__ = ("_patterns", "_validator", "cost", "schema")

    def __init__(self, schema: Schema, patterns: dict[str, LinearPattern]) -> None:
        self.schema = schema
        self.cost = measure(schema) + sum(pattern.size for pattern in patterns.values())
        self._patterns = patterns
        validator_class = _validator_class(patterns) if patterns else _plain_class()
        self._validator: Validator = validator_class(schema, registry=referencing.Registry())

    def problems(self, value: object, *, seconds: float = ON_LOOP_SECONDS) -> list[SchemaProblem]:
        """What is wrong with `value`, at most 20 answers; raises `TooLarge` if it is too much to be checked in time."""
        measure(value)
        token = deadline.set(time.monotonic() + seconds)
        try:
            return self._collect(value)
        except (OutOfTime, PatternTooCostly):
            raise TooLarge(
                "The data is too much for its schema to be checked in time.", hint="Send less, or simplify the schema."
            ) from None
        except RecursionError:
            raise TooLarge("The data is nested too deep for its schema.") from None
        finally:
            deadline.reset(token)

    def check(self, value: object, *, what: str = "The input", seconds: float = ON_LOOP_SECONDS) -> None:
        """Raise `ValidationFailed` with every problem in `details.problems`."""
        found = self.problems(value, seconds=seconds)
        if found:
            first = found[0]
            more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
            raise ValidationFailed(
                f"{what} does not fit its schema at {first.pointer or '/'}: {first.message}{more}",
                details={"problems": [{"pointer": item.pointer, "message": item.message} for item in found]},
            )

    def _collect(self, value: object) -> list[SchemaProblem]:
        answers: list[SchemaProblem] = []
        for error in self._validator.iter_errors(value):  # type: ignore[arg-type]
            answers.append(SchemaProblem(pointer_of(error.absolute_path), message_of(error)))
            if len(answers) >= MAX_ANSWERS:
                break
        return answers


def _validator_class(patterns: dict[str, LinearPattern]) -> type[Validator]:
    made: type[Validator] = extend(Draft202012Validator, keywords(patterns))  # type: ignore[no-untyped-call]
    return made


@cache
def _plain_class() -> type[Validator]:
    """The one class for all schemas without a pattern: making a class takes milliseconds."""
    return _validator_class({})


def compile_schema(schema: object) -> CompiledSchema:
    """Accept a schema. Raises `ValidationFailed` with every reason in `details.problems` (pointers into the schema)."""
    problems, patterns = inspect_schema(schema)
    if not problems:
        try:
            Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
        except SchemaError as error:
            problems = [SchemaProblem(pointer_of(error.absolute_path), message_of(error))]
    if problems or not isinstance(schema, Mapping | bool):
        listed = [{"pointer": item.pointer, "message": item.message} for item in problems]
        first = problems[0] if problems else SchemaProblem("", "not an object")
        raise ValidationFailed(
            f"The schema is refused at {first.pointer or '/'}: {first.message}", details={"problems": listed}
        )
    return CompiledSchema(schema, patterns)


def measure(value: object) -> int:
    """How many values there are in a piece of data. Raises `TooLarge` before it has cost much."""
    nodes, characters = 1, len(value) if isinstance(value, str) else 0
    stack = [(value, 1)] if isinstance(value, Mapping | list) else []
    while stack:
        current, depth = stack.pop()
        nodes += len(current)
        if nodes > MAX_DATA_NODES or characters > MAX_DATA_CHARACTERS or depth > MAX_DATA_DEPTH:
            raise _too_much_data()
        if isinstance(current, list):
            parts = iter(current)
        else:
            characters += sum(map(len, current))
            parts = iter(current.values())
        for part in parts:
            kind = type(part)
            if kind is str:
                characters += len(part)
            elif kind is dict or kind is list or (kind not in _PLAIN and isinstance(part, Mapping)):
                stack.append((part, depth + 1))
    if characters > MAX_DATA_CHARACTERS:
        raise _too_much_data()
    return nodes


def _too_much_data() -> TooLarge:
    return TooLarge(
        "The data is too large for a schema to be checked.",
        hint=f"At most {MAX_DATA_NODES} values, 4 MiB of text, {MAX_DATA_DEPTH} levels.",
    )
