"""Is there a user namespace between packs and the host?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok
from core_runtime.errors import RumiError
from core_runtime.sandbox.engine_port import Images


class UserNamespace:
    """A further wall that costs little: recommended, not required, so its absence is no warning."""

    id = "engine.user_namespace"

    def __init__(self, engine: Images) -> None:
        self._engine = engine

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            info = await self._engine.info()
        except RumiError:
            return ok(self.id, "engine", "Not looked at: the engine does not answer.")
        if info.rootless or info.user_namespace:
            return ok(self.id, "engine", "Uids of packs mean nothing on the host (user namespace).")
        hint = "A rootless engine, or userns-remap in /etc/docker/daemon.json, adds a wall."
        return ok(self.id, "engine", "Packs have unprivileged uids of their own, without a user namespace.", hint)
