"""Pairs and durations of the command line."""

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.values import parse_duration, parse_pairs, segment


@pytest.mark.parametrize(
    ("items", "value"),
    [
        ([], {}),
        (["a=1"], {"a": "1"}),
        (["a:=1"], {"a": 1}),
        (["a="], {"a": ""}),
        (["a=b=c"], {"a": "b=c"}),
        (["a=:=x"], {"a": ":=x"}),
        (["url=http://x:80/"], {"url": "http://x:80/"}),
        (['a:=[1,{"b":null}]'], {"a": [1, {"b": None}]}),
        (["a=1", "a=2"], {"a": "2"}),
        (["long.name=x"], {"long.name": "x"}),
        (["a=line\nline"], {"a": "line\nline"}),
    ],
)
def test_pairs(items, value):
    assert parse_pairs(items, "--arg") == value


@pytest.mark.parametrize(
    "item", ["a", "=1", ":=1", "", "a:=", "a:={", "a:=NaN", "a:=Infinity", "a:=1 2", "a:=" + "[" * 100_000, "@/no/such"]
)
def test_what_is_no_pair_is_wrong_usage_that_names_the_option(item):
    with pytest.raises(ValidationFailed) as refused:
        parse_pairs([item], "--arg")
    assert "--arg" in refused.value.message


def test_a_file_gives_an_object_and_nothing_else(tmp_path):
    good, bad, large = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "large.json"
    good.write_text('{"a": 1}')
    bad.write_text("[1]")
    large.write_bytes(b" " * (1_048_576 + 1))
    assert parse_pairs([f"@{good}", "b=2"], "--input") == {"a": 1, "b": "2"}
    for file in (bad, large):
        with pytest.raises(ValidationFailed):
            parse_pairs([f"@{file}"], "--input")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "0s", "7 d x", "7D", "1d2h", "٧d", "9" * 12 + "d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValidationFailed):
        parse_duration(text)


def test_a_segment_never_leaves_its_place_in_the_path():
    assert segment("../a b?c#d%") == "..%2Fa%20b%3Fc%23d%25"
