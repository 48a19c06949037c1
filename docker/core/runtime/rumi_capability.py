"""Ask the kernel for something, from anywhere in a pack.

Within a call it is on behalf of whoever made that call; on a thread or task of the pack's own it is on the pack's own
account, which may use only permissions declared `background: true`.
"""

from __future__ import annotations

from rumi_agent import current
from rumi_agent.errors import CapabilityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CapabilityError", "call", "get_secret"]


def call(permission: str, args: object = None, timeout_seconds: float = 30) -> Any:
    """Use a permission and return its answer. Raises `CapabilityError` (`code`, `hint`, `request_id`, `details`)."""
    return current.context().capability(permission, args, timeout_seconds=timeout_seconds)


def get_secret(key: str) -> str:
    """The value of a secret. "Not allowed" and "not there" are one answer."""
    answer = call("secrets.get", {"key": key})
    value: str = answer["value"]
    return value
