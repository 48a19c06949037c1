"""Rights of a real pack on a running kernel: given, narrowed, counted, ended, taken; each refusal leaves one line."""

from __future__ import annotations

import shlex

import pytest

pytestmark = pytest.mark.docker


def denied_lines(kernel, principal: str, action: str) -> list[dict]:
    return kernel.audit(principal=principal, action=action, outcome="deny")


@pytest.fixture
def notes(world):
    """The kernel with notes as it was approved, before and after."""
    yield world
    for permission in ("store.get", "store.list", "store.set", "store.delete"):
        world.post("/api/grants", {"principal": "notes", "permission": permission})


def test_the_bundled_packs_answer_through_their_flows_and_stores(world):
    assert world.rumi("flow", "run", "hello", "--input", "name=Ada").value == {"message": "Hello, Ada!"}
    before = len(world.call("notes.list")["notes"])
    remembered = world.rumi("flow", "run", "remember", "--input", 'texts:=["buy milk", "call Bob"]').value
    assert remembered == {"added": 2, "total": before + 2}
    keys = world.rumi("store", "list", "notes/notes").value
    assert len(keys) == before + 2
    entry = world.rumi("store", "get", "notes/notes", keys[-2]["key"]).value
    assert entry["value"]["text"] in {"buy milk", "call Bob"}
    assert entry["version"] == keys[-2]["version"]
    stores = {(item["pack_id"], item["store"]): item for item in world.rumi("store", "list").value}
    assert stores["notes", "notes"]["keys"] == before + 2
    refused = world.rumi("flow", "run", "remember", "--input", "texts:=[]")
    assert (refused.code, refused.error["code"]) == (2, "VALIDATION_ERROR")


def test_a_grant_that_was_taken_is_denied_at_once_and_the_hint_pasted_mends_it(notes):
    assert notes.rumi("grant", "take", "notes", "store.set").code == 0
    lines = len(denied_lines(notes, "notes", "store.set"))
    error = notes.refused("notes.add", {"text": "one"})
    assert (error["code"], error["details"]["code"]) == ("INTERFACE_ERROR", "GRANT_DENIED")
    assert "GRANT_DENIED" in error["message"]
    assert error["hint"].startswith("rumi grant give notes store.set")
    assert len(denied_lines(notes, "notes", "store.set")) == lines + 1, "exactly one line for each refusal"
    assert denied_lines(notes, "notes", "store.set")[-1]["request_id"] == error["details"]["request_id"]

    mended = notes.rumi(*shlex.split(error["hint"])[1:])
    assert mended.code == 0, mended.out
    assert notes.call("notes.add", {"text": "two"})["key"]
    given = next(item for item in notes.rumi("grant", "list", "notes").value if item["permission"] == "store.set")
    assert given["config"]["stores"] == ["notes"]


def test_gr_15_a_grant_ends_when_it_expires(notes, until_true):
    assert notes.rumi("grant", "give", "notes", "store.set", "--expires", "1s").code == 0
    until_true(lambda: not notes.try_call("notes.add", {"text": "late"})["success"], 3, "the grant's end")
    error = notes.refused("notes.add", {"text": "late"})
    assert error["details"]["code"] == "GRANT_DENIED"
    assert "expired" in error["message"]


def test_a_grant_for_a_number_of_uses_ends_after_them(notes):
    notes.post("/api/grants", {"principal": "notes", "permission": "store.set", "max_count": 2})
    results = [notes.try_call("notes.add", {"text": str(number)})["success"] for number in range(4)]
    assert results == [True, True, False, False]


def test_a_grant_that_says_never_is_none(notes):
    notes.post("/api/grants", {"principal": "notes", "permission": "store.set", "mode": "never"})
    assert "never" in notes.refused("notes.add", {"text": "x"})["message"]


@pytest.mark.parametrize(
    ("permission", "config"),
    [
        pytest.param("store.set", {"stores": ["notes", "other"]}, id="another-store"),
        pytest.param("store.set", {"stores": ["*"]}, id="everything"),
        pytest.param("interface.call", {"interfaces": ["service.hello"]}, id="not-declared"),
    ],
)
def test_a_grant_wider_than_the_ceiling_is_refused_even_to_the_owner(notes, permission, config):
    before = notes.get("/api/grants", principal="notes")["items"]
    wish = {"principal": "notes", "permission": permission, "config": config}
    answer = notes.request("POST", "/api/grants", wish)
    assert (answer["status"], answer["error"]["code"]) == (403, "POLICY_DENIED")
    assert notes.get("/api/grants", principal="notes")["items"] == before


def test_what_is_allowed_leaves_a_line_too_and_the_trail_names_who_and_what(notes):
    key = notes.call("notes.add", {"text": "audited"})["key"]
    line = notes.audit(principal="notes", action="store.set", outcome="allow")[-1]
    assert {"category": "capability", "actor": "owner", "rule": "grant:notes:store.set"}.items() <= line.items()
    assert "audited" not in str(notes.audit(principal="notes", action="store.set")), "a value is in the audit"
    assert key
    tail = notes.rumi("audit", "tail", "--limit", "20").value
    assert [item["seq"] for item in tail] == list(range(tail[0]["seq"], tail[0]["seq"] + len(tail)))
