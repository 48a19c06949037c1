"""What is accepted has one meaning only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_runtime.wire.strict_json import DuplicateKey, NotJson, loads_strict

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_every_spelling_of_a_value_is_that_value(value: object, escaped: bool, indent: object) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)  # type: ignore[arg-type]
    assert loads_strict(text.encode()) == value


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES, st.text(max_size=3), st.integers(0, 3), st.booleans())
def test_UD_06_a_key_twice_is_seen_at_any_depth_and_in_any_spelling(
    first: object, second: object, key: str, depth: int, escaped: bool
) -> None:
    name = json.dumps(key)
    other = '"' + "".join(f"\\u{unit:04x}" for unit in _units(key)) + '"' if escaped else name
    inner = f"{{{name}:{json.dumps(first)},{other}:{json.dumps(second)}}}"
    text = '{"v":[' * depth + inner + "]}" * depth
    with pytest.raises(DuplicateKey) as caught:
        loads_strict(text.encode())
    assert caught.value.on_top is (depth == 0)


def _units(text: str) -> list[int]:
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


@pytest.mark.parametrize(
    "text",
    ["NaN", "-Infinity", "1e309", "9" * 5000, '"\\ud800"', "\ufeff1", "1 2", "{'a':1}", "[1,]", "", "[" * 100_000],
)
def test_UD_06_what_is_no_json_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(NotJson) as caught:
        loads_strict(text.encode("utf-8", "surrogatepass"))
    assert len(str(caught.value)) < 80
