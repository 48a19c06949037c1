"""Is there a container engine, and does it answer?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, problem
from core_runtime.errors import RumiError
from core_runtime.sandbox.engine_port import Images


class EngineReachable:
    """Without an engine no pack runs: there is no fallback to the host."""

    id = "engine.reachable"

    def __init__(self, engine: Images) -> None:
        self._engine = engine

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            info = await self._engine.info()
        except RumiError as error:
            return problem(self.id, "engine", error.message, "python3 bootstrap.py setup")
        return ok(self.id, "engine", f"The container engine {info.version} answers (API {info.api_version}).")
