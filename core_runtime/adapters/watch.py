"""Notices that pack folders changed: from the system's events, and by looking each second, because events get lost.

What is noticed is only that somebody should look: the one who is told hashes the folder. A signature of names,
inodes, sizes and times may save that work while watching; it is never an answer to whether bytes are approved, since
an owner of the folder can forge it. A pack that is being copied, or written to without end, delays a call by 300 ms
at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from core_runtime.approval.digest import EXCLUDED_NAMES, MAX_DEPTH, MAX_FILES, MAX_FOLDERS
from core_runtime.errors import RumiError

QUIET_SECONDS = 0.1
LONGEST_SECONDS = 0.3
SWEEP_SECONDS = 1.0
MAX_NAMES = 1_000
# Not "opened": we open files to hash them, and would wake ourselves up for ever.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)

Candidates = Callable[[], Iterable[tuple[str, Path]]]
OnChange = Callable[[frozenset[str]], Awaitable[None]]


class FolderWatch:
    """Watches everything below `root`; `candidates` names the pack folders there, blocking.

    `on_change` gets the ids whose folders came, changed or went; it is never called twice at once.
    """

    def __init__(
        self, root: Path, candidates: Candidates, on_change: OnChange, *, sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self._root = root
        self._candidates = candidates
        self._on_change = on_change
        self._sweep_seconds = sweep_seconds
        self._busy = asyncio.Lock()
        self._mailbox = _Mailbox()
        self._known: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._observer = Observer()
        self.degraded = ""

    async def start(self) -> None:
        """Begin. Where the system has no watches left, looking each second goes on alone and `degraded` says so."""
        self._mailbox.open(asyncio.get_running_loop())
        handler = _Handler(self._root, self._mailbox)
        try:
            await asyncio.to_thread(self._observe, handler)
        except OSError as error:
            self.degraded = f"Folders are looked at once a second only: {error.strerror}."
        self._tasks = [asyncio.create_task(self._follow_events()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """End both ways of noticing; returns when nothing more will be called."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._mailbox.close()
        if self._observer.is_alive():
            self._observer.stop()
            await asyncio.to_thread(self._observer.join, 5.0)

    def _observe(self, handler: FileSystemEventHandler) -> None:
        self._observer.schedule(handler, str(self._root), recursive=True, event_filter=_EVENTS)
        self._observer.start()

    async def _follow_events(self) -> None:
        while True:
            names = await self._mailbox.settled()
            await self._tell(names)

    async def _sweep(self) -> None:
        """The first round finds everything new, so nothing is missed between the first scan and this."""
        while True:
            seen = await asyncio.to_thread(self._signatures)
            changed = {name for name in seen.keys() | self._known.keys() if seen.get(name) != self._known.get(name)}
            self._known = seen
            if changed:
                await self._tell(frozenset(changed))
            await asyncio.sleep(self._sweep_seconds)

    async def _tell(self, names: frozenset[str]) -> None:
        async with self._busy:
            try:
                await self._on_change(names)
            except (RumiError, OSError):
                _log.exception("looking at changed pack folders failed")

    def _signatures(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, path in self._candidates():
            found[name] = hash((found.get(name), signature_of(path)))
        return found


def signature_of(root: Path) -> int:
    """A number that changes when a file below `root` is added, removed or written by ordinary means. Blocking, cheap.

    Bounded: past the limits for a pack only the times of folders count (such a pack is refused anyhow).
    """
    rows: list[tuple[object, ...]] = []
    try:
        status = root.lstat()
        rows.append((status.st_dev, status.st_ino, status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            fd = os.open(root, _FOLDER)
            try:
                _collect(fd, rows, 1)
            finally:
                os.close(fd)
    except OSError as error:
        rows.append((error.errno,))
    return hash(tuple(rows))


def _collect(fd: int, rows: list[tuple[object, ...]], depth: int) -> None:
    folders: list[str] = []
    append = rows.append
    with os.scandir(fd) as entries:
        for entry in entries:
            name = entry.name
            if name in EXCLUDED_NAMES:
                continue
            if len(rows) > MAX_FILES + MAX_FOLDERS:
                return
            status = entry.stat(follow_symlinks=False)
            append((name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
            if stat.S_ISDIR(status.st_mode):
                folders.append(name)
    for name in folders if depth <= MAX_DEPTH else ():
        with contextlib.suppress(OSError):
            below = os.open(name, _FOLDER, dir_fd=fd)
            try:
                append((name,))
                _collect(below, rows, depth + 1)
            finally:
                os.close(below)


class _Mailbox:
    """Names of packs on their way from the observer's thread to the loop: a set, so a storm of events stays small."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._woken = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take letters from now on."""
        self._loop = loop

    def close(self) -> None:
        """Take no more: the loop may be gone."""
        with self._lock:
            self._loop = None

    def put(self, name: str) -> None:
        """From the observer's thread. Beyond the bound names are dropped: the next sweep finds them."""
        with self._lock:
            if len(self._names) < MAX_NAMES:
                self._names.add(name)
            if self._loop is not None and not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._wake.set)

    async def settled(self) -> frozenset[str]:
        """Names once no event came for 100 ms, or 300 ms after the first."""
        await self._wake.wait()
        deadline = asyncio.get_running_loop().time() + LONGEST_SECONDS
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._rearm()
            try:
                await asyncio.wait_for(self._wake.wait(), min(QUIET_SECONDS, left))
            except TimeoutError:
                break
        with self._lock:
            names, self._names = frozenset(self._names), set()
            self._woken = False
        self._wake.clear()
        return names

    def _rearm(self) -> None:
        with self._lock:
            self._woken = False
        self._wake.clear()


class _Handler(FileSystemEventHandler):
    """Says whose folder an event was in; runs in the observer's thread."""

    def __init__(self, root: Path, mailbox: _Mailbox) -> None:
        self._root = os.fspath(root)
        self._mailbox = mailbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        """See watchdog. A move concerns both of its ends."""
        for path in {event.src_path, event.dest_path}:
            name = self._pack_of(os.fsdecode(path))
            if name:
                self._mailbox.put(name)

    def _pack_of(self, path: str) -> str:
        if not path.startswith(f"{self._root}/"):
            return ""
        parts = path[len(self._root) + 1 :].split("/")
        if not EXCLUDED_NAMES.isdisjoint(parts):
            return ""
        if parts[0] == "packs":
            return parts[1] if len(parts) > 1 else ""
        return parts[0]
