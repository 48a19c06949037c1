"""The one exception that a pack meets, and how errors look on the wire."""

from __future__ import annotations

from rumi_agent.limits import ERROR_TEXT_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class CapabilityError(Exception):
    """The kernel said no, or could not. `code` is stable, `hint` says what to do next.

    `request_id` is for `rumi audit why`.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        hint: str = "",
        request_id: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.details: dict[str, object] = dict(details or {})


def error_from_frame(error: Mapping[str, object]) -> CapabilityError:
    """The exception for the `error` of a result that the codec has let through."""
    details = error.get("details")
    return CapabilityError(
        str(error["code"]),
        str(error["message"]),
        hint=str(error.get("hint") or ""),
        request_id=str(error.get("request_id") or ""),
        details=details if isinstance(details, dict) else None,
    )


def printable(text: object) -> str:
    """`str(text)` that cannot fail, is no longer than an error may be, and has a UTF-8 form."""
    try:
        found = str(text)[:ERROR_TEXT_CHARACTERS]
    except BaseException as error:
        found = f"(its text could not be made: {type(error).__name__})"
    return found.encode("utf-8", "backslashreplace").decode()[:ERROR_TEXT_CHARACTERS]


def describe(error: BaseException) -> str:
    """`ValueError: no such note`, cut at 2,000 characters."""
    text = printable(error)
    kind = type(error).__name__
    return (f"{kind}: {text}" if text else kind)[:ERROR_TEXT_CHARACTERS]


def wire_error(
    code: str, message: str, hint: str = "", details: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The `error` object of a result. `request_id` stays empty: only the kernel gives those."""
    return {"code": code, "message": message, "hint": hint, "request_id": "", "details": dict(details or {})}


def interface_error(error: BaseException) -> dict[str, object]:
    """What the caller learns of an exception in a handler: its type and message, never its traceback."""
    details: dict[str, object] = {"type": type(error).__name__}
    hint = "The traceback is in the pack's log: rumi pack logs."
    if isinstance(error, CapabilityError):
        details.update(code=printable(error.code), request_id=printable(error.request_id))
        hint = printable(error.hint) or hint
    return wire_error("INTERFACE_ERROR", describe(error), hint, details)
