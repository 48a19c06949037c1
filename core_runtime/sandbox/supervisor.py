"""Keeps every approved pack's container running, and is the one door for calls into packs.

Only it talks to the engine. Threats: a pack that dies, loops, hangs, eats its memory or never answers must cost nobody
else anything; an engine that fails must never make a pack run anywhere else. There is no fallback to the host in here:
which engine there is was decided when the kernel was put together. It must never run two containers of one pack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from core_runtime.authority import CallContext
from core_runtime.clock import Clock
from core_runtime.errors import DeadlineExceeded, NotFound, RumiError, Unavailable
from core_runtime.sandbox.engine_port import EngineInfo
from core_runtime.sandbox.entry import PackEntry, PendingEvent, new_entry, unavailable
from core_runtime.sandbox.hangs import HangWatch, explained
from core_runtime.sandbox.health import HealthCheck
from core_runtime.sandbox.joined import Joined
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.session import HostFacts, SandboxConfig, Session, StartFailed, Surroundings
from core_runtime.sandbox.status import EndReason, PackLogs, PackState, PackStatus, SessionView, SupervisorEvents
from core_runtime.sandbox.uids import UidPair
from core_runtime.wire.streams import Stream

_logger = structlog.get_logger("rumi.sandbox")


class Uids(Protocol):
    """Gives each pack its own uid, once."""

    def of(self, pack_id: str, info: EngineInfo) -> UidPair:
        """The uid of this pack on this engine. May write a file; called in a thread."""


class Supervisor:
    """Every pack's container. Lives as long as the kernel; all methods are for its loop."""

    def __init__(
        self,
        around: Surroundings,
        uids: Uids,
        *,
        events: SupervisorEvents,
        clock: Clock,
        config: SandboxConfig,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._around = around
        self._uids = uids
        self._events = events
        self._clock = clock
        self._config = config
        self._pause = pause
        self._entries: dict[str, PackEntry] = {}
        self._health = HealthCheck(around.engine, config, self._entries, events)
        self._info: EngineInfo | None = None
        self._ask_info = Joined(around.engine.info)
        self._ask_image = Joined(lambda: around.engine.image(config.image))
        self._hangs = HangWatch(clock, config.hang_grace_seconds)
        self._closed = False

    # Starting and stopping.

    async def start(self, launch: PackLaunch) -> SessionView:
        """Start a pack, or join its start. Other bytes or settings replace what runs; a lazy pack waits for a call.

        Raises `Unavailable`; the pack is then tried again by itself as far as that makes sense.
        """
        if self._closed:
            raise Unavailable("The kernel is stopping.", hint="Start it again.")
        pack_id = launch.descriptor.pack_id
        entry = self._entries.get(pack_id)
        if entry is None:
            entry = self._entries[pack_id] = new_entry(launch, self._clock)
        elif entry.launch.digest != launch.digest or entry.launch.settings != launch.settings:
            await self.stop(pack_id, "replaced")
        if entry.starting is None and entry.state is not PackState.READY:
            entry.renew(launch, self._config.caps, self._config.most_waiting)
            self._cancel(entry.retrying)
            if launch.descriptor.sandbox.start == "lazy":
                self._move(entry, PackState.STOPPED, "lazy")
                return entry.view()
        await self._started(entry)
        return entry.view()

    async def stop(self, pack_id: str, reason: str) -> None:
        """Stop a pack and keep it stopped; returns when its container is gone. An unknown pack is stopped already."""
        entry = self._entries.get(pack_id)
        if entry is None:
            return
        entry.wanted = False
        self._cancel(entry.retrying)
        await self._finish(entry.checking)
        await self._finish(entry.starting)
        async with entry.changing:
            await self._finish(entry.watching)
            session, entry.session = entry.session, None
            if session is not None:
                self._move(entry, PackState.STOPPING, reason)
                await session.stop()
            self._move(entry, PackState.STOPPED, reason)
        self._tell_down(entry, reason)

    async def forget(self, pack_id: str) -> None:
        """Stop a pack that does not exist any more, and drop its history and logs."""
        await self.stop(pack_id, "removed")
        self._entries.pop(pack_id, None)

    async def close(self) -> None:
        """Stop everything, side by side."""
        self._closed = True
        await self._health.close()
        await asyncio.gather(*(self.stop(pack_id, "shutdown") for pack_id in list(self._entries)))

    async def cleanup_orphans(self) -> int:
        """Remove containers that an earlier life of this kernel left behind; done before any start anyway."""
        return await self._health.remove_leftovers()

    # Calls.

    async def call(
        self, pack_id: str, interface: str, args: object, *, context: CallContext, stream_in: Stream | None = None
    ) -> object:
        """Run an interface of a pack; waits, within the deadline, for a pack that is just starting.

        Raises what the pack's answer says, or `Unavailable` (`OOM`, `NO_RESULT` and others in `details.reason`),
        `DeadlineExceeded`, `RateLimited`.
        """
        entry = self._entries.get(pack_id)
        if entry is None:
            raise unavailable(f"The pack {pack_id} is not running.", "rumi pack list shows its state.", "")
        if entry.state is not PackState.READY:
            await self._come_up(entry, context.deadline)
        slots = entry.slots
        if not slots.try_take():
            await slots.take(context.deadline - self._clock.monotonic())
        session = entry.session
        try:
            if session is None:
                raise entry.unavailable()
            answer = await session.channel.call(interface, args, context=context, stream_in=stream_in)
        except (DeadlineExceeded, asyncio.CancelledError):
            # A caller with a deadline of its own cancels at the very instant at which the channel would say so.
            self._hangs.suspect(entry, context.deadline)
            raise
        except Unavailable as error:
            raise await explained(session, error) from None
        else:
            entry.overdue = 0
            return answer
        finally:
            slots.give_back()

    def event(self, pack_id: str, interface: str, topic: str, payload: object, context: CallContext | None) -> bool:
        """Hand an event over; False if the pack is not up. One that is just starting (or lazy) gets it when it is."""
        entry = self._entries.get(pack_id)
        if entry is None:
            return False
        if entry.state is PackState.READY and entry.session is not None:
            with suppress(RumiError):
                entry.session.channel.event(interface, topic, payload, context)
                return True
            return False
        if entry.state is not PackState.STARTING and not entry.sleeping:
            return False
        entry.pending.append(PendingEvent(interface, topic, payload, context))
        self._ensure_starting(entry)
        return True

    # Looking.

    def status(self) -> Sequence[PackStatus]:
        """Every pack that was started in this kernel's life, by id."""
        return [self._entries[pack_id].status() for pack_id in sorted(self._entries)]

    async def logs(self, pack_id: str) -> PackLogs:
        """What a pack wrote, of this start or the last. Raises `NotFound` for a pack that was never started."""
        entry = self._entries.get(pack_id)
        if entry is None:
            raise NotFound(f"No logs of {pack_id}: it was not started since the kernel is up.")
        output = entry.last_output
        if entry.session is not None and entry.session.container_id:
            with suppress(RumiError):
                output = await self._around.engine.logs(entry.session.container_id)
        return await asyncio.to_thread(entry.logs.with_output, output)

    async def engine_info(self) -> EngineInfo:
        """What the engine says of itself, remembered until it fails. Raises `Unavailable`."""
        if self._info is None:
            self._info = await self._ask_info()
        return self._info

    async def memory(self, pack_id: str) -> int:
        """Bytes that the pack's container holds. Raises `NotFound` when it has none."""
        entry = self._entries.get(pack_id)
        if entry is None or entry.session is None:
            raise NotFound(f"{pack_id} has no container.")
        return await self._around.engine.memory(entry.session.container_id)

    # How a start goes.

    def _ensure_starting(self, entry: PackEntry) -> asyncio.Task[None]:
        if entry.starting is None:
            self._move(entry, PackState.STARTING, "")
            entry.starting = asyncio.create_task(self._run_start(entry), name=f"start {entry.pack_id}")
            entry.starting.add_done_callback(_retrieve)
        return entry.starting

    async def _started(self, entry: PackEntry) -> None:
        """Wait for the start without owning it: a caller who gives up must not end it for the others."""
        if entry.state is PackState.READY:
            return
        try:
            await asyncio.shield(self._ensure_starting(entry))
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            raise entry.unavailable() from None

    async def _run_start(self, entry: PackEntry) -> None:
        try:
            async with entry.changing:
                self._move(entry, PackState.STARTING, "")  # again: a stop may have held the lock until now
                await self._health.remove_leftovers_once()
                self._health.ensure_running()
                info, image_id = await self.engine_info(), await self._ask_image()
                uid = await asyncio.to_thread(self._uids.of, entry.pack_id, info)
                entry.uid = uid.outside
                host = HostFacts(uid, info, image_id)
                await self._around.copies.whole(entry.launch)
                entry.session = session = Session(entry.launch, host, self._around, self._config, entry.logs)
                await session.open()
            self._came_up(entry, session)
        except BaseException as error:
            failed, entry.session = entry.session, None
            entry.last_output = failed.output if failed else b""
            entry.pending.clear()
            if isinstance(error, asyncio.CancelledError):
                self._move(entry, PackState.STOPPED, "cancelled")
            else:
                self._start_failed(entry, error)
            raise
        finally:
            entry.starting = None

    def _came_up(self, entry: PackEntry, session: Session) -> None:
        entry.policy.engine_works()
        entry.overdue = 0
        self._move(entry, PackState.READY, "")
        entry.watching = asyncio.create_task(self._watch(entry, session), name=f"watch {entry.pack_id}")
        entry.watching.add_done_callback(_retrieve)
        entry.announced = True
        _tell(lambda: self._events.pack_ready(entry.pack_id, session.components))
        while entry.pending:
            event = entry.pending.popleft()
            self.event(entry.pack_id, event.interface, event.topic, event.payload, event.context)

    def _start_failed(self, entry: PackEntry, error: BaseException) -> None:
        if isinstance(error, StartFailed):
            self._ended(entry, error.reason, error.message)
            return
        reason = str(error.details.get("reason", "")) if isinstance(error, Unavailable) else ""
        if reason in {EndReason.RUNTIME_UNAVAILABLE, EndReason.IMAGE_MISSING, EndReason.LOST}:
            self._info = None  # it may be another engine that comes back
            self._retry(entry, PackState.BACKING_OFF, reason, entry.policy.after_engine_failure())
        else:
            self._move(entry, PackState.FAILED, reason or type(error).__name__)
        if not isinstance(error, RumiError):
            _logger.error("start_failed_in_kernel", pack_id=entry.pack_id, exc_info=error)
        self._finding(entry, f"PACK_{reason or 'START_FAILED'}", error)

    # How it ends.

    async def _watch(self, entry: PackEntry, session: Session) -> None:
        """Wait for the end of one session that nobody asked for, and see to what follows."""
        await asyncio.wait({session.ended})
        self._move(entry, PackState.BACKING_OFF, "")
        reason = await session.judge()
        await session.close()
        entry.session, entry.last_output = None, session.output
        self._tell_down(entry, reason.value)
        self._ended(entry, reason, f"The pack {entry.pack_id} ended by itself ({reason.value}).")

    def _ended(self, entry: PackEntry, reason: EndReason, message: str) -> None:
        if not entry.wanted:
            self._move(entry, PackState.STOPPED, reason.value)
            return
        if reason in {EndReason.LOST, EndReason.RUNTIME_UNAVAILABLE}:
            self._retry(entry, PackState.LOST, reason.value, entry.policy.after_engine_failure())
        elif (seconds := entry.policy.after_crash(self._clock.monotonic())) is None:
            self._move(entry, PackState.CRASH_LOOPED, reason.value)
        else:
            self._retry(entry, PackState.BACKING_OFF, reason.value, seconds)
        hint = f"rumi pack logs {entry.pack_id} shows what it wrote."
        self._finding(entry, f"PACK_{reason.value}", Unavailable(message, hint=hint))

    def _retry(self, entry: PackEntry, state: PackState, reason: str, seconds: float) -> None:
        self._move(entry, state, reason)
        if entry.wanted and not self._closed:
            entry.retrying = asyncio.create_task(self._start_later(entry, seconds), name=f"retry {entry.pack_id}")

    async def _start_later(self, entry: PackEntry, seconds: float) -> None:
        await self._pause(seconds)
        if entry.wanted and entry.starting is None and entry.state in {PackState.BACKING_OFF, PackState.LOST}:
            self._ensure_starting(entry)

    # Calls that go wrong.

    async def _come_up(self, entry: PackEntry, deadline: float) -> None:
        if entry.state is not PackState.STARTING and not entry.sleeping:
            raise entry.unavailable()
        try:
            await asyncio.wait_for(self._started(entry), max(0.0, deadline - self._clock.monotonic()))
        except TimeoutError:
            raise DeadlineExceeded(
                f"The deadline passed while {entry.pack_id} was starting.",
                hint="Call again when rumi status says ready.",
            ) from None

    # Small things.

    def _tell_down(self, entry: PackEntry, reason: str) -> None:
        """Exactly one `pack_down` for each `pack_ready`."""
        if entry.announced:
            entry.announced = False
            _tell(lambda: self._events.pack_down(entry.pack_id, reason))

    def _move(self, entry: PackEntry, state: PackState, reason: str) -> None:
        if (entry.state, entry.reason) != (state, reason):
            entry.state, entry.reason, entry.since = state, reason, self._clock.wall()

    def _finding(self, entry: PackEntry, code: str, error: BaseException) -> None:
        known = error if isinstance(error, RumiError) else None
        message = known.message if known else "The start failed inside the kernel."
        hint = known.hint if known else "The kernel's log holds the cause."
        _tell(
            lambda: self._events.finding(
                severity="problem", code=code, subject=entry.pack_id, message=message, hint=hint
            )
        )

    @staticmethod
    def _cancel(task: asyncio.Task[None] | None) -> None:
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _finish(self, task: asyncio.Task[None] | None) -> None:
        """Cancel a task and wait until it has cleaned up."""
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})


def _tell(say: Callable[[], None]) -> None:
    """An owner that fails must not take a pack's life cycle with it."""
    try:
        say()
    except Exception:
        _logger.exception("sandbox_event_failed")


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _retrieve(task: asyncio.Task[None]) -> None:
    """Failures of starts are told through states and findings; nobody may be waiting for this very task."""
    if not task.cancelled():
        task.exception()
