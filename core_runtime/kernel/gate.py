"""The broker as the packs' channels see it, with a witness for wishes that never got that far."""

from __future__ import annotations

from collections.abc import Awaitable

from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.capability.broker import Broker
from core_runtime.capability.model import CapabilityCall


class BrokerGate:
    """`CapabilityGate` and `RefusalWitness` of every channel."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def capability(self, call: CapabilityCall) -> object | Awaitable[object]:
        """See `CapabilityGate`."""
        return self._broker.capability(call)

    def refused(self, *, pack_id: str, name: str, reason: str, request_id: str) -> None:
        """A wish with a token that is not its own, or one too many: written down like any other refusal."""
        self._broker.note_refusal(
            AuditEntry(
                AuditCategory.SECURITY,
                name[:128],
                Outcome.DENY,
                pack_id,
                request_id=request_id,
                rule=f"channel:{reason}",
                details={"reason": reason},
            )
        )
