"""Compiled schemas by their content, so that each is compiled once, in a thread, and a pack cannot have too many.

What a schema costs is decided by a stranger: compiling one takes up to some tenths of a second. So packs are studied
ahead, off the loop and within a budget; what is looked up later is there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from core_runtime.canonical import fingerprint
from core_runtime.errors import ValidationFailed
from core_runtime.schemas.compiled import CompiledSchema, compile_schema

MAX_COST: Final = 100_000  # values and pattern states of one pack's schemas together: a few seconds
MAX_KEPT: Final = 1_000_000  # of all that are kept, in the same measure
_LEAST: Final = 20
_REFUSED: Final = 5_000  # what was refused was looked at as well

Named = tuple[str, Mapping[str, object] | None]


class SchemaShelf:
    """A bounded cache; safe to use from several threads."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[str, CompiledSchema | ValidationFailed] = OrderedDict()
        self._cost = 0
        self._lock = threading.Lock()

    def study(self, schemas: Iterable[Named]) -> frozenset[str]:
        """Compile these; the names of those that are left because the ones before cost all that a pack may cost."""
        left, over = MAX_COST, set()
        for name, schema in schemas:
            if schema is None:
                continue
            if left <= 0:
                over.add(name)
                continue
            left -= _cost(self._found(schema))
        return frozenset(over)

    def compiled(self, schema: Mapping[str, object]) -> CompiledSchema:
        """The schema, compiled. Raises `ValidationFailed` for one that is not accepted."""
        found = self._found(schema)
        if isinstance(found, ValidationFailed):
            raise ValidationFailed(found.message, hint=found.hint, details=found.details)
        return found

    def _found(self, schema: Mapping[str, object]) -> CompiledSchema | ValidationFailed:
        key = fingerprint(schema)
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        try:
            made: CompiledSchema | ValidationFailed = compile_schema(schema)
        except ValidationFailed as error:
            made = error.with_traceback(None)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._cost += _cost(made)
            while self._cost > self._most:
                self._cost -= _cost(self._kept.popitem(last=False)[1])
        return made


def _cost(found: CompiledSchema | ValidationFailed) -> int:
    return _LEAST + found.cost if isinstance(found, CompiledSchema) else _REFUSED
