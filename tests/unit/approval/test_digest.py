"""The digest as a pure function."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_runtime.approval.digest import FileEntry, check_name, printable, tree_digest
from core_runtime.errors import ValidationFailed


def entry(path: str, content: bytes = b"", *, x: bool = False) -> FileEntry:
    return FileEntry(path, x, len(content), hashlib.sha256(content).hexdigest())


def test_the_digest_is_that_of_the_page():
    rows = [["a/ü.py", "x", 2, hashlib.sha256(b"hi").hexdigest()], ["b", "-", 0, hashlib.sha256(b"").hexdigest()]]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    found = tree_digest([entry("b"), entry("a/ü.py", b"hi", x=True)])
    assert found.digest == hashlib.sha256(text.encode()).hexdigest()


def test_entries_are_sorted_by_their_utf8_bytes():
    names = ["\U0001f600", "z", "ﬀ", "a/b", "a-b"]
    found = tree_digest(entry(name) for name in names)
    assert [e.path for e in found.entries] == sorted(names, key=lambda name: name.encode())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param([entry("a", b"x"), entry("b", b"yz")], [entry("a", b"xy"), entry("b", b"z")], id="AP-07-content"),
        pytest.param([entry("ab", b"1"), entry("c", b"2")], [entry("a", b"1"), entry("bc", b"2")], id="AP-07-names"),
        pytest.param(
            [entry("a", b"1"), entry("b", b"2")],
            [entry(f"a\n{hashlib.sha256(b'2').hexdigest()}  b", b"1")],
            id="AP-07-newline-and-fake-line",
        ),
        pytest.param([entry('a","x",0,"', b"1")], [entry("a", b"1")], id="AP-07-quotes"),
        pytest.param([entry("a", b"1")], [entry("a", b"1", x=True)], id="AP-10-execute-bit"),
        pytest.param([entry("a", b"1")], [entry("a", b"1"), entry("b")], id="AP-02-added-empty-file"),
        pytest.param([entry("a/b", b"1")], [entry("a-b", b"1")], id="AP-07-separator"),
    ],
)
def test_different_trees_have_different_digests(one, two):
    assert tree_digest(one).digest != tree_digest(two).digest


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6).filter(
            lambda t: t not in {".", ".."}
        ),
        st.binary(max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_the_order_of_entries_does_not_matter_and_every_row_does(files, data):
    entries = [entry(path, content) for path, content in files.items()]
    try:
        whole = tree_digest(entries)
    except ValidationFailed:
        return
    assert tree_digest(data.draw(st.permutations(entries))).digest == whole.digest
    assert tree_digest(entries[1:]).digest != whole.digest


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("../up", "path", id="climbs"),
        pytest.param("/root", "path", id="absolute"),
        pytest.param("a//b", "path", id="empty-part"),
        pytest.param("a/\0", "path", id="nul"),
        pytest.param("", "path", id="empty"),
        pytest.param("e\u0301", "name", id="AP-13-decomposed"),
        pytest.param("\udcff", "name", id="AP-20-not-utf8"),
        pytest.param("/".join("abcdefghijklmnopq"), "depth", id="AP-19-17-levels"),
        pytest.param("a" * 241, "path_length", id="AP-19-241-bytes"),
        pytest.param("ä" * 121, "path_length", id="AP-19-242-bytes-in-121-letters"),
    ],
)
def test_paths_that_no_pack_may_hold_are_refused(path, reason):
    with pytest.raises(ValidationFailed) as caught:
        tree_digest([entry(path)])
    assert caught.value.details["reason"] == reason


def test_the_limits_themselves_are_allowed():
    assert tree_digest([entry("a" * 240)]).entries
    assert tree_digest([entry("/".join("abcdefghijklmnop"))]).entries
    assert len(tree_digest(entry(str(n)) for n in range(2_000)).entries) == 2_000


def test_ap_19_one_file_over_the_count_is_refused():
    with pytest.raises(ValidationFailed, match="more than 2000 files"):
        tree_digest(entry(str(n)) for n in range(2_001))


def test_ap_19_all_bytes_together_are_limited():
    big = FileEntry("a", False, 500 * 1024 * 1024 + 1, "0" * 64)
    with pytest.raises(ValidationFailed, match="500 MB"):
        tree_digest([big])


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(("A", "a"), id="AP-13-files"),
        pytest.param(("Dir/x", "dir/y"), id="AP-13-folders"),
        pytest.param(("straße", "STRASSE"), id="AP-13-full-folding"),
        pytest.param(("É", "é"), id="AP-13-beyond-ascii"),
        pytest.param(("a/b", "A"), id="AP-13-file-against-folder"),
        pytest.param(("same", "same"), id="twice"),
    ],
)
def test_paths_equal_under_case_folding_are_refused(paths):
    for order in itertools.permutations(paths):
        if order[0] == order[1]:
            continue
        with pytest.raises(ValidationFailed) as caught:
            tree_digest(entry(path) for path in order)
        assert caught.value.details["reason"] == "case_twin"


def test_a_path_named_twice_is_refused():
    with pytest.raises(ValidationFailed):
        tree_digest([entry("same"), entry("same")])


def test_what_is_shown_of_a_path_cannot_act_on_a_terminal():
    assert printable("a\x1b[2J\u202eb\udcff") == "a\\x1b[2J\\u202eb\\udcff"
    check_name("ü", "ü")
