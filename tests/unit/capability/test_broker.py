"""The broker: decide, then the line, then the act; and what each failure of these leaves."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from core_runtime.audit import Outcome
from core_runtime.authority import Actor, GrantMode, Principal, Risk
from core_runtime.capability.broker import Broker
from core_runtime.capability.catalogue import Catalogue
from core_runtime.capability.model import Decision, Reason
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget, OwnerApprovals
from core_runtime.capability.ports import Invocation
from core_runtime.errors import (
    ApprovalDenied,
    ConfirmationRequired,
    GrantDenied,
    NotFound,
    PolicyDenied,
    StorageFull,
    Unavailable,
    ValidationFailed,
)
from core_runtime.packs import StoreDecl

GET = {"store": "notes", "key": "a"}


async def done(answer: object) -> object:
    return await answer if isinstance(answer, Awaitable) else answer


def test_an_allowed_call_leaves_one_line_before_its_effect(world) -> None:
    assert world.call(world.broker(), "store.get", GET) == {"done": "store.get"}
    assert world.trail.events == ["line:allow:store.get", "effect:store.get"]
    line = world.trail.lines[0]
    assert (line.principal, line.actor, line.request_id, line.rule) == (
        "notes",
        "owner",
        "req_outer",
        "grant:notes:store.get",
    )


def test_se_12_without_its_line_the_act_does_not_happen(world) -> None:
    world.trail.failure = StorageFull("no room")
    with pytest.raises(StorageFull) as caught:
        world.call(world.broker(), "store.get", GET)
    assert caught.value.request_id == "req_outer"
    assert world.effects == []


def test_a_refusal_stands_even_if_its_line_cannot_be_written(world) -> None:
    world.trail.failure = Unavailable("disk")
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), "store.get", {"store": "other", "key": "a"})
    assert caught.value.details["audit"] == "UNAVAILABLE"
    assert world.effects == []


def test_s_10_gr_19_a_refusal_leaves_exactly_one_line_with_who_what_why_and_no_argument(world) -> None:
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), "store.get", {"store": "diary", "key": "my-secret-key"})
    (line,) = world.trail.lines
    assert (line.outcome, line.principal, line.action) == (Outcome.DENY, "notes", "store.get")
    assert line.request_id == caught.value.request_id
    assert line.details == {"reason": "not_declared", "call": "req_outer"}
    assert "diary" not in repr(line)
    assert "my-secret-key" not in repr(line)
    assert world.effects == []


def test_a_denial_names_the_command_that_would_change_it(world) -> None:
    world.declare("notes", "store.get", {"stores": ["notes", "it's"[:2]]})
    del world.facts.grants["notes", "store.get"]
    world.facts.number += 1
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), "store.get", GET)
    assert caught.value.hint == """rumi grant give notes store.get --config '{"stores": ["notes"]}'"""


def test_a_hint_widens_the_grant_that_is_there(world) -> None:
    world.declare("notes", "store.get", {"stores": ["notes", "tags"]})
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), "store.get", {"store": "tags", "key": "a"})
    assert caught.value.hint == """rumi grant give notes store.get --config '{"stores": ["notes", "tags"]}'"""


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("pending", "rumi pack approve notes"),
        ("modified", "rumi pack approve notes"),
        ("blocked", "rumi pack unblock notes"),
        ("disabled", "rumi pack enable notes"),
    ],
)
def test_an_unapproved_pack_is_told_which_command_helps(world, state: str, hint: str) -> None:
    world.pack("notes", approved=False, state=state)
    world.facts.number += 1
    with pytest.raises(ApprovalDenied) as caught:
        world.call(world.broker(), "store.get", GET)
    assert caught.value.hint == hint


def test_a_pack_id_that_looks_like_an_option_stays_a_word(world) -> None:
    world.pack("-x", approved=False)
    with pytest.raises(ApprovalDenied) as caught:
        world.call(world.broker(), "store.get", GET, pack="-x")
    assert caught.value.hint == "rumi -- pack approve -x"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nope", id="UD-07-unknown"),
        pytest.param("", id="UD-07-empty"),
        pytest.param("x" * 1_000_000, id="UD-07-1-MB"),
        pytest.param("../../handler", id="UD-07-path"),
        pytest.param("secrets.get\n", id="UD-07-newline"),
        pytest.param("store.get ", id="GR-11-trailing-space"),
        pytest.param("STORE.GET", id="GR-11-upper-case"),
        pytest.param("*", id="UD-07-wildcard"),
        pytest.param("store", id="GR-11-prefix"),
        pytest.param("store.get.admin", id="GR-11-suffix"),
        pytest.param("store.*", id="GR-11-pattern"),
        pytest.param("store.get\x00", id="UD-07-nul"),
    ],
)
def test_only_exact_permission_names_exist(world, name: str) -> None:
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), name, GET)
    assert caught.value.details["reason"] == "unknown_permission"
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()
    assert len(world.trail.lines) == 1
    assert world.effects == []


def test_bad_arguments_are_one_validation_error_with_all_mistakes(world) -> None:
    with pytest.raises(ValidationFailed) as caught:
        world.call(world.broker(), "store.get", {"store": 5, "key": "", "pack_id": "other"})
    pointers = {item["pointer"] for item in caught.value.details["errors"]}
    assert pointers == {"/store", "/key", "/pack_id"}
    assert caught.value.request_id == world.trail.lines[0].request_id
    assert world.effects == []


async def test_gr_12_revocation_is_live(world) -> None:
    broker = world.broker()
    world.call(broker, "store.get", GET)
    del world.facts.grants["notes", "store.get"]
    world.facts.number += 1
    with pytest.raises(GrantDenied):
        world.call(broker, "store.get", GET)
    assert len(world.effects) == 1


def test_facts_are_asked_once_for_each_generation(world) -> None:
    broker = world.broker()
    for _ in range(5):
        world.call(broker, "store.get", GET)
    assert world.facts.asked == 1
    world.facts.number += 1
    world.call(broker, "store.get", GET)
    assert world.facts.asked == 2


def test_gr_12_a_parent_that_is_taken_back_takes_its_child_along(world) -> None:
    world.pack("a")
    world.targets.stores["a__b", "x"] = StoreDecl("x")
    world.allow("a__b", "store.get", {"stores": ["x"]})
    world.facts.ceilings["a__b", "store.get"] = {"stores": ["*"]}
    broker = world.broker()
    world.call(broker, "store.get", {"store": "x", "key": "k"}, pack="a__b")
    world.pack("a", approved=False)
    world.facts.number += 1
    with pytest.raises(ApprovalDenied) as caught:
        world.call(broker, "store.get", {"store": "x", "key": "k"}, pack="a__b")
    assert caught.value.hint == "rumi pack approve a"


def test_gr_12_a_parents_grant_that_expires_in_mid_chain_ends_its_childs_right(world) -> None:
    world.pack("a")
    world.grant("a", "store.get", {"stores": ["a__b/x"]}, expires_at=world.clock.now + 10)
    world.targets.stores["a__b", "x"] = StoreDecl("x")
    world.allow("a__b", "store.get", {"stores": ["x"]})
    broker = world.broker()
    world.call(broker, "store.get", {"store": "x", "key": "k"}, pack="a__b")
    world.clock.now += 10
    with pytest.raises(GrantDenied) as caught:
        world.call(broker, "store.get", {"store": "x", "key": "k"}, pack="a__b")
    assert caught.value.details["reason"] == "grant_expired"


async def test_a_grave_act_waits_until_its_line_is_on_disk(world) -> None:
    world.allow("notes", "test.high", {}, mode=GrantMode.ALWAYS)
    assert await done(world.call(world.broker(), "test.high", {})) == {"done": "test.high"}
    assert world.trail.events == ["line:allow:test.high", "durable:1", "effect:test.high"]


@pytest.mark.parametrize("permission", ["test.critical", "test.high"])
def test_what_asks_a_person_is_a_confirmation_and_no_effect(world, permission: str) -> None:
    mode = GrantMode.ASK if permission == "test.high" else GrantMode.ALWAYS
    world.allow("notes", permission, {}, mode=mode)
    with pytest.raises(ConfirmationRequired) as caught:
        world.call(world.broker(), permission, {})
    assert caught.value.hint
    assert world.effects == []
    assert len(world.trail.lines) == 1


def test_bx_07_without_a_token_only_background_permissions(world) -> None:
    broker = world.broker()
    with pytest.raises(PolicyDenied) as caught:
        world.call(broker, "store.get", GET, context=None)
    assert caught.value.details["reason"] == "not_background"
    world.declare("notes", "store.get", {"stores": ["notes"]}, background=True)
    world.facts.number += 1
    assert world.call(broker, "store.get", GET, context=None) == {"done": "store.get"}


def test_the_own_account_never_asks_a_person(world) -> None:
    world.allow("notes", "test.high", {}, mode=GrantMode.ASK, background=True)
    with pytest.raises(PolicyDenied) as caught:
        world.call(world.broker(), "test.high", {}, context=None)
    assert "--mode always" in caught.value.hint


def test_a_pack_calls_its_own_interfaces_freely_and_without_a_line(world) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    assert world.call(world.broker(), "interface.call", {"name": "notes.add"}) == {"done": "interface.call"}
    assert world.trail.lines == []


def test_another_packs_interface_needs_a_grant_for_its_name(world) -> None:
    world.pack("mail")
    world.targets.interfaces["mail.send"] = InterfaceTarget("mail")
    broker = world.broker()
    with pytest.raises(GrantDenied):
        world.call(broker, "interface.call", {"name": "mail.send"})
    world.allow("notes", "interface.call", {"interfaces": ["mail.*"]})
    assert world.call(broker, "interface.call", {"name": "mail.send"}) == {"done": "interface.call"}
    assert world.effects[-1][1].context.chain == ("interface:mail.send",)


def test_a_guest_is_refused_at_the_one_policy_point_also_for_a_packs_own_interface(world) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes", Risk.LOW)
    guest = world.context(actor=Actor("g", "guest"))
    with pytest.raises(PolicyDenied) as caught:
        world.call(world.broker(), "interface.call", {"name": "notes.add"}, context=guest)
    assert caught.value.details["reason"] == "actor_refused"


def test_the_owner_is_asked_for_a_high_interface_unless_the_policy_says_otherwise(world) -> None:
    world.targets.interfaces["notes.wipe"] = InterfaceTarget("notes", Risk.HIGH)
    broker = world.broker()
    with pytest.raises(ConfirmationRequired):
        world.call(broker, "interface.call", {"name": "notes.wipe"})
    world.facts.rules = ActorPolicy(owner_approvals=OwnerApprovals.OFF)
    world.facts.number += 1
    world.call(broker, "interface.call", {"name": "notes.wipe"})


def test_a_pack_cannot_launder_its_own_account_through_its_own_interface(world) -> None:
    """Calling oneself without a token gives a context without an actor: it stays the own account."""
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    broker = world.broker()
    world.call(broker, "interface.call", {"name": "notes.add"}, context=None)
    inner = world.effects[-1][1].context
    assert inner.chain == ("pack:notes", "interface:notes.add")
    with pytest.raises(PolicyDenied):
        world.call(broker, "store.get", GET, context=inner)


def test_whoever_serves_another_packs_own_account_acts_with_its_own_grants(world) -> None:
    context = world.context(actor=None, chain=("pack:mail", "interface:notes.add"))
    assert world.call(world.broker(), "store.get", GET, context=context) == {"done": "store.get"}


def test_bx_12_another_packs_store_is_refused_unless_it_is_shared(world) -> None:
    world.allow("notes", "store.get", {"stores": ["*"]})
    world.targets.stores["mail", "box"] = StoreDecl("box")
    broker = world.broker()
    answers = []
    for name in ("mail/box", "mail/nothing"):
        with pytest.raises(GrantDenied) as caught:
            world.call(broker, "store.get", {"store": name, "key": "a"})
        answers.append((caught.value.message, caught.value.hint))
    assert answers[0] == answers[1], "what is private and what is not there must look the same"
    world.targets.stores["mail", "box"] = StoreDecl("box", shared=True)
    assert world.call(broker, "store.get", {"store": "mail/box", "key": "a"}) == {"done": "store.get"}


def test_st_06_a_shared_store_that_may_be_read_may_not_be_written(world) -> None:
    world.targets.stores["mail", "box"] = StoreDecl("box", shared=True)
    world.allow("notes", "store.get", {"stores": ["mail/box"]})
    broker = world.broker()
    world.call(broker, "store.get", {"store": "mail/box", "key": "a"})
    with pytest.raises(GrantDenied) as caught:
        world.call(broker, "store.set", {"store": "mail/box", "key": "a", "value": 1})
    assert caught.value.details["reason"] == "not_declared"
    assert [name for name, _ in world.effects] == ["store.get"]


def test_st_06_a_shared_store_is_gone_with_its_owner(world) -> None:
    world.targets.stores["mail", "box"] = StoreDecl("box", shared=True)
    world.allow("notes", "store.get", {"stores": ["mail/box"]})
    broker = world.broker()
    world.call(broker, "store.get", {"store": "mail/box", "key": "a"})
    del world.targets.stores["mail", "box"]
    with pytest.raises(GrantDenied):
        world.call(broker, "store.get", {"store": "mail/box", "key": "a"})


def test_bx_12_nobody_publishes_under_another_packs_topic(world) -> None:
    world.allow("notes", "event.publish", {"topics": ["*"]})
    broker = world.broker()
    with pytest.raises(GrantDenied):
        world.call(broker, "event.publish", {"topic": "clock/tick"})
    world.call(broker, "event.publish", {"topic": "tick"})
    world.call(broker, "event.publish", {"topic": "notes/tick"})
    assert len(world.effects) == 2


def test_a_short_and_a_full_store_name_are_one(world) -> None:
    world.declare("notes", "store.get", {"stores": ["notes/notes"]})
    assert world.call(world.broker(), "store.get", {"store": "notes/notes", "key": "a"}) == {"done": "store.get"}


def test_an_error_of_ours_passes_with_the_request_id(world) -> None:
    def missing(invocation: Invocation) -> object:
        raise NotFound("no such store", hint="declare it")

    world.answers["store.get"] = missing
    with pytest.raises(NotFound) as caught:
        world.call(world.broker(), "store.get", GET)
    assert (caught.value.request_id, caught.value.hint) == ("req_outer", "declare it")


def test_the_host_is_audited_and_bound_by_the_ceiling_alone(world, host: Principal) -> None:
    broker = world.broker()
    assert broker.ask(host, "store.get", {"store": "notes/notes", "key": "a"}, world.context()) == {"done": "store.get"}
    assert world.trail.lines[0].rule == "ceiling:host"
    world.facts.host_ceiling = {"store.get": {"stores": ["mail/*"]}}
    world.facts.number += 1
    with pytest.raises(GrantDenied) as caught:
        broker.ask(host, "store.get", {"store": "notes/notes", "key": "a"}, world.context())
    assert "policy.ceiling" in caught.value.message
    with pytest.raises(GrantDenied):
        broker.ask(host, "flow.run", {"flow": "f"}, world.context())


def test_the_hosts_ceiling_binds_packs_too(world) -> None:
    world.facts.host_ceiling = {}
    world.facts.number += 1
    with pytest.raises(GrantDenied) as caught:
        world.call(world.broker(), "store.get", GET)
    assert "policy.ceiling" in caught.value.message


def test_ask_gives_an_interface_call_the_contexts_deadline(world, host: Principal) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    context = world.context(deadline=world.clock.ticks + 3600)
    world.broker().ask(host, "interface.call", {"name": "notes.add"}, context)
    invocation = world.effects[0][1]
    assert invocation.deadline == world.clock.ticks + 3600
    assert invocation.context.chain == ("interface:notes.add",)


def test_a_handler_may_ask_what_its_caller_may(world) -> None:
    world.call(world.broker(), "store.get", GET)
    permits = world.effects[0][1].permits
    assert permits("store.get", GET)
    assert not permits("store.set", {"store": "notes", "key": "k", "value": 1})
    assert len(world.trail.lines) == 1


def test_a_decision_can_be_asked_for_without_effect_or_line(world) -> None:
    decision = world.broker().decision(Principal("notes"), "store.get", GET, world.context())
    assert isinstance(decision, Decision)
    assert decision.reason is Reason.GRANTED
    assert world.trail.lines == world.effects == []


def test_a_catalogue_entry_without_a_handler_is_found_at_start(world) -> None:
    with pytest.raises(ValueError, match=r"store\.get"):
        Broker(Catalogue(world.specs), {}, world.broker()._ports)
