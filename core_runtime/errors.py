"""The one error tree: every failure that leaves the kernel is one of these.

A class per stable code, nothing finer. Codes are part of the wire and of the API (`wire-protocol`, reference/errors);
messages and hints are for people. HTTP statuses and exit codes are mapped in one table at the edge
(`core_runtime.interfaces.error_table`), never here. An error must never carry a secret, a host path or a traceback:
it is handed to packs and clients as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """Every code that a pack or a client can meet."""

    APPROVAL_DENIED = "APPROVAL_DENIED"
    GRANT_DENIED = "GRANT_DENIED"
    TRUST_DENIED = "TRUST_DENIED"
    POLICY_DENIED = "POLICY_DENIED"
    CONFIRMATION_REQUIRED = "CONFIRMATION_REQUIRED"
    CONFIRMATION_DENIED = "CONFIRMATION_DENIED"
    CONFIRMATION_EXPIRED = "CONFIRMATION_EXPIRED"
    RATE_LIMITED = "RATE_LIMITED"
    NOT_FOUND = "NOT_FOUND"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    TOO_LARGE = "TOO_LARGE"
    CONFLICT = "CONFLICT"
    STORAGE_FULL = "STORAGE_FULL"
    INTERFACE_ERROR = "INTERFACE_ERROR"
    HANDLER_ERROR = "HANDLER_ERROR"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


JsonObject = Mapping[str, object]


class RumiError(Exception):
    """Base of the tree: a message for people, a hint that says what to do next, details for programs."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(
        self, message: str, *, hint: str = "", details: JsonObject | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, object] = dict(details or {})
        self.request_id = request_id

    def to_wire(self) -> dict[str, object]:
        """The object that crosses the wire and the API: `{code, message, hint, request_id, details}`."""
        return {
            "code": self.code.value,
            "message": self.message,
            "hint": self.hint,
            "request_id": self.request_id,
            "details": self.details,
        }


class ApprovalDenied(RumiError):
    """The bytes of this pack (or of a parent) are not approved."""

    code = ErrorCode.APPROVAL_DENIED


class GrantDenied(RumiError):
    """No grant admits this permission with these arguments."""

    code = ErrorCode.GRANT_DENIED


class TrustDenied(RumiError):
    """A host artifact's bytes are not trusted."""

    code = ErrorCode.TRUST_DENIED


class PolicyDenied(RumiError):
    """The owner's policy refuses it for this actor or in this situation."""

    code = ErrorCode.POLICY_DENIED


class ConfirmationRequired(RumiError):
    """A person has to say yes first."""

    code = ErrorCode.CONFIRMATION_REQUIRED


class ConfirmationDenied(RumiError):
    """A person said no."""

    code = ErrorCode.CONFIRMATION_DENIED


class ConfirmationExpired(RumiError):
    """Nobody answered in time."""

    code = ErrorCode.CONFIRMATION_EXPIRED


class RateLimited(RumiError):
    """Too many at once or in this minute."""

    code = ErrorCode.RATE_LIMITED


class NotFound(RumiError):
    """No such thing, or none that the asker may know of."""

    code = ErrorCode.NOT_FOUND


class ValidationFailed(RumiError):
    """The input does not have the required form."""

    code = ErrorCode.VALIDATION_ERROR


class DeadlineExceeded(RumiError):
    """The deadline passed first."""

    code = ErrorCode.TIMEOUT


class Cancelled(RumiError):
    """The caller gave up, or the run was stopped."""

    code = ErrorCode.CANCELLED


class TooLarge(RumiError):
    """Over a documented size."""

    code = ErrorCode.TOO_LARGE


class Conflict(RumiError):
    """The state is not (or no longer) what the caller assumed."""

    code = ErrorCode.CONFLICT


class StorageFull(RumiError):
    """No room on the disk, or a quota is used up; nothing was changed."""

    code = ErrorCode.STORAGE_FULL


class InterfaceFailed(RumiError):
    """A pack's own code raised; details hold the exception's type."""

    code = ErrorCode.INTERFACE_ERROR


class HandlerFailed(RumiError):
    """A built-in or host handler failed."""

    code = ErrorCode.HANDLER_ERROR


class Unavailable(RumiError):
    """Temporarily not there; `details.reason` is OOM, NO_RESULT, IMAGE_MISSING or RUNTIME_UNAVAILABLE where known."""

    code = ErrorCode.UNAVAILABLE


class InternalError(RumiError):
    """A defect of the kernel. The cause is in the kernel's log under the request id, never in the message."""

    code = ErrorCode.INTERNAL


def error_classes() -> dict[ErrorCode, type[RumiError]]:
    """Every code with its class (the tree is flat, so direct subclasses are all of them)."""
    return {cls.code: cls for cls in RumiError.__subclasses__()}


def error_from_wire(value: object) -> RumiError:
    """Rebuild an error that a pack sent; anything malformed becomes an `InterfaceFailed` without its content."""
    if not isinstance(value, Mapping):
        return InterfaceFailed("The pack answered with a malformed error.")
    text = {key: value.get(key) for key in ("code", "message", "hint", "request_id")}
    details = value.get("details")
    try:
        cls = error_classes()[ErrorCode(str(text["code"]))]
    except ValueError:
        cls = InterfaceFailed
    return cls(
        str(text["message"] or "")[:4000],
        hint=str(text["hint"] or "")[:4000],
        request_id=str(text["request_id"] or "")[:64],
        details=details if isinstance(details, Mapping) else {},
    )
