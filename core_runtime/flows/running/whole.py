"""A flow from its inputs to its outputs: chain, schema, steps, `errors`, `finally`; a whole run or a part of one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core_runtime.authority import MAX_CHAIN_DEPTH, CallContext
from core_runtime.clock import iso
from core_runtime.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    PolicyDenied,
    RumiError,
    TooLarge,
    ValidationFailed,
)
from core_runtime.flows.expressions.values import type_name, weigh
from core_runtime.flows.limits import FINALLY_SECONDS, MAX_VALUE
from core_runtime.flows.model import CORE_OWNER, Flow, Step
from core_runtime.flows.ports import SettingsSource
from core_runtime.flows.running.outcome import FlowStopped, as_rumi, error_context
from core_runtime.flows.running.state import Frame, Run, RunState, principal_of
from core_runtime.schemas import measure

SMALL_INPUT = 1_000
THREAD_SECONDS = 5.0


class Sequencer(Protocol):
    """What a whole flow needs of the runner."""

    settings: SettingsSource

    async def sequence(self, steps: tuple[Step, ...], frame: Frame) -> object:
        """Run steps one after the other."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one flow ended."""

    state: RunState
    outputs: object = None
    error: RumiError | None = None


def entered(context: CallContext, flow_id: str, run_id: str) -> CallContext:
    """The context inside a flow. Raises `Conflict` for a cycle (UD-15) and `TooLarge` for a chain that is too long."""
    hop = f"flow:{flow_id}"
    if hop in context.chain:
        shown = " -> ".join([*context.chain, hop])
        raise Conflict(f"The flow {flow_id!r} would run inside itself: {shown}", hint="Break the cycle in one of them.")
    if context.depth >= MAX_CHAIN_DEPTH:
        shown = " -> ".join([*context.chain, hop])
        raise TooLarge(f"Calls are nested more than {MAX_CHAIN_DEPTH} deep: {shown}", hint="Flatten the chain.")
    return CallContext(
        context.request_id,
        context.deadline,
        context.actor,
        run_id,
        (*context.chain, hop),
        context.traceparent,
    )


def refuse_core(flow: Flow) -> None:
    """Raise `PolicyDenied` for a flow of the kernel itself: no step, wish or door may make the kernel start anew."""
    if flow.owner == CORE_OWNER:
        raise PolicyDenied(
            f"The flow {flow.flow_id!r} is the kernel's own, and only the kernel runs it.",
            hint="It runs each time the kernel starts.",
        )


async def checked_inputs(flow: Flow, inputs: object) -> dict[str, object]:
    """The inputs with defaults. Raises `ValidationFailed`, `TooLarge`. Large ones are checked off the loop."""
    if not isinstance(inputs, Mapping):
        raise ValidationFailed(f"The inputs of a flow are an object, not {type_name(inputs)}.")
    values = {**flow.input_defaults, **inputs}
    what = f"The input of the flow {flow.flow_id!r}"
    if flow.inputs is None:
        weigh(values, MAX_VALUE)
    elif measure(values) <= SMALL_INPUT:
        flow.inputs.check(values, what=what)
    else:
        await asyncio.to_thread(flow.inputs.check, values, what=what, seconds=THREAD_SECONDS)
    return values


async def run_flow(
    sequencer: Sequencer,
    flow: Flow,
    inputs: dict[str, object],
    run: Run,
    context: CallContext,
    *,
    path: str = "",
    top: bool = False,
) -> Outcome:
    """Run one flow with checked inputs. Raises what `entered` does, and cancellation (after `finally` ran).

    `top` puts the run's deadline around it; a sub-flow is under that of the run and of its step already.
    """
    inner = entered(context, flow.flow_id, run.run_id)
    names: dict[str, object] = {
        "inputs": inputs,
        "settings": sequencer.settings.settings_of(flow.owner),
        "run": {
            "id": run.run_id,
            "flow_id": flow.flow_id,
            "actor": run.actor.to_json() if run.actor else None,
            "started_at": iso(run.started_at),
        },
    }
    frame = Frame(names, run=run, flow=flow, context=inner, path=path, principal=principal_of(flow.owner))
    try:
        try:
            outcome = await _body(sequencer, flow, frame, top=top)
        except asyncio.CancelledError as cancelled:
            await _tail(sequencer, flow.finally_steps, frame, as_rumi(cancelled))
            raise
        return await _ended(sequencer, flow, frame, outcome)
    finally:
        frame.close()


async def _body(sequencer: Sequencer, flow: Flow, frame: Frame, *, top: bool) -> Outcome:
    left = frame.context.deadline - frame.meter.clock.monotonic()
    try:
        async with asyncio.timeout(max(left, 0) if top else None):
            await sequencer.sequence(flow.steps, frame)
            outputs = flow.outputs.fill(frame)
            weigh(outputs, MAX_VALUE)
            return Outcome(RunState.SUCCEEDED, outputs)
    except FlowStopped as stop:
        return Outcome(RunState.STOPPED, stop.outputs)
    except TimeoutError:
        return Outcome(
            RunState.FAILED, None, DeadlineExceeded(f"The flow {flow.flow_id!r} did not end before its deadline.")
        )
    except Exception as failure:  # noqa: BLE001 - a flow fails with one of our errors, whatever happened
        return Outcome(RunState.FAILED, None, as_rumi(failure))


async def _ended(sequencer: Sequencer, flow: Flow, frame: Frame, outcome: Outcome) -> Outcome:
    if outcome.error is not None:
        outcome = await _tail(sequencer, flow.errors, frame, outcome.error) or outcome
    failed = await _tail(sequencer, flow.finally_steps, frame, outcome.error)
    if failed is not None and outcome.error is None:
        outcome = failed
    return outcome


async def _tail(sequencer: Sequencer, steps: tuple[Step, ...], frame: Frame, error: RumiError | None) -> Outcome | None:
    """Run `errors` or `finally` with time of their own; an outcome only if they change it (a `stop`, a failure)."""
    if not steps:
        return None
    now = frame.meter.clock.monotonic()
    context = frame.context
    deadline = now + FINALLY_SECONDS
    if not isinstance(error, Cancelled):
        deadline = max(context.deadline, deadline)
    frame.context = CallContext(
        context.request_id, deadline, context.actor, context.run_id, context.chain, context.traceparent
    )
    frame.names["error"] = error_context(error) if error is not None else None
    try:
        async with asyncio.timeout(deadline - now):
            await sequencer.sequence(steps, frame)
    except FlowStopped as stop:
        return Outcome(RunState.STOPPED, stop.outputs)
    except Exception as failure:  # noqa: BLE001 - the first error counts; this one is noted beside it
        second = as_rumi(failure)
        if error is not None:
            error.details.setdefault("then", second.message)
            return None
        return Outcome(RunState.FAILED, None, second)
    return None
