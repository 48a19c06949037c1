"""What the parts of a channel need of one another, and one thing that a gate may offer beyond `CapabilityGate`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from core_runtime.wire.messages import FromKernel


@runtime_checkable
class RefusalWitness(Protocol):
    """A gate that also wants to hear of wishes which the channel refused before they reached it, to audit them."""

    def refused(self, *, pack_id: str, name: str, reason: str, request_id: str) -> None:
        """`reason` is `token_invalid` or `too_many_calls`; `name` is the pack's own text, cut to 128 characters."""


class Outlet(Protocol):
    """The sending half of a connection."""

    @property
    def full(self) -> bool:
        """True while the other side does not read fast enough."""

    def send(self, message: FromKernel) -> None:
        """Write one frame; dropped in silence once the connection is closed. Raises `TooLarge`, `ValidationFailed`."""

    async def room(self) -> None:
        """Return when it is no longer full. Raises `Unavailable` when the connection closes first."""
