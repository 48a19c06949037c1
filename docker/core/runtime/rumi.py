"""The typed client: everything that `ctx` gives, from anywhere in a pack, with signatures.

    import rumi

    def add(args):
        rumi.store("notes").set(args["id"], args["text"])

Each function acts for the call that this thread or coroutine answers; outside of any, on the pack's own account. In
coroutines use `rumi.aio()`: `await rumi.aio().store("notes").get("a")`.
"""

from __future__ import annotations

from rumi_agent import current
from rumi_agent.context import Context, Store
from rumi_agent.errors import CapabilityError
from rumi_capability import get_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumi_agent.client_stream import CallStream
    from rumi_agent.context import AioContext

__all__ = [
    "CapabilityError",
    "Context",
    "Store",
    "aio",
    "approval",
    "call",
    "capability",
    "context",
    "emit",
    "get_secret",
    "log",
    "open_stream",
    "settings",
    "store",
]


def context() -> Context:
    """The `ctx` of the call that is being answered here, or the pack's own account."""
    return current.context()


def settings() -> dict[str, Any]:
    """The pack's settings."""
    return context().settings


def call(interface: str, args: object = None) -> Any:
    """Run an interface of this pack or, if granted, of another. Raises `CapabilityError`."""
    return context().call(interface, args)


def capability(permission: str, args: object = None, *, timeout_seconds: float | None = None) -> Any:
    """Use a permission and return its answer. Raises `CapabilityError`."""
    return context().capability(permission, args, timeout_seconds=timeout_seconds)


def open_stream(permission: str, args: object = None, *, upload: bool = False) -> CallStream:
    """Use a permission whose answer is a stream: iterate over it; with `upload`, `send` to it as well."""
    return context().open_stream(permission, args, upload=upload)


def store(store_id: str) -> Store:
    """A store of this pack (`notes`), or a shared one of another (`pack_id/notes`)."""
    return context().store(store_id)


def emit(topic: str, payload: object = None) -> Any:
    """Publish an event under this pack's own topics."""
    return context().emit(topic, payload)


def approval(title: str, risk: str = "high", args: object = None) -> Any:
    """Ask a person, and wait: `{"approved", "scope", "reason"}`."""
    return context().approval(title, risk, args)


def log(level: str, text: object, **fields: object) -> None:
    """A line in the pack's log."""
    context().log(level, text, **fields)


def aio() -> AioContext:
    """The same for coroutines."""
    return context().aio
