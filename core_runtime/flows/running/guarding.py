"""Around a step: `when`, attempts with a timeout each, pauses between them, the error of the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from core_runtime.authority import CallContext
from core_runtime.errors import DeadlineExceeded, RumiError
from core_runtime.flows.expressions.values import to_text
from core_runtime.flows.model import Guard, Step
from core_runtime.flows.running.outcome import FlowStopped, as_rumi, located
from core_runtime.flows.running.state import Frame

Attempt = Callable[[Step, Frame, CallContext], Awaitable[object]]
MAX_KEY = 256


def narrowed(context: CallContext, deadline: float, key: str | None) -> CallContext:
    """The same context with an earlier deadline and an idempotency key."""
    return CallContext(
        context.request_id,
        min(context.deadline, deadline),
        context.actor,
        context.run_id,
        context.chain,
        context.traceparent,
        key if key is not None else context.idempotency_key,
    )


def is_wanted(guard: Guard, frame: Frame) -> bool:
    """What `when` says."""
    return guard.when is None or bool(guard.when.fill(frame))


async def attempts(
    step: Step, guard: Guard, frame: Frame, perform: Attempt, pause: Callable[[float], Awaitable[None]]
) -> object:
    """The value of the first attempt that succeeds. Raises the error of the last one."""
    key = _key(guard, frame)
    attempt = 1
    while True:
        try:
            return await _attempt(step, guard, frame, perform, key)
        except FlowStopped:
            raise
        except Exception as failure:
            error = located(as_rumi(failure), frame.flow.flow_id, step.id)
            retry = guard.retry
            if retry is None or attempt >= retry.max_attempts or error.code.value not in retry.on:
                raise error from failure
            wait = retry.pause(attempt)
            if frame.meter.clock.monotonic() + wait >= frame.context.deadline:
                raise error from failure
        await pause(wait)
        attempt += 1


def _key(guard: Guard, frame: Frame) -> str | None:
    if guard.idempotency_key is None:
        return None
    return to_text(guard.idempotency_key.fill(frame))[:MAX_KEY]


async def _attempt(step: Step, guard: Guard, frame: Frame, perform: Attempt, key: str | None) -> object:
    if guard.timeout is None:
        context = frame.context if key is None else narrowed(frame.context, frame.context.deadline, key)
        return await perform(step, frame, context)
    deadline = frame.meter.clock.monotonic() + guard.timeout
    context = narrowed(frame.context, deadline, key)
    try:
        async with asyncio.timeout(guard.timeout):
            return await perform(step, frame, context)
    except TimeoutError as timeout:
        raise _timed_out(step, guard.timeout) from timeout


def _timed_out(step: Step, seconds: float) -> RumiError:
    return DeadlineExceeded(
        f"The step {step.id!r} took longer than {seconds:g} s.", hint="Raise its `timeout`, or add `retry`."
    )
