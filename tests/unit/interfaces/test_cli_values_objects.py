"""`--config` takes what the hints print: a JSON object, or pairs."""

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.values import parse_object


@pytest.mark.parametrize(
    ("items", "value"),
    [
        (['{"stores": ["notes"]}'], {"stores": ["notes"]}),
        (['stores:=["notes"]', "note=x"], {"stores": ["notes"], "note": "x"}),
        (['{"a": 1}', "b:=2"], {"a": 1, "b": 2}),
    ],
)
def test_objects_and_pairs_are_one_object(items, value):
    assert parse_object(items, "--config") == value


@pytest.mark.parametrize("item", ["{", '{"a": }', "[1]", "x"])
def test_what_is_neither_is_refused(item):
    with pytest.raises(ValidationFailed):
        parse_object([item], "--config")
