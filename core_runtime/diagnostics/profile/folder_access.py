"""Does the profile belong to this user, and to nobody else?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core_runtime.diagnostics.model import Finding, ok, problem


class FolderAccess:
    """Whoever can write here can approve; whoever can read here knows the signing key."""

    id = "profile.folder_access"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            found = self._root.lstat()
        except FileNotFoundError:
            return ok(self.id, "profile", "There is no profile yet; the first start makes it.")
        except OSError as error:
            return problem(self.id, "profile", f"The profile cannot be looked at: {error.strerror}.", "Check its path.")
        if not stat.S_ISDIR(found.st_mode):
            return problem(self.id, "profile", "The profile is not a folder.", "Move it away, or set RUMI_USER_DATA.")
        if found.st_uid != os.geteuid():
            text = "The profile belongs to another user."
            return problem(self.id, "profile", text, "Run as its owner, or set RUMI_USER_DATA.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            text = "The profile is open to other users."
            return problem(self.id, "profile", text, "chmod 700 on it; then see who could have read the key.")
        return ok(self.id, "profile", "The profile is this user's alone.")
