"""When a grant ends: the spellings that are accepted, and only those (GR-15).

A bad expiry must never become "no expiry". So what is there has to be a time in the future: Unix seconds, or RFC 3339
with a zone. Durations (`30d`, `12h`) are for the command line, which turns them into a time.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

from core_runtime.errors import ValidationFailed

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
MAX_SECONDS_AHEAD = 100 * 366 * 86_400
_HINT = "Give a time like 2030-01-31T12:00:00Z, or leave it out for no end."


def parse_expiry(value: object, now: float) -> float:
    """Unix seconds after `now`. Raises `ValidationFailed` for everything else, null, "" and 0 included."""
    when: float
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            when = datetime.fromisoformat(value.upper()).timestamp()
        except ValueError:
            raise ValidationFailed("expires_at is no such time.", hint=_HINT) from None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        when = float(value) if abs(value) < 1e15 else math.inf
    else:
        raise ValidationFailed("expires_at is neither Unix seconds nor a time with a zone.", hint=_HINT)
    if not now < when <= now + MAX_SECONDS_AHEAD:
        raise ValidationFailed("expires_at is not in the future (or more than a hundred years ahead).", hint=_HINT)
    return when


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `15m`, `12h`, `30d` or `2w`. Raises `ValidationFailed`."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else math.inf
    if seconds > MAX_SECONDS_AHEAD:
        raise ValidationFailed("Not a duration.", hint="Write 90s, 15m, 12h, 30d or 2w.")
    return float(seconds)
