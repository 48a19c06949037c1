"""The owner's own flows: files in the profile's `flows/`, each pending until exactly its bytes were approved.

They run as the host, so the rule is that of packs: a digest is approved, not a name. The approved bytes are kept in the
signed document itself, and what runs is loaded from there; a file that changed on disk is pending again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from core_runtime.audit import AuditCategory, AuditEntry, AuditTrail, Outcome
from core_runtime.canonical import sha256_hex
from core_runtime.clock import Clock
from core_runtime.errors import Conflict, NotFound, ValidationFailed
from core_runtime.flows.book import FlowBook
from core_runtime.flows.loading.document import load_flow
from core_runtime.flows.model import HOST_OWNER
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.ports import FlowFiles

SUBJECT = "flows"


class ApprovedFlows(Protocol):
    """The signed list: file name to the digest that was approved."""

    def load(self) -> Mapping[str, object]:
        """Its content. Raises `Conflict` for one that cannot be believed."""

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it, durably."""


class OwnerFlows:
    """Loads and approves the owner's flow files."""

    def __init__(
        self,
        files: FlowFiles,
        approved: ApprovedFlows,
        book: FlowBook,
        *,
        diagnostics: DiagnosticsBook,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._files = files
        self._approved = approved
        self._book = book
        self._diagnostics = diagnostics
        self._audit = audit
        self._clock = clock
        self._changing = asyncio.Lock()
        self._loaded: set[str] = set()

    async def load(self) -> int:
        """Read every file and register it as active or pending; how many are not in order."""
        async with self._changing:
            return await self._load()

    async def approve(self, file: str, digest: str | None, *, by: str) -> dict[str, object]:
        """Approve the bytes that `file` holds now (only if they have `digest`, where one is given).

        Raises `NotFound`, `ValidationFailed` for a flow that does not load, `Conflict`.
        """
        async with self._changing:
            found = dict(await asyncio.to_thread(self._files.of_owner))
            data = found.get(file)
            if data is None:
                raise NotFound(f"There is no file {file[:128]!r} in the profile's flows/.", hint="rumi flow list")
            actual = sha256_hex(data)
            if digest is not None and digest != actual:
                raise Conflict(f"{file} holds other bytes than those named.", hint=f"Look at {file} again.")
            self._refuse_broken(file, data)
            entry = AuditEntry(
                AuditCategory.APPROVAL,
                "flow.approve",
                Outcome.ALLOW,
                "host",
                actor=by,
                details={"file": file, "digest": actual},
            )
            await self._audit.durable(self._audit.append(entry))
            await asyncio.to_thread(self._remember, file, actual)
            await self._load()
            return {"file": file, "digest": actual, "state": "active"}

    def _refuse_broken(self, file: str, data: bytes) -> None:
        loaded = load_flow(data, file=file, owner=HOST_OWNER)
        if loaded.flow is None:
            lines = [problem.text() for problem in loaded.problems]
            raise ValidationFailed(
                f"{file} does not load. {lines[0] if lines else ''}",
                hint=f"rumi flow validate {file}",
                details={"problems": lines[:100]},
            )

    def _remember(self, file: str, digest: str) -> None:
        self._approved.save({**self._approved.load(), file: digest})

    async def _load(self) -> int:
        self._diagnostics.clear(SUBJECT)
        found = await asyncio.to_thread(self._files.of_owner)
        try:
            approved = await asyncio.to_thread(self._approved.load)
        except Conflict as error:
            self._say("FLOW_APPROVALS", error.message, error.hint)
            approved = {}
        await asyncio.to_thread(self._book.warm, HOST_OWNER, found)
        for gone in self._loaded - {file for file, _ in found}:
            self._book.unregister_owner(gone)
        self._loaded = {file for file, _ in found}
        broken = 0
        for file, data in found:
            entry = self._book.register_owner(file, data, approved=approved.get(file) == sha256_hex(data))
            if entry.diagnostic:
                broken += 1
                self._say(f"FLOW_OFF:{file}", entry.diagnostic, f"rumi flow validate {file}")
        return broken

    def _say(self, code: str, message: str, hint: str) -> None:
        self._diagnostics.put(Diagnostic(Severity.PROBLEM, code, SUBJECT, message, hint))
