"""The nearest known name to a misspelt one, for every error that can offer it.

Pure and bounded: candidates are cut to a number that keeps one suggestion below a millisecond, and a name longer than
any legal one is not compared at all (an attacker chooses these texts). It never suggests a name that the caller did not
hand in, so nothing invisible to an asker can leak through a hint.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

MAX_CANDIDATES = 1_000
MAX_LENGTH = 128
CUTOFF = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None if none is like it."""
    if not name or len(name) > MAX_LENGTH:
        return None
    folded: dict[str, str] = {}
    for candidate in islice(known, MAX_CANDIDATES):
        if len(candidate) <= MAX_LENGTH:
            folded.setdefault(candidate.lower(), candidate)
    matches = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=CUTOFF)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with its leading space, or an empty text."""
    match = nearest(name, known)
    return f" Did you mean {match!r}?" if match else ""
