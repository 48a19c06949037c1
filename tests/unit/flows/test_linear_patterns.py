"""The linear pattern engine agrees with `re` where both have a meaning, and no text makes it slow."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_runtime.schemas.patterns import LinearPattern, PatternRefused, PatternTooCostly

PATTERNS = [
    r"^[a-z0-9_]+$",
    r"^\d{4}-\d{2}$",
    r"(a+)+$",
    r"(a|a)*b",
    r"^$",
    r"",
    r"a{2,3}b?",
    r"a{2,}c",
    r"a{0}b",
    r"^[^@]+@[^@]+\.[^@]+$",
    r"(a|b)*a(a|b){5}$",
    r"\.x|y$",
    r"^(fo|ba)-[0-9]+$",
    r"a*?b",
    r"(?:ab)+c",
    r"[^a-c]",
    r"^a|b$",
    r"(^a|b)$",
    r"(a*)*c",
    r"[\d-]+a",
    r"\x61\u0062",
    r"\[\]\{\}",
    r"a||b",
    r"(|a)b",
]


@pytest.mark.parametrize("text", PATTERNS)
def test_it_agrees_with_the_library(text: str) -> None:
    ours, theirs = LinearPattern(text), re.compile(text.replace("$", r"\Z"), re.ASCII)
    generator = random.Random(7)
    for _ in range(400):
        sample = "".join(generator.choice("ab@.c-0x yf[]{}4") for _ in range(generator.randint(0, 9)))
        assert ours.search(sample) == bool(theirs.search(sample)), (text, sample)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab()|*+?[]^$.{}1,\\d-", max_size=14), st.text(alphabet="ab1-", max_size=6))
def test_no_pattern_breaks_it(pattern: str, text: str) -> None:
    try:
        found = LinearPattern(pattern).search(text)
    except (PatternRefused, PatternTooCostly):
        return
    assert isinstance(found, bool)


@pytest.mark.parametrize(
    "text",
    [
        "(a",
        "a)",
        "*a",
        "a**",
        "a+{2}",
        "(?=a)",
        "(?P<n>a)",
        r"\1",
        r"\bx",
        r"\p{L}",
        "a{5000}",
        "a{3,2}",
        "a{,3}",
        "[z-a]",
        "[a",
        "[]a]",
        "[^]",
        r"[\W]",
        "a" * 1001,
        "(" * 30,
        r"\x1",
        "((a{100}){100}){100}",
        "\\",
    ],
)
def test_what_is_not_linear_or_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternRefused):
        LinearPattern(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param("(a+)+$", "a" * 100_000 + "b", id="YJ-16-nested"),
        pytest.param("a+$", "a" * 100_000 + "b", id="YJ-16-search"),
        pytest.param("(a|aa)*c", "a" * 100_000 + "b", id="YJ-16-overlap"),
        pytest.param("(.*a){20}x", "ab" * 50_000, id="YJ-16-polynomial"),
        pytest.param(r"^\s*\s*\s*\s*x", " " * 100_000, id="YJ-16-spaces"),
    ],
)
def test_a_hundred_kilobytes_take_no_time_worth_telling(pattern: str, text: str) -> None:
    compiled = LinearPattern(pattern)
    started = time.process_time()
    assert compiled.search(text) is False
    assert time.process_time() - started < 0.5


def test_a_search_that_would_build_too_much_is_given_up() -> None:
    compiled = LinearPattern("(a|b)*a(a|b){14}$")
    generator = random.Random(1)
    with pytest.raises(PatternTooCostly):
        compiled.search("".join(generator.choice("ab") for _ in range(100_000)))


def test_what_is_kept_of_many_searches_is_bounded() -> None:
    compiled = LinearPattern(".*x")
    for start in range(0, 60_000, 2_000):
        compiled.search(
            "".join(
                chr(256 + start + offset) for offset in range(2_000) if not 0xD800 <= 256 + start + offset <= 0xDFFF
            )
        )
    assert compiled._cached <= 20_000
