"""What serving needs of the profile and the kernel that the composition root makes. Protocols only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from core_runtime.adapters.audit_log import AuditFiles, AuditLog
from core_runtime.capability.catalogue import Catalogue
from core_runtime.clock import Clock
from core_runtime.handlers.ports import Stores
from core_runtime.kernel import Kernel
from core_runtime.kernel.diagnostics import Diagnostic
from core_runtime.settings import LoadedSettings


class Document(Protocol):
    """One signed document."""

    def load(self) -> Mapping[str, object]:
        """Its content."""

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it."""


class OpenProfile(Protocol):
    """What serving needs of an open profile."""

    @property
    def settings(self) -> LoadedSettings:
        """The settings it was opened with."""

    @property
    def root(self) -> Path:
        """Its folder."""

    @property
    def clock(self) -> Clock:
        """Its clock."""

    @property
    def audit(self) -> AuditLog:
        """Its trail."""

    @property
    def instance_id(self) -> str:
        """Names this installation."""

    def signed(self, name: str) -> Document:
        """One signed document of the kernel's own."""

    def audit_files(self) -> AuditFiles:
        """The trail, for reading."""


class Assembled(Protocol):
    """What serving needs of a kernel that was put together."""

    @property
    def catalogue(self) -> Catalogue:
        """The permissions there are."""

    @property
    def stores(self) -> Stores:
        """The packs' databases."""

    async def open(self, stack: AsyncExitStack) -> Kernel:
        """Make what lives on the loop."""

    def candidates(self) -> Collection[tuple[str, Path]]:
        """The pack folders there are, for the watcher."""

    async def engine_status(self) -> Mapping[str, object]:
        """What the engine says of itself."""

    async def checks(self) -> Sequence[Diagnostic]:
        """What the doctor's checks find now."""
