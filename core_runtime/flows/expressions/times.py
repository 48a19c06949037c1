"""Times as text. The layout's directives are a closed list: those of the C library accept widths that fill memory."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, tzinfo
from typing import Final

from core_runtime.flows.expressions.errors import ExpressionError
from core_runtime.flows.expressions.values import type_name

_DIRECTIVES: Final = frozenset("YmdHMSfzZjaAbBpIy")
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_MAX_LAYOUT: Final = 256


def format_time(moment: object, layout: str, zone: str) -> str:
    """`moment` (Unix seconds, or an RFC 3339 text) by `layout` in `zone`. Raises `ExpressionError`."""
    if len(layout) > _MAX_LAYOUT:
        raise ExpressionError(f"`format_time` takes a layout of at most {_MAX_LAYOUT} characters.")
    try:
        local = _moment(moment).astimezone(_zone(zone))
    except (ValueError, OverflowError, OSError):
        raise ExpressionError("`format_time` is given no time that a calendar has.") from None

    def replace(match: re.Match[str]) -> str:
        directive = match[1]
        if directive == "%":
            return "%"
        if directive == "s":
            return str(int(local.timestamp()))
        if directive not in _DIRECTIVES or not directive:
            known = " ".join(f"%{letter}" for letter in sorted(_DIRECTIVES | {"s"}))
            raise ExpressionError(f"`format_time` does not know %{directive}.", hint=f"It knows {known} and %%.")
        return local.strftime("%" + directive)

    return _DIRECTIVE.sub(replace, layout)


def _moment(value: object) -> datetime:
    if isinstance(value, str) and len(value) <= 64:
        parsed = datetime.fromisoformat(value)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    raise ExpressionError(f"`format_time` needs seconds or an RFC 3339 text, not {type_name(value)}.")


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if len(name) <= 64 and _ZONE.fullmatch(name):
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ExpressionError("`format_time` does not know this time zone.", hint="Take a name such as Asia/Tokyo or UTC.")
