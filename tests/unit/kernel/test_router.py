"""Calls reach approved packs alone, with arguments that their provider declared."""

import pytest

from core_runtime.approval.model import PackState
from core_runtime.authority import HOST, CallContext, Principal
from core_runtime.errors import ApprovalDenied, NotFound, Unavailable, ValidationFailed
from core_runtime.kernel.router import NamedTargets, Router
from core_runtime.packs import StoreDecl
from core_runtime.registry.interfaces import Claim, InterfaceRegistry

CONTEXT = CallContext("req_1", deadline=2000.0)


@pytest.fixture
def registry(standings, pack):
    registry = InterfaceRegistry()
    descriptor = pack("one", "service.x")
    standings.approve(descriptor)
    registry.claim("one", [Claim("main", decl) for decl in descriptor.interfaces()])
    return registry


@pytest.fixture
def router(registry, runner, standings):
    return Router(registry, runner, standings)


async def test_a_call_goes_to_the_provider(router, runner):
    runner.answers["service.x"] = lambda args: {"got": args}
    assert await router.call(HOST, "service.x", {"a": 1}, CONTEXT) == {"got": {"a": 1}}
    assert runner.calls == [("one", "service.x", {"a": 1})]


def test_arguments_that_the_provider_did_not_declare_are_refused_before_the_call(router, runner):
    router.learn("service.x", {"type": "object", "properties": {"a": {"type": "string"}}})
    with pytest.raises(ValidationFailed):
        router.call(HOST, "service.x", {"a": 1}, CONTEXT)
    assert runner.calls == []


@pytest.mark.parametrize("state", [PackState.MODIFIED, PackState.DISABLED, PackState.REJECTED, PackState.BLOCKED])
def test_a_pack_that_is_no_longer_approved_is_not_called(router, runner, standings, state):
    standings.set("one", state)
    with pytest.raises(ApprovalDenied) as caught:
        router.call(HOST, "service.x", {}, CONTEXT)
    assert caught.value.details == {"pack_id": "one", "state": state.value}
    assert "one" in caught.value.hint
    assert runner.calls == []


def test_a_child_of_an_unapproved_parent_is_not_called(router, standings):
    standings.set("one", PackState.APPROVED, parent="zero")
    with pytest.raises(ApprovalDenied, match="zero"):
        router.call(HOST, "service.x", {}, CONTEXT)


async def test_a_call_in_flight_ends_as_approval_denied_when_the_bytes_changed(router, runner, standings):
    def change(_args):
        standings.set("one", PackState.MODIFIED)
        raise Unavailable("the container is gone")

    runner.answers["service.x"] = change
    with pytest.raises(ApprovalDenied):
        await router.call(HOST, "service.x", {}, CONTEXT)


async def test_another_failure_stays_what_it_is(router, runner):
    runner.answers["service.x"] = Unavailable("the container is gone", details={"reason": "OOM"})
    with pytest.raises(Unavailable):
        await router.call(HOST, "service.x", {}, CONTEXT)


def test_the_owner_is_told_which_waiting_pack_would_answer_and_packs_are_not(router, standings):
    standings.offers["service.y"] = "two"
    standings.set("two", PackState.PENDING)
    with pytest.raises(ApprovalDenied, match="two"):
        router.call(HOST, "service.y", {}, CONTEXT)
    with pytest.raises(NotFound):
        router.call(Principal("one"), "service.y", {}, CONTEXT)


async def test_a_block_runs_in_its_own_pack(router, runner):
    runner.answers["block:greet.py"] = {"ok": True}
    assert await router.block("one", "greet.py", {"a": 1}, CONTEXT) == {"ok": True}
    with pytest.raises(ApprovalDenied):
        router.block("two", "greet.py", {}, CONTEXT)


def test_listings_show_what_can_be_called(router):
    assert [item.name for item in router.visible(HOST, None)] == ["service.x"]


def test_targets_name_providers_and_stores_of_approved_packs_only(registry, standings, pack):
    standings.approve(pack("two", stores=(StoreDecl("notes"),)))
    targets = NamedTargets(registry, standings)
    assert targets.interface("service.x").owner == "one"
    assert targets.interface("service.y").owner == "", "nobody is asked about what nobody provides"
    assert targets.store("two", "notes").store_id == "notes"
    assert targets.store("two", "other") is None
    standings.set("two", PackState.MODIFIED)
    assert targets.store("two", "notes") is None
