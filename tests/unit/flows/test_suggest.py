"""Suggestions: near names only, quickly, and never one that was not handed in."""

from __future__ import annotations

import time

from core_runtime.suggest import did_you_mean, nearest


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("Stpes", ["steps", "errors"]) == "steps"
    assert nearest("service.helo", ["service.hello", "service.help"]) == "service.hello"
    assert did_you_mean("timeot", ["timeout"]) == " Did you mean 'timeout'?"


def test_nothing_is_suggested_for_what_is_far_from_all() -> None:
    assert nearest("xyz", ["steps"]) is None
    assert nearest("", ["steps"]) is None
    assert did_you_mean("xyz", []) == ""


def test_hostile_names_cost_little() -> None:
    started = time.process_time()
    assert nearest("a" * 100_000, ["a" * 100]) is None
    nearest("ab" * 64, ("ba" * 64 + str(number) for number in range(10**9)))
    assert time.process_time() - started < 2
