"""The book of flows: owners, claims, approval, and the kernel's own flows by their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core_runtime.errors import ApprovalDenied, NotFound, Unavailable
from core_runtime.flows.book import CACHED_DEFINITIONS, FlowBook, FlowState
from core_runtime.flows.core_digests import CORE_DIGESTS

CORE = Path(__file__).parents[3] / "flow" / "core"


def _flow(flow_id: str, text: str = "steps: []") -> bytes:
    return f"flow_id: {flow_id}\n{text}\n".encode()


def test_the_second_claimant_of_an_id_is_disabled_and_both_are_named() -> None:
    book = FlowBook()
    assert book.register_pack("one", [("a.flow.yaml", _flow("greet"))]) == ()
    problems = book.register_pack("two", [("b.flow.yaml", _flow("greet")), ("c.flow.yaml", _flow("other"))])
    assert len(problems) == 1
    assert "'one' (a.flow.yaml)" in problems[0].message
    assert "'two' (b.flow.yaml)" in problems[0].message
    assert book.active("greet").owner == "one"
    assert book.active("other").owner == "two"
    assert {entry.file: entry.state for entry in book.entries()}["b.flow.yaml"] is FlowState.DISABLED


def test_two_files_of_one_pack_cannot_share_an_id() -> None:
    book = FlowBook()
    problems = book.register_pack("one", [("b.flow.yaml", _flow("x")), ("a.flow.yaml", _flow("x"))])
    assert len(problems) == 1
    assert book.active("x").file == "a.flow.yaml"


def test_nothing_takes_an_id_over_by_itself() -> None:
    book = FlowBook()
    book.register_pack("one", [("a.flow.yaml", _flow("greet"))])
    book.register_pack("two", [("b.flow.yaml", _flow("greet"))])
    book.unregister_pack("one")
    with pytest.raises(Unavailable, match="belongs to the pack 'one'"):
        book.active("greet")
    book.register_pack("two", [("b.flow.yaml", _flow("greet"))])
    with pytest.raises(Unavailable, match="belongs to the pack 'one'"):
        book.active("greet")
    book.release("one")
    book.register_pack("two", [("b.flow.yaml", _flow("greet"))])
    assert book.active("greet").owner == "two"


def test_bx_11_an_id_that_was_held_before_a_restart_waits_for_its_pack() -> None:
    book = FlowBook()
    book.recall({"greet": "one"})
    assert len(book.register_pack("two", [("b.flow.yaml", _flow("greet"))])) == 1
    assert book.register_pack("one", [("a.flow.yaml", _flow("greet"))]) == ()
    assert book.active("greet").owner == "one"
    assert dict(book.pins) == {"greet": "one"}


def test_an_update_without_a_flow_lets_go_of_its_id() -> None:
    book = FlowBook()
    book.register_pack("one", [("a.flow.yaml", _flow("greet"))])
    book.register_pack("one", [("a.flow.yaml", _flow("other"))])
    assert book.register_pack("two", [("b.flow.yaml", _flow("greet"))]) == ()


def test_registering_a_pack_again_replaces_all_that_it_had() -> None:
    book = FlowBook()
    book.register_pack("one", [("a.flow.yaml", _flow("a")), ("b.flow.yaml", _flow("b"))])
    book.register_pack("one", [("b.flow.yaml", _flow("c"))])
    assert [entry.flow_id for entry in book.entries()] == ["c"]


def test_a_bad_file_is_disabled_and_the_others_go_on() -> None:
    book = FlowBook()
    problems = book.register_pack("one", [("a.flow.yaml", b"flow_id: a\n"), ("b.flow.yaml", _flow("b"))])
    assert [problem.file for problem in problems] == ["a.flow.yaml"]
    assert book.active("b").owner == "one"
    with pytest.raises(Unavailable, match="has no `steps`"):
        book.active("a")


def test_a_broken_file_does_not_keep_an_id_from_others() -> None:
    book = FlowBook()
    book.register_pack("one", [("a.flow.yaml", b"flow_id: a\n")])
    book.register_pack("two", [("a.flow.yaml", _flow("a"))])
    assert book.active("a").owner == "two"


def test_a_flow_of_the_owner_waits_for_its_approval() -> None:
    book = FlowBook()
    entry = book.register_owner("mine.flow.yaml", _flow("mine"), approved=False)
    assert entry.state is FlowState.PENDING
    with pytest.raises(ApprovalDenied) as denied:
        book.active("mine")
    assert denied.value.hint == "rumi flow approve mine.flow.yaml"
    assert denied.value.details["digest"] == hashlib.sha256(_flow("mine")).hexdigest()
    book.register_owner("mine.flow.yaml", _flow("mine"), approved=True)
    assert book.active("mine").owner == "host"
    book.register_owner("mine.flow.yaml", _flow("mine", "steps: [{id: a, stop: }]"), approved=False)
    with pytest.raises(ApprovalDenied):
        book.active("mine")
    book.unregister_owner("mine.flow.yaml")
    with pytest.raises(NotFound):
        book.active("mine")


def test_a_pending_flow_keeps_its_id() -> None:
    book = FlowBook()
    book.register_owner("mine.flow.yaml", _flow("mine"), approved=False)
    assert len(book.register_pack("one", [("a.flow.yaml", _flow("mine"))])) == 1


def test_the_kernels_own_flows_are_those_of_this_version() -> None:
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in CORE.glob("*.flow.yaml")}
    assert files == dict(CORE_DIGESTS)
    book = FlowBook()
    for name in files:
        assert book.register_core(name, (CORE / name).read_bytes()).state is FlowState.ACTIVE
    assert book.active("kernel.startup").owner == "kernel"


def test_a_changed_core_flow_is_refused() -> None:
    book = FlowBook()
    changed = (CORE / "00_startup.flow.yaml").read_bytes() + b"\n"
    with pytest.raises(ApprovalDenied, match="not the one that belongs"):
        book.register_core("00_startup.flow.yaml", changed)
    with pytest.raises(ApprovalDenied):
        book.register_core("other.flow.yaml", _flow("kernel.startup"))


def test_the_boot_runs_in_its_order() -> None:
    book = FlowBook()
    book.register_core("00_startup.flow.yaml", (CORE / "00_startup.flow.yaml").read_bytes())
    steps = [line.id for line in book.explain("kernel.startup").steps]
    assert steps == [
        "security",
        "engine",
        "scan",
        "approvals",
        "orphans",
        "plan",
        "start",
        "start_pack",
        "flows",
        "ready",
    ]


def test_warnings_follow_what_is_provided_now() -> None:
    provided: set[str] = set()
    book = FlowBook(known_interfaces=lambda: provided)
    book.register_pack("one", [("a.flow.yaml", _flow("a", "steps: [{id: x, call: service.hello}]"))])
    assert [problem.severity for problem in book.entries()[0].problems] == ["warning"]
    provided.add("service.hello")
    assert book.entries()[0].problems == ()


def test_the_same_bytes_are_loaded_once() -> None:
    book = FlowBook()
    book.warm("one", [("a.flow.yaml", _flow("a"))])
    book.register_pack("one", [("a.flow.yaml", _flow("a"))])
    first = book.active("a")
    book.register_pack("one", [("a.flow.yaml", _flow("a"))])
    assert book.active("a") is first
    for number in range(CACHED_DEFINITIONS):
        book.warm("one", [("a.flow.yaml", _flow(f"x{number}"))])
    book.register_pack("one", [("a.flow.yaml", _flow("a"))])
    assert book.active("a") is not first


def test_a_list_says_what_people_need() -> None:
    book = FlowBook()
    book.register_pack("one", [("a.flow.yaml", _flow("a", "description: Does it\nsteps: []"))])
    shown = book.entries()[0].to_json()
    assert (shown["flow_id"], shown["owner"], shown["state"], shown["description"]) == ("a", "one", "active", "Does it")
    assert book.entry("a") is not None
    assert book.entry("b") is None
    with pytest.raises(NotFound):
        book.explain("b")
