"""Compiled schemas are kept by content, and nobody makes the kernel compile without end (BX-13)."""

from __future__ import annotations

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.schemas import SchemaShelf, compile_schema
from core_runtime.schemas import shelf as module


def test_equal_schemas_are_compiled_once():
    shelf = SchemaShelf()
    first = shelf.compiled({"type": "object", "required": ["a"]})
    assert shelf.compiled({"required": ["a"], "type": "object"}) is first


def test_a_refused_schema_is_refused_each_time_with_its_reasons():
    shelf = SchemaShelf()
    for _ in range(2):
        with pytest.raises(ValidationFailed, match=r"local references") as caught:
            shelf.compiled({"$ref": "http://elsewhere/"})
        assert caught.value.details["problems"]


def test_bx_13_what_one_pack_may_cost_is_bounded():
    shelf = SchemaShelf()
    costly = [(f"n{number}", {"pattern": f"(a{{900}}){{2}}{number}"}) for number in range(80)]
    left_out = shelf.study([*costly, ("none", None)])
    assert "n0" not in left_out
    assert {"n70", "n79"} <= left_out
    assert "none" not in left_out


def test_bx_13_refused_schemas_cost_as_well():
    shelf = SchemaShelf()
    bad = [(f"n{number}", {"$ref": f"http://elsewhere/{number}"}) for number in range(40)]
    assert len(shelf.study(bad)) == 40 - module.MAX_COST // 5_000


def test_what_is_kept_is_bounded():
    shelf = SchemaShelf(most=500)
    first = shelf.compiled({"title": "first"})
    for number in range(100):
        shelf.compiled({"title": str(number)})
    assert shelf.compiled({"title": "first"}) is not first


def test_bx_13_the_patterns_of_one_schema_share_a_bound():
    def schema(count: int) -> dict[str, object]:
        return {"properties": {f"p{number}": {"pattern": f"(a{{900}}){{2}}{number}"} for number in range(count)}}

    assert compile_schema(schema(5)).cost > 9_000
    with pytest.raises(ValidationFailed, match="all patterns together"):
        compile_schema(schema(6))
    same = {"properties": {f"p{number}": {"pattern": "(a{900}){2}"} for number in range(50)}}
    assert compile_schema(same).cost < 3_000
