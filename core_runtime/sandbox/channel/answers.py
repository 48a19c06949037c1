"""What the kernel says to a wish: a value or an error, and nothing that the pack is not meant to know.

An error that is not of the kernel's own tree is a defect: it is logged here under a number, and the pack gets the
number. A wish that is refused before the gate saw it is told to the gate's witness, so that it can be audited.
"""

from __future__ import annotations

import structlog

from core_runtime.errors import InternalError, PolicyDenied, RateLimited, RumiError
from core_runtime.ids import request_id
from core_runtime.sandbox.channel.ports import Outlet, RefusalWitness
from core_runtime.wire.messages import Result

SHOWN_NAME = 128
_logger = structlog.get_logger("rumi.channel")


class Answers:
    """Answers to one pack."""

    def __init__(self, pack_id: str, outlet: Outlet, witness: RefusalWitness | None) -> None:
        self._pack_id = pack_id
        self._outlet = outlet
        self._witness = witness

    def value(self, call_id: int, value: object) -> None:
        """It went well; a value that cannot be sent (too large, not JSON) becomes the error that says so."""
        try:
            self._outlet.send(Result(call_id, value))
        except RumiError as error:
            self.error(call_id, error)

    def error(self, call_id: int, error: RumiError) -> None:
        """It did not. Details that cannot be sent are left out."""
        said = error.to_wire()
        try:
            self._outlet.send(Result(call_id, None, said))
        except RumiError:
            self._outlet.send(Result(call_id, None, {**said, "message": error.message[:SHOWN_NAME], "details": {}}))

    def refuse(self, call_id: int, error: RumiError) -> None:
        """Answer something that never became a wish."""
        error.request_id = error.request_id or request_id()
        self.error(call_id, error)

    def too_many(self, call_id: int, name: str, *, open_now: int) -> None:
        """Refuse one wish more than may be open."""
        error = RateLimited(
            f"This pack has {open_now} wishes open, or too many bytes waiting with them.",
            hint="Wait for some of them to be answered.",
            details={"open": open_now},
        )
        self.refuse(call_id, error)
        self._tell("too_many_calls", name, error.request_id)

    def bad_token(self, call_id: int, name: str) -> None:
        """Refuse a wish whose token stands for nothing (any more, or here)."""
        error = PolicyDenied(
            "The token of this call stands for no call that is open on this connection.",
            hint="Call through the ctx of the call that is being answered, and only while it lasts.",
        )
        self.refuse(call_id, error)
        self._tell("token_invalid", name, error.request_id)

    def defect(self, name: str, error: Exception) -> InternalError:
        """Log what went wrong in the kernel, and make the error that may be shown."""
        number = request_id()
        _logger.error(
            "capability_failed", pack_id=self._pack_id, name=name[:SHOWN_NAME], request_id=number, exc_info=error
        )
        return InternalError(
            "The kernel failed at this call.", hint=f"Ask the owner to look for {number} in the log.", request_id=number
        )

    def _tell(self, reason: str, name: str, number: str) -> None:
        if self._witness is None:
            return
        try:
            self._witness.refused(pack_id=self._pack_id, name=name[:SHOWN_NAME], reason=reason, request_id=number)
        except Exception:
            _logger.exception("refusal_not_recorded", pack_id=self._pack_id, request_id=number)
