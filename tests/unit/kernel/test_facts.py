"""The facts that decisions rest on: approvals, ceilings, and the hierarchy from the host down."""

import pytest

from core_runtime.approval.model import PackState
from core_runtime.authority import Grant
from core_runtime.capability.policy import ActorPolicy
from core_runtime.kernel.facts import ApprovalFacts
from core_runtime.packs import ChildDecl, DeclaredPermission, Text

STORE = {"stores": ["notes"]}


@pytest.fixture
def facts(standings):
    return ApprovalFacts(standings, ActorPolicy())


def declared(config=STORE):
    return DeclaredPermission("store.get", config, Text({"en": "r"}))


def test_the_host_has_no_ceiling_of_its_own(facts):
    found = facts.facts("host", "store.get")
    assert found.approved
    assert [level.admits_all for level in found.levels] == [True]


def test_a_pack_has_its_ceiling_and_its_grant(facts, standings, pack):
    standings.approve(pack("one", permissions=(declared(),)))
    grant = Grant("store.get", STORE)
    standings.grants["one"] = {"store.get": grant}
    found = facts.facts("one", "store.get")
    assert found.approved
    assert found.declared == declared()
    assert [(level.owner, level.grant) for level in found.levels] == [("host", None), ("one", grant)]


@pytest.mark.parametrize("state", [state for state in PackState if state is not PackState.APPROVED])
def test_no_other_state_counts_as_approved(facts, standings, state):
    standings.set("one", state)
    found = facts.facts("one", "store.get")
    assert not found.approved
    assert found.reason == state.value


def test_an_unknown_pack_has_nothing(facts):
    found = facts.facts("nobody", "store.get")
    assert not found.approved
    assert found.declared is None
    assert found.levels[-1].grant is None


def test_gr_12_a_child_is_narrowed_by_its_parents_consent_and_grant(facts, standings, pack):
    child = ChildDecl("github:a/one__two", (declared({"stores": ["one/notes"]}),))
    standings.approve(pack("one", children={"one__two": child}))
    standings.approve(pack("one__two", permissions=(declared(),)))
    own, parents = Grant("store.get", STORE), Grant("store.get", {"stores": ["other"]})
    standings.grants = {"one": {"store.get": parents}, "one__two": {"store.get": own}}
    found = facts.facts("one__two", "store.get")
    assert found.parents == (("one", True),)
    assert [(level.owner, level.grant, level.config) for level in found.levels[1:]] == [
        ("one", parents, {"stores": ["one/notes"]}),
        ("one__two", own, None),
    ]


def test_gr_14_a_parent_that_does_not_name_the_child_leaves_nothing(facts, standings, pack):
    standings.approve(pack("one"))
    standings.approve(pack("one__two", permissions=(declared(),)))
    level = facts.facts("one__two", "store.get").levels[1]
    assert (level.owner, level.grant, level.config, level.admits_all) == ("one", None, None, False)


def test_three_levels_are_gathered_in_order(facts, standings, pack):
    standings.approve(pack("a", children={"a__b": ChildDecl("x", (declared(),))}))
    standings.approve(pack("a__b", children={"a__b__c": ChildDecl("x", (declared(),))}))
    standings.approve(pack("a__b__c"))
    found = facts.facts("a__b__c", "store.get")
    assert [level.owner for level in found.levels] == ["host", "a", "a__b", "a__b__c"]
    assert [name for name, _ in found.parents] == ["a", "a__b"]


def test_every_change_makes_another_generation(facts):
    before = facts.generation()
    facts.moved()
    assert facts.generation() > before
