"""The functions of the expression language: a closed table; each checks its values and pays for what it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import orjson

from core_runtime.canonical import canonical_json
from core_runtime.clock import iso
from core_runtime.flows.expressions.errors import ExpressionError
from core_runtime.flows.expressions.scope import Meter
from core_runtime.flows.expressions.times import format_time
from core_runtime.flows.expressions.values import bounded_text, to_json, to_text, type_name
from core_runtime.flows.limits import EXPRESSION_RESULT


@dataclass(frozen=True, slots=True)
class Function:
    """`usage` is shown to who calls it with too few or too many values."""

    call: Callable[..., object]
    least: int
    most: int
    usage: str


def _wrong(function: str, expected: str, value: object) -> ExpressionError:
    return ExpressionError(f"`{function}` needs {expected}, not {type_name(value)}.")


def _text(function: str, value: object, meter: Meter) -> str:
    if not isinstance(value, str):
        raise _wrong(function, "a text", value)
    meter.spend_text(len(value))
    return value


def _size(_meter: Meter, value: object) -> object:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise _wrong("size", "a text, a list or an object", value)


def _lower(meter: Meter, value: object) -> object:
    return bounded_text(_text("lower", value, meter).lower())


def _upper(meter: Meter, value: object) -> object:
    return bounded_text(_text("upper", value, meter).upper())


def _trim(meter: Meter, value: object) -> object:
    return _text("trim", value, meter).strip()


def _join(meter: Meter, value: object, separator: object = "") -> object:
    if not isinstance(value, list | tuple):
        raise _wrong("join", "a list", value)
    between = _text("join", separator, meter)
    meter.spend_items(len(value))
    parts = []
    total = len(between) * max(len(value) - 1, 0)
    for item in value:
        part = to_text(item)
        total += len(part)
        if total > EXPRESSION_RESULT:
            break
        parts.append(part)
    if total > EXPRESSION_RESULT:
        bounded_text(" " * (EXPRESSION_RESULT + 1))
    meter.spend_text(total)
    return between.join(parts)


def _split(meter: Meter, value: object, separator: object = None) -> object:
    text = _text("split", value, meter)
    if separator is None:
        return text.split()
    between = _text("split", separator, meter)
    if not between:
        raise ExpressionError("`split` needs a separator that is not empty.")
    meter.spend_items(text.count(between))
    return text.split(between)


def _keys(meter: Meter, value: object) -> object:
    if not isinstance(value, Mapping):
        raise _wrong("keys", "an object", value)
    meter.spend_items(len(value))
    return list(value)


def _values(meter: Meter, value: object) -> object:
    if not isinstance(value, Mapping):
        raise _wrong("values", "an object", value)
    meter.spend_items(len(value))
    return list(value.values())


def _json(meter: Meter, value: object) -> object:
    text = bounded_text(to_json(value))
    meter.spend_text(len(text))
    return text


def _parse_json(meter: Meter, value: object) -> object:
    text = bounded_text(_text("parse_json", value, meter))
    meter.spend_items(len(text) >> 4)
    try:
        parsed: object = orjson.loads(text)
    except (ValueError, RecursionError):
        raise ExpressionError("`parse_json` is given a text that is not JSON.") from None
    return parsed


def _now(meter: Meter) -> object:
    return iso(meter.clock.wall())


def _format_time(meter: Meter, moment: object, pattern: object, zone: object = "UTC") -> object:
    layout = _text("format_time", pattern, meter)
    meter.spend(16)
    return format_time(moment, layout, _text("format_time", zone, meter))


def _hash(meter: Meter, value: object) -> object:
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
    else:
        try:
            data = canonical_json(value)
        except ValueError:
            raise ExpressionError("`hash` is given a value that has no JSON form.") from None
    meter.spend_text(len(data))
    return hashlib.sha256(data).hexdigest()


def _default(_meter: Meter, value: object, fallback: object) -> object:
    return fallback if value is None else value


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "size": Function(_size, 1, 1, "size(text, list or object)"),
        "lower": Function(_lower, 1, 1, "lower(text)"),
        "upper": Function(_upper, 1, 1, "upper(text)"),
        "trim": Function(_trim, 1, 1, "trim(text)"),
        "join": Function(_join, 1, 2, "join(list, separator)"),
        "split": Function(_split, 1, 2, "split(text, separator)"),
        "default": Function(_default, 2, 2, "default(value, what to take if it is null or missing)"),
        "keys": Function(_keys, 1, 1, "keys(object)"),
        "values": Function(_values, 1, 1, "values(object)"),
        "json": Function(_json, 1, 1, "json(value)"),
        "parse_json": Function(_parse_json, 1, 1, "parse_json(text)"),
        "now": Function(_now, 0, 0, "now()"),
        "format_time": Function(_format_time, 2, 3, 'format_time(time, "%Y-%m-%d", "Asia/Tokyo")'),
        "hash": Function(_hash, 1, 1, "hash(value)"),
    }
)
