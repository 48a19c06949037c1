"""What the sandbox needs of the world: an engine that runs containers, a socket, and somebody who answers wishes.

The docker adapter, the permissive child-process adapter and the tests' fakes stand behind `Engine`. Every method has a
deadline of its own inside the adapter (30 s) and raises `Unavailable` with `details.reason` when the engine does not
answer (`RUNTIME_UNAVAILABLE`), has no image (`IMAGE_MISSING`) or lost the container.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core_runtime.authority import CallContext
from core_runtime.capability.model import CapabilityCall
from core_runtime.packs import PackDescriptor
from core_runtime.wire.streams import Stream


@dataclass(frozen=True, slots=True)
class PackLaunch:
    """All that is needed to start one pack. `descriptor` was read from `sealed_root`, whose tree digest is `digest`."""

    descriptor: PackDescriptor
    sealed_root: Path
    digest: str
    settings: Mapping[str, object]
    dependencies_root: Path | None = None


@dataclass(frozen=True, slots=True)
class ComponentReport:
    """What the agent said in its `hello` of one component."""

    id: str
    provides: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ExitState:
    """How a container ended, as the engine's inspect tells it."""

    exit_code: int
    oom_killed: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """One container as the engine lists it."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: str


class CapabilityGate(Protocol):
    """The broker, seen from a channel. A plain value is an answer at once; an awaitable is waited for in a task."""

    def capability(self, call: CapabilityCall) -> object | Awaitable[object]:
        """Answer one wish. The answer is a JSON value or a `Stream`. Raises `RumiError`."""


class ChannelEvents(Protocol):
    """What a channel tells its owner."""

    def ready(self, components: Sequence[ComponentReport]) -> None:
        """The agent said hello: the pack answers calls from now on."""

    def log(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None) -> None:
        """A line of the pack's own log, already limited in rate and size."""

    def closed(self, reason: str) -> None:
        """The connection is gone; calls in flight have been failed."""


class Channel(Protocol):
    """One connection to one agent."""

    async def call(self, name: str, args: object, *, context: CallContext, stream_in: Stream | None = None) -> object:
        """Run an interface (or `block:<file>`) and return its JSON value, or a `Stream` when it streams.

        Raises `InterfaceFailed`, `DeadlineExceeded`, `Unavailable`, `TooLarge`, `Cancelled`.
        """

    def event(self, interface: str, topic: str, payload: object, context: CallContext | None) -> None:
        """Hand over a subscribed event; no answer."""

    def stop(self, grace: float) -> None:
        """Ask the agent to finish within `grace` seconds and close."""

    def abort(self, reason: str) -> None:
        """Close at once; calls in flight fail with `Unavailable`."""


class ChannelListener(Protocol):
    """A listening socket of one container start: accepts exactly one connection of the right peer uid."""

    @property
    def folder(self) -> Path:
        """The host folder that is mounted at /run/rumi."""

    async def close(self) -> None:
        """Stop listening, close the channel, remove the socket and its folder."""
