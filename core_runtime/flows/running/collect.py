"""Answers of the world as plain values: an awaitable is recognised, a stream becomes a list within the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable
from typing import Final

from core_runtime.errors import Cancelled, InterfaceFailed
from core_runtime.flows.expressions.values import too_large, weigh
from core_runtime.flows.limits import MAX_VALUE
from core_runtime.wire.streams import Item

JSON_TYPES: Final = frozenset({dict, list, str, int, float, bool, type(None)})


def is_awaitable(value: object) -> bool:
    """True for a coroutine or future; JSON values are told apart by a look at their type."""
    kind = type(value)
    return kind not in JSON_TYPES and hasattr(kind, "__await__")


async def gathered(stream: AsyncIterable[object]) -> list[object]:
    """All items of a stream. Raises `TooLarge` over 4 MiB and `InterfaceFailed` for bytes."""
    found: list[object] = []
    total = 0
    async for element in stream:
        if not isinstance(element, Item):
            raise InterfaceFailed(
                "The interface answers with bytes.", hint="A flow takes JSON; let a block of a pack read it."
            )
        total += weigh(element.value, MAX_VALUE)
        if total > MAX_VALUE:
            raise too_large(MAX_VALUE)
        found.append(element.value)
    return found


async def _awaited(value: Awaitable[object]) -> object:
    """Await it; a cancellation that is not ours (what it waited for was given up) is a failure of the step."""
    try:
        return await value
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Cancelled("What the step waited for was cancelled.") from None


async def settled(value: object) -> object:
    """The plain value behind whatever the world answered with."""
    if is_awaitable(value):
        value = await _awaited(value)  # type: ignore[arg-type]
    if isinstance(value, AsyncIterable) and type(value) not in JSON_TYPES:
        return await gathered(value)
    return value
