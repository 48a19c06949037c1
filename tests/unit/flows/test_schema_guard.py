"""Schemas of strangers: what is accepted, what is refused when it comes in, and that checking is bounded."""

from __future__ import annotations

import random
import threading
import time

import pytest

from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.schemas import compile_schema, measure


def _messages(schema: object, value: object) -> list[tuple[str, str]]:
    return [(item.pointer, item.message) for item in compile_schema(schema).problems(value)]


def _refusals(schema: object) -> list[str]:
    with pytest.raises(ValidationFailed) as refused:
        compile_schema(schema)
    listed = refused.value.details["problems"]
    assert isinstance(listed, list)
    return [f"{item['pointer']}: {item['message']}" for item in listed]


@pytest.mark.parametrize(
    ("schema", "good", "bad", "message"),
    [
        ({"type": "string"}, "a", 1, "must be of type string, not number"),
        ({"type": ["string", "null"]}, None, 1, "must be of type string or null, not number"),
        ({"type": "integer"}, 3, True, "must be of type integer, not boolean"),
        ({"required": ["a", "b"]}, {"a": 1, "b": 2}, {"a": 1}, "missing: b"),
        ({"properties": {"name": {}}, "additionalProperties": False}, {"name": 1}, {"nam": 1}, "Did you mean 'name'?"),
        (
            {"patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": False},
            {"x_a": 1},
            {"y": 1},
            "not known: y",
        ),
        ({"enum": [1, "two"]}, "two", 3, "must be one of [1, 'two']"),
        ({"const": 5}, 5.0, 6, "must be 5"),
        ({"minimum": 3, "maximum": 5}, 4, 2, "must be at least 3"),
        ({"exclusiveMaximum": 5}, 4, 5, "must be less than 5"),
        ({"multipleOf": 2}, 4, 3, "must be a multiple of 2"),
        ({"minLength": 2}, "ab", "a", "must have at least 2 characters"),
        ({"pattern": "^[a-z]+$"}, "abc", "ABC", "must match ^[a-z]+$"),
        ({"items": {"type": "integer"}, "maxItems": 2}, [1], [1, 2, 3], "must have at most 2 elements"),
        ({"uniqueItems": True}, [1, True, "1", [1]], [1, 1.0], "must not have an element twice"),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 2}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], "twice"),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, "a", 1, "fits none of the alternatives"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, 1, 5, "does not fit exactly one"),
        ({"not": {"type": "null"}}, 1, None, "is what the schema rules out"),
        ({"contains": {"const": 1}}, [1], [2], "must contain"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}, "missing: b"),
        ({"propertyNames": {"maxLength": 2}}, {"ab": 1}, {"abc": 1}, "must have at most 2 characters"),
        (
            {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
            {"a": 1},
            {"a": "x"},
            "must be of type integer",
        ),
        (True, 1, None, ""),
    ],
)
def test_draft_2020_12_is_spoken(schema: object, good: object, bad: object, message: str) -> None:
    assert _messages(schema, good) == []
    if message:
        assert any(message in said for _pointer, said in _messages(schema, bad))


def test_every_problem_has_its_pointer_and_none_repeats_the_data() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}, "b/c": {"type": "string"}}, "required": ["d"]}
    found = _messages(schema, {"a": [1, "hunter2"], "b/c": ["hunter2"]})
    assert sorted(pointer for pointer, _said in found) == ["", "/a/1", "/b~1c"]
    assert "hunter2" not in str(found)
    with pytest.raises(ValidationFailed) as failed:
        compile_schema(schema).check({"a": ["hunter2"]}, what="The input of x")
    assert failed.value.message.startswith("The input of x does not fit its schema at ")
    assert "hunter2" not in str(failed.value.to_wire())


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        pytest.param({"$ref": "https://example.org/s.json"}, "only local references", id="BX-13-remote-ref"),
        pytest.param({"$ref": "other.json"}, "only local references", id="BX-13-file-ref"),
        pytest.param({"$ref": "#anchor"}, "only local references", id="BX-13-anchor-ref"),
        pytest.param({"$ref": "#"}, "back to itself", id="BX-13-ref-to-itself"),
        pytest.param(
            {"$defs": {"a": {"properties": {"x": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"},
            "back to itself",
            id="BX-13-recursive-ref",
        ),
        pytest.param(
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
            "back to itself",
            id="BX-13-cycle",
        ),
        pytest.param({"$dynamicRef": "#x"}, "not to be had", id="BX-13-dynamic-ref"),
        pytest.param({"properties": {"a": {"$id": "https://example.org/"}}}, "$id is refused", id="BX-13-id"),
        pytest.param({"$schema": "http://json-schema.org/draft-07/schema#"}, "only Draft 2020-12", id="other-draft"),
        pytest.param({"unevaluatedProperties": False}, "use additionalProperties", id="unevaluated"),
        pytest.param({"enum": list(range(10**6))}, "larger than", id="BX-13-million-enum"),
        pytest.param({"enum": list(range(1001))}, "more than 1000 values", id="BX-13-enum-1001"),
        pytest.param({"pattern": "(?=a)a"}, "pattern is refused", id="BX-13-look-around"),
        pytest.param({"patternProperties": {r"(a)\1": {}}}, "pattern is refused", id="BX-13-back-reference"),
        pytest.param(
            {"properties": {"x": {"$ref": "#/x_mine"}}, "x_mine": {"pattern": "(?=a)"}},
            "leads to no schema",
            id="ref-into-nowhere",
        ),
        pytest.param({"$ref": "#/$defs/none"}, "leads nowhere", id="ref-to-nothing"),
        pytest.param({"type": "strin"}, "fits none", id="no-such-type"),
        pytest.param({"minimum": "a"}, "must be of type number", id="bad-keyword"),
        pytest.param([], "a schema is an object", id="no-schema"),
    ],
)
def test_what_could_not_be_bounded_is_refused(schema: object, message: str) -> None:
    assert any(message in line for line in _refusals(schema))


def test_at_the_limits_a_schema_is_accepted() -> None:
    assert _messages({"enum": list(range(1000))}, 999) == []
    deep: dict[str, object] = {"type": "integer"}
    for _ in range(15):
        deep = {"properties": {"x": deep}}
    compile_schema(deep)
    with pytest.raises(ValidationFailed, match="deep"):
        compile_schema({"properties": {"x": deep}})


def test_every_reason_is_told_at_once() -> None:
    found = _refusals({"$ref": "x", "properties": {"a": {"pattern": "("}, "b": {"$id": "y"}}})
    assert [line.split(":")[0] for line in found] == ["/$ref", "/properties/a/pattern", "/properties/b/$id"]


def test_bx_13_references_cannot_multiply_without_end() -> None:
    defs: dict[str, object] = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    defs["a30"] = {"type": "null"}
    assert "once its references are followed" in _refusals({"$defs": defs, "$ref": "#/$defs/a0"})[0]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"items": {"anyOf": [{"type": "string"}] * 200}}, [1] * 50_000, id="BX-13-many-alternatives"),
        pytest.param({"uniqueItems": True}, [[n] for n in range(40_000)], id="BX-13-unique-items"),
        pytest.param(
            {"items": {"pattern": "(a|b)*a(a|b){14}$"}},
            ["".join(random.Random(seed).choices("ab", k=3000)) for seed in range(100)],
            id="BX-13-costly-pattern",
        ),
        pytest.param(
            {"properties": {"x": {}}, "patternProperties": {"(.*a){20}$": {}}, "additionalProperties": False},
            {f"{n}" + "ab" * 40: 1 for n in range(20_000)},
            id="BX-13-costly-names",
        ),
    ],
)
def test_a_check_gives_up_in_time(schema: object, value: object) -> None:
    compiled = compile_schema(schema)
    started = time.process_time()
    with pytest.raises(TooLarge, match="too much"):
        compiled.problems(value)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([0] * 100_001, id="too-many"),
        pytest.param(["x" * 4_194_305], id="too-long"),
        pytest.param("x" * 4_194_305, id="one-long-text"),
    ],
)
def test_data_has_its_bounds_too(value: object) -> None:
    with pytest.raises(TooLarge):
        compile_schema({}).problems(value)


def test_data_that_is_nested_too_deep_is_refused() -> None:
    value: object = 1
    for _ in range(128):
        value = [value]
    assert measure(value) > 0
    with pytest.raises(TooLarge):
        measure([value])
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(TooLarge):
        measure(loop)


def test_bx_13_a_pattern_that_would_backtrack_is_linear() -> None:
    compiled = compile_schema({"type": "string", "pattern": "(a+)+$"})
    started = time.process_time()
    assert compiled.problems("a" * 100_000 + "b") != []
    assert time.process_time() - started < 0.5


def test_a_schema_is_safe_to_use_in_threads() -> None:
    compiled = compile_schema({"items": {"type": "integer"}})
    wrong: list[object] = []

    def work() -> None:
        for _ in range(50):
            if compiled.problems([1, 2, 3], seconds=5) or not compiled.problems(["x"], seconds=5):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
