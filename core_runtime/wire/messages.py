"""Every frame of the wire as a value: what it says, nothing about how it is spelled.

None of these has a field for who is asking. A pack is known by the socket that its frames come in on; a frame that
names one (`pack_id`, `principal_id`) is read as if it did not. `Config` alone tells a pack its own id.

Slots and no `frozen`: one of these is made for every frame, and a frozen one costs three times as much to make. They
are built once, by the codec or by the channel, and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Config:
    """Kernel to agent, its first frame: all that the agent is told."""

    protocol: int
    pack_id: str
    settings: Mapping[str, object]
    concurrency: int
    max_streams: int
    proxy: bool


@dataclass(slots=True)
class HelloComponent:
    """One component in a `Hello`: what it registered, or why it could not be loaded."""

    id: str
    provides: tuple[str, ...]
    error: str | None = None


@dataclass(slots=True)
class Hello:
    """Agent to kernel, its first frame: the components are loaded."""

    protocol: int
    agent: str
    components: tuple[HelloComponent, ...]


@dataclass(slots=True)
class Call:
    """Run an interface (odd id, by the kernel) or a capability (even id, by the agent). Policy clamps `deadline_ms`."""

    id: int
    name: str
    args: object
    deadline_ms: float | None = None
    token: str | None = None
    traceparent: str | None = None
    stream_in: bool = False
    idempotency_key: str | None = None
    ctx: Mapping[str, object] | None = None


@dataclass(slots=True)
class Result:
    """Ends a call and both its streams. `error` is None exactly when it went well."""

    id: int
    value: object = None
    error: Mapping[str, object] | None = None


@dataclass(slots=True)
class ItemFrame:
    """One element of a stream."""

    id: int
    value: object


@dataclass(slots=True)
class Data:
    """A chunk of at most 256 KiB."""

    id: int
    payload: bytes
    text: bool = False


@dataclass(slots=True)
class End:
    """No more items or data from this side."""

    id: int


@dataclass(slots=True)
class Credit:
    """The receiver allows this many items and bytes more."""

    id: int
    items: int = 0
    octets: int = 0


@dataclass(slots=True)
class Cancel:
    """The caller gave up."""

    id: int


@dataclass(slots=True)
class Event:
    """Kernel to agent: a subscribed event. No answer."""

    interface: str
    topic: str
    payload: object
    token: str | None = None
    ctx: Mapping[str, object] | None = None


@dataclass(slots=True)
class Log:
    """Agent to kernel: a line of the pack's log."""

    level: str
    text: str
    fields: Mapping[str, object]
    run_id: str | None = None


@dataclass(slots=True)
class Ping:
    """Is somebody there?"""


@dataclass(slots=True)
class Pong:
    """Yes."""


@dataclass(slots=True)
class Stop:
    """Kernel to agent: finish within `grace_ms` and close."""

    grace_ms: int


FromAgent = Hello | Call | Result | ItemFrame | Data | End | Credit | Cancel | Log | Ping | Pong
FromKernel = Config | Call | Result | ItemFrame | Data | End | Credit | Cancel | Event | Ping | Pong | Stop
