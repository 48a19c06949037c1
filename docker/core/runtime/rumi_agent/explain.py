"""Says where in a value the first thing is that JSON cannot hold. Only loaded once that has gone wrong."""

from __future__ import annotations

_MAX_DEPTH = 200
_FLOAT_EDGE = float("inf")
_LARGEST = 2**64 - 1
_SMALLEST = -(2**63)


def why_not_json(value: object, path: str = "value", depth: int = 0) -> str:
    """`value.items[3].at is a datetime`, or an empty text when nothing is wrong."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return "" if _SMALLEST <= value <= _LARGEST else f"{path} is a whole number over 64 bits: send it as text"
    if isinstance(value, float):
        return "" if abs(value) < _FLOAT_EDGE else f"{path} is {value!r}, which JSON does not know"
    if depth >= _MAX_DEPTH:
        return f"{path[:200]} is nested too deeply, or contains itself"
    if isinstance(value, dict):
        return _object(value, path, depth)
    if isinstance(value, list | tuple):
        return next(filter(None, (why_not_json(part, f"{path}[{at}]", depth + 1) for at, part in enumerate(value))), "")
    return f"{path} is a {type(value).__name__}, which is not JSON"


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{path} holds half a surrogate pair, which has no UTF-8 form"
    return ""


def _object(value: dict[object, object], path: str, depth: int) -> str:
    for name, part in value.items():
        if not isinstance(name, str | int | float | None):
            return f"{path} has a key that is a {type(name).__name__}"
        wrong = _text(str(name), path + ".<key>") or why_not_json(part, f"{path}.{str(name)[:100]}", depth + 1)
        if wrong:
            return wrong
    return ""
