"""The loop that runs steps. The short path of a plain step: one call, two look-ups, two notes to each observer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from core_runtime.authority import HOST, CallContext
from core_runtime.errors import RumiError
from core_runtime.flows.limits import STEPS_BETWEEN_BREATHS
from core_runtime.flows.model import Flow, Guard, Step
from core_runtime.flows.ports import FlowWorld, RunObserver, SettingsSource
from core_runtime.flows.running.actions import PERFORM
from core_runtime.flows.running.collect import JSON_TYPES, settled
from core_runtime.flows.running.guarding import attempts, is_wanted
from core_runtime.flows.running.outcome import FlowStopped, as_rumi, error_context, located
from core_runtime.flows.running.state import Frame
from core_runtime.flows.running.whole import checked_inputs, refuse_core, run_flow

Pause = Callable[[float], Awaitable[None]]


class FlowSource(Protocol):
    """Where sub-flows are looked up."""

    def active(self, flow_id: str) -> Flow:
        """The flow that may run under this id. Raises `NotFound` or `ApprovalDenied`."""


class Runner:
    """Runs steps for every run of one engine; holds no state of any of them."""

    def __init__(
        self,
        *,
        world: FlowWorld,
        source: FlowSource,
        settings: SettingsSource,
        observers: Sequence[RunObserver] = (),
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.world = world
        self.settings = settings
        self.pause = pause
        self._source = source
        self._observers = tuple(observers)

    async def sequence(self, steps: tuple[Step, ...], frame: Frame) -> object:
        """Run steps one after the other; the value of the last one."""
        run, names = frame.run, frame.names
        value: object = None
        for step in steps:
            run.ticks += 1
            if not run.ticks % STEPS_BETWEEN_BREATHS:
                await asyncio.sleep(0)
            for observer in self._observers:
                observer.step_started(frame, step)
            state = "succeeded"
            try:
                if step.guard is None:
                    value = PERFORM[type(step.action)](self, step.action, step, frame, frame.context)
                    if type(value) not in JSON_TYPES:
                        value = await settled(value)
                else:
                    state, value = await self._guarded(step, step.guard, frame)
                frame.keep(step.slot, value)
            except FlowStopped:
                await self._finished(frame, step, "stopped", None)
                raise
            except Exception as failure:
                error = located(as_rumi(failure), frame.flow.flow_id, step.id)
                await self._finished(frame, step, "failed", None)
                raise error from failure
            names[step.slot] = value
            if step.output is not None:
                names[step.output] = value
            for observer in self._observers:
                noted = observer.step_finished(frame, step, state, value)
                if noted is not None:
                    await noted
        return value

    async def _finished(self, frame: Frame, step: Step, state: str, value: object) -> None:
        for observer in self._observers:
            noted = observer.step_finished(frame, step, state, value)
            if noted is not None:
                await noted

    async def _perform(self, step: Step, frame: Frame, context: CallContext) -> object:
        return await settled(PERFORM[type(step.action)](self, step.action, step, frame, context))

    async def _guarded(self, step: Step, guard: Guard, frame: Frame) -> tuple[str, object]:
        try:
            if not is_wanted(guard, frame):
                self._null(step, frame)
                return "skipped", None
            return "succeeded", await attempts(step, guard, frame, self._perform, self.pause)
        except FlowStopped:
            raise
        except Exception as failure:
            if guard.on_error is None:
                raise
            error = located(as_rumi(failure), frame.flow.flow_id, step.id)
        await self._handled(step, guard.on_error, frame, error)
        return "failed", None

    async def _handled(self, step: Step, handlers: tuple[Step, ...], frame: Frame, error: RumiError) -> None:
        self._null(step, frame)
        if handlers:
            inner = frame.child(f"{frame.path}{step.id}.on_error/", {"error": error_context(error)})
            try:
                await self.sequence(handlers, inner)
            finally:
                inner.close()

    @staticmethod
    def _null(step: Step, frame: Frame) -> None:
        for name in step.nulls:
            frame.names[name] = None

    async def sub_flow(self, flow_id: str, inputs: object, frame: Frame, step: Step, context: CallContext) -> object:
        """Run another flow inside this run, with the rights of that flow's owner; its outputs.

        A pack's flow reaches flows of others as the pack does: by `flow.run`, if it was granted. Otherwise a step would
        borrow the owner's rights, which no plan showed.
        """
        flow = self._source.active(flow_id)
        refuse_core(flow)
        if frame.principal != HOST and flow.owner != frame.flow.owner:
            wish = {"flow": flow_id, "inputs": inputs}
            return await settled(self.world.capability(frame.principal, "flow.run", wish, context))
        checked = await checked_inputs(flow, inputs)
        outcome = await run_flow(self, flow, checked, frame.run, context, path=f"{frame.path}{step.id}/")
        if outcome.error is not None:
            raise outcome.error
        return outcome.outputs
