"""Looks after the containers from the engine's side: leftovers, lost ones, strays.

The socket tells most ends at once. What it cannot tell is found here, every two seconds with one cheap request: a
container that the engine has lost (a daemon restarted), and containers that carry our label but belong to no session
(a start whose outcome was unknown, or an earlier life of this kernel). Label and instance id must both match: a
container with a similar name that is not ours is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from core_runtime.errors import RumiError, Unavailable
from core_runtime.sandbox.engine_port import Engine
from core_runtime.sandbox.entry import PackEntry
from core_runtime.sandbox.session import SandboxConfig, Session
from core_runtime.sandbox.status import EndReason, PackState, SupervisorEvents

_LONGEST_PAUSE = 10.0


class HealthCheck:
    """The loop beside the supervisor; runs from the first start on."""

    def __init__(
        self, engine: Engine, config: SandboxConfig, entries: Mapping[str, PackEntry], events: SupervisorEvents
    ) -> None:
        self._engine = engine
        self._config = config
        self._entries = entries
        self._events = events
        self._clean = False
        self._cleaning = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._engine_down = False

    async def remove_leftovers_once(self) -> None:
        """Before the first start, and only then. Raises `Unavailable`: with leftovers unknown, nothing may start."""
        async with self._cleaning:
            if not self._clean:
                await self.remove_leftovers()

    async def remove_leftovers(self) -> int:
        """Remove every container of this instance that no session holds. Returns how many."""
        removed = await self._remove_strays(known=self._names())
        self._clean = True
        return removed

    def ensure_running(self) -> None:
        """Start the loop if it does not run."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="sandbox health")

    async def close(self) -> None:
        """End the loop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def check(self) -> None:
        """One look. Raises `Unavailable` when the engine does not answer."""
        ready = {
            entry.session.name: entry.session
            for entry in self._entries.values()
            if entry.session is not None and entry.state is PackState.READY
        }
        known = self._names()
        containers = await self._engine.list(self._config.instance_id)
        running = {item.name for item in containers if item.state in {"running", "paused"}}
        for name, session in ready.items():
            if name not in running:
                session.condemn(
                    EndReason.NO_RESULT if any(item.name == name for item in containers) else EndReason.LOST
                )
            elif session.mend_socket():
                self._tell_of_socket(session)
        strays = [item for item in containers if item.name not in known and item.name not in self._names()]
        await asyncio.gather(*(self._engine.remove(item.id) for item in strays))

    async def _run(self) -> None:
        pause = self._config.health_seconds
        while True:
            await asyncio.sleep(pause)
            try:
                await self.check()
            except RumiError as error:
                pause = min(_LONGEST_PAUSE, pause * 2)
                self._tell(error)
            else:
                pause = self._config.health_seconds
                self._engine_down = False

    def _tell_of_socket(self, session: Session) -> None:
        self._events.finding(
            severity="warning",
            code="SOCKET_REPLACED",
            subject=session.launch.descriptor.pack_id,
            message="The pack's socket file on the host was removed or replaced; it was made again.",
            hint="Find out which program on this machine touches the profile's run folder.",
        )

    def _tell(self, error: RumiError) -> None:
        """Once for each outage, not every two seconds."""
        if not self._engine_down:
            self._engine_down = True
            self._events.finding(
                severity="problem",
                code=str(error.details.get("reason", "ENGINE_FAILED")),
                subject="engine",
                message=error.message,
                hint=error.hint,
            )

    async def _remove_strays(self, *, known: set[str]) -> int:
        containers = await self._engine.list(self._config.instance_id)
        strays = [item for item in containers if item.name not in known]
        done = await asyncio.gather(*(self._engine.remove(item.id) for item in strays), return_exceptions=True)
        failed = [item for item in done if isinstance(item, BaseException)]
        if failed:
            with suppress(Unavailable):
                raise failed[0]
            raise Unavailable(
                "Containers of an earlier start could not be removed.",
                hint="rumi doctor shows the engine's state.",
                details={"reason": EndReason.RUNTIME_UNAVAILABLE.value},
            )
        return len(strays)

    def _names(self) -> set[str]:
        return {entry.session.name for entry in self._entries.values() if entry.session is not None}
