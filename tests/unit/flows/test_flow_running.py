"""Runs: the table of what each step kind does, then time, cancellation, nesting and the bounds of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from core_runtime.authority import Actor, CallContext
from core_runtime.errors import Conflict, ErrorCode, TooLarge, ValidationFailed, error_classes
from core_runtime.flows.engine import FlowEngine
from core_runtime.flows.expressions.scope import Meter
from core_runtime.flows.running.history import RunHistory
from core_runtime.flows.running.state import Run, RunState
from core_runtime.wire.streams import Chunk, Item

if TYPE_CHECKING:
    from conftest import Bench

TABLE = yaml.safe_load((Path(__file__).parents[2] / "tables" / "flow_runs.yaml").read_text("utf-8"))
Until = Callable[[Callable[[], bool]], Awaitable[None]]


def _error(code: object) -> Exception | None:
    try:
        return error_classes()[ErrorCode(str(code))]("as the table says")
    except ValueError:
        return None


def _answer(rule: object) -> object:
    """What a rule of the table means."""
    if not isinstance(rule, dict) or len(rule) != 1:
        return rule
    kind, value = next(iter(rule.items()))
    if kind == "raise":
        turns = list(value) if isinstance(value, list) else None

        def fail(_args: object) -> object:
            said = value if turns is None else turns.pop(0)
            error = _error(said)
            if error is not None:
                raise error
            return said

        return fail
    if kind == "echo":
        return lambda args: args
    if kind == "slow":

        async def slow(args: object) -> object:
            for _ in range(int(str(args))):
                await asyncio.sleep(0)
            return args

        return slow
    if kind == "hang":
        return lambda _args: asyncio.get_running_loop().create_future()
    if kind in {"stream", "bytes"}:

        async def stream() -> AsyncIterator[object]:
            for item in value if isinstance(value, list) else ():
                yield Item(item)
            if kind == "bytes":
                yield Chunk(b"x")

        return lambda _args: stream()
    return rule


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TABLE["cases"]])
async def test_each_run_of_the_table_ends_as_it_says(case: dict[str, object], bench: Bench) -> None:
    bench.world.answers = {name: _answer(rule) for name, rule in case.get("answers", {}).items()}
    result = await bench.run(yaml.safe_dump({"flow_id": "t", **case["flow"]}, sort_keys=False), case.get("inputs", {}))
    assert result.state == case.get("state", "succeeded"), result.error
    assert result.outputs == case.get("outputs")
    if "error" in case:
        assert result.error is not None
        assert result.error.code == case["error"]
        assert str(case.get("message", "")) in result.error.message
    if "asked" in case:
        assert bench.world.names() == case["asked"]
    for name, arguments in case.get("args", {}).items():
        assert next(item.args for item in reversed(bench.world.asked) if item.name == name) == arguments
    if "steps" in case:
        view = bench.engine.runs()[0]
        assert {str(step["step"]): step["state"] for step in view.steps} == case["steps"]
    if "pauses" in case:
        assert bench.pauses == case["pauses"]


async def test_an_error_says_which_flow_and_step_it_came_from(bench: Bench) -> None:
    bench.add("flow_id: inner\nsteps: [{id: deep, call: s.missing}]", file="i.flow.yaml")
    result = await bench.run("flow_id: outer\nsteps: [{id: top, flow: inner}]")
    assert result.error is not None
    assert result.error.details["flow_id"] == "inner"
    assert result.error.details["step"] == "deep"


async def test_a_defect_of_the_world_is_an_internal_error_without_its_text(bench: Bench) -> None:
    bench.world.answers["s.x"] = RuntimeError("secret of the host")
    result = await bench.run("flow_id: t\nsteps: [{id: a, call: s.x}]")
    assert result.error is not None
    assert result.error.code == "INTERNAL"
    assert "secret" not in str(result.error.to_wire())


async def test_an_answer_that_is_no_json_fails_the_step(bench: Bench) -> None:
    bench.world.answers["s.x"] = lambda _args: object()
    result = await bench.run("flow_id: t\nsteps: [{id: a, call: s.x}]")
    assert result.state == "failed"


async def test_inputs_are_checked_before_the_first_step(bench: Bench) -> None:
    flow = "flow_id: t\ninputs: {type: object, properties: {n: {type: integer}}, required: [n]}\nsteps: [{id: a, call: s.x}]"
    with pytest.raises(ValidationFailed, match="missing: n"):
        await bench.run(flow)
    with pytest.raises(ValidationFailed, match="must be of type integer, not string"):
        await bench.run(flow, {"n": "secret"})
    with pytest.raises(ValidationFailed, match="an object"):
        await bench.run(flow, [1])
    assert bench.world.asked == []


async def test_large_inputs_are_checked_off_the_loop(bench: Bench) -> None:
    flow = (
        "flow_id: t\ninputs: {properties: {l: {items: {type: integer}}}}\nsteps: []\noutputs: {n: '${size(inputs.l)}'}"
    )
    assert (await bench.run(flow, {"l": list(range(20_000))})).outputs == {"n": 20_000}


async def test_a_flow_runs_with_the_rights_of_its_owner(bench: Bench) -> None:
    bench.world.answers.update({"s.x": 1})
    bench.add("flow_id: inner\nsteps: [{id: a, call: s.x}]", owner="mine")
    result = await bench.engine.run(
        bench.add("flow_id: outer\nsteps: [{id: a, call: s.x}, {id: b, flow: inner}]"), {}, actor=Actor("ada", "guest")
    )
    assert result.state == "succeeded"
    assert [item.principal for item in bench.world.asked] == ["host", "mine"]
    assert [item.context.chain for item in bench.world.asked] == [("flow:outer",), ("flow:outer", "flow:inner")]
    assert {item.context.actor for item in bench.world.asked} == {Actor("ada", "guest")}
    assert {item.context.run_id for item in bench.world.asked} == {result.run_id}


async def test_a_sub_flow_that_stops_ends_only_itself(bench: Bench) -> None:
    bench.add("flow_id: inner\nsteps: [{id: a, stop: {outputs: {k: '${inputs.k}'}}}]", file="i.flow.yaml")
    result = await bench.run(
        "flow_id: outer\nsteps: [{id: a, flow: inner, input: {k: 1}, output: o}]\noutputs: {v: '${o.k}'}"
    )
    assert (result.state, result.outputs) == ("succeeded", {"v": 1})


@pytest.mark.parametrize(
    ("levels", "state"),
    [pytest.param(10, "succeeded", id="YJ-08-chain-10"), pytest.param(11, "failed", id="YJ-08-chain-11")],
)
async def test_a_chain_of_flows_ends_at_ten(levels: int, state: str, bench: Bench) -> None:
    for level in range(1, levels + 1):
        step = f"{{id: a, flow: f{level + 1}}}" if level < levels else "{id: a, set: {x: 1}}"
        bench.add(f"flow_id: f{level}\nsteps: [{step}]", file=f"{level}.flow.yaml")
    result = await bench.engine.run("f1", {})
    assert result.state == state
    if result.error is not None:
        assert isinstance(result.error, TooLarge)
        assert "flow:f1 -> " in result.error.message
    assert bench.engine.runs()[0].ended_at is not None


async def test_yj_08_ud_15_a_cycle_of_flows_is_an_error_that_prints_the_chain(bench: Bench) -> None:
    bench.add("flow_id: a\nsteps: [{id: x, flow: b}]", file="a.flow.yaml")
    bench.add("flow_id: b\nsteps: [{id: x, flow: a}]", file="b.flow.yaml")
    result = await bench.engine.run("a", {})
    assert isinstance(result.error, Conflict)
    assert "flow:a -> flow:b -> flow:a" in result.error.message


async def test_ud_15_a_cycle_through_a_pack_is_seen_in_its_context(bench: Bench) -> None:
    context = CallContext("req_1", 2000.0, chain=("flow:a", "interface:s.x"))
    bench.add("flow_id: a\nsteps: []", file="a.flow.yaml")
    with pytest.raises(Conflict, match=r"flow:a -> interface:s\.x -> flow:a"):
        await bench.engine.run("a", {}, context=context)
    deep = CallContext("req_1", 2000.0, chain=tuple(f"interface:i{n}" for n in range(10)))
    with pytest.raises(TooLarge):
        await bench.engine.run("a", {}, context=deep)
    assert (
        await bench.engine.run("a", {}, context=CallContext("req_1", 2000.0, chain=deep.chain[:9]))
    ).state == "succeeded"


async def test_yj_08_parallel_branches_that_both_recurse_end(bench: Bench) -> None:
    result = await bench.run("flow_id: a\nsteps: [{id: p, parallel: {l: [{id: x, flow: a}], r: [{id: y, flow: a}]}}]")
    assert isinstance(result.error, Conflict)
    assert len(asyncio.all_tasks()) == 1


async def test_a_step_that_takes_too_long_is_cancelled_and_times_out(bench: Bench) -> None:
    futures: list[asyncio.Future[object]] = []

    def hang(_args: object) -> object:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    bench.world.answers["s.x"] = hang
    result = await bench.run(
        "flow_id: t\nsteps: [{id: a, call: s.x, timeout: 0.01, retry: {max_attempts: 2, on: [TIMEOUT]}}]"
    )
    assert result.error is not None
    assert result.error.code == "TIMEOUT"
    assert "longer than 0.01 s" in result.error.message
    assert [future.cancelled() for future in futures] == [True, True]


async def test_a_timeout_narrows_the_deadline_that_the_world_sees(bench: Bench) -> None:
    bench.world.answers["s.x"] = 1
    await bench.run(
        "flow_id: t\nsteps: [{id: a, call: s.x}, {id: b, call: s.x, timeout: 7, idempotency_key: 'k-${run.id}'}]"
    )
    plain, narrow = (item.context for item in bench.world.asked)
    assert narrow.deadline == bench.clock.now + 7 < plain.deadline
    assert plain.idempotency_key is None
    assert narrow.idempotency_key == f"k-{narrow.run_id}"


async def test_a_run_ends_at_its_deadline_and_its_handlers_still_run(bench: Bench) -> None:
    bench.world.answers.update({"s.hang": lambda _args: asyncio.get_running_loop().create_future(), "s.note": 1})
    bench.add("flow_id: t\nsteps: [{id: a, call: s.hang}]\nerrors: [{id: e, call: s.note, input: '${error.code}'}]")
    context = CallContext("req_1", bench.clock.now + 0.01)
    result = await bench.engine.run("t", {}, context=context)
    assert result.error is not None
    assert result.error.code == "TIMEOUT"
    assert bench.world.asked[-1].args == "TIMEOUT"
    assert bench.world.asked[-1].context.deadline > context.deadline


async def test_what_the_world_cancels_by_itself_is_a_failure_not_a_cancelled_run(bench: Bench) -> None:
    def cancelled(_args: object) -> object:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        return future

    bench.world.answers["s.x"] = cancelled
    result = await bench.run("flow_id: t\nsteps: [{id: a, call: s.x, on_error: continue}]")
    assert result.state == "succeeded"


async def test_cancelling_a_run_cancels_its_call_and_runs_finally(bench: Bench, until: Until) -> None:
    bench.world.answers.update({"s.hang": lambda _args: asyncio.get_running_loop().create_future(), "s.last": 1})
    bench.add("flow_id: t\nsteps: [{id: a, call: s.hang}]\nfinally: [{id: f, call: s.last, input: '${error.code}'}]")
    run = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: bench.world.names() == ["s.hang"])
    identifier = bench.engine.runs()[0].run_id
    assert bench.engine.cancel(identifier)
    result = await run
    assert result.state is RunState.CANCELLED
    assert result.error is not None
    assert result.error.code == "CANCELLED"
    assert bench.world.asked[-1].args == "CANCELLED"
    assert not bench.engine.cancel(identifier)


async def test_giving_up_the_call_cancels_the_run(bench: Bench, until: Until) -> None:
    bench.world.answers.update({"s.hang": lambda _args: asyncio.get_running_loop().create_future()})
    bench.add("flow_id: t\nsteps: [{id: p, parallel: {a: [{id: x, call: s.hang}], b: [{id: y, call: s.hang}]}}]")
    run = asyncio.create_task(bench.engine.run("t", {}))
    await until(lambda: len(bench.world.asked) == 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert bench.engine.runs()[0].state is RunState.CANCELLED
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_in_one_round_ends_the_others(bench: Bench) -> None:
    futures: list[asyncio.Future[object]] = []

    def third_fails(args: object) -> object:
        if args == 3:
            raise ValidationFailed("three")
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    bench.world.answers["s.x"] = third_fails
    result = await bench.run(
        "flow_id: t\nsteps: [{id: a, foreach: [1, 2, 3], as: n, concurrency: 3, steps: [{id: b, call: s.x, input: '${n}'}]}]"
    )
    assert result.error is not None
    assert result.error.message == "three"
    assert all(future.cancelled() for future in futures)


async def test_foreach_has_at_most_its_concurrency_under_way(bench: Bench) -> None:
    now = most = 0

    async def work(_args: object) -> object:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return None

    bench.world.answers["s.x"] = work
    await bench.run(
        "flow_id: t\nsteps: [{id: a, foreach: '${inputs.l}', concurrency: 4, steps: [{id: b, call: s.x}]}]",
        {"l": [1] * 20},
    )
    assert most == 4


async def test_a_long_flow_without_waits_lets_others_run(bench: Bench) -> None:
    bench.add("flow_id: t\nsteps: [{id: a, foreach: '${inputs.l}', steps: [{id: b, set: {x: 1}}]}]")
    run = asyncio.create_task(bench.engine.run("t", {"l": [1] * 1000}))
    breaths = 0
    while not run.done():
        await asyncio.sleep(0)
        breaths += 1
    assert breaths >= 15


async def test_a_run_has_at_most_a_million_rounds(bench: Bench) -> None:
    bench.add("flow_id: t\nsteps: []")
    run = Run("run_1", bench.book.active("t"), CallContext("req_1", 0.0), Meter(bench.clock))
    run.count_rounds(999_999)
    run.count_rounds(1)
    with pytest.raises(TooLarge, match="rounds"):
        run.count_rounds(1)


async def test_rounds_of_all_loops_count_together(bench: Bench) -> None:
    loops = "{id: a, foreach: [1, 2], steps: [{id: b, foreach: [1, 2, 3], steps: []}]}"
    loop = "{id: c, while: '${i? != 1}', max_iterations: 5, steps: [{id: d, set: {i: 1}}]}"
    seen: list[Run] = []

    class Watcher(RunHistory):
        def run_finished(self, run: Run) -> None:
            seen.append(run)

    bench.parts = replace(bench.parts, observers=(Watcher(),))
    bench.engine = FlowEngine(bench.parts)
    await bench.run(f"flow_id: t\nsteps: [{loops}, {loop}]")
    assert seen[0].rounds == 2 + 2 * 3 + 1


async def test_outputs_end_at_four_mebibytes(bench: Bench) -> None:
    bench.world.answers["s.big"] = "x" * 1_000_000
    flow = "flow_id: t\nsteps: [{id: a, call: s.big, output: b}]\noutputs: {v: [%s]}"
    assert (await bench.run(flow % ", ".join(['"${b}"'] * 4))).state == "succeeded"
    result = await bench.run(flow % ", ".join(['"${b}"'] * 5))
    assert isinstance(result.error, TooLarge)


async def test_a_run_cannot_keep_more_than_its_share_of_memory(bench: Bench) -> None:
    bench.world.answers["s.big"] = "x" * 4_000_000
    steps = "".join(f"  - {{id: s{n}, call: s.big}}\n" for n in range(20))
    result = await bench.run(f"flow_id: t\nsteps:\n{steps}")
    assert isinstance(result.error, TooLarge)
    assert "keeps more than 64 MiB" in result.error.message


async def test_values_of_rounds_are_given_back(bench: Bench) -> None:
    bench.world.answers["s.big"] = "x" * 4_000_000
    loop = "{id: a, foreach: '${inputs.l}', steps: [{id: b, call: s.big}, {id: c, set: {x: 1}}]}"
    again = "{id: w, while: '${i? != 20}', max_iterations: 20, steps: [{id: d, call: s.big}, {id: e, set: {i: '${default(i, 0) + 1}'}}]}"
    result = await bench.run(f"flow_id: t\nsteps: [{loop}, {again}]", {"l": [1] * 40})
    assert result.state == "succeeded", result.error


async def test_a_handler_that_changes_its_arguments_does_not_change_the_flow(bench: Bench) -> None:
    bench.world.answers["store.get"] = lambda args: args.pop("key")
    flow = "flow_id: t\nsteps: [{id: a, call: 'kernel:store.get', input: {key: k}}]"
    assert [(await bench.run(flow)).state for _ in range(2)] == ["succeeded", "succeeded"]
