"""Turns every mistake that a model found into a `Problem`: file, JSON pointer, a sentence, the nearest known key.

All mistakes of a file come at once; an author should not have to mend one to see the next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ValidationError

from core_runtime.packs import Problem

MAX_PROBLEMS = 100


def problems_of(file: str, error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Every mistake of one file, at most a hundred."""
    return tuple(_problems(file, error, model))[:MAX_PROBLEMS]


def _problems(file: str, error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    for item in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in item["loc"] if part not in {"dict[str,any]", "bool", "float", "int"})
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)
        if item["type"] == "extra_forbidden":
            yield _unknown_key(file, pointer, place, model)
        elif item["type"] == "missing":
            yield Problem(file, pointer, f"The key {place[-1]!r} is required.")
        else:
            text = str(item["msg"]).removeprefix("Value error, ")
            yield Problem(file, pointer, text[:1].upper() + text[1:])


def _unknown_key(file: str, pointer: str, place: Sequence[str | int], model: type[BaseModel]) -> Problem:
    key = str(place[-1])
    known = sorted(_keys_at(model, place[:-1]))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = (
        f"Did you mean {near[0]!r}?"
        if near
        else f"Known keys here: {', '.join(known)}. Keys of your own begin with x_."
    )
    return Problem(file, pointer, f"The key {key[:80]!r} is not known.", hint)


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    current: type[BaseModel] = model
    for part in place:
        field = current.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is not None:
            inner = _model_in(field.annotation)
            if inner is None:
                return set()
            current = inner
    return set(current.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None
