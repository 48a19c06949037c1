"""The dialect's keywords for the validator, each under the clock, and our own where the library's could take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Final, Protocol

from jsonschema import Draft202012Validator, ValidationError

from core_runtime.canonical import canonical_json
from core_runtime.schemas.inspecting import REFUSED_KEYWORDS
from core_runtime.schemas.patterns import LinearPattern

deadline: Final[ContextVar[float]] = ContextVar("schema_deadline", default=0.0)


class OutOfTime(Exception):
    """The budget of time is used up."""


def tick() -> None:
    """Raise `OutOfTime` once the deadline of this check has passed."""
    if time.monotonic() > deadline.get():
        raise OutOfTime


class Descending(Protocol):
    """What a keyword needs of the validator."""

    def descend(
        self, instance: object, schema: object, path: object = None, schema_path: object = None
    ) -> Iterator[ValidationError]:
        """Check a part."""


_Errors = Iterator[ValidationError]
Keyword = Callable[[Descending, object, object, Mapping[str, object]], _Errors | None]


class _ByPattern:
    """The keywords that match patterns: with the linear engine, never with `re`."""

    def __init__(self, patterns: Mapping[str, LinearPattern]) -> None:
        self._patterns = patterns

    def pattern(self, _validator: Descending, text: object, instance: object, _schema: object) -> _Errors:
        """`pattern`."""
        if isinstance(instance, str) and not self._patterns[str(text)].search(instance):
            yield ValidationError("pattern")

    def pattern_properties(
        self, validator: Descending, named: object, instance: object, _schema: Mapping[str, object]
    ) -> _Errors:
        """`patternProperties`."""
        if isinstance(instance, Mapping) and isinstance(named, Mapping):
            for key, value in instance.items():
                for text in self._matching(named, key):
                    yield from validator.descend(value, named[text], path=key, schema_path=text)

    def additional_properties(
        self, validator: Descending, allowed: object, instance: object, schema: Mapping[str, object]
    ) -> _Errors:
        """`additionalProperties`, beside `properties` and `patternProperties` of the same schema."""
        if not isinstance(instance, Mapping):
            return
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        named = schema.get("patternProperties")
        for key, value in instance.items():
            if key in known or (isinstance(named, Mapping) and self._matching(named, key)):
                continue
            if allowed is False:
                yield ValidationError("additionalProperties", instance=key)
            else:
                yield from validator.descend(value, allowed, path=key)

    def _matching(self, named: Mapping[str, object], key: str) -> list[str]:
        tick()
        return [text for text in named if self._patterns[text].search(key)]


def keywords(patterns: Mapping[str, LinearPattern]) -> dict[str, Keyword]:
    """The dialect's keywords, each looking at the clock first, and ours in place of those that could take long."""
    by_pattern = _ByPattern(patterns)
    ours: dict[str, Keyword] = {
        "pattern": by_pattern.pattern,
        "patternProperties": by_pattern.pattern_properties,
        "additionalProperties": by_pattern.additional_properties,
        "uniqueItems": _unique_items,
    }
    theirs = {key: keyword for key, keyword in Draft202012Validator.VALIDATORS.items() if key not in REFUSED_KEYWORDS}
    return {key: _timed(keyword) for key, keyword in {**theirs, **ours}.items()}


def _timed(keyword: Keyword) -> Keyword:
    def timed(
        validator: Descending, value: object, instance: object, schema: Mapping[str, object]
    ) -> Iterator[ValidationError]:
        tick()
        for error in keyword(validator, value, instance, schema) or ():
            tick()
            yield error

    return timed


def _unique_items(
    _validator: Descending, wanted: object, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if wanted is not True or not isinstance(instance, list):
        return
    seen: set[bytes] = set()
    for item in instance:
        tick()
        whole = isinstance(item, float) and item.is_integer()
        form = canonical_json(int(item) if whole else item)
        if form in seen:
            yield ValidationError("uniqueItems")
            return
        seen.add(form)
