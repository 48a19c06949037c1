"""What the built-in handlers need of the world. Adapters and the kernel implement these; tests hand in fakes."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core_runtime.authority import CallContext, Principal
from core_runtime.capability.stores import PageQuery, StoredValue, StorePage, StorePlace, StoreUsage, StoreWrite
from core_runtime.registry.listing import InterfaceListing
from core_runtime.wire.streams import Stream


class OpenStore(Protocol):
    """One pack's database, open. Reads answer at once; writes end when they are on disk.

    Everything raises `Unavailable` for a database that cannot be trusted or reached, `StorageFull` when there is no
    room (then nothing changed).
    """

    def get(self, place: StorePlace, key: str) -> StoredValue | None:
        """The live entry, or None."""

    def page(self, place: StorePlace, query: PageQuery) -> StorePage:
        """A page of live entries."""

    def usage(self, store_id: str) -> StoreUsage:
        """How much a store holds."""

    def set(self, place: StorePlace, write: StoreWrite) -> Awaitable[int]:
        """Write one entry; its new version."""

    def delete(self, place: StorePlace, key: str, expected: int | None) -> Awaitable[bool]:
        """Remove one entry; False if there was none. Raises `Conflict` if `expected` is not its version."""


class Stores(Protocol):
    """The databases of all packs."""

    def ready(self, pack_id: str) -> OpenStore | None:
        """The database, if it is open already."""

    async def opened(self, pack_id: str) -> OpenStore:
        """The database, opened (and made, the first time) off the loop."""


class InterfaceRouter(Protocol):
    """Calls interfaces of running packs. The policy was asked already; `context` carries the hop already."""

    def call(
        self,
        caller: Principal,
        name: str,
        args: Mapping[str, object],
        context: CallContext,
        *,
        stream_in: Stream | None = None,
    ) -> object | Awaitable[object]:
        """What the interface returns, a `Stream` where it streams. Raises `NotFound`, `InterfaceFailed`, ..."""

    def visible(self, caller: Principal, context: CallContext | None) -> Sequence[InterfaceListing]:
        """Every interface that could be called now, sorted by name; the handler leaves out what may not be."""


class FlowRunner(Protocol):
    """Runs flows. `context` carries the hop already."""

    def run(
        self, caller: Principal, flow: str, inputs: Mapping[str, object], context: CallContext, *, detach: bool
    ) -> Awaitable[object]:
        """Its outputs, or `{"run_id"}` with `detach`. Raises `NotFound` and what the flow raises."""


class EventBus(Protocol):
    """Topics are full names here: `<pack_id>/<name>`."""

    def publish(self, caller: Principal, topic: str, payload: object, context: CallContext | None) -> int:
        """Hand an event to its subscribers; how many there are."""

    def subscribe(self, caller: Principal, topic: str, interface: str) -> None:
        """Have events of `topic` handed to an interface of the caller. Raises `NotFound` if it is not the caller's."""


@dataclass(frozen=True, slots=True)
class HandlerPorts:
    """All that the built-in handlers are made from."""

    stores: Stores
    interfaces: InterfaceRouter
    flows: FlowRunner
    events: EventBus
