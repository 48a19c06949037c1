"""P5, in memory: what a flow step costs, beside an asyncio task in the same run.

Times are the best of several rounds, in microseconds a step (milliseconds for loading), on the loop of the kernel.
The durable part of P5 belongs to the journal and is measured once that exists.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import uvloop

from benchmarks.bench_common import Figure, Promise, Report, Rival, end, options
from core_runtime.authority import CallContext, Principal
from core_runtime.clock import SystemClock
from core_runtime.flows.book import FlowBook
from core_runtime.flows.engine import EngineParts, FlowEngine, NoSettings
from core_runtime.flows.loading.document import load_flow

STEPS = 1_000
ROUNDS = 9


class QuickWorld:
    """Answers at once, so that only the engine is measured."""

    def call(self, _principal: Principal, _name: str, args: object, _context: CallContext) -> object:
        """Echo."""
        return args

    def capability(
        self, _principal: Principal, _permission: str, args: Mapping[str, object], _context: CallContext
    ) -> object:
        """Echo."""
        return args

    def block(self, _pack_id: str, _file: str, args: object, _context: CallContext) -> object:
        """Echo."""
        return args

    def publish(self, _principal: Principal, _topic: str, _payload: object, _context: CallContext) -> None:
        """Drop."""


def flow(steps: str) -> bytes:
    """A flow `p5` with these steps."""
    return f"flow_id: p5\ninputs: {{properties: {{x: {{}}, items: {{}}}}}}\nsteps:\n{steps}".encode()


def many(step: str) -> bytes:
    """`STEPS` steps after one pattern; `%d` becomes the number."""
    return flow("".join(f"  - {{id: s{number}, {step.replace('%d', str(number))}}}\n" for number in range(STEPS)))


def loop(width: int) -> bytes:
    """A `foreach` over `items` with one kernel call a round."""
    step = "steps: [{id: one, call: 'kernel:echo', input: {v: '${item}'}}]"
    return flow(f"  - {{id: each, foreach: '${{inputs.items}}', concurrency: {width}, {step}}}\n")


FLOWS: dict[str, bytes] = {
    "set_us": many("set: {a: %d}"),
    "set_expression_us": many("set: {a: '${inputs.x}'}"),
    "kernel_call_us": many("call: 'kernel:echo', input: {v: '${inputs.x}', n: %d}"),
    "kernel_call_with_timeout_us": many("call: 'kernel:echo', timeout: 5, input: {v: '${inputs.x}'}"),
    "foreach_item_us": loop(1),
    "foreach_1000_wide_item_us": loop(1_000),
}


async def best(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    """The least microseconds a step over all rounds."""
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        found.append((time.perf_counter() - started) / STEPS * 1e6)
    return round(min(found), 2)


async def task_floor() -> None:
    """As many asyncio tasks as there are steps, one after the other: what a task for each step would cost at least."""

    async def nothing() -> None:
        return None

    for _ in range(STEPS):
        await asyncio.create_task(nothing())


async def measure(rounds: int) -> dict[str, float]:
    """All figures of the row."""
    book = FlowBook()
    engine = FlowEngine(EngineParts(QuickWorld(), book, NoSettings(), SystemClock()))
    figures = {"floor_asyncio_task_us": await best(task_floor, rounds)}
    inputs = {"x": 1, "items": list(range(STEPS))}
    for name, source in FLOWS.items():
        book.register_owner("p5.flow.yaml", source, approved=True)

        async def once() -> None:
            result = await engine.run("p5", inputs)
            if result.state != "succeeded":
                raise SystemExit(f"{name}: {result.error}")  # noqa: B023 - awaited before the loop goes on

        figures[name] = await best(once, rounds)
    figures["load_1000_steps_ms"] = load_time(rounds)
    await engine.close()
    return figures


def load_time(rounds: int) -> float:
    """Milliseconds to load 1,000 steps that call an interface with two inputs, an output and a timeout each."""
    source = many("call: service.hello, input: {name: '${inputs.x}', n: %d}, output: o%d, timeout: 10")
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        loaded = load_flow(source, file="p5.flow.yaml", owner="host")
        found.append((time.perf_counter() - started) * 1e3)
        if loaded.flow is None:
            raise SystemExit(loaded.problems[0].text())
    return round(min(found), 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__, arguments, rounds=ROUNDS)
    report = Report("P5")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(chosen.rounds))
    task = Rival("asyncio task", found.pop("floor_asyncio_task_us"))
    first, *also = (
        Figure(what=what, value=found.pop(name), unit=unit, promise=Promise(most=limit), floor=floor)
        for name, what, unit, limit, floor in (
            ("kernel_call_us", "flow step that calls the kernel, in memory", "us", 15, task),
            ("set_us", "flow step `set`, in memory", "us", 5, task),
            ("foreach_1000_wide_item_us", "an item of a 1,000-way foreach", "us", 30, task),
            ("load_1000_steps_ms", "load of a file of 1,000 steps", "ms", 60, None),
        )
    )
    report.show(first, *also, details=found)


if __name__ == "__main__":
    end(main)
