"""Is the sandbox on?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, warning


class SecurityModeStrict:
    """In permissive mode packs are programs of the owner's, with his files and his network."""

    id = "profile.security_mode"

    def __init__(self, mode: str) -> None:
        self._mode = mode

    async def run(self) -> Finding:
        """See `Check`."""
        if self._mode == "strict":
            return ok(self.id, "sandbox", "Packs run in containers and nowhere else.")
        text = "Permissive mode: packs run as programs of yours, with your files and your network."
        return warning(self.id, "sandbox", text, "unset RUMI_SECURITY_MODE")
