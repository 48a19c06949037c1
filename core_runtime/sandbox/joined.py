"""One question to the engine for all who ask it at the same time.

At a boot every pack asks what engine and image there are; an engine runs programs to answer the first. It must never
keep an answer: who asks after it came asks anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """`await joined()` gives what `ask()` gives, or raises what it raises."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Join the question that is under way, or ask. One who gives up does not end it for the others."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
            self._asking.add_done_callback(_retrieve)
        return await asyncio.shield(self._asking)

    async def _answer(self) -> T:
        return await self._ask()


def _retrieve(task: asyncio.Task[T]) -> None:
    """Nobody may be waiting any more; a failure is theirs who were."""
    if not task.cancelled():
        task.exception()
