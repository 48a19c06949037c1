"""All packs' databases: `stores/<pack_id>.sqlite3`, opened on first use, a bounded number at a time.

A file name is a pack id by its grammar, nothing else of a call ever shapes a path (ST-03). One pack's broken database
is one pack's trouble: it is refused for a while and tried again, and the others run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from pathlib import Path

from core_runtime.adapters.sqlite_store import entries
from core_runtime.adapters.sqlite_store.database import Database, open_database, translate
from core_runtime.adapters.sqlite_store.writer import GroupWriter
from core_runtime.capability.stores import PageQuery, StoredValue, StorePage, StorePlace, StoreUsage, StoreWrite
from core_runtime.clock import Clock
from core_runtime.errors import NotFound, RumiError, Unavailable
from core_runtime.ids import is_pack_id

MAX_OPEN = 64
RETRY_SECONDS = 2.0
MAX_REMEMBERED_FAILURES = 256


class PackStore:
    """One open database. Reads belong to the loop's thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.name = f"stores/{database.path.name}"
        self._writer = GroupWriter(database.writer, self.name)

    @property
    def idle(self) -> bool:
        """True if no write is under way."""
        return self._writer.idle

    def get(self, place: StorePlace, key: str) -> StoredValue | None:
        """The live entry, or None."""
        try:
            return entries.get(self._database.reader, place, key, self._clock.wall())
        except sqlite3.Error as error:
            raise translate(error, self.name) from None

    def page(self, place: StorePlace, query: PageQuery) -> StorePage:
        """A page of live entries."""
        try:
            return entries.page(self._database.reader, place, query, self._clock.wall())
        except sqlite3.Error as error:
            raise translate(error, self.name) from None

    def usage(self, store_id: str) -> StoreUsage:
        """How many live entries a store has, in all its scopes, and how many bytes are charged for it."""
        try:
            return entries.usage(self._database.reader, store_id, self._clock.wall())
        except sqlite3.Error as error:
            raise translate(error, self.name) from None

    async def set(self, place: StorePlace, write: StoreWrite) -> int:
        """Write one entry; its version, once it is on disk."""
        version = await self._writer.submit(entries.put(place, write, self._clock.wall()))
        return version if isinstance(version, int) else 0

    async def delete(self, place: StorePlace, key: str, expected: int | None) -> bool:
        """Delete one entry; True if it was there."""
        return bool(await self._writer.submit(entries.remove(place, key, expected, self._clock.wall())))

    def close(self) -> None:
        """Finish the writes and close the file. Blocking."""
        self._writer.close()
        self._database.close()


class SqliteStores:
    """The databases under `folder`. Belongs to one loop; opening and closing run in threads."""

    def __init__(self, folder: Path, clock: Clock, *, max_open: int = MAX_OPEN) -> None:
        self._folder = folder
        self._clock = clock
        self._max_open = max_open
        self._open: OrderedDict[str, PackStore] = OrderedDict()
        self._opening: dict[str, asyncio.Task[PackStore]] = {}
        self._failed: OrderedDict[str, tuple[float, RumiError]] = OrderedDict()
        self._going: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def ready(self, pack_id: str) -> PackStore | None:
        """The database, if it is open."""
        store = self._open.get(pack_id)
        if store is not None and len(self._open) > 1:
            self._open.move_to_end(pack_id)
        return store

    async def opened(self, pack_id: str) -> PackStore:
        """The database, opened now if need be. Raises `NotFound`, `Unavailable`, `StorageFull`."""
        if not is_pack_id(pack_id):
            raise NotFound("There is no pack of that name.")
        store = self.ready(pack_id)
        if store is not None:
            return store
        self._known_failure(pack_id)
        task = self._opening.get(pack_id)
        if task is None:
            task = self._opening[pack_id] = asyncio.create_task(self._open_one(pack_id))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Close all of them, finishing their writes."""
        self._closing = True
        for task in (*self._opening.values(), *self._going.values()):
            await asyncio.wait([task])
        stores = list(self._open.values())
        self._open.clear()
        for store in stores:
            await asyncio.to_thread(store.close)

    async def _open_one(self, pack_id: str) -> PackStore:
        try:
            if self._closing:
                raise Unavailable("The kernel is stopping.", hint="Try again when it runs.")
            going = self._going.get(pack_id)
            if going is not None:
                await asyncio.wait([going])
            path = self._folder / f"{pack_id}.sqlite3"
            database = await asyncio.to_thread(open_database, path, entries.LAYOUT)
            store = self._open[pack_id] = PackStore(database, self._clock)
        except RumiError as error:
            self._failed[pack_id] = (self._clock.monotonic() + RETRY_SECONDS, error)
            if len(self._failed) > MAX_REMEMBERED_FAILURES:
                self._failed.popitem(last=False)
            raise
        finally:
            del self._opening[pack_id]
        await self._close_idle(keep=pack_id)
        return store

    def _known_failure(self, pack_id: str) -> None:
        """A broken file is not checked again by every call: a pack could keep the disk busy with that."""
        until, error = self._failed.get(pack_id, (0.0, None))
        if error is not None and self._clock.monotonic() < until:
            raise type(error)(error.message, hint=error.hint, details=error.details)
        self._failed.pop(pack_id, None)

    async def _close_idle(self, *, keep: str) -> None:
        for pack_id in list(self._open):
            if len(self._open) <= self._max_open:
                return
            if pack_id != keep and self._open[pack_id].idle:
                going = asyncio.create_task(asyncio.to_thread(self._open.pop(pack_id).close))
                self._going[pack_id] = going
                await asyncio.wait([going])
                del self._going[pack_id]
