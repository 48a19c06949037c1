"""The audit trail: appends chained lines to `audit/<YYYY-MM-DD>.jsonl` and makes them durable.

`append` returns once the operating system has the line (one `write` on an `O_APPEND` descriptor), so that a killed
kernel loses none. A thread of its own fsyncs in groups, within 50 ms, or at once for whoever waits in `durable`. When a
line cannot be written whole it is taken back and the caller is told, so that it does not act; when a sync fails nothing
is accepted any more, because what the disk holds is then unknown. At start the chain is continued or, if its end does
not check, refused: the log is never begun anew over an old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core_runtime.adapters.audit_log.chain import Stamp, forge
from core_runtime.adapters.audit_log.opening import Reserve, append_head, continue_chain, open_day
from core_runtime.adapters.audit_log.reading import Filter, Line, head_bytes, query, tail
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.clock import Clock
from core_runtime.errors import RumiError, StorageFull, Unavailable

SYNC_SECONDS = 0.04
HEAD_SECONDS = 3600.0
CLOSE_SECONDS = 10.0
Sign = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class _Head:
    """The end of a file: what is signed."""

    seq: int
    hash: str
    day: str
    fd: int


@dataclass(slots=True)
class _Waiter:
    seq: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class AuditLog:
    """The trail of one profile. `append` may be called from any thread; `durable` on a loop.

    `sign` gives the signature (text) of bytes, from the key for audit heads; empty while that key is locked.
    """

    def __init__(self, folder: Path, clock: Clock, sign: Sign) -> None:
        self._folder = folder
        self._clock = clock
        self._sign = sign
        self._lock = threading.Lock()
        self._stamp = Stamp()
        end = continue_chain(folder, sign)
        self._seq, self._hash = end.seq, end.hash
        self.last_ts = end.ts
        self._day = end.day or self._today()
        self._fd, self._size = open_day(folder, self._day)
        self._reserve = Reserve(folder)
        self._broken: RumiError | None = None
        self._failed: RumiError | None = None
        self._durable = self._seq
        self._headed = end.headed
        self._next_head = clock.monotonic() + HEAD_SECONDS
        self._waiters: deque[_Waiter] = deque()
        self._asked: set[asyncio.AbstractEventLoop] = set()
        self._retired: list[_Head] = []
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._dirty = self._closing = False
        self._thread = threading.Thread(target=self._main, name="audit sync", daemon=True)
        self._thread.start()
        if end.torn:
            details = {"file": f"{end.day}.jsonl", "bytes": end.torn}
            self.append(AuditEntry(AuditCategory.SECURITY, "audit.torn_line", Outcome.OK, "kernel", details=details))

    def append(self, entry: AuditEntry) -> int:
        """See `AuditTrail`. Raises `StorageFull` or `Unavailable`; then there is no such line."""
        with self._lock:
            if self._broken is not None:
                raise type(self._broken)(self._broken.message, hint=self._broken.hint)
            wall = self._clock.wall()
            ts = self._stamp.of(wall)
            if self._stamp.day > self._day:
                self._rotate(self._stamp.day)
            seq = self._seq + 1
            line, digest = forge(entry, seq, ts, self._hash)
            self._write(line, urgent=entry.urgent)
            self._seq, self._hash = seq, digest
            if not self._dirty:
                self._dirty = True
                self._wake.set()
            return seq

    async def durable(self, seq: int) -> None:
        """See `AuditTrail`. Raises `Unavailable` if the sync fails."""
        if seq <= self._durable:
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(seq, loop, loop.create_future())
        if self._failed is not None or self._closing:
            raise Unavailable("The audit log takes nothing any more.", hint="Mend the disk, then start again.")
        self._waiters.append(waiter)
        if loop not in self._asked:  # whoever else is ready on the loop comes along in the same sync
            self._asked.add(loop)
            loop.call_soon(self._ask, loop)
        await waiter.future

    def tail(self, count: int = 50) -> list[Line]:
        """The newest lines, oldest first. Blocking."""
        return tail(self._folder, count)

    def query(self, wanted: Filter, *, limit: int = 100) -> list[Line]:
        """The newest matching lines, newest first. Blocking."""
        return query(self._folder, wanted, limit=limit)

    def close(self) -> None:
        """Sync, sign the head, end the thread. Blocking; the log takes nothing afterwards."""
        with self._lock:
            self._closing = True
            self._broken = self._broken or Unavailable("The audit log is closed.", hint="The kernel is stopping.")
        self._urgent.set()
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        _answer(list(self._waiters), self._broken)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asked.discard(loop)
        self._dirty = True
        self._urgent.set()
        self._wake.set()

    def _today(self) -> str:
        self._stamp.of(self._clock.wall())
        return self._stamp.day

    def _write(self, line: bytes, *, urgent: bool) -> None:
        """All of the line or nothing of it. What must work on a full disk gets the reserved space."""
        try:
            self._write_all(line)
        except OSError as error:
            if not (urgent and error.errno in {errno.ENOSPC, errno.EDQUOT} and self._reserve.release()):
                raise self._refused(error) from None
            try:
                self._write_all(line)
            except OSError as again:
                raise self._refused(again) from None

    def _write_all(self, line: bytes) -> None:
        try:
            if os.write(self._fd, line) == len(line):
                self._size += len(line)
                return
        except OSError:
            self._take_back()
            raise
        self._take_back()
        raise OSError(errno.ENOSPC, "short write")

    def _take_back(self) -> None:
        """Cut off what a failed write left, so that the file ends in a whole line again."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._broken = Unavailable(
                "A line of the audit log was torn and could not be taken back.",
                hint="Mend the disk, then start again: the torn line is cut off then.",
            )

    def _refused(self, error: OSError) -> RumiError:
        if self._broken is not None:
            return self._broken
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StorageFull(
                "The audit line cannot be written: the disk is full. Nothing was done.",
                hint="Free space, then try again.",
            )
        return Unavailable(
            f"The audit line cannot be written ({error.strerror}). Nothing was done.",
            hint="rumi doctor checks the disk.",
        )

    def _rotate(self, day: str) -> None:
        """A new day, a new file, the same chain. The thread syncs, signs and closes the old one."""
        try:
            fd, size = open_day(self._folder, day)
        except OSError as error:
            raise self._refused(error) from None
        self._retired.append(_Head(self._seq, self._hash, self._day, self._fd))
        self._fd, self._size, self._day = fd, size, day

    def _main(self) -> None:
        while not self._closing:
            self._wake.wait(HEAD_SECONDS / 4)
            self._wake.clear()
            if self._dirty:
                self._urgent.wait(SYNC_SECONDS)  # while nobody waits, gather what comes in
            self._urgent.clear()
            self._round()
        self._round(last=True)
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def _round(self, *, last: bool = False) -> None:
        with self._lock:
            self._dirty = False
            waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
            end = _Head(self._seq, self._hash, self._day, self._fd)
            retired, self._retired = self._retired, []
        if self._failed is None:
            try:
                self._make_durable(end, retired, last=last)
            except OSError as failure:
                self._failed = Unavailable(
                    f"The audit log could not be made durable ({failure.strerror}).",
                    hint="Mend the disk, then start again.",
                )
                with self._lock:
                    self._broken = self._failed
        _answer(waiters, self._failed)

    def _make_durable(self, end: _Head, retired: list[_Head], *, last: bool) -> None:
        for old in retired:
            os.fdatasync(old.fd)
            os.close(old.fd)
            self._sign_head(old)
        if end.seq > self._durable:
            os.fdatasync(end.fd)
            self._durable = end.seq
        if last or self._clock.monotonic() >= self._next_head:
            self._sign_head(end)
            self._reserve.prepare()
            self._next_head = self._clock.monotonic() + HEAD_SECONDS

    def _sign_head(self, end: _Head) -> None:
        """Append the signed head of lines that are on disk already. Raises `OSError`."""
        if end.seq <= self._headed:
            return
        ts = Stamp().of(self._clock.wall())
        head: dict[str, object] = {"seq": end.seq, "ts": ts, "file": f"{end.day}.jsonl", "hash": end.hash}
        signature = self._sign(head_bytes(head))
        if not signature:  # there is no key that could be believed; the chain itself goes on
            return
        append_head(self._folder, {**head, "signature": signature})
        self._headed = end.seq


def _answer(waiters: list[_Waiter], error: RumiError | None) -> None:
    for loop in {waiter.loop for waiter in waiters}:
        with contextlib.suppress(RuntimeError):  # a loop that is closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, [waiter for waiter in waiters if waiter.loop is loop], error)


def _settle(waiters: list[_Waiter], error: RumiError | None) -> None:
    for waiter in waiters:
        if waiter.future.done():
            continue
        if error is None:
            waiter.future.set_result(None)
        else:
            waiter.future.set_exception(error)
