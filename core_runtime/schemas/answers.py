"""What is said of data or schemas that do not fit: the place and the rule, never the data, which may be secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from jsonschema import ValidationError
from jsonschema.exceptions import SchemaError

from core_runtime.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """`pointer` is a JSON pointer into the data (or the schema); `message` says which rule, not which value."""

    pointer: str
    message: str


def pointer_of(path: object) -> str:
    parts = path if isinstance(path, Iterable) else ()
    return "".join("/" + escaped(str(part)) for part in parts)


def message_of(error: ValidationError | SchemaError) -> str:
    """The rule that was broken, in words, with the schema's part in it and nothing of the data but names of keys."""
    rule, value = str(error.validator or ""), error.validator_value
    if rule == "required" and isinstance(value, list) and isinstance(error.instance, Mapping):
        missing = [str(key) for key in value if key not in error.instance]
        return "missing: " + ", ".join(missing)[:200]
    if rule == "additionalProperties":
        return "a key that is not known: " + _unknown_key(error)
    if rule == "type":
        wanted = " or ".join(map(str, value)) if isinstance(value, list) else str(value)
        return f"must be of type {wanted}, not {_type_of(error.instance)}"
    simple = _MESSAGES.get(rule)
    if simple is not None:
        return simple.format(str(value)[:200])
    return f"does not satisfy {rule}" if rule else "is not allowed here"


def _unknown_key(error: ValidationError | SchemaError) -> str:
    properties = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
    instance = error.instance
    if isinstance(instance, str):
        return instance[:80] + did_you_mean(instance, map(str, properties))
    return "see its name in the data"


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


_MESSAGES: Final = {
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be greater than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} elements",
    "maxItems": "must have at most {} elements",
    "minProperties": "must have at least {} keys",
    "maxProperties": "must have at most {} keys",
    "pattern": "must match {}",
    "uniqueItems": "must not have an element twice",
    "anyOf": "fits none of the alternatives",
    "oneOf": "does not fit exactly one of the alternatives",
    "not": "is what the schema rules out",
    "contains": "has no element (or too many or few) of the kind that it must contain",
}


def escaped(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901), cut to a length that can be shown."""
    return key[:80].replace("~", "~0").replace("/", "~1")
