"""Flows and interfaces, as the owner's doors see them."""

from __future__ import annotations

from collections.abc import Awaitable

from core_runtime.authority import HOST, CallContext
from core_runtime.clock import Clock
from core_runtime.errors import InternalError, NotFound, TooLarge
from core_runtime.flows.book import FlowBook
from core_runtime.flows.engine import FlowEngine
from core_runtime.flows.explain import explain_flow
from core_runtime.flows.model import HOST_OWNER
from core_runtime.interfaces.ports import Caller, JsonList, JsonObject, RunFlow
from core_runtime.kernel.owner_flows import OwnerFlows
from core_runtime.kernel.ports import Authority
from core_runtime.registry.interfaces import InterfaceRegistry
from core_runtime.wire.streams import Chunk, Item

DEFAULT_CALL_SECONDS = 60.0
MAX_CALL_SECONDS = 3600.0
MAX_GATHERED = 4 * 1024 * 1024


def context_of(by: Caller, clock: Clock, timeout: float | None) -> CallContext:
    """A call of the owner: his request, his actor, a deadline."""
    seconds = DEFAULT_CALL_SECONDS if timeout is None else min(max(timeout, 0.001), MAX_CALL_SECONDS)
    return CallContext(by.request_id, clock.monotonic() + seconds, actor=by.actor)


class FlowsDoor:
    """`FlowsPort`."""

    def __init__(self, book: FlowBook, engine: FlowEngine, owner_flows: OwnerFlows, clock: Clock) -> None:
        self._book = book
        self._engine = engine
        self._owner_flows = owner_flows
        self._clock = clock

    async def list_flows(self) -> JsonList:
        """See `FlowsPort`. Files are read again, so that a new one is seen."""
        await self._owner_flows.load()
        return [entry.to_json() for entry in self._book.entries()]

    async def show_flow(self, flow_id: str) -> JsonObject:
        """See `FlowsPort`."""
        entry = self._book.entry(flow_id)
        if entry is None:
            raise NotFound(f"There is no flow {flow_id[:128]!r}.", hint="rumi flow list")
        shown = entry.to_json()
        if entry.flow is None:
            return shown
        schema = entry.flow.inputs.schema if entry.flow.inputs else None
        return {**explain_flow(entry.flow).to_json(), **shown, "inputs": schema}

    async def run(self, order: RunFlow, by: Caller) -> JsonObject:
        """See `FlowsPort`. The owner's own files are read again: one that he edited is pending, not run as it was."""
        known = self._book.entry(order.flow_id)
        if known is None or known.owner == HOST_OWNER:
            await self._owner_flows.load()
        context = context_of(by, self._clock, order.timeout or MAX_CALL_SECONDS)
        if order.detach:
            run_id = await self._engine.start(order.flow_id, order.inputs, context=context)
            return {"run_id": run_id, "state": "queued", "outputs": None}
        result = await self._engine.run(order.flow_id, order.inputs, actor=by.actor, context=context)
        if result.error is not None:
            raise result.error
        return {"run_id": result.run_id, "state": result.state.value, "outputs": result.outputs}

    async def approve_file(self, file: str, digest: str | None, by: Caller) -> JsonObject:
        """See `FlowsPort`."""
        return await self._owner_flows.approve(file, digest, by=by.by)


class CallsDoor:
    """`CallsPort`: the owner calls as the host, through the same broker as everybody."""

    def __init__(self, authority: Authority, registry: InterfaceRegistry, clock: Clock) -> None:
        self._authority = authority
        self._registry = registry
        self._clock = clock

    async def list_interfaces(self) -> JsonList:
        """See `CallsPort`."""
        return [
            {
                "name": item.decl.name,
                "provider": item.pack_id,
                "risk": item.decl.risk.value if item.decl.risk else None,
                "summary": dict(item.decl.summary.values),
                "tags": list(item.decl.tags),
                "input_schema": item.decl.input_schema,
                "output_schema": item.decl.output_schema,
            }
            for item in self._registry.all()
        ]

    async def call(self, name: str, args: JsonObject, timeout: float | None, by: Caller) -> object:  # noqa: ASYNC109
        """See `CallsPort`."""
        wish = {"name": name, "args": args}
        answer = self._authority.ask(HOST, "interface.call", wish, context_of(by, self._clock, timeout))
        value = await answer if isinstance(answer, Awaitable) else answer
        return await _gathered(value)


async def _gathered(value: object) -> object:
    """A value as it is; a stream as the list of its items, or one text of its chunks."""
    if not hasattr(value, "__aiter__"):
        return value
    items: list[object] = []
    body = bytearray()
    async for element in value:
        if isinstance(element, Item):
            items.append(element.value)
        elif isinstance(element, Chunk):
            body += element.payload
        else:
            raise InternalError("A stream held something that is no element.")
        if len(body) > MAX_GATHERED or len(items) > MAX_GATHERED // 64:
            raise TooLarge("The stream is larger than one answer may be.", hint="Read it from a program, as a stream.")
    return [*items, body.decode("utf-8", "replace")] if body else items
