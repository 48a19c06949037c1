"""The way back: waiting with a deadline, weighing the answer, and errors that show no internals."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

import orjson

from core_runtime.capability.catalogue import PermissionSpec
from core_runtime.errors import DeadlineExceeded, HandlerFailed, RumiError, TooLarge

MAX_ANSWER_BYTES = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


async def settle(
    pending: Awaitable[object], spec: PermissionSpec, *, seconds: float, request_id: str, release: Callable[[], None]
) -> object:
    """Wait for a handler's answer for at most `seconds`, then free its slot. Raises `RumiError` only."""
    try:
        async with asyncio.timeout(seconds if math.isfinite(seconds) else None) as limit:
            return await pending
    except TimeoutError as error:
        if not limit.expired():
            raise failed(spec, error, request_id) from None
        raise DeadlineExceeded(
            f"{spec.id} did not finish before its deadline.",
            hint="Give the call more time, or ask for less at once. What was begun may have happened.",
            request_id=request_id,
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a handler raised leaves as one typed error
        raise failed(spec, error, request_id) from None
    finally:
        release()


def failed(spec: PermissionSpec, error: Exception, request_id: str) -> RumiError:
    """The error as its asker may see it: ours as it is, any other as `HANDLER_ERROR`, its cause in the log alone."""
    if isinstance(error, RumiError):
        error.request_id = error.request_id or request_id
        return error
    _log.error("handler of %s failed (%s)", spec.id, request_id, exc_info=error)
    return HandlerFailed(
        f"{spec.id} failed inside the kernel.",
        hint="The kernel's log has the cause under this request id.",
        request_id=request_id,
    )


def weigh(answer: object, spec: PermissionSpec, request_id: str) -> object:
    """The answer, if it is JSON of at most 4 MiB. Raises `TooLarge` or `HandlerFailed`."""
    if not spec.measured or answer is None:
        return answer
    try:
        size = len(orjson.dumps(answer))
    except (TypeError, ValueError) as error:
        raise failed(spec, error, request_id) from None
    if size > MAX_ANSWER_BYTES:
        raise TooLarge(
            f"The answer of {spec.id} has {size} bytes; at most {MAX_ANSWER_BYTES} fit.",
            hint="Ask for less at once, or use a stream.",
            request_id=request_id,
        )
    return answer
