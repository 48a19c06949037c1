"""The engine: how many runs at once, who waits, who is refused, what people see, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core_runtime.authority import Actor, CallContext
from core_runtime.errors import NotFound, RateLimited, Unavailable
from core_runtime.flows.engine import EngineLimits, FlowEngine
from core_runtime.flows.limits import KEPT_RUNS
from core_runtime.flows.running.slots import Slots
from core_runtime.flows.running.state import Frame, Run, RunState

if TYPE_CHECKING:
    from conftest import Bench

    from core_runtime.flows.model import Step

Until = Callable[[Callable[[], bool]], Awaitable[None]]
HANG = "flow_id: t\nsteps: [{id: a, call: s.hang}]"


class Gate:
    """Calls that end when they are let go."""

    def __init__(self, bench: Bench) -> None:
        self.waiting: list[asyncio.Future[object]] = []
        bench.world.answers["s.hang"] = self._wait

    def _wait(self, _args: object) -> object:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]

    def open(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(None)


async def test_only_so_many_runs_are_under_way_and_the_rest_queue(bench: Bench, until: Until) -> None:
    bench.limit(EngineLimits(concurrent=2, queued=2))
    gate = Gate(bench)
    bench.add(HANG)
    started = [await bench.engine.start("t", {}) for _ in range(4)]
    await until(lambda: len(gate.waiting) == 2)
    assert [view.state for view in reversed(bench.engine.runs())] == ["running", "running", "queued", "queued"]
    with pytest.raises(RateLimited, match="2 at once and 2 waiting"):
        await bench.engine.start("t", {})
    waits = [asyncio.create_task(bench.engine.wait(identifier)) for identifier in started]
    gate.open()
    await until(lambda: len(gate.waiting) == 4)
    gate.open()
    assert [result.state for result in await asyncio.gather(*waits)] == ["succeeded"] * 4


async def test_a_run_inside_a_run_never_waits_for_the_place_of_its_caller(bench: Bench) -> None:
    bench.limit(EngineLimits(concurrent=1, queued=0, nested=1))
    bench.add("flow_id: inner\nsteps: []\noutputs: {v: 1}", file="i.flow.yaml")

    async def pack(_args: object) -> object:
        context = bench.world.asked[-1].context
        result = await bench.engine.run("inner", {}, context=replace(context, chain=(*context.chain, "interface:s.x")))
        return result.outputs

    bench.world.answers["s.x"] = pack
    result = await bench.run("flow_id: outer\nsteps: [{id: a, call: s.x, output: o}]\noutputs: {v: '${o.v}'}")
    assert result.outputs == {"v": 1}


async def test_a_flow_may_refuse_a_second_run(bench: Bench, until: Until) -> None:
    gate = Gate(bench)
    bench.add("concurrency: {limit: 1, when_full: reject}\n" + HANG)
    first = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    with pytest.raises(RateLimited, match="'t': 1 at once"):
        await bench.engine.run("t", {})
    gate.open()
    await first
    second = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 2)
    gate.open()
    assert (await second).state == "succeeded"


async def test_a_flow_may_queue_its_runs_without_holding_places_of_others(bench: Bench, until: Until) -> None:
    bench.limit(EngineLimits(concurrent=2, queued=0))
    gate = Gate(bench)
    bench.add("concurrency: {limit: 1, when_full: queue}\n" + HANG)
    runs = [asyncio.create_task(bench.engine.run("t", {})) for _ in range(3)]
    await until(lambda: len(gate.waiting) == 1)
    bench.add("flow_id: other\nsteps: []", file="o.flow.yaml")
    assert (await bench.engine.run("other", {})).state == "succeeded"
    for count in (1, 2, 3):
        await until(lambda count=count: len(gate.waiting) == count)
        gate.open()
    assert [result.state for result in await asyncio.gather(*runs)] == ["succeeded"] * 3


async def test_a_flow_may_replace_its_oldest_run(bench: Bench, until: Until) -> None:
    gate = Gate(bench)
    bench.add("concurrency: {limit: 1, when_full: replace}\n" + HANG)
    first = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    second = asyncio.create_task(bench.engine.run("t", {}))
    assert (await first).state is RunState.CANCELLED
    await until(lambda: len(gate.waiting) == 2)
    gate.open()
    assert (await second).state is RunState.SUCCEEDED


async def test_a_run_that_waits_can_be_cancelled_and_leaves_the_queue(bench: Bench, until: Until) -> None:
    bench.limit(EngineLimits(concurrent=1, queued=1))
    gate = Gate(bench)
    bench.add(HANG)
    first = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    waiting = await bench.engine.start("t", {})
    result = asyncio.create_task(bench.engine.wait(waiting))
    await asyncio.sleep(0)
    bench.engine.cancel(waiting)
    assert (await result).state is RunState.CANCELLED
    third = asyncio.create_task(bench.engine.run("t", {}))
    await asyncio.sleep(0)
    gate.open()
    await first
    await until(lambda: len(gate.waiting) == 2)
    gate.open()
    assert (await third).state is RunState.SUCCEEDED


async def test_a_run_cancelled_before_it_began_gives_its_place_back(bench: Bench) -> None:
    bench.limit(EngineLimits(concurrent=1, queued=0))
    bench.add("flow_id: t\nsteps: []")
    identifier = await bench.engine.start("t", {})
    bench.engine.cancel(identifier)
    assert (await bench.engine.wait(identifier)).state is RunState.CANCELLED
    assert (await bench.engine.run("t", {})).state is RunState.SUCCEEDED


async def test_waiting_for_a_place_ends_at_the_deadline(bench: Bench, until: Until) -> None:
    bench.limit(EngineLimits(concurrent=1, queued=1))
    gate = Gate(bench)
    bench.add(HANG)
    first = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    late = await bench.engine.run("t", {}, context=CallContext("req_1", bench.clock.now + 0.01))
    assert late.error is not None
    assert late.error.code == "TIMEOUT"
    gate.open()
    await first


async def test_an_unknown_flow_or_run_is_not_found(bench: Bench) -> None:
    bench.add("flow_id: greet\nsteps: []")
    with pytest.raises(NotFound, match="Did you mean 'greet'"):
        await bench.engine.run("gret", {})
    with pytest.raises(NotFound):
        await bench.engine.wait("run_nothing")
    assert bench.engine.view("run_nothing") is None
    assert not bench.engine.cancel("run_nothing")


async def test_people_see_runs_with_their_steps_and_counts(bench: Bench) -> None:
    bench.add(
        "flow_id: t\nsteps: [{id: a, foreach: [1, 2, 3], as: n, steps: [{id: b, set: {x: 1}, when: '${n > 1}'}]}, {id: c, call: s.no}]"
    )
    result = await bench.engine.run("t", {}, actor=Actor("ada", "guest"))
    view = bench.engine.view(result.run_id)
    assert view is not None
    shown = view.to_json()
    assert shown["state"] == "failed"
    assert shown["actor"] == {"id": "ada", "role": "guest", "groups": []}
    assert shown["error"]["code"] == "NOT_FOUND"
    steps = {step["step"]: step for step in shown["steps"]}
    assert (steps["b"]["started"], steps["b"]["succeeded"], steps["b"]["skipped"]) == (3, 2, 1)
    assert (steps["a"]["state"], steps["c"]["state"], steps["c"]["failed"]) == ("succeeded", "failed", 1)


async def test_only_the_newest_runs_are_kept(bench: Bench) -> None:
    bench.add("flow_id: t\nsteps: []")
    results = [await bench.engine.run("t", {}) for _ in range(KEPT_RUNS + 5)]
    kept = bench.engine.runs()
    assert len(kept) == KEPT_RUNS
    assert kept[0].run_id == results[-1].run_id
    assert bench.engine.view(results[0].run_id) is None


async def test_observers_hear_everything_in_order_and_may_make_the_engine_wait(bench: Bench) -> None:
    heard: list[str] = []

    class Journal:
        def run_started(self, run: Run) -> None:
            heard.append(f"run {run.flow.flow_id}")

        def step_started(self, frame: Frame, step: Step) -> None:
            heard.append(f"+{frame.path}{step.id}")

        async def _commit(self, what: str) -> None:
            await asyncio.sleep(0)
            heard.append(what)

        def step_finished(self, frame: Frame, step: Step, state: str, value: object) -> Awaitable[None]:
            return self._commit(f"-{frame.path}{step.id} {state} {value}")

        def run_finished(self, run: Run) -> None:
            heard.append(f"end {run.state}")

    bench.parts = replace(bench.parts, observers=(Journal(),))
    bench.engine = FlowEngine(bench.parts)
    await bench.run(
        "flow_id: t\nsteps: [{id: a, foreach: [7], as: n, steps: [{id: b, set: {x: '${n}'}}]}, {id: c, call: s.no}]"
    )
    assert heard == [
        "run t",
        "+a",
        "+a[0]/b",
        "-a[0]/b succeeded {'x': 7}",
        "-a succeeded [{'x': 7}]",
        "+c",
        "-c failed None",
        "end failed",
    ]


async def test_closing_lets_runs_finish_then_cancels_the_rest_and_takes_no_more(bench: Bench, until: Until) -> None:
    gate = Gate(bench)
    bench.add(HANG)
    bench.world.answers["s.quick"] = 1
    stuck = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    closing = asyncio.create_task(bench.engine.close(grace=0.01))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="stopping"):
        await bench.engine.run("t", {})
    await closing
    assert (await stuck).state is RunState.CANCELLED
    assert len(asyncio.all_tasks()) == 1


async def test_closing_waits_for_a_run_that_is_about_to_end(bench: Bench, until: Until) -> None:
    gate = Gate(bench)
    bench.add(HANG)
    run = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(gate.waiting) == 1)
    closing = asyncio.create_task(bench.engine.close(grace=5))
    await asyncio.sleep(0)
    gate.open()
    await closing
    assert (await run).state is RunState.SUCCEEDED


async def test_a_place_that_was_given_but_not_taken_goes_to_the_next() -> None:
    slots = Slots(1, 2, "Too many")
    first, second, third = slots.enter(), slots.enter(), slots.enter()
    first.give_back()
    second.give_back()
    await asyncio.wait_for(third.wait(), 1)
    third.give_back()
    assert slots.idle
