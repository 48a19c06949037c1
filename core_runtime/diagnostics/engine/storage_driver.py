"""Does the engine's storage driver start containers quickly?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, warning
from core_runtime.errors import RumiError
from core_runtime.sandbox.engine_port import Images


class StorageDriver:
    """The `vfs` driver copies the whole image for each container: seconds instead of a fifth of one."""

    id = "engine.storage_driver"

    def __init__(self, engine: Images) -> None:
        self._engine = engine

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            driver = (await self._engine.info()).storage_driver
        except RumiError:
            return ok(self.id, "engine", "Not looked at: the engine does not answer.")
        if driver == "vfs":
            return warning(
                self.id,
                "engine",
                "The engine uses the storage driver vfs, which copies the image for every start: starts take seconds.",
                'Set {"storage-driver": "overlay2"} in /etc/docker/daemon.json and restart the engine.',
            )
        return ok(self.id, "engine", f"The storage driver is {driver}.")
