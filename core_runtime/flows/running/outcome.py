"""How steps and flows end other than with a value, and how any exception becomes one of our errors."""

from __future__ import annotations

import asyncio
import logging

from core_runtime.errors import Cancelled, DeadlineExceeded, InternalError, RumiError
from core_runtime.ids import request_id

_log = logging.getLogger(__name__)


class FlowStopped(Exception):
    """A `stop` step was reached."""

    def __init__(self, reason: object, outputs: object) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.outputs = outputs


def as_rumi(error: BaseException) -> RumiError:
    """One of our errors for any exception; a defect keeps its text to the log."""
    if isinstance(error, RumiError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("The deadline passed first.")
    if isinstance(error, asyncio.CancelledError):
        return Cancelled("What the step waited for was cancelled.")
    identifier = request_id()
    _log.error("a step failed with a defect (%s)", identifier, exc_info=error)
    return InternalError("The step failed inside the kernel.", hint="The log has the cause.", request_id=identifier)


def located(error: RumiError, flow_id: str, step_id: str) -> RumiError:
    """The error with the step it came from, unless an inner one is known already."""
    error.details.setdefault("flow_id", flow_id)
    error.details.setdefault("step", step_id)
    return error


def error_context(error: RumiError) -> dict[str, object]:
    """The `error` context of expressions."""
    return {**error.to_wire(), "step": error.details.get("step"), "flow_id": error.details.get("flow_id")}
