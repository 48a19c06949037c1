"""Text from strangers on the owner's terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_runtime.interfaces.cli.terminal_text import clean, clean_lines, pad, safe_json, width_of, wrap


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x9b31m",
        "\r",
        "\x08",
        "\x7f",
        "a\nb",
        "\u2028",
        "\u202eabc",
        "\u2066",
        "\u200b",
        "\x00",
        "\x85",
    ],
    ids=ascii,
)
def test_se_10_nothing_acts_on_the_terminal_and_all_of_it_stays_visible(hostile):
    shown = clean(hostile)
    assert shown.isprintable()
    assert "\\" in shown


def test_ordinary_text_of_any_language_is_left_as_it_is():
    for text in ("Grüße", "自分のストア", "emoji 🎉", "a-b_c.d [x] {y} <z>"):
        assert clean(text) == text


@given(st.text())
def test_clean_text_is_always_one_printable_line_of_utf8(text):
    shown = clean(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_safe_json_says_the_same_value_and_holds_no_control_character(value):
    text = safe_json(value)
    assert json.loads(text) == value
    assert not any(0x7F <= ord(char) < 0xA0 or ord(char) < 0x20 for char in text)
    assert json.loads(safe_json(value, ascii_only=True)) == value


@given(st.text(alphabet="ab 自分🎉-", max_size=200), st.integers(4, 60))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text, width):
    lines = wrap(text, width)
    assert lines
    assert all(width_of(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_wide_characters_count_twice_and_combining_ones_not_at_all():
    assert width_of("自分") == 4
    assert width_of("e\u0301") == 1
    assert pad("自", 4) == "自  "


def test_lines_of_a_diff_keep_their_newlines_and_lose_their_tricks():
    assert clean_lines("+a\n-\x1b[8mb\tc") == ["+a", "-\\x1b[8mb    c"]
