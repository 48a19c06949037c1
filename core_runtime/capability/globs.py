"""Name patterns: `*` stands for any run of characters, nothing else is special.

Patterns come from packs and owners, so matching must be linear and free of regular expressions (YJ-16): a pattern is
split at its stars and the parts are looked for from left to right, which finds a match if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EVERYTHING = "*"


def covers(pattern: str, text: str) -> bool:
    """True if `pattern` matches all that `text` stands for; `text` is a name, or itself a pattern.

    A star in `text` can only be met by a star in `pattern`, so for patterns this is the test for a subset.
    """
    if "*" not in pattern:
        return pattern == text
    if pattern == EVERYTHING:
        return True
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def any_covers(patterns: Iterable[object], text: str) -> bool:
    """True if one of the patterns covers `text`. What is not a string matches nothing."""
    for pattern in patterns:  # noqa: SIM110 - a generator would double what most calls cost
        if isinstance(pattern, str) and covers(pattern, text):
            return True
    return False


def intersect(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """The narrower pattern of each pair, in the order of `lower`, without repeats.

    Two patterns that overlap without one lying in the other (`a*` and `*b`) meet in nothing: less is the safe side.
    """
    kept: dict[str, None] = {}
    for low in lower:
        if any_covers(upper, low):
            kept[low] = None
        else:
            kept.update(dict.fromkeys(high for high in upper if covers(low, high)))
    return list(kept)
