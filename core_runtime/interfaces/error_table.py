"""The one table from error codes to HTTP statuses and exit codes.

Both doors read it and no other place knows a status or an exit code of an error, so the API and the command line can
never answer the same failure in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from core_runtime.errors import ErrorCode, RumiError


class ExitCode(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    NEEDS_PERSON = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


_TABLE: Mapping[ErrorCode, tuple[int, ExitCode]] = MappingProxyType(
    {
        ErrorCode.APPROVAL_DENIED: (403, ExitCode.NEEDS_PERSON),
        ErrorCode.GRANT_DENIED: (403, ExitCode.REFUSED),
        ErrorCode.TRUST_DENIED: (403, ExitCode.REFUSED),
        ErrorCode.POLICY_DENIED: (403, ExitCode.REFUSED),
        ErrorCode.CONFIRMATION_REQUIRED: (409, ExitCode.NEEDS_PERSON),
        ErrorCode.CONFIRMATION_DENIED: (403, ExitCode.REFUSED),
        ErrorCode.CONFIRMATION_EXPIRED: (409, ExitCode.NEEDS_PERSON),
        ErrorCode.RATE_LIMITED: (429, ExitCode.FAILED),
        ErrorCode.NOT_FOUND: (404, ExitCode.NOT_FOUND),
        ErrorCode.VALIDATION_ERROR: (400, ExitCode.USAGE),
        ErrorCode.TIMEOUT: (504, ExitCode.FAILED),
        ErrorCode.CANCELLED: (409, ExitCode.FAILED),
        ErrorCode.TOO_LARGE: (413, ExitCode.FAILED),
        ErrorCode.CONFLICT: (409, ExitCode.FAILED),
        ErrorCode.STORAGE_FULL: (507, ExitCode.FAILED),
        ErrorCode.INTERFACE_ERROR: (502, ExitCode.FAILED),
        ErrorCode.HANDLER_ERROR: (502, ExitCode.FAILED),
        ErrorCode.UNAVAILABLE: (503, ExitCode.FAILED),
        ErrorCode.INTERNAL: (500, ExitCode.FAILED),
    }
)

_APPROVING_IS_NO_HELP = frozenset({"blocked", "invalid", "disabled"})


def http_status(code: ErrorCode) -> int:
    """The HTTP status of an error code."""
    return _TABLE[code][0]


def exit_code(error: RumiError) -> ExitCode:
    """The exit code of an error: `APPROVAL_DENIED` is 3 instead of 5 where approving the pack would not help."""
    if error.code is ErrorCode.APPROVAL_DENIED and error.details.get("state") in _APPROVING_IS_NO_HELP:
        return ExitCode.REFUSED
    return _TABLE[error.code][1]


def documented_codes() -> tuple[tuple[ErrorCode, int, ExitCode], ...]:
    """Every code with its status and exit code, for the reference page and its test."""
    return tuple((code, *_TABLE[code]) for code in ErrorCode)
