"""Is there room for the state?"""

from __future__ import annotations

import os
from pathlib import Path

from core_runtime.diagnostics.model import Finding, ok, problem, warning

MIB = 1024 * 1024
SCARCE_BYTES = 1024 * MIB
TOO_LITTLE_BYTES = 64 * MIB


class DiskSpace:
    """Without room no audit line can be written, and without its line no act happens."""

    id = "profile.disk_space"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def run(self) -> Finding:
        """See `Check`."""
        folder = next((path for path in (self._root, *self._root.parents) if path.exists()), Path("/"))
        room = os.statvfs(folder)
        free = room.f_bavail * room.f_frsize
        shown = f"{free / MIB:,.0f} MiB free for the profile."
        if free < TOO_LITTLE_BYTES:
            return problem(self.id, "disk", shown, "Make room, or set RUMI_USER_DATA to a folder on another disk.")
        if free < SCARCE_BYTES:
            return warning(self.id, "disk", shown, "Make room soon: what cannot be written down is refused.")
        return ok(self.id, "disk", shown)
