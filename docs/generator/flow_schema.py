"""The JSON Schema of a flow file, for editors. The keys and kinds are the loader's own tables.

What the loader alone can know (which names an expression may read, cycles, ids that stand twice) is not in it;
`rumi flow validate` says that.
"""

from __future__ import annotations

from collections.abc import Mapping

from core_runtime.errors import ErrorCode
from core_runtime.flows.limits import (
    MAX_ATTEMPTS,
    MAX_BRANCHES,
    MAX_FAN_OUT,
    MAX_FLOW_LIMIT,
    MAX_PHASES,
    MAX_ROUNDS,
    MAX_TIMEOUT,
)
from core_runtime.flows.loading import document, steps
from core_runtime.flows.loading.kinds import KINDS
from core_runtime.flows.model import Kind, WhenFull

Schema = dict[str, object]
NOT_RUN = frozenset({"approve", "schedule", "normalize"})
"""Keys of the language that this version refuses, so the schema does not offer them."""

_NAME = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$"
_VARIABLE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 128}
_FLOW_ID: Schema = {"type": "string", "pattern": _NAME, "maxLength": 128}
_STEPS: Schema = {"type": "array", "items": {"$ref": "#/$defs/step"}}
_SECONDS: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT}
_EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{"}
_CONDITION: Schema = {"anyOf": [{"type": "boolean"}, _EXPRESSION]}
_CODES: Schema = {"enum": [code.value for code in ErrorCode]}


class UnknownKey(Exception):
    """The loader knows a key or a kind that this file does not, or the other way round."""


def build() -> Schema:
    """The schema without its `$schema`. Raises `UnknownKey`."""
    top = _top()
    _same(set(top) | (NOT_RUN & set(_loader("document", "_KEYS"))), _loader("document", "_KEYS"), "of a flow")
    return {
        "title": "A flow file of Rumi",
        "type": "object",
        "properties": top,
        "required": ["flow_id", "steps"],
        "additionalProperties": False,
        "$defs": {"step": _step(), "retry": _retry()},
    }


def _top() -> Schema:
    return {
        "flow_id": {**_FLOW_ID, "description": "The name it is run by; global."},
        "description": {"type": "string"},
        "inputs": {"type": "object", "description": "JSON Schema (Draft 2020-12) of the inputs."},
        "defaults": _object(
            {"timeout": _SECONDS, "on_error": {"enum": list(steps.ON_ERROR_WORDS)}, "retry": {"$ref": "#/$defs/retry"}}
        ),
        "phases": {"type": "array", "items": _VARIABLE, "uniqueItems": True, "maxItems": MAX_PHASES},
        "concurrency": _object(
            {
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FLOW_LIMIT},
                "when_full": {"enum": [word.value for word in WhenFull]},
            },
            "limit",
        ),
        "memory": {"type": "boolean"},
        "steps": _STEPS,
        "errors": {**_STEPS, "description": "Runs when the flow fails; `error` says why."},
        "finally": {**_STEPS, "description": "Runs at the end, however that came."},
        "outputs": {"type": "object"},
    }


def _step() -> Schema:
    common, kinds, more = _common(), _kinds(), _more()
    _same(set(common) | NOT_RUN & set(_loader("steps", "_COMMON")), _loader("steps", "_COMMON"), "of a step")
    _same(set(kinds) | {Kind.APPROVE.value}, {str(kind) for kind in KINDS}, "that are kinds")
    _same(set(more), {key for kind in KINDS.values() for key in kind.keys}, "of kinds")
    return {
        "type": "object",
        "properties": {**common, **kinds, **more},
        "required": ["id"],
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in kinds],
    }


def _common() -> Schema:
    return {
        "id": {"type": "string", "pattern": f"^(?:{_id_pattern()})$", "description": "Unique in the file."},
        "phase": _VARIABLE,
        "priority": {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000, "default": 100},
        "depends_on": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "when": _CONDITION,
        "output": _VARIABLE,
        "timeout": _SECONDS,
        "retry": {"$ref": "#/$defs/retry"},
        "on_error": {"anyOf": [{"enum": list(steps.ON_ERROR_WORDS)}, _object({"steps": _STEPS}, "steps")]},
    }


def _kinds() -> Schema:
    return {
        "call": {"type": "string", "description": "An interface, or kernel:<permission>."},
        "file": _object({"pack": {"type": "string"}, "file": {"type": "string", "pattern": r"\.py$"}}, "file"),
        "flow": _FLOW_ID,
        "set": {"type": "object"},
        "if": _CONDITION,
        "foreach": {"description": "A list, or an expression that gives one."},
        "while": _CONDITION,
        "parallel": {
            "type": "object",
            "additionalProperties": _STEPS,
            "minProperties": 1,
            "maxProperties": MAX_BRANCHES,
        },
        "wait": {"anyOf": [_SECONDS, _EXPRESSION, _object({"seconds": {"anyOf": [_SECONDS, _EXPRESSION]}}, "seconds")]},
        "emit": _object({"topic": {"type": "string"}, "payload": {}}, "topic"),
        "stop": {"anyOf": [{"type": ["string", "null"]}, _object({"reason": {}, "outputs": {"type": "object"}})]},
    }


def _more() -> Schema:
    return {
        "input": {},
        "idempotency_key": {},
        "then": _STEPS,
        "else": _STEPS,
        "as": _VARIABLE,
        "concurrency": {"type": "integer", "minimum": 1, "maximum": MAX_FAN_OUT},
        "steps": _STEPS,
        "max_iterations": {"type": "integer", "minimum": 1, "maximum": MAX_ROUNDS},
    }


def _retry() -> Schema:
    keys: Schema = {
        "max_attempts": {"type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS},
        "backoff": {"enum": ["fixed", "exponential"]},
        "interval": _SECONDS,
        "max_interval": _SECONDS,
        "on": {"anyOf": [_CODES, {"type": "array", "items": _CODES}]},
    }
    _same(set(keys), _loader("steps", "_RETRY_KEYS"), "of `retry`")
    return _object(keys, "max_attempts")


def _object(properties: Mapping[str, object], *required: str) -> Schema:
    made: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _loader(module: str, name: str) -> set[str]:
    """A table of keys of the loader."""
    return {str(key) for key in vars({"document": document, "steps": steps}[module])[name]}


def _id_pattern() -> str:
    return str(vars(steps)["_ID"].pattern)


def _same(mine: set[str], theirs: set[str], what: str) -> None:
    if mine != theirs:
        raise UnknownKey(f"keys {what}: {', '.join(sorted(mine ^ theirs))}")
