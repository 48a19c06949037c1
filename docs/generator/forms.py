"""Pydantic models as tables of their fields: name, type, default, what it is for."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from generator.markdown import code, table

Schema = Mapping[str, object]
_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "`{}`"),
)


def fields_table(model: type[BaseModel]) -> str:
    """The fields of a model, or that it has none."""
    schema = model.model_json_schema()
    properties = _mapping(schema.get("properties"))
    if not properties:
        return "none"
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    rows = []
    for name, value in properties.items():
        field = _mapping(value)
        rows.append((code(name), type_words(field, schema), "required" if name in needed else default_words(field)))
    return table(("field", "value", "default"), rows)


def said(model: type[BaseModel]) -> str:
    """What a model says of itself."""
    return " ".join((model.__doc__ or "").split())


def type_words(field: Schema, root: Schema) -> str:
    """The type of a field in words, with its bounds."""
    bounds = [words.format(_number(field[key])) for key, words in _BOUNDS if key in field]
    return ", ".join([_kind(field, root), *bounds])


def _kind(field: Schema, root: Schema) -> str:
    if "$ref" in field:
        return _reference(str(field["$ref"]), root)
    if "anyOf" in field:
        choices = field["anyOf"]
        found = [type_words(_mapping(item), root) for item in (choices if isinstance(choices, list) else [])]
        return " or ".join(word for word in found if word != "null" or "default" not in field)
    if "enum" in field:
        values = field["enum"]
        return "one of " + ", ".join(code(item) for item in (values if isinstance(values, list) else []))
    if "const" in field:
        return code(field["const"])
    if field.get("type") == "array":
        return f"list of {type_words(_mapping(field.get('items')), root)}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return words.get(
        str(field.get("type")), {"object": "object", "null": "null"}.get(str(field.get("type")), "any JSON")
    )


def _reference(reference: str, root: Schema) -> str:
    name = reference.rpartition("/")[2]
    target = _mapping(_mapping(root.get("$defs")).get(name))
    if "enum" in target:
        return _kind(target, root)
    inner = ", ".join(code(key) for key in _mapping(target.get("properties")))
    return f"object of {inner}" if inner else "object"


def default_words(field: Schema) -> str:
    """The default of a field that may be left out; one that is made by a function is an empty list or object."""
    value = field.get("default", [])
    if value is None:
        return "none"
    if isinstance(value, bool):
        return code("true" if value else "false")
    return "empty" if value in ("", [], {}) else code(_number(value))


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _mapping(value: object) -> Schema:
    return value if isinstance(value, Mapping) else {}
