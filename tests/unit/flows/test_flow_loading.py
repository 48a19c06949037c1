"""Loading: every mistake at its place, all at once; the order of steps; what a good file becomes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from core_runtime.flows.explain import blocks_of, explain_flow, validate
from core_runtime.flows.loading.document import LoadedFlow, environment_warnings, load_flow
from core_runtime.flows.model import Flow, WhenFull

TABLE = yaml.safe_load((Path(__file__).parents[2] / "tables" / "flow_mistakes.yaml").read_text("utf-8"))


def _load(text: str, owner: str = "host") -> LoadedFlow:
    return load_flow(text.encode(), file="f.flow.yaml", owner=owner)


def _good(text: str, owner: str = "host") -> Flow:
    loaded = _load(text, owner)
    assert loaded.flow is not None, [problem.text() for problem in loaded.problems]
    return loaded.flow


def _order(steps: str, head: str = "") -> list[str]:
    return [step.id for step in _good(f"flow_id: f\n{head}\nsteps:\n{steps}").steps]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TABLE["cases"]])
def test_each_mistake_of_the_table_is_reported_at_its_place(case: dict[str, object]) -> None:
    loaded = _load(str(case["text"]), str(case.get("owner", "host")))
    for severity, key in (("error", "errors"), ("warning", "warnings")):
        expected = case.get(key, [])
        found = [problem for problem in loaded.problems if problem.severity == severity]
        assert [(item.line, item.column) for item in found] == [(line, column) for line, column, _, _ in expected], [
            item.text() for item in found
        ]
        for item, (_line, _column, part, near) in zip(found, expected, strict=True):
            assert part in item.message
            assert item.nearest == near
    assert (loaded.flow is None) == bool(case.get("errors"))


def test_a_problem_can_be_shown_as_text_as_json_and_among_those_of_a_pack() -> None:
    problem = _load("flow_id: f\nstepz: []\nsteps: []\n").problems[0]
    assert problem.text().startswith("f.flow.yaml:2:1: error: Unknown key 'stepz' in the flow. Expected one of ")
    assert problem.text().endswith("Did you mean 'steps'?")
    assert problem.to_json()["nearest"] == "steps"
    assert problem.to_problem().pointer == "2:1"
    assert "Did you mean 'steps'?" in problem.to_problem().hint


def test_a_file_with_very_many_mistakes_says_how_many_it_leaves_out() -> None:
    loaded = _load("flow_id: f\nsteps:\n" + "".join(f"  - {{id: s{n}, cal: x}}\n" for n in range(500)))
    assert len(loaded.problems) == 201
    assert "800 more problems" in loaded.problems[-1].message


def test_steps_go_by_phase_then_priority_then_id() -> None:
    steps = """
  - {id: d, call: s.x}
  - {id: c, call: s.x, phase: main}
  - {id: b, call: s.x, phase: main, priority: 5}
  - {id: a, call: s.x, phase: main}
  - {id: e, call: s.x, priority: 200}
"""
    assert _order(steps, "phases: [prepare, main]") == ["d", "e", "b", "a", "c"]


def test_depends_on_comes_before_priority_and_id() -> None:
    assert _order("  - {id: a, call: s.x, depends_on: [z]}\n  - {id: m, call: s.x}\n  - {id: z, call: s.x}\n") == [
        "m",
        "z",
        "a",
    ]


def test_a_step_runs_after_the_step_whose_value_it_reads() -> None:
    steps = """
  - {id: a, call: s.x, input: "${late}"}
  - {id: b, call: s.x, input: "${steps.c.v}"}
  - {id: c, call: s.x, output: late}
"""
    assert _order(steps) == ["c", "a", "b"]


def test_a_question_mark_moves_a_step_only_without_a_cycle() -> None:
    assert _order('  - {id: a, call: s.x, input: "${x?}"}\n  - {id: b, set: {x: 1}}\n') == ["b", "a"]
    steps = '  - {id: a, call: s.x, input: "${x?}", output: y}\n  - {id: b, set: {x: "${y}"}}\n'
    assert _order(steps) == ["a", "b"]


def test_a_value_that_is_there_already_moves_nothing() -> None:
    steps = """
  - {id: a, set: {n: 0}}
  - {id: b, set: {n: "${n + 1}"}}
  - {id: c, set: {n: "${n + 1}"}}
"""
    assert _order(steps) == ["a", "b", "c"]


def test_names_of_a_round_do_not_make_dependencies() -> None:
    steps = """
  - {id: a, foreach: [1], as: x, steps: [{id: r, call: s.x, input: "${x}"}]}
  - {id: b, set: {x: 1}}
"""
    assert _order(steps) == ["a", "b"]


def test_a_nested_list_runs_as_it_is_written_but_for_priority_and_dependencies() -> None:
    flow = _good(
        """
flow_id: f
steps:
  - id: top
    if: true
    then:
      - {id: z, call: s.x}
      - {id: y, call: s.x, depends_on: [b]}
      - {id: b, call: s.x}
      - {id: a, call: s.x, priority: 1}
"""
    )
    (_name, then), *_rest = blocks_of(flow.steps[0])
    assert [step.id for step in then] == ["a", "z", "b", "y"]


def test_the_order_is_the_same_whatever_the_order_of_the_file() -> None:
    lines = [
        f"  - {{id: s{n}, call: s.x, priority: {n % 3}, depends_on: {[f's{n - 5}'] if n > 5 else []}}}\n"
        for n in range(40)
    ]
    assert _order("".join(lines)) == _order("".join(reversed(lines)))


def test_the_example_of_the_language_loads_but_for_what_comes_later() -> None:
    text = """
flow_id: greet
description: Greets people, carefully
inputs:
  type: object
  properties: {names: {type: array, items: {type: string}}}
  required: [names]
defaults: {timeout: 60, on_error: stop}
phases: [prepare, main]
concurrency: {limit: 4, when_full: queue}
steps:
  - id: each
    foreach: ${inputs.names}
    as: name
    concurrency: 8
    steps:
      - {id: hello, call: service.hello, input: {name: "${name}"}}
    output: greetings
  - id: check
    if: ${size(greetings) > 10 and not inputs.force?}
    then: [{id: ask, set: {asked: true}}]
    else: [{id: note, set: {note: "few"}}]
  - id: both
    parallel:
      a: [{id: x, call: service.one}]
      b: [{id: y, flow: other_flow, input: {k: 1}}]
  - id: flaky
    call: service.flaky
    timeout: 10
    retry: {max_attempts: 3, backoff: exponential, interval: 0.2, max_interval: 5, on: [UNAVAILABLE, TIMEOUT]}
    on_error: continue
    when: ${note? != "skip"}
errors:  [{id: tell, call: service.notify, input: {what: "${error.code}"}}]
finally: [{id: bye, emit: {topic: greet.done}}]
outputs: {count: "${size(greetings)}"}
"""
    flow = _good(text)
    assert [step.id for step in flow.steps] == ["both", "each", "check", "flaky"]
    assert flow.step_count == 11
    assert flow.concurrency is not None
    assert (flow.concurrency.limit, flow.concurrency.when_full) == (4, WhenFull.QUEUE)
    assert sorted(use.name for use in flow.interfaces) == [
        "service.flaky",
        "service.hello",
        "service.notify",
        "service.one",
    ]
    retry = flow.steps[3].guard.retry
    assert [retry.pause(attempt) for attempt in (1, 2, 6)] == [0.2, 0.4, 5]


def test_what_nothing_provides_is_a_warning_with_the_nearest_name() -> None:
    flow = _good(
        "flow_id: f\nsteps:\n  - {id: a, call: service.helo}\n  - {id: b, flow: othr}\n  - {id: c, call: 'kernel:store.gett'}\n"
    )
    found = environment_warnings(flow, interfaces={"service.hello"}, flows={"other"}, permissions={"store.get"})
    assert [(item.line, item.nearest, item.severity) for item in found] == [
        (3, "service.hello", "warning"),
        (4, "other", "warning"),
        (5, "store.get", "warning"),
    ]
    assert environment_warnings(flow) == ()


def test_a_report_of_validation_needs_no_kernel() -> None:
    report = validate(b"flow_id: f\nsteps: [{id: a, call: s.x}]\n", file="f.flow.yaml", interfaces=set())
    assert report.ok
    assert (report.flow_id, report.steps, len(report.problems)) == ("f", 1, 1)
    assert report.to_json()["ok"] is True
    assert not validate(b"flow_id: f\n", file="f.flow.yaml").ok


def test_explain_shows_every_step_with_its_author_in_its_order() -> None:
    text = """
flow_id: f
steps:
  - {id: b, if: true, then: [{id: c, call: s.x}], else: [{id: d, stop: {}}], on_error: {steps: [{id: e, set: {x: 1}}]}}
  - {id: a, parallel: {left: [{id: l, call: s.x}]}}
finally: [{id: z, emit: {topic: t}}]
"""
    explained = explain_flow(_good(text, "mine"))
    assert [(line.id, line.block, line.depth) for line in explained.steps] == [
        ("a", "steps", 0),
        ("l", "left", 1),
        ("b", "steps", 0),
        ("c", "then", 1),
        ("d", "else", 1),
        ("e", "on_error", 1),
        ("z", "finally", 0),
    ]
    assert {line.author for line in explained.steps} == {"mine"}
    assert explained.to_json()["interfaces"] == ["s.x"]


@pytest.mark.parametrize(("steps", "good"), [(10_000, True), (10_001, False)])
def test_a_definition_has_at_most_ten_thousand_steps(steps: int, good: bool) -> None:
    text = "flow_id: f\nsteps:\n" + "".join(f"- {{id: s{n}, stop: }}\n" for n in range(steps))
    loaded = _load(text)
    assert (loaded.flow is not None) is good
    if not good:
        assert [item.message for item in loaded.problems] == ["More than 10000 steps."]


def test_yj_03_loading_hostile_files_is_quick() -> None:
    started = time.process_time()
    wide = "flow_id: f\nsteps:\n" + "".join(f"- {{id: s{n}, depends_on: [s{n + 1}], stop: }}\n" for n in range(3_000))
    _load(wide)
    _load("flow_id: f\nsteps: [{id: a, set: {x: '" + "${a}" * 10_000 + "'}}]")
    assert time.process_time() - started < 5
