"""Calls that went wrong: was the pack hung, and why did its connection end?

A thread that never comes back cannot be taken from outside, so a pack that holds all of its threads for ever, or whose
agent does not answer at all, is ended as a whole (FT-11): two seconds after the deadline that it missed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from core_runtime.clock import Clock
from core_runtime.errors import Unavailable
from core_runtime.sandbox.engine_port import RUNTIME_UNAVAILABLE
from core_runtime.sandbox.entry import PackEntry, unavailable
from core_runtime.sandbox.session import Session
from core_runtime.sandbox.status import EndReason

VERDICT_SECONDS = 3.0
ANSWERED_SLACK = 0.02
_WORDS = {EndReason.LOST: RUNTIME_UNAVAILABLE, EndReason.OOM: "OOM"}


class HangWatch:
    """Looks at packs that missed a deadline; one look at a time for each pack."""

    def __init__(self, clock: Clock, grace: float) -> None:
        self._clock = clock
        self._grace = grace

    def suspect(self, entry: PackEntry, deadline: float) -> None:
        """A call of this pack ended with `DeadlineExceeded`; `deadline` is on the monotonic clock."""
        if self._clock.monotonic() < deadline - ANSWERED_SLACK or entry.session is None:
            return  # the pack itself answered TIMEOUT, in time
        entry.overdue += 1
        if entry.checking is None or entry.checking.done():
            entry.checking = asyncio.create_task(self._check(entry, entry.session), name=f"check {entry.pack_id}")

    async def _check(self, entry: PackEntry, session: Session) -> None:
        """Hung is an agent that does not answer, or one whose every thread went into calls that never came back."""
        until = self._clock.monotonic() + self._grace
        alive = await session.responds(until)
        if alive and entry.overdue >= entry.threads:
            await asyncio.sleep(max(0.0, until - self._clock.monotonic()))
            alive = entry.overdue < entry.threads
        if not alive:
            session.condemn(EndReason.HUNG)


async def explained(session: Session | None, error: Unavailable) -> Unavailable:
    """The same error with the reason that the engine gives, if the connection was lost during the call."""
    if session is None or not session.ended.done():
        return error
    with suppress(TimeoutError):
        reason = await asyncio.wait_for(asyncio.shield(session.verdict), VERDICT_SECONDS)
        text = "ran out of memory" if reason is EndReason.OOM else "ended before it answered"
        hint = f"rumi pack logs {session.launch.descriptor.pack_id} shows what it wrote."
        return unavailable(f"The pack {text}.", hint, _WORDS.get(reason, "NO_RESULT"))
    return unavailable("The pack ended before it answered.", error.hint, "NO_RESULT")
