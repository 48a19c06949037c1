"""The broker: decide, then the line, then the act; and what each failure of these leaves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable

import pytest

from core_runtime.audit import Outcome
from core_runtime.authority import Actor, GrantMode, Principal, Risk
from core_runtime.capability.audit_budget import Budget
from core_runtime.capability.broker import Broker, BrokerLimits
from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.capability.model import Decision, Reason
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget, OwnerApprovals
from core_runtime.capability.ports import Invocation
from core_runtime.errors import (
    ApprovalDenied,
    ConfirmationRequired,
    DeadlineExceeded,
    GrantDenied,
    HandlerFailed,
    NotFound,
    PolicyDenied,
    RateLimited,
    RumiError,
    StorageFull,
    TooLarge,
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


@pytest.mark.parametrize(
    "deadline",
    [
        pytest.param(math.inf, id="UD-10-inf"),
        pytest.param(1e9, id="UD-10-1e9"),
        pytest.param(math.nan, id="UD-10-nan"),
    ],
)
def test_a_timeout_from_the_pack_is_clamped_to_policy(world, deadline: float) -> None:
    world.call(world.broker(), "store.get", GET, deadline=deadline)
    assert world.effects[0][1].deadline == world.clock.ticks + 120


@pytest.mark.parametrize(
    "deadline",
    [
        pytest.param(50.0, id="UD-10-zero"),
        pytest.param(49.0, id="UD-10-minus-1"),
        pytest.param(-math.inf, id="UD-10--inf"),
    ],
)
def test_a_deadline_that_passed_means_no_effect(world, deadline: float) -> None:
    with pytest.raises(DeadlineExceeded):
        world.call(world.broker(), "store.get", GET, deadline=deadline)
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


async def test_a_grant_with_a_count_is_used_up_exactly(world) -> None:
    world.grant("notes", "store.get", {"stores": ["notes"]}, max_count=2)
    broker = world.broker()
    calls = [world.call(broker, "store.get", GET), world.call(broker, "store.get", GET)]
    with pytest.raises(GrantDenied) as caught:
        world.call(broker, "store.get", GET)
    assert caught.value.details["reason"] == "grant_used_up"
    assert [await done(call) for call in calls] == [{"done": "store.get"}] * 2


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


def test_ud_15_a_circle_of_calls_is_refused_and_shown(world) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    context = world.context(chain=("interface:notes.add", "flow:f"))
    with pytest.raises(PolicyDenied) as caught:
        world.call(world.broker(), "interface.call", {"name": "notes.add"}, context=context)
    assert "interface:notes.add -> flow:f -> interface:notes.add" in caught.value.message
    assert world.effects == []


@pytest.mark.parametrize(
    ("depth", "allowed"), [pytest.param(9, True, id="UD-15-10"), pytest.param(10, False, id="UD-15-11")]
)
def test_calls_nest_ten_deep_and_no_deeper(world, depth: int, allowed: bool) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    context = world.context(chain=("pack:notes", *(f"flow:f{number}" for number in range(depth))))
    broker = world.broker()
    if allowed:
        world.call(broker, "interface.call", {"name": "notes.add"}, context=context)
        assert len(world.effects) == 1
    else:
        with pytest.raises(PolicyDenied, match="deeper than 10"):
            world.call(broker, "interface.call", {"name": "notes.add"}, context=context)


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


def test_the_rate_of_a_grant_is_exact(world) -> None:
    world.allow("notes", "test.rated", {"keys": [], "rate_per_minute": 3})
    broker = world.broker()
    for _ in range(3):
        world.call(broker, "test.rated", {})
    with pytest.raises(RateLimited) as caught:
        world.call(broker, "test.rated", {})
    assert caught.value.details["retry_after"] == 60
    world.clock.now -= 3600  # a wall clock set back refills nothing
    with pytest.raises(RateLimited):
        world.call(broker, "test.rated", {})
    world.clock.ticks += 60
    world.call(broker, "test.rated", {}, deadline=world.clock.ticks + 1)


def test_the_rate_of_an_actors_role_counts_its_interface_calls(world) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")
    world.facts.rules = ActorPolicy(actor_rate_per_minute={"owner": 1})
    broker = world.broker()
    world.call(broker, "interface.call", {"name": "notes.add"})
    with pytest.raises(RateLimited):
        world.call(broker, "interface.call", {"name": "notes.add"})


def test_ud_17_ten_thousand_refusals_are_counted_not_lost(world) -> None:
    world.limits = BrokerLimits(denied_lines=Budget(20, 20))
    broker = world.broker()
    for _ in range(10_000):
        with pytest.raises(GrantDenied):
            world.call(broker, "store.get", {"store": "other", "key": "a"})
    assert len(world.trail.lines) == 20
    (timer,) = world.timers
    timer()
    assert len(world.trail.lines) == 21
    last = world.trail.lines[-1]
    assert last.details["count"] == 9_980
    assert last.details["text"] == "and 9980 more like this"
    assert last.outcome is Outcome.DENY


def test_ud_17_many_kinds_of_refusal_share_a_few_counted_lines(world) -> None:
    broker = world.broker()
    for number in range(5_000):
        with pytest.raises(GrantDenied):
            world.call(broker, f"nope.n{number}", {})
    broker.close()
    counted = [line.details["count"] for line in world.trail.lines if "count" in line.details]
    written = [line for line in world.trail.lines if "count" not in line.details]
    assert len(counted) <= 9
    assert sum(counted) + len(written) == 5_000


def test_a_count_that_cannot_be_written_stops_the_next_act(world) -> None:
    world.limits = BrokerLimits(allowed_lines=Budget(1, 1))
    broker = world.broker()
    world.call(broker, "store.get", GET)
    world.call(broker, "store.get", GET)
    world.trail.failure = StorageFull("no room")
    world.timers.pop()()
    with pytest.raises(StorageFull):
        world.call(broker, "store.get", GET)
    world.trail.failure = None
    world.call(broker, "store.get", GET)
    assert [line.details.get("count") for line in world.trail.lines] == [None, 1]


async def test_a_grave_act_is_never_only_counted(world) -> None:
    world.limits = BrokerLimits(allowed_lines=Budget(1, 1))
    world.allow("notes", "test.high", {})
    broker = world.broker()
    for _ in range(5):
        await done(world.call(broker, "test.high", {}))
    assert len(world.trail.lines) == 5


async def test_sixteen_run_at_once_and_the_rest_wait_in_order(world) -> None:
    world.allow("notes", "store.set", {"stores": ["notes"]})
    gate = asyncio.Event()

    async def slow(invocation: Invocation) -> object:
        await gate.wait()
        return {"version": 1}

    world.answers["store.set"] = slow
    broker = world.broker()
    args = {"store": "notes", "key": "k", "value": 1}
    tasks = [asyncio.ensure_future(done(world.call(broker, "store.set", args))) for _ in range(20)]
    await asyncio.sleep(0)
    assert len(world.effects) == 16
    gate.set()
    assert await asyncio.gather(*tasks) == [{"version": 1}] * 20
    assert len(world.trail.lines) == 20


async def test_what_was_revoked_while_it_waited_does_not_happen(world) -> None:
    world.allow("notes", "store.set", {"stores": ["notes"]})
    gate = asyncio.Event()

    async def slow(invocation: Invocation) -> object:
        await gate.wait()
        return None

    world.answers["store.set"] = slow
    broker = world.broker()
    args = {"store": "notes", "key": "k", "value": 1}
    tasks = [asyncio.ensure_future(done(world.call(broker, "store.set", args))) for _ in range(17)]
    await asyncio.sleep(0)
    del world.facts.grants["notes", "store.set"]
    world.facts.number += 1
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[16], GrantDenied)
    assert len(world.effects) == 16


async def test_nested_interface_calls_do_not_block_each_other_for_good(world) -> None:
    world.allow("notes", "interface.call", {"interfaces": ["mail.*"]})
    broker = world.broker()

    async def nest(invocation: Invocation) -> object:
        assert invocation.context is not None
        if len(invocation.context.chain) < 4:
            name = f"mail.n{len(invocation.context.chain)}"
            return await done(world.call(broker, "interface.call", {"name": name}, context=invocation.context))
        return "deep"

    world.answers["interface.call"] = nest
    world.targets.interfaces.update({f"mail.n{number}": InterfaceTarget("mail", Risk.LOW) for number in range(5)})
    calls = [done(world.call(broker, "interface.call", {"name": "mail.n0"})) for _ in range(40)]
    assert await asyncio.wait_for(asyncio.gather(*calls), 5) == ["deep"] * 40


async def test_a_handler_that_takes_too_long_ends_with_a_timeout_and_frees_its_slot(world) -> None:
    world.allow("notes", "store.set", {"stores": ["notes"]})

    async def stuck(invocation: Invocation) -> object:
        await asyncio.sleep(60)
        return None

    world.answers["store.set"] = stuck
    broker = world.broker()
    args = {"store": "notes", "key": "k", "value": 1}
    deadline = world.clock.ticks + 0.01
    calls = [done(world.call(broker, "store.set", args, deadline=deadline)) for _ in range(17)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {DeadlineExceeded}
    world.answers["store.set"] = lambda invocation: {"version": 1}
    assert await done(world.call(broker, "store.set", args)) == {"version": 1}


@pytest.mark.parametrize("late", [False, True])
async def test_a_handlers_defect_shows_no_internals(world, late: bool) -> None:
    world.allow("notes", "store.set", {"stores": ["notes"]})

    async def later(invocation: Invocation) -> object:
        raise RuntimeError("/etc/passwd at 0x7f")

    def now(invocation: Invocation) -> object:
        raise RuntimeError("/etc/passwd at 0x7f")

    world.answers["store.set"] = later if late else now
    broker = world.broker()
    for _ in range(20):  # more than there are slots: each was given back
        with pytest.raises(HandlerFailed) as caught:
            await done(world.call(broker, "store.set", {"store": "notes", "key": "k", "value": 1}))
    assert "passwd" not in str(caught.value.to_wire())
    assert caught.value.request_id == "req_outer"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_handlers_own_timeout_is_not_taken_for_the_callers(world) -> None:
    world.allow("notes", "store.set", {"stores": ["notes"]})

    async def later(invocation: Invocation) -> object:
        raise TimeoutError

    world.answers["store.set"] = later
    with pytest.raises(HandlerFailed):
        await done(world.call(world.broker(), "store.set", {"store": "notes", "key": "k", "value": 1}))


def test_an_error_of_ours_passes_with_the_request_id(world) -> None:
    def missing(invocation: Invocation) -> object:
        raise NotFound("no such store", hint="declare it")

    world.answers["store.get"] = missing
    with pytest.raises(NotFound) as caught:
        world.call(world.broker(), "store.get", GET)
    assert (caught.value.request_id, caught.value.hint) == ("req_outer", "declare it")


async def test_an_answer_over_4_mib_is_refused(world) -> None:
    world.allow("notes", "flow.run", {"flows": ["f"]})
    for size, allowed in ((4 * 1024 * 1024 - 2, True), (4 * 1024 * 1024 - 1, False)):
        world.answers["flow.run"] = lambda invocation, size=size: "x" * size
        call = world.broker()
        if allowed:
            assert len(await done(world.call(call, "flow.run", {"flow": "f"}))) == size
        else:
            with pytest.raises(TooLarge):
                await done(world.call(call, "flow.run", {"flow": "f"}))


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
    with pytest.raises(ValueError, match="store.get"):
        Broker(Catalogue(world.specs), {}, world.broker()._ports)


async def _numbers(gate: asyncio.Event) -> AsyncIterator[object]:
    yield 1
    await gate.wait()
    yield 2


async def test_a_stream_ends_when_its_grant_is_taken_back(world) -> None:
    world.allow("notes", "interface.call", {"interfaces": ["mail.*"]})
    world.targets.interfaces["mail.feed"] = InterfaceTarget("mail", Risk.LOW)
    gate = asyncio.Event()
    world.answers["interface.call"] = lambda invocation: _numbers(gate)
    broker = world.broker()
    stream = await done(world.call(broker, "interface.call", {"name": "mail.feed"}))
    assert await anext(stream) == 1
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    del world.facts.grants["notes", "interface.call"]
    world.facts.number += 1
    broker.authority_changed()
    with pytest.raises(RumiError) as caught:
        await waiting
    assert isinstance(caught.value, GrantDenied)
    assert [line.outcome for line in world.trail.lines] == [Outcome.ALLOW, Outcome.DENY]
    with pytest.raises(GrantDenied):
        await anext(stream)


async def test_a_stream_that_is_still_allowed_runs_to_its_end(world) -> None:
    world.targets.interfaces["notes.feed"] = InterfaceTarget("notes")
    gate = asyncio.Event()
    gate.set()
    world.answers["interface.call"] = lambda invocation: _numbers(gate)
    stream = await done(world.call(world.broker(), "interface.call", {"name": "notes.feed"}))
    world.timers.pop()()
    assert [item async for item in stream] == [1, 2]


def test_specs_are_frozen_data(world) -> None:
    assert all(isinstance(spec, PermissionSpec) for spec in world.specs)
