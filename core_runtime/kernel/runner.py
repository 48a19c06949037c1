"""A runner that is named before it exists: router, events and lifecycle are made before the supervisor, and call it."""

from __future__ import annotations

from core_runtime.authority import CallContext
from core_runtime.errors import InternalError
from core_runtime.kernel.ports import PackRunner
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.status import SessionView
from core_runtime.wire.streams import Stream


class LateRunner:
    """A `PackRunner` that hands everything on to the one that `run_by` brought."""

    def __init__(self) -> None:
        self._runner: PackRunner | None = None

    def run_by(self, runner: PackRunner) -> None:
        """Hand in the supervisor."""
        self._runner = runner

    async def start(self, launch: PackLaunch) -> SessionView:
        """See `PackRunner`."""
        return await self._real().start(launch)

    async def stop(self, pack_id: str, reason: str) -> None:
        """See `PackRunner`."""
        await self._real().stop(pack_id, reason)

    async def call(
        self, pack_id: str, interface: str, args: object, *, context: CallContext, stream_in: Stream | None = None
    ) -> object:
        """See `PackRunner`."""
        return await self._real().call(pack_id, interface, args, context=context, stream_in=stream_in)

    def event(self, pack_id: str, interface: str, topic: str, payload: object, context: CallContext | None) -> bool:
        """See `PackRunner`."""
        return self._real().event(pack_id, interface, topic, payload, context)

    def _real(self) -> PackRunner:
        if self._runner is None:
            raise InternalError("The kernel was used before it was put together.")
        return self._runner
