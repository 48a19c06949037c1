"""Is the engine's address one that may be used?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, problem


class EngineAddress:
    """Plain TCP to an engine is refused: whoever answers, or listens on the way, is root here (CT-18)."""

    id = "engine.address"

    def __init__(self, address: str, *, tls: bool) -> None:
        self._address = address
        self._tls = tls

    async def run(self) -> Finding:
        """See `Check`."""
        local = not self._address or self._address.startswith(("unix://", "npipe://"))
        if local:
            return ok(self.id, "engine", "The engine is reached over a local socket.")
        if self._tls or self._address.startswith("https://"):
            return ok(self.id, "engine", "The engine is reached over TLS; its machine must share this file system.")
        return problem(
            self.id,
            "engine",
            "DOCKER_HOST names an engine over the network without TLS; it is not used.",
            "unset DOCKER_HOST, or set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
        )
