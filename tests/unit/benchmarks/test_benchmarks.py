"""Every benchmark runs and prints its one line in the one shape. What the figures are is never a test."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.launch.offline import bench

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("p[0-9][0-9]_*.py"))
WITHOUT_CONTAINERS = {
    "p01_warm_call": ["--where", "process"],
    "p02_capability_call": [],
    "p05_flow_step": [],
    "p06_decide": [],
    "p07_audit": [],
    "p10_digest_seal": [],
}
WITH_CONTAINERS = ("p03_start", "p04_boot", "p11_memory")
LINE = {
    "promise",
    "what",
    "value",
    "unit",
    "promised",
    "met",
    "floor",
    "peer",
    "ratio",
    "load",
    "machine",
    "also",
    "details",
}
FIGURE = {"what", "value", "unit", "promised", "met", "floor", "peer", "ratio"}


@pytest.fixture(autouse=True)
def the_project_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def common():
    return import_module("benchmarks.bench_common")


def check_figure(figure):
    assert isinstance(figure["what"], str)
    assert isinstance(figure["unit"], str)
    assert isinstance(figure["value"], int | float)
    assert figure["value"] > 0
    assert isinstance(figure["met"], bool)
    assert figure["promised"] is None or re.match(r"[<>]= ", figure["promised"])
    for rival in (figure["floor"], figure["peer"]):
        assert rival is None or (rival.keys() == {"name", "value"} and rival["name"] and rival["value"] > 0)
    assert (figure["ratio"] is None) == (figure["floor"] is None and figure["peer"] is None)


def check_line(text, script):
    (printed,) = text.splitlines()
    line = json.loads(printed)
    assert line.keys() == LINE
    assert line["promise"] == f"P{int(script[1:3])}"
    assert line["load"].keys() == {"before", "after"}
    assert line["machine"].keys() == {"cores", "python"}
    check_figure(line)
    for figure in line["also"]:
        assert figure.keys() == FIGURE
        check_figure(figure)
    assert not line["met"] or all(figure["met"] for figure in line["also"])


def test_no_script_is_left_out():
    assert sorted([*WITHOUT_CONTAINERS, *WITH_CONTAINERS]) == SCRIPTS


@pytest.mark.parametrize("script", WITHOUT_CONTAINERS)
def test_a_benchmark_prints_one_line_of_the_one_shape(script, capsys):
    import_module(f"benchmarks.{script}").main(["--quick", *WITHOUT_CONTAINERS[script]])
    check_line(capsys.readouterr().out, script)


@pytest.mark.docker
@pytest.mark.parametrize("script", [*WITH_CONTAINERS])
def test_a_benchmark_with_containers_prints_one_line_of_the_one_shape(script, capsys):
    import_module(f"benchmarks.{script}").main(["--quick"])
    check_line(capsys.readouterr().out, script)


def test_every_script_says_what_it_measures():
    for script in SCRIPTS:
        assert (import_module(f"benchmarks.{script}").__doc__ or "").startswith(f"P{int(script[1:3])}")


def test_rumi_bench_knows_the_scripts_by_the_names_of_the_promises(capfd):
    assert bench(["p6"]) == 0
    check_line(capfd.readouterr().out, "p06_decide")


def test_rumi_bench_names_what_there_is_for_an_unknown_name():
    with pytest.raises(ValidationFailed) as caught:
        bench(["P99"])
    assert "P10" in caught.value.hint


@pytest.mark.parametrize(
    ("promise", "value", "ratio", "kept"),
    [
        ({"most": 30}, 30.0, None, True),
        ({"most": 30}, 30.1, None, False),
        ({"least": 100}, 100.0, None, True),
        ({"least": 100}, 99.0, None, False),
        ({"most_ratio": 1.2}, 5.0, 1.2, True),
        ({"most_ratio": 1.2}, 5.0, 1.21, False),
        ({"most_ratio": 1.2}, 5.0, None, False),
        ({"most": 30, "most_ratio": 2}, 29.0, 2.5, False),
        ({}, 1.0, None, True),
    ],
)
def test_a_promise_is_kept_at_its_limit_and_broken_beyond(promise, value, ratio, kept):
    assert common().Promise(**promise).kept(value, ratio) is kept


def test_one_broken_figure_breaks_the_promise_of_the_line(capsys):
    shared = common()

    def figure(value):
        return shared.Figure(what="x", value=value, unit="ms", promise=shared.Promise(most=1))

    shared.Report("P0").show(figure(1.0), figure(2.0))
    line = json.loads(capsys.readouterr().out)
    assert line["met"] is False
    assert line["also"][0]["met"] is False


def test_what_the_product_refuses_is_one_sentence_and_exit_code_1(capsys):
    def refused():
        raise ValidationFailed("No engine.", hint="Start it.")

    with pytest.raises(SystemExit) as caught:
        common().end(refused)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "No engine. Start it.\n"
