"""Every attack of the contract's list is a test that carries its id, or is not possible yet, and then why.

The list is `adversarial-cases.md` of the design: the groups AP (approval and hashing), CT (isolation), UD (the wire) and
YJ (YAML and flows) whole, and of BX (between packs, pages and kernel) the rows about tokens, interfaces and names. An id
is carried by the name of a test function (`test_ap_07_...`), the id of a parameter (`id="UD-06-nan"`) or that of a case
in `tests/tables/*.yaml`. A row that leaves `LATER` because its feature is built needs its test in the same change.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROWS = {
    "AP": (1, 2, 3, 4, 7, 9, 10, 12, 13, 15, 16, 18, 19, 20, 22),
    "CT": (1, 2, 4, 5, 7, 8, 9, 11, 12, 15, 16, 18, 19, 21, 23, 25),
    "UD": (1, 2, 4, 6, 7, 8, 10, 11, 12, 14, 15, 17),
    "YJ": (1, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16),
    "BX": (1, 7, 11, 12, 13, 14, 15),
}
LATER = {
    "CT-23": "no dependencies are built yet: `requirements.lock` is refused nowhere because it is used nowhere",
    "YJ-11": "no modifiers yet: their files are sealed and read by nobody",
    "YJ-13": "no vocabulary yet: `vocab.txt` is sealed and read by nobody",
    "YJ-14": "no scheduler yet; the zone of `format_time` is tested already",
}
# Rows whose words claim isolation or a race: a test with fakes alone would prove nothing.
REAL = {
    "AP-01", "AP-12", "CT-01", "CT-04", "CT-05", "CT-07", "CT-08", "CT-09", "CT-11", "CT-12", "CT-19", "CT-21", "CT-25",
    "UD-02", "UD-04", "UD-06", "UD-08", "UD-12", "UD-15", "UD-17", "BX-01", "BX-07", "BX-11", "BX-12", "BX-14",
}  # fmt: skip
_IDS = re.compile(r"(?<![a-z0-9])(ap|ct|ud|yj|bx)[-_](\d\d)(?!\d)", re.IGNORECASE)


def wanted() -> list[str]:
    """Every row, in the order of the list."""
    return [f"{group}-{number:02}" for group, numbers in ROWS.items() for number in numbers]


def spoken(path: Path) -> Iterator[tuple[str, str]]:
    """`(test, text)` for everything of a file that becomes part of a test's id."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name, node.name
            for decorator in node.decorator_list:
                for part in ast.walk(decorator):
                    if isinstance(part, ast.keyword) and part.arg in {"id", "ids"}:
                        texts = [item.value for item in ast.walk(part.value) if isinstance(item, ast.Constant)]
                        yield from ((node.name, text) for text in texts if isinstance(text, str))
        elif isinstance(node, ast.keyword) and node.arg == "id" and isinstance(node.value, ast.Constant):
            yield path.name, str(node.value.value)


@cache
def carried() -> dict[str, list[str]]:
    """Row id -> where it is carried, as `path::test`."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if path == Path(__file__):
            continue
        for test, text in spoken(path):
            for group, number in _IDS.findall(text):
                found.setdefault(f"{group.upper()}-{number}", []).append(f"{path.relative_to(TESTS)}::{test}")
    for path in sorted((TESTS / "tables").glob("*.yaml")):
        for line in re.findall(r"^\s*-\s*\{?\s*id:\s*([A-Za-z0-9_-]+)", path.read_text("utf-8"), re.MULTILINE):
            for group, number in _IDS.findall(line):
                found.setdefault(f"{group.upper()}-{number}", []).append(f"{path.relative_to(TESTS)}::{line}")
    return found


@pytest.mark.parametrize("row", [row for row in wanted() if row not in LATER])
def test_every_row_that_concerns_what_exists_is_a_test(row):
    where = carried().get(row, [])
    assert where, f"{row} has no test that carries its id"
    if row in REAL:
        real = [place for place in where if place.startswith(("integration/", "unit/agent/"))]
        assert real, f"{row} is only tested with fakes: {where}"


def test_rows_for_later_are_rows_and_say_why():
    assert set(LATER) <= set(wanted())
    assert all(len(reason) > 20 for reason in LATER.values())


def test_nothing_carries_the_id_of_a_row_that_there_is_not():
    """A misspelt id would let its row look untested, or worse, another one tested."""
    known = set(wanted())
    odd = {row: places for row, places in carried().items() if row not in known and not row.startswith("BX")}
    assert odd == {}
