"""What the supervisor says of packs: states, views, and the ports through which it tells its owner. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from core_runtime.sandbox.ports import ComponentReport


class PackState(StrEnum):
    """Where a pack's container is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKING_OFF = "backing_off"
    CRASH_LOOPED = "crash_looped"
    LOST = "lost"
    FAILED = "failed"


class EndReason(StrEnum):
    """Why a container ended, or could not begin; goes into `details.reason` of `Unavailable`."""

    OOM = "OOM"
    NO_RESULT = "NO_RESULT"
    HUNG = "HUNG"
    LOST = "LOST"
    NO_HELLO = "NO_HELLO"
    PROTOCOL = "PROTOCOL"
    STOPPED = "STOPPED"
    IMAGE_MISSING = "IMAGE_MISSING"
    RUNTIME_UNAVAILABLE = "RUNTIME_UNAVAILABLE"
    SETTINGS_REFUSED = "SETTINGS_REFUSED"


@dataclass(frozen=True, slots=True)
class SessionView:
    """How a start ended: the state, and what the agent reported of the components."""

    pack_id: str
    state: PackState
    components: tuple[ComponentReport, ...] = ()


@dataclass(frozen=True, slots=True)
class PackStatus:
    """One pack for `status`, `doctor` and the API. `since` is Unix time; `container` is the random name or empty."""

    pack_id: str
    state: PackState
    digest: str
    since: float
    container: str = ""
    uid: int | None = None
    components: tuple[ComponentReport, ...] = ()
    crashes: int = 0
    reason: str = ""
    calls_in_flight: int = 0
    calls_waiting: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a pack's log. `at` is Unix time."""

    at: float
    level: str
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class PackLogs:
    """What a pack wrote: lines through its socket, and the end of its standard output and error.

    `first_seq` numbers the first of `lines`, counted from the pack's first line in this kernel's life.
    """

    lines: tuple[LogLine, ...]
    output: str
    output_truncated: bool
    first_seq: int = 1


class SupervisorEvents(Protocol):
    """What the supervisor tells its owner. Called on the loop; must return at once."""

    def pack_ready(self, pack_id: str, components: Sequence[ComponentReport]) -> None:
        """The pack answers calls from now on."""

    def pack_down(self, pack_id: str, reason: str) -> None:
        """The pack answers no more calls; `reason` is an `EndReason` or a word of whoever stopped it."""

    def finding(self, *, severity: str, code: str, subject: str, message: str, hint: str) -> None:
        """Something that a person should know: goes to diagnostics."""
