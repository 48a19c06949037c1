"""What each kind of step does. A function gives its value at once where it can, and a coroutine where it must wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

from core_runtime.authority import CallContext
from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.flows.expressions.errors import ExpressionError
from core_runtime.flows.expressions.values import is_number, too_large, type_name, weigh
from core_runtime.flows.limits import MAX_TIMEOUT, MAX_VALUE
from core_runtime.flows.model import (
    Assign,
    Branch,
    CallInterface,
    CallKernel,
    Emit,
    ForEach,
    Parallel,
    RunBlock,
    RunFlow,
    Step,
    Stop,
    Wait,
    While,
)
from core_runtime.flows.ports import FlowWorld
from core_runtime.flows.running.fanout import side_by_side
from core_runtime.flows.running.outcome import FlowStopped
from core_runtime.flows.running.state import Frame


class Performer(Protocol):
    """What the actions need of the runner."""

    world: FlowWorld

    async def sequence(self, steps: tuple[Step, ...], frame: Frame) -> object:
        """Run steps one after the other; the value of the last one."""

    async def sub_flow(self, flow_id: str, inputs: object, frame: Frame, step: Step, context: CallContext) -> object:
        """Run another flow inside this run; its outputs."""

    async def pause(self, seconds: float) -> None:
        """Wait."""


Perform = Callable[..., object]


def _interface(performer: Performer, action: CallInterface, _step: Step, frame: Frame, context: CallContext) -> object:
    return performer.world.call(frame.principal, action.name, action.input.fill(frame), context)


def _kernel(performer: Performer, action: CallKernel, _step: Step, frame: Frame, context: CallContext) -> object:
    arguments = action.input.fill(frame)
    if not isinstance(arguments, dict):
        raise ValidationFailed(f"`input` of {action.permission} must be an object, not {type_name(arguments)}.")
    if action.input.evaluate is None:
        arguments = dict(arguments)  # the constant belongs to the flow: a handler may change what it is given
    return performer.world.capability(frame.principal, action.permission, arguments, context)


def _block(performer: Performer, action: RunBlock, _step: Step, frame: Frame, context: CallContext) -> object:
    return performer.world.block(action.pack_id, action.file, action.input.fill(frame), context)


def _flow(performer: Performer, action: RunFlow, step: Step, frame: Frame, context: CallContext) -> object:
    return performer.sub_flow(action.flow_id, action.input.fill(frame), frame, step, context)


def _assign(_performer: Performer, action: Assign, _step: Step, frame: Frame, _context: CallContext) -> object:
    values = action.values.fill(frame)
    if isinstance(values, dict):
        frame.names.update(values)
    return values


def _branch(performer: Performer, action: Branch, _step: Step, frame: Frame, _context: CallContext) -> object:
    taken = bool(action.condition.fill(frame))
    for name in action.otherwise_nulls if taken else action.then_nulls:
        frame.names[name] = None
    steps = action.then if taken else action.otherwise
    return performer.sequence(steps, frame) if steps else None


async def _foreach(performer: Performer, action: ForEach, step: Step, frame: Frame, _context: CallContext) -> object:
    items = action.items.fill(frame)
    if not isinstance(items, list | tuple):
        raise ExpressionError(f"`foreach` needs a list, not {type_name(items)}.")
    frame.run.count_rounds(len(items))
    results: list[object] = [None] * len(items)
    total = 0

    async def rounds(pending: Iterator[tuple[int, object]]) -> None:
        nonlocal total
        prefix, name = f"{frame.path}{step.id}[", action.name
        for index, item in pending:
            inner = frame.child(f"{prefix}{index}]/", {name: item})
            try:
                results[index] = value = await performer.sequence(action.steps, inner)
            finally:
                inner.close()
            total += weigh(value, MAX_VALUE)
            if total > MAX_VALUE:
                raise too_large(MAX_VALUE)

    pending = iter(enumerate(items))
    width = min(action.concurrency, len(items))
    if width <= 1:
        await rounds(pending)
    else:
        await side_by_side([rounds(pending) for _ in range(width)])
    return results


async def _while(performer: Performer, action: While, step: Step, frame: Frame, _context: CallContext) -> object:
    inner = frame.child(f"{frame.path}{step.id}[0]/", {})
    value: object = None
    try:
        for index in range(action.max_iterations + 1):
            if not action.condition.fill(inner):
                return value
            if index == action.max_iterations:
                break
            frame.run.count_rounds(1)
            inner.path = f"{frame.path}{step.id}[{index}]/"
            value = await performer.sequence(action.steps, inner)
    finally:
        inner.close()
    raise TooLarge(
        f"`while` is still true after {action.max_iterations} rounds.",
        hint="Raise `max_iterations`, or mend the condition.",
    )


async def _parallel(performer: Performer, action: Parallel, step: Step, frame: Frame, _context: CallContext) -> object:
    results: dict[str, object] = dict.fromkeys(name for name, _steps in action.branches)

    async def branch(name: str, steps: tuple[Step, ...]) -> None:
        inner = frame.child(f"{frame.path}{step.id}.{name}/", {})
        try:
            results[name] = await performer.sequence(steps, inner)
        finally:
            inner.close()

    await side_by_side([branch(name, steps) for name, steps in action.branches])
    return results


def _wait(performer: Performer, action: Wait, _step: Step, frame: Frame, _context: CallContext) -> object:
    seconds = action.seconds.fill(frame)
    if not isinstance(seconds, int | float) or not is_number(seconds) or not 0 <= seconds <= MAX_TIMEOUT:
        raise ExpressionError(f"`wait` needs seconds from 0 to {MAX_TIMEOUT:g}.")
    return performer.pause(float(seconds))


def _emit(
    performer: Performer, action: Emit, _step: Step, frame: Frame, context: CallContext
) -> Awaitable[None] | None:
    return performer.world.publish(frame.principal, action.topic, action.payload.fill(frame), context)


def _stop(_performer: Performer, action: Stop, _step: Step, frame: Frame, _context: CallContext) -> object:
    raise FlowStopped(action.reason.fill(frame), action.outputs.fill(frame))


PERFORM: Final[dict[type, Perform]] = {
    CallInterface: _interface,
    CallKernel: _kernel,
    RunBlock: _block,
    RunFlow: _flow,
    Assign: _assign,
    Branch: _branch,
    ForEach: _foreach,
    While: _while,
    Parallel: _parallel,
    Wait: _wait,
    Emit: _emit,
    Stop: _stop,
}
