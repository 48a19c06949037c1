"""Who may talk to the engine's socket?"""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from core_runtime.diagnostics.model import Finding, ok, warning

_UNIX = "unix://"


class SocketAccess:
    """Whoever may write to the engine's socket is root on this machine (CT-18)."""

    id = "engine.socket_access"

    def __init__(self, address: str) -> None:
        self._address = address or f"{_UNIX}/var/run/docker.sock"

    async def run(self) -> Finding:
        """See `Check`."""
        if not self._address.startswith(_UNIX):
            return ok(self.id, "engine", "The engine is not reached over a local socket.")
        try:
            found = await asyncio.to_thread(Path(self._address.removeprefix(_UNIX)).stat)
        except OSError:
            return ok(self.id, "engine", "There is no local engine socket.")
        if found.st_mode & stat.S_IWOTH:
            return warning(
                self.id,
                "engine",
                "Every user of this machine may write to the engine's socket, and so become root.",
                f"chmod o-rwx {self._address.removeprefix(_UNIX)}",
            )
        return ok(self.id, "engine", "The engine's socket is closed to other users.")
