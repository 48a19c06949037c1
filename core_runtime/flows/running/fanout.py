"""The only place that makes tasks: a bounded number side by side, all finished before it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from core_runtime.flows.running.outcome import FlowStopped


async def side_by_side(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Run all; the first failure cancels the others and is raised as itself (a `stop` before any error)."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves = list(_leaves(failures))
    return next((leaf for leaf in leaves if isinstance(leaf, FlowStopped)), leaves[0])


def _leaves(failures: BaseExceptionGroup[BaseException]) -> Sequence[BaseException]:
    found: list[BaseException] = []
    for failure in failures.exceptions:
        found.extend(_leaves(failure) if isinstance(failure, BaseExceptionGroup) else [failure])
    return found
