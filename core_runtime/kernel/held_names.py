"""Remembers over restarts who holds which name, so that a restart is no chance to take one over (BX-11).

Which pack comes up first at a boot is chance, or what a pack arranges by its size; who was first when the owner
approved them is not. A document that cannot be believed counts for nothing, and the owner is told: then the order of
approval decides once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from core_runtime.errors import RumiError
from core_runtime.flows.book import FlowBook
from core_runtime.ids import is_pack_id
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.ports import HeldNames
from core_runtime.registry.interfaces import InterfaceRegistry

SUBJECT = "names"


class NameKeeper:
    """Keeps the document equal to what registry and flow book have pinned. Belongs to the kernel's loop."""

    def __init__(
        self, document: HeldNames, registry: InterfaceRegistry, flows: FlowBook, diagnostics: DiagnosticsBook
    ) -> None:
        self._document = document
        self._registry = registry
        self._flows = flows
        self._diagnostics = diagnostics
        self._written: dict[str, dict[str, str]] | None = None
        self._writing = asyncio.Lock()

    async def recall(self) -> None:
        """Read the document and pin what it says, once."""
        if self._written is not None:
            return
        self._written = {}
        try:
            found = await asyncio.to_thread(self._document.load)
        except RumiError as error:
            self._say(f"Who held which name cannot be believed: {error.message}", error.hint)
            return
        interfaces, flows = _names(found.get("interfaces")), _names(found.get("flows"))
        self._written = {"interfaces": interfaces, "flows": flows}
        self._registry.recall(interfaces)
        self._flows.recall(flows)

    def holders(self) -> frozenset[str]:
        """Every pack that holds a name."""
        return frozenset({*self._registry.pins.values(), *self._flows.pins.values()})

    async def keep(self) -> None:
        """Write what is pinned now, if that is new. A disk that refuses is told, and costs no pack its start."""
        async with self._writing:
            now = {"interfaces": dict(self._registry.pins), "flows": dict(self._flows.pins)}
            if now == self._written or (self._written is None and not any(now.values())):
                return
            try:
                await asyncio.to_thread(self._document.save, now)
            except RumiError as error:
                self._say(f"Who holds which name could not be kept: {error.message}", error.hint)
            else:
                self._written = now
                self._diagnostics.clear(SUBJECT)

    def _say(self, message: str, hint: str) -> None:
        self._diagnostics.put(Diagnostic(Severity.PROBLEM, "NAMES_NOT_KEPT", SUBJECT, message, hint))


def _names(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: pack for name, pack in pairs if isinstance(name, str) and isinstance(pack, str) and is_pack_id(pack)}
