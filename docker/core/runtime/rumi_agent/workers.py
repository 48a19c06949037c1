"""Threads for handlers: at most `concurrency` jobs run at once, the rest wait in one queue; idle threads go away.

A handler that waits for a call that may come back to this pack lends its place (32 at most), so that a chain of calls
through one pack ends instead of waiting for itself. Where many chains use up even those, `unstall` gives the newest
call up, so that the others go on: a refusal is better than a wait without end (UD-15).
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]
from _thread import allocate_lock, start_new_thread

from rumi_agent.limits import IDLE_THREAD_SECONDS, NESTED_CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Protocol

    class Job(Protocol):
        """Something for a thread; `run` never raises."""

        def run(self) -> None: ...

    class Refusable(Protocol):
        """A job that can be given up before it ran."""

        def give_up(self) -> None: ...


class _Parked:
    """A thread that waits for work."""

    __slots__ = ("gate", "work")

    def __init__(self) -> None:
        self.gate: LockType = allocate_lock()
        self.gate.acquire()
        self.work: Callable[[], None] | None = None


class Workers:
    """The queue, the places and the threads. Safe to use from any thread."""

    def __init__(self, concurrency: int) -> None:
        self.queue: deque[Job] = deque()
        self.active: set[object] = set()
        self._concurrency = concurrency
        self._lent = 0
        self.moved = 0
        self._parked: list[_Parked] = []
        self._lock = allocate_lock()

    def has_place(self) -> bool:
        """True while one more handler may run."""
        return len(self.active) < self._concurrency + min(self._lent, NESTED_CALLS)

    def enqueue(self, job: Job) -> None:
        """Run a job as soon as there is a place."""
        self.queue.append(job)
        self.schedule()

    def schedule(self) -> None:
        """Give places to what waits."""
        while self.queue:
            with self._lock:
                if not self.queue or not self.has_place():
                    return
                job = self.queue.popleft()
                self.active.add(job)
            if not self.start(lambda job=job: self._run(job)):  # type: ignore[misc]
                with self._lock:
                    self.active.discard(job)
                    self.queue.appendleft(job)
                return

    def start(self, work: Callable[[], None]) -> bool:
        """Run `work` on a thread of its own, outside the places. False when no thread can be had now."""
        with self._lock:
            parked = self._parked.pop() if self._parked else None
        if parked is not None:
            parked.work = work
            parked.gate.release()
            return True
        try:
            start_new_thread(self._live, (work,))
        except (RuntimeError, MemoryError):
            return False
        return True

    def lend(self) -> None:
        """The caller's handler begins to wait for a call that may need a place itself."""
        with self._lock:
            self._lent += 1
        self.schedule()

    def take_back(self) -> None:
        """That wait is over."""
        with self._lock:
            self._lent -= 1
            self.moved += 1

    def unstall(self, seen: int) -> None:
        """Give up the newest waiting call if every place waits for the kernel and nothing has moved since `seen`."""
        with self._lock:
            if self.moved != seen or self._lent < len(self.active):
                return
            newest = next((job for job in reversed(self.queue) if hasattr(job, "give_up")), None)
            if newest is None:
                return
            self.queue.remove(newest)
            self.moved += 1
        newest.give_up()

    def leave(self, job: object) -> None:
        """A handler that ran on the reader's thread is done."""
        self.moved += 1
        self.active.discard(job)
        if self.queue:
            self.schedule()

    def _run(self, job: Job) -> None:
        following: Job | None = job
        while following is not None:
            following.run()
            with self._lock:
                self.moved += 1
                self.active.discard(following)
                following = self.queue.popleft() if self.queue and self.has_place() else None
                if following is not None:
                    self.active.add(following)

    def _live(self, work: Callable[[], None] | None) -> None:
        me = _Parked()
        while work is not None:
            work()
            work = None
            if self.queue:
                self.schedule()
            with self._lock:
                self._parked.append(me)
            if not me.gate.acquire(timeout=IDLE_THREAD_SECONDS):
                with self._lock:
                    if me in self._parked:
                        self._parked.remove(me)
                        return
                me.gate.acquire()  # work was given at the last instant
            work, me.work = me.work, None
