"""Is the sandbox image on this machine?"""

from __future__ import annotations

from core_runtime.diagnostics.model import Finding, ok, problem
from core_runtime.errors import RumiError
from core_runtime.sandbox.engine_port import IMAGE_MISSING, Images


class ImagePresent:
    """Images are never pulled: the set-up makes the one that packs run in."""

    id = "engine.image"

    def __init__(self, engine: Images, reference: str) -> None:
        self._engine = engine
        self._reference = reference

    async def run(self) -> Finding:
        """See `Check`."""
        try:
            content = await self._engine.image(self._reference)
        except RumiError as error:
            if error.details.get("reason") == IMAGE_MISSING:
                return problem(self.id, "image", f"There is no image {self._reference}.", "python3 bootstrap.py setup")
            return ok(self.id, "image", "Not looked at: the engine does not answer.")
        return ok(self.id, "image", f"The image {self._reference} is here ({content[:19]}).")
