"""What the kernel's glue needs of its parts, in its own words. Values come from the parts' models."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from core_runtime.approval.model import PackStatus, SealedPack
from core_runtime.authority import CallContext, Grant, Principal
from core_runtime.capability.model import Decision
from core_runtime.packs import PackDescriptor
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.status import SessionView
from core_runtime.wire.streams import Stream


class Standings(Protocol):
    """How packs stand, in constant time, on the loop."""

    def state(self, pack_id: str) -> PackStatus:
        """Where a pack stands; an unknown one stands nowhere (`invalid`)."""

    def grants_of(self, pack_id: str) -> Mapping[str, Grant]:
        """The grants of a pack by permission, whatever its state."""

    def ceiling(self, pack_id: str) -> PackDescriptor | None:
        """What the approved bytes say of themselves, whether or not they may run now."""

    def would_offer(self, interface: str) -> str | None:
        """A pack that waits for approval and would provide `interface`, for a hint to the owner."""


class SealedSource(Protocol):
    """Where what runs comes from."""

    def sealed(self, pack_id: str) -> SealedPack:
        """What may run now. Raises `ApprovalDenied`; a look-up."""

    async def sealed_for_start(self, pack_id: str) -> SealedPack:
        """The sealed copy, hashed again. Raises `ApprovalDenied` unless the pack and its ancestors are approved."""


class PackRunner(Protocol):
    """The supervisor, as lifecycle and router see it."""

    async def start(self, launch: PackLaunch) -> SessionView:
        """Start it, or join its start. Raises `Unavailable`."""

    async def stop(self, pack_id: str, reason: str) -> None:
        """Stop it and keep it stopped."""

    async def call(
        self, pack_id: str, interface: str, args: object, *, context: CallContext, stream_in: Stream | None = None
    ) -> object:
        """Run an interface or `block:<file>`."""

    def event(self, pack_id: str, interface: str, topic: str, payload: object, context: CallContext | None) -> bool:
        """Hand an event over; False if the pack is not up."""


class Authority(Protocol):
    """The broker, as the glue sees it."""

    def ask(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext | None
    ) -> object | Awaitable[object]:
        """The road of a wish."""

    def decision(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext | None
    ) -> Decision:
        """What would be said, without effect."""


class FlowFiles(Protocol):
    """Reads flow files: those of a sealed pack, the owner's, the core's."""

    def of_pack(self, sealed: SealedPack) -> Sequence[tuple[str, bytes]]:
        """`(relative name, bytes)` of a pack's flows."""

    def of_owner(self) -> Sequence[tuple[str, bytes]]:
        """The owner's files in the profile's `flows/`."""

    def of_core(self) -> Sequence[tuple[str, bytes]]:
        """The kernel's own."""


class HeldNames(Protocol):
    """The signed document that remembers who holds which name: `{"interfaces": {name: pack}, "flows": {id: pack}}`."""

    def load(self) -> Mapping[str, object]:
        """Its content. Raises `Conflict` for one that cannot be believed."""

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it, durably. Raises `RumiError`."""


class OwnerSettings(Protocol):
    """What the owner's files and the environment say of packs."""

    def pack_values(self, pack_id: str) -> Mapping[str, object]:
        """The pack's part of `settings/packs.yaml`. Raises `ValidationFailed` for a file that cannot be read."""

    def variable(self, name: str) -> str | None:
        """One environment variable."""
