"""One interface as listings show it: what a caller may know of it, and nothing of who else calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core_runtime.authority import Risk


@dataclass(frozen=True, slots=True)
class InterfaceListing:
    """Name, provider and what the manifest says."""

    name: str
    pack_id: str
    summary: Mapping[str, str] = field(default_factory=dict)
    risk: Risk | None = None
    tags: tuple[str, ...] = ()
    input_schema: Mapping[str, object] | None = None
    output_schema: Mapping[str, object] | None = None
