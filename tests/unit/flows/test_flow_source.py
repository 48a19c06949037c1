"""The YAML door: what comes through keeps its place, what is dangerous or not 1.2 core does not come through."""

from __future__ import annotations

import time

import pytest

from core_runtime.flows.problems import Findings
from core_runtime.flows.source import Node, read_yaml


def _read(data: bytes) -> tuple[object, Findings]:
    findings = Findings("f.yaml")
    node = read_yaml(data, findings)
    return (node.plain() if isinstance(node, Node) else None), findings


def _only(data: bytes) -> str:
    _value, findings = _read(data)
    assert len(findings.found) == 1, [problem.text() for problem in findings.found]
    return findings.found[0].text()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("2026-01-02", "2026-01-02"),
        ("12:30:45", "12:30:45"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("-7", -7),
        ("+7", 7),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ('"true"', "true"),
        ("-", None),
        ("1.2.3", "1.2.3"),
        ("no", "no"),
        ("nothing", "nothing"),
    ],
)
def test_scalars_have_the_core_types_of_yaml_1_2(text: str, value: object) -> None:
    found, findings = _read(f"a: {text}\n".encode())
    if text == "-":
        assert found == {"a": [None]} or findings.found
        return
    assert found == {"a": value}
    assert type(found["a"]) is type(value)
    assert not findings.found


def test_merge_keys_are_ordinary_keys() -> None:
    value, _findings = _read(b"a: &a {x: 1}\nb: {<<: *a}\n")
    assert value == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


def test_every_node_knows_line_and_column_of_its_key_and_value() -> None:
    root = read_yaml(b"a: 1\nb:\n  - c:   deep\n", Findings("f"))
    assert root is not None
    deep = root.value["b"].value[0].value["c"]
    assert (deep.key_place.line, deep.key_place.column) == (3, 5)
    assert (deep.place.line, deep.place.column) == (3, 10)


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        pytest.param(b"a: !!python/object/apply:os.system [ls]", 1, "is refused", id="YJ-01-python-object"),
        pytest.param(b"a: !!python/name:os.system", 1, "is refused", id="YJ-01-python-name"),
        pytest.param(b"a: !<tag:example.org,2026:x> 1", 1, "is refused", id="YJ-01-verbatim-tag"),
        pytest.param(b"a: 1\nb: !mine 2", 2, "is refused", id="YJ-01-custom-tag"),
        pytest.param(b"a: !!str 2", 1, "is refused", id="YJ-01-core-tag"),
        pytest.param(b"a: !!map {}", 1, "is refused", id="YJ-01-tag-on-a-mapping"),
        pytest.param(b"&a [*a]", 1, "contains itself", id="YJ-02-cycle"),
        pytest.param(b"a: &a {b: {c: *a}}", 1, "contains itself", id="YJ-02-deep-cycle"),
        pytest.param(b"a: *nowhere", 1, "has no anchor", id="YJ-02-unknown-anchor"),
        pytest.param(b"a: &a 1\nb: [" + b"*a," * 101 + b"]", 2, "More than 100 aliases", id="YJ-02-aliases"),
        pytest.param(b"[" * 33 + b"]" * 33, 1, "Nested more than 32", id="YJ-03-depth-33"),
        pytest.param(b"[" * 10_000, 1, "Nested more than 32", id="YJ-03-depth-10000"),
        pytest.param(b"a: " + b"1" * 900_000, 1, "more than 64 bits", id="YJ-03-digits"),
        pytest.param(b"a: " + b"x" * 1_048_577, 1, "1048580 bytes", id="YJ-03-size"),
        pytest.param(b"[1, 2]: x", 1, "A key is a list", id="YJ-03-list-as-key"),
        pytest.param(b"{a: 1}: x", 1, "Unquoted `{{ }}`", id="YJ-03-mapping-as-key"),
        pytest.param(b"1: x", 1, "A key is 1", id="YJ-03-number-as-key"),
        pytest.param(b"a: 1\n---\nb: 2\n", 2, "A second document", id="YJ-05-two-documents"),
        pytest.param(b"\xef\xbb\xbfa: 1", 1, "byte order mark", id="YJ-05-bom"),
        pytest.param("a: 1".encode("utf-16"), 1, "byte order mark", id="YJ-05-utf-16"),
        pytest.param("a: 1".encode("utf-16-le"), 1, "NUL byte", id="YJ-05-utf-16-without-mark"),
        pytest.param(b"a: 1\nb: \0", 2, "NUL byte", id="YJ-05-nul"),
        pytest.param(b"a: 1\nb: \xff", 2, "not UTF-8", id="YJ-05-latin"),
        pytest.param(b"a:\n\t- b", 2, "Not YAML", id="YJ-05-tab"),
        pytest.param(b"a: {{ name }}", 1, "Unquoted `{{ }}`", id="unquoted-braces"),
        pytest.param(b"a: 1\nb: 2\na: 3", 3, "stands twice", id="duplicate-key"),
        pytest.param(b"a: .inf", 1, "not a JSON number", id="infinity"),
        pytest.param(b"a: -.INF", 1, "not a JSON number", id="negative-infinity"),
        pytest.param(b"a: .nan", 1, "not a JSON number", id="nan"),
        pytest.param(b"a: 1e999", 1, "not a JSON number", id="float-overflow"),
        pytest.param(b"a: 18446744073709551616", 1, "more than 64 bits", id="integer-overflow"),
        pytest.param(b"", 1, "is empty", id="empty"),
        pytest.param(b"# only a comment\n", 1, "is empty", id="comment-only"),
        pytest.param(b"a: [1", 1, "Not YAML", id="not-closed"),
    ],
)
def test_what_is_no_plain_document_is_refused_with_its_line(data: bytes, line: int, message: str) -> None:
    text = _only(data)
    assert message in text
    assert text.startswith(f"f.yaml:{line}:") or "Not YAML" in text


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b"a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}, id="YJ-05-crlf-is-one-document"),
        pytest.param(b"--- \na: 1\n...\n", {"a": 1}, id="one-document-with-marks"),
        pytest.param(b"[" * 32 + b"]" * 32, None, id="YJ-03-depth-32"),
        pytest.param(b"a: &a 1\nb: [" + b"*a," * 100 + b"]", None, id="YJ-02-a-hundred-aliases"),
        pytest.param(b"a: 18446744073709551615", {"a": 2**64 - 1}, id="largest-integer"),
    ],
)
def test_what_is_at_the_limit_comes_through(data: bytes, value: object) -> None:
    found, findings = _read(data)
    assert not findings.found
    assert found is not None
    if value is not None:
        assert found == value


def test_yj_02_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    started = time.process_time()
    assert "values" in _only("\n".join(lines).encode())
    assert time.process_time() - started < 0.5


def test_yj_02_keys_count_in_the_size_of_an_alias() -> None:
    wide = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2_000)) + "}\n"
    assert "values" in _only((wide + "b: [" + "*a, " * 90 + "]").encode())


def test_yj_03_a_file_full_of_values_ends_soon() -> None:
    started = time.process_time()
    assert "values" in _only(b"[" + b"1," * 300_001 + b"]")
    assert time.process_time() - started < 6


def test_all_findings_of_a_document_are_told_at_once() -> None:
    _value, findings = _read(b"a: !x 1\nb: .inf\na: 2\n1: 3\n")
    assert [problem.line for problem in findings.sorted()] == [1, 2, 3, 4]
