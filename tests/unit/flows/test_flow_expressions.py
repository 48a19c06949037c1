"""The expression language: its table, and the bounds that no text or value gets past."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from core_runtime.errors import RumiError, TooLarge
from core_runtime.flows.expressions.errors import ExpressionSyntaxError
from core_runtime.flows.expressions.scope import Meter, Scope
from core_runtime.flows.expressions.template import (
    compile_expression,
    compile_text,
    constant,
    mapping_of,
    sequence_of,
    weighed,
)

TABLE = yaml.safe_load((Path(__file__).parents[2] / "tables" / "flow_expressions.yaml").read_text("utf-8"))


class _Clock:
    def wall(self) -> float:
        return 1767323045.678

    def monotonic(self) -> float:
        return 0.0


def _scope(names: dict[str, object]) -> Scope:
    return Scope(dict(names), Meter(_Clock()))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TABLE["cases"]])
def test_each_expression_of_the_table_gives_its_value_or_its_error(case: dict[str, object]) -> None:
    text = str(case["text"])
    if "load_error" in case:
        with pytest.raises(ExpressionSyntaxError) as refused:
            compile_text(text)
        assert str(case["load_error"]) in refused.value.message
        return
    template = compile_text(text)
    if "error" in case:
        with pytest.raises(RumiError) as failed:
            template.fill(_scope(TABLE["names"]))
        assert str(case["error"]) in failed.value.message
        assert failed.value.code.value == "VALIDATION_ERROR"
        return
    value = template.fill(_scope(TABLE["names"]))
    assert value == case["value"]
    assert type(value) is type(case["value"])


@pytest.mark.parametrize("wrap", ["({})", "[{}]", "lower({})", "not {}", "- {}", "1 if x else {}"])
@pytest.mark.parametrize(
    ("depth", "allowed"), [pytest.param(20, True, id="YJ-08-20"), pytest.param(21, False, id="YJ-08-21")]
)
def test_nesting_ends_at_twenty_levels(wrap: str, depth: int, allowed: bool) -> None:
    text = "1"
    for _ in range(depth - 1):
        text = wrap.format(text)
    if allowed:
        compile_text("${" + text + "}")
    else:
        with pytest.raises(ExpressionSyntaxError, match="nested too deep"):
            compile_text("${" + text + "}")


def test_yj_09_a_condition_of_a_megabyte_is_refused_quickly() -> None:
    started = time.process_time()
    with pytest.raises(ExpressionSyntaxError, match="too many operations"):
        compile_text("${" + "1+" * 500_000 + "1}")
    with pytest.raises(ExpressionSyntaxError, match="nested too deep"):
        compile_text("${" + "(" * 500_000 + "}")
    assert time.process_time() - started < 1.0


def test_a_long_chain_of_operators_does_not_nest() -> None:
    assert compile_text("${" + "+".join("1" * 4000) + "}").fill(_scope({})) == 4000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("${a + a}", id="BX-13-result-of-plus"),
        pytest.param("${join(l, a)}", id="BX-13-result-of-join"),
        pytest.param("${json(a)}", id="BX-13-result-of-json"),
        pytest.param("${[a, a]}", id="BX-13-list-of-large-texts"),
        pytest.param("${a} and ${a}", id="BX-13-texts-in-a-text"),
    ],
)
def test_a_result_ends_at_one_mebibyte(text: str) -> None:
    with pytest.raises(TooLarge):
        compile_text(text).fill(_scope({"a": "x" * 1_048_575, "l": ["", "", ""]}))


def test_bx_13_fuel_ends_an_expression_that_touches_too_much() -> None:
    names: dict[str, object] = {"a": "x" * 1_000_000, "l": list(range(90_000)), "m": list(range(90_000))}
    for text in ("${hash(a) == hash(a) and hash(a) == hash(a)}", "${1.5 in l}", "${l == m}", "${1 in m}"):
        with pytest.raises(TooLarge, match="operations"):
            compile_text(text).fill(_scope(names))
    names = {"l": list(range(30_000)), "m": list(range(30_000))}
    started = time.process_time()
    assert compile_text("${l == m}").fill(_scope(names)) is True
    assert time.process_time() - started < 0.5


def test_the_fuel_is_new_for_every_evaluation() -> None:
    template = compile_text("${size(hash(a))}")
    scope = _scope({"a": "x" * 1_000_000})
    assert [template.fill(scope) for _ in range(5)] == [64] * 5


def test_yj_08_a_value_cannot_be_doubled_without_end() -> None:
    template = weighed(mapping_of({"a": compile_text("${v}"), "b": compile_text("${v}")}))

    def double(times: int) -> None:
        value: object = "x" * 1000
        for _ in range(times):
            value = template.fill(_scope({"v": value}))

    double(10)
    with pytest.raises(TooLarge):
        double(64)


def test_yj_08_a_value_that_contains_itself_is_a_typed_error() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RumiError):
        weighed(sequence_of([compile_text("${v}")])).fill(_scope({"v": loop}))


def test_objects_of_python_are_no_values() -> None:
    with pytest.raises(RumiError, match="no JSON"):
        weighed(sequence_of([compile_text("${v}")])).fill(_scope({"v": object()}))
    with pytest.raises(RumiError, match="no JSON"):
        compile_text("a ${v}").fill(_scope({"v": object()}))


def test_constants_stay_constants() -> None:
    template = mapping_of({"a": constant(1), "b": sequence_of([constant("x")])})
    assert template.evaluate is None
    assert template.value == {"a": 1, "b": ["x"]}


def test_a_child_scope_reads_outwards_and_writes_into_itself() -> None:
    outer = _scope({"x": 1, "steps.a": 2})
    inner = Scope({"x": 5}, outer.meter, outer)
    assert compile_text("${x}").fill(inner) == 5
    assert compile_text("${steps.a}").fill(inner) == 2
    assert compile_text("${steps}").fill(inner) == {"a": 2}
    inner.names["y"] = 1
    assert compile_text("${y?}").fill(outer) is None


def test_references_say_name_key_and_whether_they_may_be_missing() -> None:
    found = compile_text("${inputs.a + steps['b'].c? + default(x, y)}").references
    assert [(item.name, item.key, item.optional) for item in found] == [
        ("inputs", "a", False),
        ("steps", "b", True),
        ("x", None, True),
        ("y", None, False),
    ]


def test_a_bare_expression_serves_rules_outside_of_flows() -> None:
    rule = compile_expression("${args.all? == true}")
    assert rule.evaluate({"args": {"all": True}}, _Clock()) is True
    assert rule.evaluate({"args": {}}, _Clock()) is False
    assert compile_expression("args.n > 3").evaluate({"args": {"n": 4}}, _Clock()) is True
    with pytest.raises(ExpressionSyntaxError):
        compile_expression("${args.a} and more")
