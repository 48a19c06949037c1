"""The patches fit the tree of today, two of them are tried here, and the scheduled job tries them all."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def _load():
    spec = importlib.util.spec_from_file_location("rumi_mutations", HERE / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["rumi_mutations"] = module
    spec.loader.exec_module(module)
    return module


run = _load()
ALL = run.mutations()
QUICK = ("expiry.patch", "plan-hash.patch")


def by_name(mutation) -> str:
    return mutation.patch.removesuffix(".patch")


@pytest.mark.parametrize("mutation", ALL, ids=by_name)
def test_every_patch_fits_and_leaves_code_that_parses(mutation):
    for path, text in run.patched(mutation, run.ROOT).items():
        assert text != path.read_text("utf-8")
        ast.parse(text)
    file, _, name = mutation.fails.partition("::")
    source = (run.ROOT / file).read_text("utf-8")
    assert not name or f"def {name}(" in source


def test_the_manifest_names_every_patch_once_and_there_are_enough():
    assert sorted(item.patch for item in ALL) == sorted(path.name for path in HERE.glob("*.patch"))
    assert len(ALL) >= 30


def test_with_every_guard_in_its_place_the_tests_pass():
    """Or a mutant would look caught by a test that fails anyway."""
    assert run.control([item for item in ALL if item.patch in QUICK]) == ""


@pytest.mark.parametrize("mutation", [item for item in ALL if item.patch in QUICK], ids=by_name)
def test_a_guard_that_is_taken_out_is_missed(mutation):
    verdict = run.try_out(mutation)
    assert verdict.caught, verdict.output


@pytest.mark.scheduled
@pytest.mark.timeout(1800)
def test_with_every_guard_in_its_place_all_of_them_pass():
    assert run.control(ALL) == ""


@pytest.mark.scheduled
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutation", [item for item in ALL if item.patch not in QUICK], ids=by_name)
def test_every_guard_that_is_taken_out_is_missed(mutation):
    verdict = run.try_out(mutation)
    assert verdict.caught, verdict.output


def test_a_patch_that_does_not_fit_is_refused(tmp_path):
    (tmp_path / "core_runtime").mkdir()
    for mutation in ALL[:1]:
        for path, _, _ in run.hunks(mutation.text):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("something else\n")
        with pytest.raises(run.PatchRefused):
            run.patched(mutation, tmp_path)
