"""The trail for the owner's doors: searches and verification, each in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from core_runtime.adapters.audit_log.reading import Filter, Line, query, verify
from core_runtime.clock import iso

Sign = Callable[[bytes], str]


class Wanted(Protocol):
    """What is looked for; None means any. Times are Unix seconds, `after` is a sequence number."""

    @property
    def category(self) -> str | None: ...
    @property
    def principal(self) -> str | None: ...
    @property
    def action(self) -> str | None: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def since(self) -> float | None: ...
    @property
    def until(self) -> float | None: ...
    @property
    def after(self) -> int | None: ...
    @property
    def limit(self) -> int: ...


class AuditFiles:
    """Reads one profile's `audit/`."""

    def __init__(self, folder: Path, sign: Sign) -> None:
        self._folder = folder
        self._sign = sign

    async def search(self, wanted: Wanted, before: int | None) -> list[Line]:
        """Matching lines: the newest first, or with `after` those that follow it, the oldest first."""
        search = Filter(
            category=wanted.category or "",
            principal=wanted.principal or "",
            action=wanted.action or "",
            outcome=wanted.outcome or "",
            request_id=wanted.request_id or "",
            since="" if wanted.since is None else iso(wanted.since),
            until="" if wanted.until is None else iso(wanted.until),
            before=before or 0,
            after=wanted.after or 0,
        )
        found = await asyncio.to_thread(query, self._folder, search, limit=wanted.limit)
        return found if wanted.after is None else found[::-1]

    async def check(self) -> dict[str, object]:
        """`{ok, files, lines, first_bad}`, the signatures of the heads included."""
        return await asyncio.to_thread(verify, self._folder, sign=self._sign)
