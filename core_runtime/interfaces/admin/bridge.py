"""From a worker thread of the API to the kernel's loop and back.

Flask answers in threads, the kernel lives on one loop; this is the only way over. Every crossing has a deadline, after
which the work is cancelled on the loop and the thread is free again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Protocol

from core_runtime.errors import Cancelled, DeadlineExceeded, Unavailable

CROSSING_SECONDS = 30.0


class Bridge(Protocol):
    """Runs kernel work from a thread."""

    def call(self, work: Coroutine[object, object, object], seconds: float = CROSSING_SECONDS) -> object:
        """Run `work` on the loop and return its result. Raises what it raises, or `DeadlineExceeded`."""


class LoopBridge:
    """The bridge to one running loop. Must not be called from that loop's own thread: it would wait for itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call(self, work: Coroutine[object, object, object], seconds: float = CROSSING_SECONDS) -> object:
        """See `Bridge`."""
        if self._loop.is_closed():
            work.close()
            raise Unavailable("The kernel is stopping.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            if future.done():  # the work itself ran into a timeout of its own
                raise DeadlineExceeded("The kernel did not answer in time.") from None
            future.cancel()
            raise DeadlineExceeded(f"The kernel did not answer within {seconds:g} s.") from None
        except concurrent.futures.CancelledError:
            raise Cancelled("The kernel stopped this work.") from None
