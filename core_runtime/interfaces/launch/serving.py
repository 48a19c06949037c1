"""The life of a kernel: profile, kernel, doors, watcher; until a signal, then in reverse.

The composition root hands in how profile and kernel are made (`Root`); here they get their order and their end. The
first signal drains, the second ends at once. What goes wrong before the kernel is up is one sentence and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import uvloop
from flask import Flask

from core_runtime.adapters.audit_log import AuditFiles, AuditLog
from core_runtime.adapters.token_store import TokenStore
from core_runtime.adapters.watch import FolderWatch
from core_runtime.capability.catalogue import Catalogue
from core_runtime.clock import Clock
from core_runtime.errors import RumiError
from core_runtime.handlers.ports import Stores
from core_runtime.interfaces.admin.asgi import AdminDoor, DoorRules
from core_runtime.interfaces.admin.auth import Authenticator
from core_runtime.interfaces.admin.bridge import Bridge, LoopBridge
from core_runtime.interfaces.error_table import ExitCode, exit_code
from core_runtime.interfaces.launch.doors import Surface, open_doors
from core_runtime.interfaces.launch.logs import configure_logging
from core_runtime.interfaces.ports import KernelDoors
from core_runtime.interfaces.server import Address, Listening, serving
from core_runtime.kernel import Kernel
from core_runtime.kernel.boot import bundled_list
from core_runtime.kernel.diagnostics import Diagnostic
from core_runtime.settings import KernelSettings, LoadedSettings, load_settings

PERMISSIVE_TOKEN_SECONDS = 3600.0


class Document(Protocol):
    """One signed document."""

    def load(self) -> Mapping[str, object]:
        """Its content."""

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it."""


class OpenProfile(Protocol):
    """What serving needs of an open profile."""

    @property
    def settings(self) -> LoadedSettings:
        """The settings it was opened with."""

    @property
    def root(self) -> Path:
        """Its folder."""

    @property
    def clock(self) -> Clock:
        """Its clock."""

    @property
    def audit(self) -> AuditLog:
        """Its trail."""

    @property
    def instance_id(self) -> str:
        """Names this installation."""

    def signed(self, name: str) -> Document:
        """One signed document of the kernel's own."""

    def audit_files(self) -> AuditFiles:
        """The trail, for reading."""


class Assembled(Protocol):
    """What serving needs of a kernel that was put together."""

    @property
    def catalogue(self) -> Catalogue:
        """The permissions there are."""

    @property
    def stores(self) -> Stores:
        """The packs' databases."""

    async def open(self, stack: AsyncExitStack) -> Kernel:
        """Make what lives on the loop."""

    def candidates(self) -> Collection[tuple[str, Path]]:
        """The pack folders there are, for the watcher."""

    async def engine_status(self) -> Mapping[str, object]:
        """What the engine says of itself."""

    async def checks(self) -> Sequence[Diagnostic]:
        """What the doctor's checks find now."""


ProfileT = TypeVar("ProfileT", bound=OpenProfile)


@dataclass(frozen=True, slots=True)
class Root(Generic[ProfileT]):
    """How the composition root makes things."""

    open_profile: Callable[[LoadedSettings], AbstractAsyncContextManager[ProfileT]]
    assemble: Callable[[ProfileT, Collection[tuple[str, str]]], Assembled]
    create_app: Callable[[KernelDoors, Bridge], Flask]


class Serving(Generic[ProfileT]):
    """Runs kernels: one for `serve`, one for the time of a flow."""

    def __init__(self, root: Root[ProfileT]) -> None:
        self._root = root

    def serve(self, *, approve_bundled: bool) -> int:
        """Run until a signal; the exit code."""
        return self._run(lambda settings: self._serve(settings, bundled_of(settings, wanted=approve_bundled)))

    def run_flow(self, flow: str, inputs: Mapping[str, object], *, approve_bundled: bool) -> int:
        """Start, run one flow, print its outputs, stop; the exit code."""
        return self._run(
            lambda settings: self._run_flow(settings, bundled_of(settings, wanted=approve_bundled), flow, inputs)
        )

    def _run(self, work: Callable[[LoadedSettings], Coroutine[object, object, int]]) -> int:
        try:
            settings = load_settings()
            configure_logging(settings.values)
            return uvloop.run(work(settings))
        except RumiError as error:
            say(error.message)
            if error.hint:
                say(error.hint)
            return 1 if exit_code(error) is ExitCode.USAGE else int(exit_code(error))
        except KeyboardInterrupt:
            return int(ExitCode.INTERRUPTED)

    async def _serve(self, settings: LoadedSettings, bundled: Collection[tuple[str, str]]) -> int:
        stop = asyncio.Event()
        watch_signals(stop)
        async with AsyncExitStack() as stack:
            profile, assembled, kernel = await self._kernel(stack, settings, bundled)
            boot = asyncio.create_task(kernel.start(), name="boot")
            stack.push_async_callback(_ended, boot)
            await first_of(boot, kernel.planned.wait(), stop.wait())
            if boot.done():
                boot.result()
            at = await stack.enter_async_context(self._doors(profile, assembled, kernel))
            await first_of(boot, stop.wait())
            if boot.done():
                boot.result()
                announce(settings.values, at, kernel)
                watch = FolderWatch(settings.values.ecosystem_dir, assembled.candidates, kernel.folders_changed)
                await watch.start()
                stack.push_async_callback(watch.stop)
                kernel.watch_records()
                await stop.wait()
            say("Stopping.")
        return 0

    async def _run_flow(
        self, settings: LoadedSettings, bundled: Collection[tuple[str, str]], flow: str, inputs: Mapping[str, object]
    ) -> int:
        stop = asyncio.Event()
        watch_signals(stop)
        async with AsyncExitStack() as stack:
            _, _, kernel = await self._kernel(stack, settings, bundled)
            work = asyncio.create_task(_boot_and_run(kernel, flow, inputs))
            stack.push_async_callback(_ended, work)
            await first_of(work, stop.wait())
            if not work.done():
                return int(ExitCode.INTERRUPTED)
            outputs = work.result()
        print(json.dumps(outputs, ensure_ascii=False))
        return 0

    async def _kernel(
        self, stack: AsyncExitStack, settings: LoadedSettings, bundled: Collection[tuple[str, str]]
    ) -> tuple[ProfileT, Assembled, Kernel]:
        if settings.values.security_mode == "permissive":
            say_banner()
        profile = await stack.enter_async_context(self._root.open_profile(settings))
        assembled = self._root.assemble(profile, bundled)
        return profile, assembled, await assembled.open(stack)

    @asynccontextmanager
    async def _doors(self, profile: OpenProfile, assembled: Assembled, kernel: Kernel) -> AsyncIterator[Listening]:
        values = profile.settings.values
        tokens = TokenStore(profile.signed("tokens"), clock=profile.clock, audit=profile.audit)
        with suppress(RumiError):  # then no token is valid and none can be made; the diagnostics say why
            await asyncio.to_thread(tokens.load)
        kernel.each_recheck.append(tokens.load_if_needed)
        addresses: dict[str, object] = {}
        doors = open_doors(
            kernel,
            Surface(
                settings=profile.settings,
                instance_id=profile.instance_id,
                catalogue=assembled.catalogue,
                stores=assembled.stores,
                audit=profile.audit_files(),
                tokens=tokens,
                engine_status=assembled.engine_status,
                checks=assembled.checks,
                addresses=lambda: addresses,
            ),
        )
        strict = values.security_mode == "strict"
        auth = Authenticator(tokens, kernel_uid=os.geteuid(), trust_peer_uid=strict)
        flask = self._root.create_app(doors, LoopBridge(asyncio.get_running_loop()))
        door = AdminDoor(flask, DoorRules(auth, profile.audit, profile.clock, values.api_rate_per_minute))
        address = Address(values.api_bind, values.api_port, "RUMI_API")
        try:
            async with serving(door, tcp=address, unix_path=profile.root / "run" / "admin.sock") as at:
                addresses["api"] = f"http://{values.api_bind}:{at.port}"
                if not strict:
                    await offer_token(tokens)
                yield at
        finally:
            door.close()
            with suppress(RumiError):
                await tokens.flush()


async def _boot_and_run(kernel: Kernel, flow: str, inputs: Mapping[str, object]) -> object:
    await kernel.start()
    result = await kernel.parts.engine.run(flow, inputs, actor=kernel.owner)
    if result.error is not None:
        raise result.error
    return result.outputs


async def _ended(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


async def first_of(*waits: object) -> None:
    """Return when the first of several waits is over; those that were made here end with it."""
    tasks = [wait if isinstance(wait, asyncio.Task) else asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for wait, task in zip(waits, tasks, strict=True):
        if wait is not task:
            task.cancel()


def watch_signals(stop: asyncio.Event) -> None:
    """SIGTERM and Ctrl-C stop gracefully; the second one ends at once."""

    def heard() -> None:
        if stop.is_set():
            os._exit(int(ExitCode.INTERRUPTED))
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, heard)


def bundled_of(settings: LoadedSettings, *, wanted: bool) -> list[tuple[str, str]]:
    """The packs that this version lists by digest, if the owner asked for them."""
    if not wanted:
        return []
    try:
        data = json.loads((settings.values.ecosystem_dir / "bundled.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        say(f"ecosystem/bundled.json cannot be read ({type(error).__name__}): nothing is approved as bundled.")
        return []
    return list(bundled_list(data))


def announce(values: KernelSettings, at: Listening, kernel: Kernel) -> None:
    """Where it listens and what waits, for the person at the terminal."""
    states = [view.status.state.value for view in kernel.parts.approvals.list()]
    waiting = sum(state in {"pending", "modified"} for state in states)
    say(f"Rumi is ready. Profile {values.profile}, admin API http://{values.api_bind}:{at.port}")
    say(f"Packs: {states.count('approved')} approved, {waiting} waiting for you (rumi pack list). Ctrl-C stops.")


async def offer_token(tokens: TokenStore) -> None:
    """Permissive mode: a peer's uid gives no authority, so the owner gets a token on his terminal, good for an hour."""
    token = await tokens.offer_once(PERMISSIVE_TOKEN_SECONDS)
    say(f"To approve, within the hour and once: RUMI_TOKEN={token}")


def say_banner() -> None:
    """The red banner of permissive mode."""
    red, plain = ("\033[1;37;41m", "\033[0m") if sys.stderr.isatty() else ("", "")
    say(f"{red} PERMISSIVE MODE: packs run as programs of yours, with your files and your network. {plain}")


def say(text: str) -> None:
    """One line for a person, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
