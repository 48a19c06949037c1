"""The life of a kernel: profile, kernel, doors, watcher; until a signal, then in reverse.

The composition root hands in how profile and kernel are made (`Root`); here they get their order and their end. The
first signal drains, the second ends at once. What goes wrong before the kernel is up is one sentence and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

import uvloop

from core_runtime.adapters.watch import FolderWatch
from core_runtime.errors import RumiError
from core_runtime.interfaces.admin.bridge import Bridge
from core_runtime.interfaces.error_table import ExitCode, exit_code
from core_runtime.interfaces.launch.logs import configure_logging
from core_runtime.interfaces.launch.parts import Assembled, OpenProfile
from core_runtime.interfaces.launch.terminal import say, say_banner
from core_runtime.interfaces.ports import KernelDoors
from core_runtime.kernel import Kernel
from core_runtime.kernel.boot import bundled_list
from core_runtime.settings import KernelSettings, LoadedSettings, load_settings

if TYPE_CHECKING:
    from flask import Flask

DOORS_AFTER_SECONDS = 0.1

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
            # The packs first: the engine takes long over them, and has them in hand after this moment.
            await first_of(boot, stop.wait(), asyncio.sleep(DOORS_AFTER_SECONDS))
            if boot.done():
                boot.result()
            port = await stack.enter_async_context(opened(profile, assembled, kernel, self._root.create_app))
            await first_of(boot, stop.wait())
            if boot.done():
                boot.result()
                announce(settings.values, port, kernel)
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
async def opened(
    profile: OpenProfile, assembled: Assembled, kernel: Kernel, create_app: Callable[[KernelDoors, Bridge], Flask]
) -> AsyncIterator[int]:
    """The doors; their port. Imported only now, and beside the loop: the web server and its framework are a sixth of
    what a kernel imports, and neither a pack's start nor a flow that is run by itself needs them."""
    await asyncio.to_thread(import_module, "core_runtime.interfaces.launch.opening")
    from core_runtime.interfaces.launch.opening import open_admin

    async with open_admin(profile, assembled, kernel, create_app) as port:
        yield port


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


def announce(values: KernelSettings, port: int, kernel: Kernel) -> None:
    """Where it listens and what waits, for the person at the terminal."""
    states = [view.status.state.value for view in kernel.parts.approvals.list()]
    waiting = sum(state in {"pending", "modified"} for state in states)
    say(f"Rumi is ready. Profile {values.profile}, admin API http://{values.api_bind}:{port}")
    say(f"Packs: {states.count('approved')} approved, {waiting} waiting for you (rumi pack list). Ctrl-C stops.")
