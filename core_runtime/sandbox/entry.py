"""What the supervisor remembers of one pack: its launch, its state, its session and its history."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from core_runtime.authority import CallContext
from core_runtime.clock import Clock
from core_runtime.errors import Unavailable
from core_runtime.sandbox.limits import Caps, limits_of
from core_runtime.sandbox.logs import LogRing
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.restart import RestartPolicy
from core_runtime.sandbox.session import Session
from core_runtime.sandbox.slots import Slots
from core_runtime.sandbox.status import PackState, PackStatus, SessionView

MAX_PENDING_EVENTS = 64
_ON_THE_WIRE = frozenset({"OOM", "NO_RESULT", "IMAGE_MISSING", "RUNTIME_UNAVAILABLE"})
_SENTENCES = {
    PackState.STOPPED: ("is not running", "Enable it, or approve its bytes: rumi pack show {id} says which."),
    PackState.STOPPING: ("is being stopped", "Start it again when it has stopped."),
    PackState.BACKING_OFF: ("ended and is started again shortly", "Try again soon; rumi pack logs {id} shows why."),
    PackState.CRASH_LOOPED: (
        "ended three times in ten minutes and is not started again by itself",
        "rumi pack logs {id} shows why; rumi pack enable {id} starts it again.",
    ),
    PackState.LOST: ("lost its container and is started again shortly", "Try again in a moment."),
    PackState.FAILED: ("could not be started", "rumi doctor and rumi pack logs {id} show why."),
}


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event for a pack that is just starting."""

    interface: str
    topic: str
    payload: object
    context: CallContext | None


@dataclass(slots=True)
class PackEntry:
    """One pack. `wanted` says whether it is to be started again when it ends."""

    launch: PackLaunch
    logs: LogRing
    slots: Slots
    since: float
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    state: PackState = PackState.STOPPED
    reason: str = ""
    wanted: bool = True
    uid: int | None = None
    session: Session | None = None
    starting: asyncio.Task[None] | None = None
    watching: asyncio.Task[None] | None = None
    retrying: asyncio.Task[None] | None = None
    checking: asyncio.Task[None] | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: deque[PendingEvent] = field(default_factory=lambda: deque(maxlen=MAX_PENDING_EVENTS))
    last_output: bytes = b""
    announced: bool = False
    threads: int = 1
    overdue: int = 0  # calls in a row that never came back

    @property
    def pack_id(self) -> str:
        """Whose entry this is."""
        return self.launch.descriptor.pack_id

    @property
    def sleeping(self) -> bool:
        """True for a lazy pack that nobody has called yet."""
        return self.wanted and self.state is PackState.STOPPED

    def renew(self, launch: PackLaunch, caps: Caps, most_waiting: int) -> None:
        """Somebody wants this launch to run: the history of earlier ones says nothing any more.

        Calls that occupy a thread and calls that stream are counted apart by the agent; their sum is the bound here.
        """
        limits = limits_of(launch.descriptor.sandbox, caps)
        self.launch, self.wanted, self.threads = launch, True, limits.concurrency
        self.slots = Slots(limits.concurrency + limits.max_streams, most_waiting)
        self.policy.forgive()

    def view(self) -> SessionView:
        """How it stands, for whoever started it."""
        return SessionView(self.pack_id, self.state, self.session.components if self.session else ())

    def status(self) -> PackStatus:
        """How it stands, for people."""
        session = self.session
        return PackStatus(
            pack_id=self.pack_id,
            state=self.state,
            digest=self.launch.digest,
            since=self.since,
            container=session.name if session else "",
            uid=self.uid,
            components=session.components if session else (),
            crashes=self.policy.crashes,
            reason=self.reason,
            calls_in_flight=self.slots.in_use,
            calls_waiting=self.slots.waiting,
        )

    def unavailable(self) -> Unavailable:
        """The error for a call into a pack that is not up."""
        what, hint = _SENTENCES.get(self.state, ("is not ready", "Try again in a moment."))
        return unavailable(f"The pack {self.pack_id} {what}.", hint.format(id=self.pack_id), self.reason)


def unavailable(message: str, hint: str, reason: str) -> Unavailable:
    """`Unavailable` with `details.reason` where the wire knows the reason."""
    return Unavailable(message, hint=hint, details={"reason": reason} if reason in _ON_THE_WIRE else {})


def new_entry(launch: PackLaunch, clock: Clock) -> PackEntry:
    """A pack that was never started in this kernel's life; `renew` makes it ready to."""
    return PackEntry(launch, LogRing(clock), Slots(0, 0), clock.wall())
