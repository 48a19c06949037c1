"""`parent__child` on a running kernel: what a parent hands down, and to whom."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def family(world, until_true):
    """A parent, the child that it names, and one that it does not."""
    names = ("house", "house__room", "house__stranger")
    world.install(*names)
    until_true(lambda: all(world.state(name) == "pending" for name in names), 3, "the family being listed")
    yield world
    for name in ("house__room", "house"):
        world.post(f"/api/packs/{name}/disable")


def ask(kernel, permission: str, **args: object) -> dict:
    return kernel.call("room.ask", {"permission": permission, "args": args})


def test_gr_12_a_child_waits_for_its_parent(family):
    early = family.rumi("pack", "approve", "house__room", "--yes")
    assert (early.code, early.error["code"]) == (5, "APPROVAL_DENIED")
    assert early.error["hint"] == "rumi pack plan house"
    family.approve("house", "house__room")
    assert family.call("house.fill")


def test_a_child_gets_no_more_than_its_parent_hands_down(family):
    assert ask(family, "store.get", store="house/items", key="thing")["ok"]["value"] == "in items"
    safe = ask(family, "store.get", store="house/safe", key="thing")
    assert safe["code"] == "GRANT_DENIED"
    assert "house" in safe["message"]
    assert ask(family, "store.list", store="house/items")["code"] == "GRANT_DENIED"
    assert ask(family, "store.set", store="house/items", key="thing", value=1)["code"] == "GRANT_DENIED"


def test_gr_14_a_child_that_its_parent_does_not_name_stays_off(family):
    answer = family.request("POST", "/api/packs/house__stranger/approve", {"plan_hash": None})
    assert answer["error"]["code"] == "APPROVAL_DENIED"
    assert family.state("house__stranger") == "pending"
    assert family.container_of("house__stranger") == []


def test_gr_12_a_parent_that_is_switched_off_takes_its_children_with_it(family, until_true):
    family.post("/api/packs/house/disable")
    until_true(lambda: not family.container_of("house__room"), 3, "the child's end")
    error = family.refused("room.ask", {"permission": "store.get", "args": {}})
    assert error["code"] == "APPROVAL_DENIED"
    assert "house" in error["message"]
