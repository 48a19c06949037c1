"""The text that Prometheus reads."""

import math

from core_runtime.interfaces.admin.metrics import render
from core_runtime.interfaces.ports import Metric


def test_samples_of_one_name_stand_together_under_one_help_and_type():
    text = render(
        [Metric("a", 1, "counter", "A"), Metric("b", 2.5), Metric("a", 3, "counter", "A", (("x", "y"),))]
    ).decode()
    assert text == '# HELP a A\n# TYPE a counter\na 1\na{x="y"} 3\n# HELP b \n# TYPE b gauge\nb 2.5\n'


def test_text_of_strangers_cannot_break_out_of_a_label():
    text = render([Metric("a", 1, labels=(("x", 'q"} 9\nevil 1\\'), ("bad key", "z")))]).decode()
    assert text.splitlines()[-1] == 'a{x="q\\"} 9\\nevil 1\\\\"} 1'


def test_names_that_are_none_are_left_out_and_odd_numbers_are_spelled():
    assert b"evil" not in render([Metric("evil name\n", 1)])
    shown = render([Metric("a", value) for value in (math.nan, math.inf, -math.inf)]).decode().splitlines()[2:]
    assert shown == ["a NaN", "a +Inf", "a -Inf"]
