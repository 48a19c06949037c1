"""Values on the command line: `k=v` is text, `k:=JSON` is JSON, `@FILE` is a JSON object, `7d` is a duration."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.ports import JsonObject

MAX_FILE_BYTES = 1_048_576
_PAIR = re.compile(r"([^=:@\s][^=:]*?)(:?=)(.*)", re.DOTALL)
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def segment(text: str) -> str:
    """A value as one segment of a path of the API."""
    return quote(text, safe="")


def parse_pairs(items: Sequence[str], option: str) -> JsonObject:
    """All pairs of an option as one object; a later one replaces an earlier one. Raises `ValidationFailed`."""
    result: JsonObject = {}
    for item in items:
        if item.startswith("@"):
            result.update(_file_object(item[1:], option))
            continue
        match = _PAIR.fullmatch(item)
        if match is None:
            raise ValidationFailed(
                f"{option} {item!r} is not a pair.", hint=f"{option} key=text, {option} key:=JSON or {option} @FILE"
            )
        key, kind, text = match.groups()
        result[key] = text if kind == "=" else _json(text, f"{option} {key}")
    return result


def parse_object(items: Sequence[str], option: str) -> JsonObject:
    """As `parse_pairs`, and an item that is a whole JSON object: `--config '{"stores": ["notes"]}'`."""
    result: JsonObject = {}
    for item in items:
        if item.lstrip().startswith("{"):
            value = _json(item, option)
            if not isinstance(value, dict):
                raise ValidationFailed(f"{option} must be a JSON object.", hint=f'{option} \'{{"key": ["value"]}}\'')
            result.update(value)
        else:
            result.update(parse_pairs([item], option))
    return result


def parse_duration(text: str) -> float:
    """Seconds of `30s`, `15m`, `12h`, `7d` or `2w`. Raises `ValidationFailed`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ValidationFailed(f"{text!r} is not a duration.", hint="Write 30s, 15m, 12h, 7d or 2w.")
    return float(int(match[1]) * _UNITS[match[2]])


def _file_object(name: str, option: str) -> JsonObject:
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValidationFailed(f"{option} @{name}: {error.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ValidationFailed(f"{option} @{name} is larger than 1 MiB.")
    value = _json(raw.decode("utf-8", "replace"), f"{option} @{name}")
    if not isinstance(value, dict):
        raise ValidationFailed(f"{option} @{name} has to hold a JSON object.")
    return value


def _json(text: str, where: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValidationFailed(
            f"{where} is not JSON.", hint="Text needs quotes in JSON; use = instead of := for text."
        ) from None
    return value


def _no_constant(name: str) -> object:
    raise ValueError(name)
