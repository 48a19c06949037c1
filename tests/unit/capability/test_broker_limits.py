"""The broker's limits: rates, slots, deadlines, depth, budgets of lines, sizes, and streams that outlive a grant."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Awaitable

import pytest

from core_runtime.audit import Outcome
from core_runtime.authority import Principal, Risk
from core_runtime.capability.audit_budget import Budget
from core_runtime.capability.broker import BrokerLimits
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget
from core_runtime.capability.ports import Invocation
from core_runtime.errors import (
    DeadlineExceeded,
    GrantDenied,
    HandlerFailed,
    PolicyDenied,
    RateLimited,
    RumiError,
    StorageFull,
    TooLarge,
)

GET = {"store": "notes", "key": "a"}


async def done(answer: object) -> object:
    return await answer if isinstance(answer, Awaitable) else answer


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


async def test_a_grant_with_a_count_is_used_up_exactly(world) -> None:
    world.grant("notes", "store.get", {"stores": ["notes"]}, max_count=2)
    broker = world.broker()
    calls = [world.call(broker, "store.get", GET), world.call(broker, "store.get", GET)]
    with pytest.raises(GrantDenied) as caught:
        world.call(broker, "store.get", GET)
    assert caught.value.details["reason"] == "grant_used_up"
    assert [await done(call) for call in calls] == [{"done": "store.get"}] * 2


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


async def test_an_endless_deadline_of_the_hosts_call_is_no_error(world, host: Principal) -> None:
    world.targets.interfaces["notes.add"] = InterfaceTarget("notes")

    async def later(invocation: Invocation) -> object:
        await asyncio.sleep(0)
        return "done"

    world.answers["interface.call"] = later
    context = world.context(deadline=math.inf)
    assert await done(world.broker().ask(host, "interface.call", {"name": "notes.add"}, context)) == "done"


async def test_a_stream_that_was_dropped_is_forgotten(world) -> None:
    world.targets.interfaces["notes.feed"] = InterfaceTarget("notes")
    gate = asyncio.Event()
    world.answers["interface.call"] = lambda invocation: _numbers(gate)
    broker = world.broker()
    stream = await done(world.call(broker, "interface.call", {"name": "notes.feed"}))
    await stream.aclose()
    assert len(broker._streams._live) == 0
    await done(world.call(broker, "interface.call", {"name": "notes.feed"}))
    gc.collect()
    world.timers.pop()()
    assert world.timers == [], "nothing left to look after"
