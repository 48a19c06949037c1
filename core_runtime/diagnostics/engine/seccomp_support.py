"""Can the engine filter system calls?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, problem
from core_runtime.errors import RumiError
from core_runtime.sandbox.engine_port import Images


class SeccompSupport:
    """Without seccomp a pack would have the whole surface of the kernel before it."""

    id = "engine.seccomp"

    def __init__(self, engine: Images) -> None:
        self._engine = engine

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            supported = (await self._engine.info()).seccomp
        except RumiError:
            return ok(self.id, "engine", "Not looked at: the engine does not answer.")
        if not supported:
            hint = "Use a kernel with CONFIG_SECCOMP_FILTER and an engine that was built with seccomp."
            return problem(self.id, "engine", "The engine cannot filter system calls (no seccomp).", hint)
        return ok(self.id, "engine", "The engine filters system calls by our profiles.")
