"""One container start, from its socket to its removal.

Everything that lives as long as one container (socket folder, container, connection) is made here in order and let go
of in reverse, whatever happens in between; so no failed start leaves a socket, a folder or a container behind. It
decides nothing about another start: that is the supervisor's.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core_runtime.authority import CallContext
from core_runtime.errors import DeadlineExceeded, RumiError, Unavailable
from core_runtime.ids import random_hex, request_id
from core_runtime.sandbox.engine_port import LOST, Engine, EngineInfo
from core_runtime.sandbox.limits import Caps
from core_runtime.sandbox.logs import LogRing
from core_runtime.sandbox.ports import (
    CapabilityGate,
    Channel,
    ChannelEvents,
    ChannelListener,
    ComponentReport,
    ExitState,
    PackLaunch,
)
from core_runtime.sandbox.spec import EXTRA_CA_NAME, Placement, build_spec
from core_runtime.sandbox.status import EndReason
from core_runtime.sandbox.uids import UidPair

EXIT_PATIENCE_SECONDS = 1.5
STARTED_POLL_SECONDS = 0.5
KEPT_OUTPUT_BYTES = 65_536
LIVENESS_PROBE = "kernel.liveness"


class MendableListener(ChannelListener, Protocol):
    """A `ChannelListener` whose socket file can be looked after while the container runs."""

    def check(self) -> bool:
        """True while the socket file in the folder is the one that was made here."""

    def recreate(self) -> None:
        """Make it again in the same folder. Raises `Unavailable` if the folder itself is gone."""


class Listeners(Protocol):
    """Makes the socket of one container start."""

    async def listen(self, *, peer_uid: int, channel_factory: Callable[[], asyncio.Protocol]) -> MendableListener:
        """Listen in a fresh folder, open to `peer_uid` alone; the first right peer gets the factory's protocol."""


class SealedCopies(Protocol):
    """Looks at the bytes once more, just before they run."""

    async def whole(self, launch: PackLaunch) -> None:
        """Hash the sealed copy of `launch` again. Raises `ApprovalDenied` unless it is what is approved now."""


class ChannelFactory(Protocol):
    """Makes the kernel's end of one connection; what it returns is an `asyncio.Protocol` as well."""

    def __call__(self, launch: PackLaunch, gate: CapabilityGate, events: ChannelEvents) -> Channel:
        """A channel that is not connected yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What is the same for every pack of this kernel. Times in seconds."""

    instance_id: str
    image: str
    runtime: str = ""
    extra_ca: Path | None = None
    caps: Caps = Caps()  # noqa: RUF009 - frozen
    hello_seconds: float = 30.0
    stop_seconds: float = 2.0
    hang_grace_seconds: float = 2.0
    health_seconds: float = 2.0
    most_waiting: int = 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports that a session works through."""

    engine: Engine
    listeners: Listeners
    channels: ChannelFactory
    gate: CapabilityGate
    copies: SealedCopies


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What this start needs to know of the engine's host: the pack's uid there, what the engine can do, which image."""

    uid: UidPair
    info: EngineInfo
    image_id: str


class StartFailed(Unavailable):
    """The container started, but the pack did not come up; `reason` says how."""

    def __init__(self, reason: EndReason, message: str) -> None:
        super().__init__(message, hint="rumi pack logs ID shows what it wrote.", details={"reason": reason.value})
        self.reason = reason


class Session:
    """One start of one pack. `ended` is done once the connection is gone."""

    def __init__(
        self, launch: PackLaunch, host: HostFacts, around: Surroundings, config: SandboxConfig, logs: LogRing
    ) -> None:
        self.launch = launch
        self._host = host
        self.name = f"rumi-{random_hex(8)}"
        self.container_id = ""
        self.components: tuple[ComponentReport, ...] = ()
        self.output = b""
        self._around = around
        self._config = config
        self._logs = logs
        self._listener: MendableListener | None = None
        self._condemned: EndReason | None = None
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.verdict: asyncio.Future[EndReason] = loop.create_future()
        self._hello: asyncio.Future[None] = loop.create_future()
        self.channel = around.channels(launch, around.gate, self)

    # What the channel tells (`ChannelEvents`).

    def ready(self, components: Sequence[ComponentReport]) -> None:
        """See `ChannelEvents`."""
        self.components = tuple(components)
        if not self._hello.done():
            self._hello.set_result(None)

    def log(self, level: str, text: str, fields: Mapping[str, object], run_id: str | None) -> None:
        """See `ChannelEvents`."""
        self._logs.add(level, text, fields, run_id)

    def closed(self, reason: str) -> None:
        """See `ChannelEvents`."""
        if not self.ended.done():
            self.ended.set_result(reason)

    # Its life.

    async def open(self) -> None:
        """Start the container and wait for the agent's hello. On failure nothing of it is left behind.

        Raises `StartFailed` (the pack's doing) or another `Unavailable` (the engine's).
        """
        try:
            await self._start_container()
            await self._wait_for_hello()
        except BaseException as error:
            if isinstance(error, StartFailed):
                await self._keep_output()
            await self.close()
            raise

    async def _start_container(self) -> None:
        engine, config = self._around.engine, self._config
        self._listener = await self._around.listeners.listen(
            peer_uid=self._host.uid.outside, channel_factory=self._protocol
        )
        extra_ca = config.extra_ca if self.launch.descriptor.wants_network else None
        if extra_ca is not None:
            await asyncio.to_thread(_place_authorities, extra_ca, self._listener.folder)
        place = Placement(
            name=self.name,
            uid=self._host.uid.inside,
            socket_folder=self._listener.folder,
            image_id=self._host.image_id,
            instance_id=config.instance_id,
            runtime=config.runtime,
            apparmor=self._host.info.apparmor,
            extra_ca=extra_ca,
        )
        self.container_id = await engine.create(build_spec(self.launch, place, config.caps))
        await engine.start(self.container_id)

    def _protocol(self) -> asyncio.Protocol:
        if not isinstance(self.channel, asyncio.Protocol):
            raise TypeError("a channel must be an asyncio protocol as well")
        return self.channel

    async def _wait_for_hello(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.hello_seconds
        while not self._hello.done():
            left = until - loop.time()
            if left <= 0:
                raise StartFailed(EndReason.NO_HELLO, "The pack did not report within the time for a start.")
            waiting: set[asyncio.Future[None] | asyncio.Future[str]] = {self._hello, self.ended}
            await asyncio.wait(waiting, timeout=min(left, STARTED_POLL_SECONDS), return_when=asyncio.FIRST_COMPLETED)
            if self._hello.done() and not self.ended.done():
                return
            state = await self._around.engine.exit_state(self.container_id)
            if state is not None:
                raise StartFailed(*_early_end(state))
            if self.ended.done():
                raise StartFailed(EndReason.PROTOCOL, "The pack's agent broke the connection while starting.")

    async def responds(self, until: float) -> bool:
        """Whether the agent's loop answers by `until` (monotonic): it is asked for what it does not have."""
        probe = CallContext(request_id=request_id(), deadline=until)
        try:
            await self.channel.call(LIVENESS_PROBE, {}, context=probe)
        except (DeadlineExceeded, Unavailable):
            return False
        except RumiError:
            return True
        return True

    def mend_socket(self) -> bool:
        """True if the socket file was missing or foreign and was made again. A folder that is gone ends the session."""
        listener = self._listener
        if listener is None or listener.check():
            return False
        try:
            listener.recreate()
        except Unavailable:
            self.condemn(EndReason.LOST)
            return False
        return True

    def condemn(self, reason: EndReason) -> None:
        """End it now because of `reason`: calls in flight fail at once, the container is killed by the verdict."""
        if self._condemned is None:
            self._condemned = reason
            self.channel.abort(reason.value)
            self.closed(reason.value)

    async def judge(self) -> EndReason:
        """Why it ended, from the engine's own account; sets `verdict`. A container that runs on is killed."""
        reason = self._condemned or EndReason.NO_RESULT
        try:
            state = await self._exit_state()
            if state is not None and state.oom_killed:
                reason = EndReason.OOM
            await self._keep_output()
        except Unavailable as error:
            told = error.details.get("reason")
            reason = EndReason.LOST if told == LOST else self._condemned or EndReason.RUNTIME_UNAVAILABLE
        if not self.verdict.done():
            self.verdict.set_result(reason)
        return reason

    async def _exit_state(self) -> ExitState | None:
        """The engine learns of an exit a moment after the socket closed; a hung container never exits by itself."""
        engine, loop = self._around.engine, asyncio.get_running_loop()
        until = loop.time() + (0.0 if self._condemned else EXIT_PATIENCE_SECONDS)
        pause = 0.02
        while (state := await engine.exit_state(self.container_id)) is None and loop.time() < until:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)
        if state is None:
            await engine.kill(self.container_id)
        return state

    async def _keep_output(self) -> None:
        with suppress(RumiError):
            self.output = (await self._around.engine.logs(self.container_id))[-KEPT_OUTPUT_BYTES:]

    async def stop(self) -> None:
        """Ask the agent to finish, wait a little, then `close`."""
        self.channel.stop(self._config.stop_seconds)
        await asyncio.wait({self.ended}, timeout=self._config.stop_seconds)
        await self.close()

    async def close(self) -> None:
        """Let go of everything in reverse. What the engine could not remove now, the health check will."""
        self.channel.abort("closed")
        self.closed("closed")
        if not self.verdict.done():
            self.verdict.set_result(self._condemned or EndReason.STOPPED)
        self._hello.cancel()
        if self.container_id:
            with suppress(RumiError):
                await self._around.engine.remove(self.container_id)
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()


def _early_end(state: ExitState) -> tuple[EndReason, str]:
    if state.oom_killed:
        return EndReason.OOM, "The pack ran out of memory while starting."
    return EndReason.NO_RESULT, f"The pack ended with exit code {state.exit_code} before it reported."


def _place_authorities(source: Path, folder: Path) -> None:
    target = folder / EXTRA_CA_NAME
    shutil.copyfile(source, target)
    target.chmod(0o444)
