"""Is the audit trail whole?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from core_runtime.diagnostics.model import Finding, ok, problem


class AuditTrailWhole:
    """Follows the hash chain over all files that there are."""

    id = "profile.audit_trail"

    def __init__(self, folder: Path, verify: Callable[[Path], Mapping[str, object]]) -> None:
        self._folder = folder
        self._verify = verify

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            found = await asyncio.to_thread(self._verify, self._folder)
        except OSError as error:
            return problem(self.id, "audit", f"The trail cannot be read: {error.strerror}.", "rumi audit verify")
        if found.get("ok"):
            return ok(self.id, "audit", f"The trail is whole: {found.get('lines')} lines.")
        bad = found.get("first_bad")
        where = ", ".join(f"{key} {value}" for key, value in bad.items()) if isinstance(bad, Mapping) else ""
        return problem(
            self.id, "audit", f"The trail is not whole ({where}).", "Keep audit/ as evidence; rumi audit verify"
        )
