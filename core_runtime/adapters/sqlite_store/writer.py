"""One thread that writes one database: whatever came in while the last commit ran goes into the next one.

Each operation stands in a savepoint of its own: one that is refused leaves no trace and harms no other. An operation is
answered only after its transaction is on disk (synchronous=FULL), so what was told survives a kill at any instant.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from core_runtime.adapters.sqlite_store.database import translate
from core_runtime.errors import RateLimited, RumiError, Unavailable

MAX_QUEUED = 2048
MAX_BATCH = 256
CLOSE_SECONDS = 30.0
Operation = Callable[[sqlite3.Connection], object]


@dataclass(slots=True)
class _Job:
    operation: Operation
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[object]
    result: object = None
    error: RumiError | None = None


class GroupWriter:
    """Runs operations on `connection`, in the order they came. `name` is for errors."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy = False

    @property
    def idle(self) -> bool:
        """True if nothing is queued or running."""
        return not self._jobs and not self._busy

    def submit(self, operation: Operation) -> asyncio.Future[object]:
        """Queue one operation; the future ends after its commit. Must be called on a loop."""
        loop = asyncio.get_running_loop()
        job = _Job(operation, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise Unavailable(f"{self._name} was just closed.", hint="Try again.")
            if len(self._jobs) >= MAX_QUEUED:
                raise RateLimited(f"Too many writes to {self._name} wait already.", hint="Write less at once.")
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name=f"writer {self._name}", daemon=True)
                self._thread.start()
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Finish what is queued, then end the thread. Blocking."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _main(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while not self._jobs and not self._closed:
                    self._changed.wait()
                batch = list(islice(self._jobs, MAX_BATCH))
                if not batch:
                    return
                for _ in batch:
                    self._jobs.popleft()
                self._busy = True
            self._write(batch)
            _answer(batch)

    def _write(self, batch: list[_Job]) -> None:
        try:
            self._transaction(batch)
        except sqlite3.Error as error:
            self._roll_back()
            if len(batch) == 1:
                batch[0].error = translate(error, self._name)
                return
            for job in batch:  # one that the disk refuses must not take the others with it
                job.error, job.result = None, None
                self._write([job])

    def _transaction(self, batch: list[_Job]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for job in batch:
            execute("SAVEPOINT job")
            try:
                job.result = job.operation(self._connection)
            except RumiError as error:
                job.error = error
                execute("ROLLBACK TO job")
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - a defect in one operation must not end the thread
                job.error = Unavailable(f"{self._name} could not be written ({type(error).__name__}).")
                execute("ROLLBACK TO job")
            execute("RELEASE job")
        execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass


def _answer(batch: list[_Job]) -> None:
    """Wake each loop once for the whole batch."""
    for loop in {job.loop for job in batch}:
        try:
            loop.call_soon_threadsafe(_settle, [job for job in batch if job.loop is loop])
        except RuntimeError:  # that loop is closed: nobody waits any more
            continue


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
