"""Streams that live on after their call was allowed, and end when it no longer would be.

A grant taken back ends them within a second, also one that is waiting for its next element: whoever waits is
cancelled inside, and sees the refusal, not a cancellation. A stream that nobody holds any more is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, runtime_checkable
from weakref import WeakSet

from core_runtime.errors import RumiError

CHECK_SECONDS = 0.5
Recheck = Callable[[], RumiError | None]


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class LiveStreams:
    """Wraps streams and checks them all, only while there are any. Belongs to one loop."""

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._later = later
        self._live: WeakSet[GuardedStream] = WeakSet()
        self._scheduled = False

    def guard(self, stream: AsyncIterator[object], recheck: Recheck) -> GuardedStream:
        """The same elements, until `recheck` gives an error."""
        guarded = GuardedStream(stream, recheck, self._live)
        self._live.add(guarded)
        self._schedule()
        return guarded

    def check(self) -> None:
        """Ask again for every live stream; end those that are no longer allowed."""
        for stream in list(self._live):
            error = stream.recheck()
            if error is not None:
                stream.revoke(error)

    def _schedule(self) -> None:
        if not self._scheduled and self._live:
            self._scheduled = True
            self._later(CHECK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        self.check()
        self._schedule()


class GuardedStream:
    """An async iterator with one reader at a time."""

    def __init__(self, inner: AsyncIterator[object], recheck: Recheck, live: WeakSet[GuardedStream]) -> None:
        self._inner = inner
        self._live = live
        self._error: RumiError | None = None
        self._reader: asyncio.Task[object] | None = None
        self.recheck = recheck

    def __aiter__(self) -> GuardedStream:
        """An iterator is its own."""
        return self

    async def __anext__(self) -> object:
        """The next element. Raises the refusal once there is one."""
        self._reader = reader = asyncio.current_task()
        try:
            if self._error is None:
                return await anext(self._inner)
        except asyncio.CancelledError:
            if not self._was_revoked() or reader is None or reader.uncancel() > 0:
                raise
        except BaseException:
            self._live.discard(self)
            raise
        finally:
            self._reader = None
        await self.aclose()
        raise self._error or StopAsyncIteration

    def _was_revoked(self) -> bool:
        return self._error is not None

    def revoke(self, error: RumiError) -> None:
        """End it now: a waiting reader wakes with the refusal."""
        if self._error is None:
            self._error = error
            self._live.discard(self)
            if self._reader is not None:
                self._reader.cancel()

    async def aclose(self) -> None:
        """Close the source. Safe to call twice."""
        self._live.discard(self)
        if isinstance(self._inner, _Closable):
            await self._inner.aclose()
