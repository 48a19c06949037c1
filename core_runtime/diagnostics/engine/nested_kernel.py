"""Does the kernel itself run in a container that holds the engine's socket?"""

from __future__ import annotations

import asyncio
from pathlib import Path

from core_runtime.diagnostics.model import Finding, ok, warning

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/var/run/podman/podman.sock")


class NestedKernel:
    """Such a container is no wall: through the socket it is root on the host (CT-18)."""

    id = "engine.nested_kernel"

    def __init__(self, mounts: Path = Path("/proc/self/mountinfo")) -> None:
        self._mounts = mounts

    async def run(self) -> Finding:
        """See `Check`."""
        if await asyncio.to_thread(self._nested):
            return warning(
                self.id,
                "kernel",
                "The kernel runs in a container that has the engine's socket: it is root on the host, and packs cannot "
                "be mounted from in here.",
                "Run the kernel on the host itself, as a user of its own.",
            )
        return ok(self.id, "kernel", "The kernel does not run in a container with the engine's socket.")

    def _nested(self) -> bool:
        """A socket of an engine that is a mount point of its own was handed in from outside."""
        try:
            lines = self._mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return False
        points = {fields[4] for fields in (line.split() for line in lines) if len(fields) > 4}
        return not points.isdisjoint(_SOCKETS)
