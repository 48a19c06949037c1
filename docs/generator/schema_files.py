"""JSON Schemas of a pack's files and of flows, for editors; the reader of the files stays the judge.

Those of the JSON files are made from the reader's own pydantic models. What a validator function checks cannot be seen
in a model, so `_CHECKED` says it as a schema, by the function's name; a validator that is not listed stops the
generator. A schema may be laxer than the reader, never stricter: a test runs both over the same files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from backend_core.ecosystem import models
from core_runtime.ids import FOLDER_NAMES, RESERVED_IDS
from generator import flow_schema

FOLDER = Path("docker/core/schema")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$"
_TEXTS: JsonSchemaValue = {
    "anyOf": [
        {"type": "string", "maxLength": 2000},
        {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {r"^[a-z]{2}(-[A-Z]{2})?$": {"type": "string", "maxLength": 2000}},
            "additionalProperties": False,
        },
    ]
}


def _written(pattern: str) -> JsonSchemaValue:
    """The pattern of a constant of the models, as a whole match."""
    expression = vars(models)[pattern]
    if not isinstance(expression, re.Pattern):
        raise TypeError(f"{pattern} is no pattern")
    return {"pattern": f"^(?:{expression.pattern})$"}


# What a validator function checks. The keys of `add` are added to the field's schema, `instead` takes its place.
_CHECKED: Mapping[str, JsonSchemaValue] = {
    "_pack_id": {
        "pattern": r"^[a-zA-Z0-9_-]{1,64}$",
        "not": {"enum": sorted(RESERVED_IDS | FOLDER_NAMES)},
    },
    "_name": {"pattern": _NAME, "maxLength": 128},
    "_topic": {"pattern": r"^[a-zA-Z0-9_-]{1,64}/[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$"},
    "_identity": _written("_IDENTITY"),
    "_version": {},
    "_range": {},
    "_texts_short": {},
    "_own_keys": {},
    "_default_fits": {},
    "_one_target": {},
}
_INSTEAD: Mapping[str, JsonSchemaValue] = {
    "_text": _TEXTS,
    "_memory": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]{1,9}[kmgKMG]?[bB]?$"}]},
}
_EITHER: Mapping[str, JsonSchemaValue] = {"_interface": {"type": "string", "pattern": _NAME, "maxLength": 128}}


class UnknownValidator(Exception):
    """A model has a validator that this file does not know."""


class _FileSchema(GenerateJsonSchema):
    """Sees the validator functions of the models, which the plain generator passes over."""

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """A check after the type: what it means is added."""
        inner = self.generate_inner(schema["schema"])
        return {**inner, **_added(_function_name(schema))}

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """A conversion before the type: what it takes stands in its place, or beside it."""
        name = _function_name(schema)
        if name in _INSTEAD:
            return dict(_INSTEAD[name])
        if name in _EITHER:
            return {"anyOf": [dict(_EITHER[name]), self.generate_inner(schema["schema"])]}
        return {**self.generate_inner(schema["schema"]), **_added(name)}


def build() -> dict[Path, str]:
    """Every schema file with its text."""
    documents = {
        "ecosystem": _of(models.EcosystemModel, "ecosystem.json of a Rumi pack"),
        "permissions": _of(models.PermissionsModel, "permissions.json of a Rumi pack"),
        "manifest": _of(models.ManifestModel, "manifest.json of a component of a Rumi pack"),
        "flow": {"$schema": DIALECT, **flow_schema.build()},
    }
    return {FOLDER / f"{name}.schema.json": _text(document) for name, document in documents.items()}


def _of(model: type[BaseModel], title: str) -> JsonSchemaValue:
    found = model.model_json_schema(schema_generator=_FileSchema)
    tidied = _tidied(found)
    if not isinstance(tidied, dict):
        raise TypeError(title)
    return {"$schema": DIALECT, **tidied, "title": title}


def _tidied(value: object) -> object:
    """Without the titles that pydantic makes of names, and with room for the author's own `x_` keys."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _tidied(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    if kept.get("additionalProperties") is False and "properties" in kept:
        kept["patternProperties"] = {"^x_": {}}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(str(kept["description"]).split())
    return kept


def _function_name(schema: Mapping[str, object]) -> str:
    """The name of a validator of the models; empty for pydantic's own, whose bounds it writes by itself."""
    function = schema["function"]
    inner = function.get("function") if isinstance(function, Mapping) else None
    own = getattr(inner, "__module__", "") == models.__name__
    return str(getattr(inner, "__name__", "?")) if own else ""


def _added(name: str) -> JsonSchemaValue:
    if name and name not in _CHECKED:
        raise UnknownValidator(name)
    return _CHECKED[name] if name else {}


def _text(document: JsonSchemaValue) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
