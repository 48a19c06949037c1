"""The form of every answer of the admin API: JSON envelope, security headers, refusals at the door.

An answer never holds a path of the host, a traceback or a token: what is not a `RumiError` leaves as `INTERNAL` with a
request id, and its cause is in the kernel's log only (AD-13).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from core_runtime.errors import InternalError, PolicyDenied, RumiError
from core_runtime.interfaces.error_table import http_status

JSON_TYPE = "application/json"

SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `close` ends the connection after it, for requests whose body was not read."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """What a view answers with instead of a value that belongs into the envelope."""

    body: bytes
    content_type: str
    status: int = 200


class DoorRefused(Exception):
    """Refused before any view ran. `reason` is a fixed word for the audit trail and holds nothing of the request."""

    def __init__(
        self,
        status: int,
        error: RumiError,
        *,
        reason: str,
        headers: Mapping[str, str] | None = None,
        close: bool = True,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})
        self.close = close

    def reply(self, request_id: str) -> Reply:
        """The answer. That of 401 is the same to the byte for every cause (AD-01), so it names no request."""
        self.error.request_id = "" if self.status == 401 else request_id
        return Reply(self.status, failure(self.error), headers=self.headers, close=self.close)


def unauthorized() -> DoorRefused:
    """The one 401."""
    return DoorRefused(
        401,
        PolicyDenied(
            "This needs a valid API token.",
            hint="Send `Authorization: Bearer <token>`; `rumi token add NAME --scope read` makes one.",
        ),
        reason="unauthorized",
        headers={"www-authenticate": "Bearer"},
    )


def dump(value: object) -> bytes:
    """JSON bytes of a value, also of one with integers over 64 bits or a lone surrogate."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def success(data: object) -> bytes:
    """`{"success": true, "data": ...}`."""
    return dump({"success": True, "data": data})


def failure(error: RumiError) -> bytes:
    """`{"success": false, "error": {code, message, hint, request_id, details}}`."""
    return dump({"success": False, "error": error.to_wire()})


def answer(value: object) -> Reply:
    """The reply for what a view returned."""
    if isinstance(value, Plain):
        return Reply(value.status, value.body, value.content_type)
    return Reply(200, success(value))


def refusal(error: RumiError, request_id: str) -> Reply:
    """The reply for an error of the kernel, with the request id that the log and the audit trail know it by."""
    if not error.request_id:
        error.request_id = request_id
    return Reply(http_status(error.code), failure(error))


def internal(request_id: str) -> Reply:
    """The reply for a defect: an id and nothing else."""
    return refusal(
        InternalError("The kernel failed at this.", hint="Its log names the cause under this request id."), request_id
    )
