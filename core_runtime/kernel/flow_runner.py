"""Flows as something that packs and the owner can ask for: the handlers' port over the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core_runtime.authority import CallContext, Principal
from core_runtime.flows.engine import FlowEngine


class KernelFlowRunner:
    """The `FlowRunner` of the handlers. The broker has decided; the engine guards depth and cycles once more."""

    def __init__(self) -> None:
        self._engine: FlowEngine | None = None

    def run_on(self, engine: FlowEngine) -> None:
        """Hand in the engine, which needs the broker, which needs the handlers, which need this."""
        self._engine = engine

    async def run(
        self, caller: Principal, flow: str, inputs: Mapping[str, object], context: CallContext, *, detach: bool
    ) -> object:
        """Its outputs, or `{"run_id"}` with `detach`. A flow runs with its own owner's rights, not the caller's."""
        del caller
        if self._engine is None:
            raise RuntimeError("the kernel was used before it was put together")
        before = replace(context, chain=_without(context.chain, f"flow:{flow}"))
        if detach:
            return {"run_id": await self._engine.start(flow, inputs, context=before)}
        result = await self._engine.run(flow, inputs, context=before)
        if result.error is not None:
            raise result.error
        return result.outputs


def _without(chain: tuple[str, ...], hop: str) -> tuple[str, ...]:
    """The broker wrote the hop into the chain already; the engine writes its own."""
    return chain[:-1] if chain and chain[-1] == hop else chain
