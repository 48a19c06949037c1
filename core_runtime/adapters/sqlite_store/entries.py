"""The SQL of key-value entries. Reads run on the loop, writes as operations of the writer thread.

Keys are blobs of UTF-8, so that order and prefixes are those of bytes. The version of a key never repeats: a key that
is deleted lifts its store's floor, above which every new key begins. `used_bytes` counts each entry with its key,
scope, value and a fixed overhead, so that a flood of tiny entries fills the quota and not the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from core_runtime.adapters.sqlite_store.database import Layout
from core_runtime.capability.stores import (
    ENTRY_OVERHEAD,
    PageQuery,
    StoredItem,
    StoredValue,
    StorePage,
    StorePlace,
    StoreUsage,
    StoreWrite,
)
from core_runtime.errors import Conflict, StorageFull

PURGE_ROWS = 256
PURGE_BATCH = 16
PURGE_ROUNDS = 16

LAYOUT = Layout(
    format=1,
    max_bytes=4 * 1024**3,
    schema="""
    CREATE TABLE entries(
        store TEXT NOT NULL, scope TEXT NOT NULL, key BLOB NOT NULL,
        value BLOB NOT NULL, version INTEGER NOT NULL, expires_at REAL,
        PRIMARY KEY(store, scope, key));
    CREATE INDEX entries_expiry ON entries(expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE totals(store TEXT PRIMARY KEY, used_bytes INTEGER NOT NULL, floor INTEGER NOT NULL) WITHOUT ROWID""",
)

_GET = """SELECT value, version FROM entries
    WHERE store=? AND scope=? AND key=? AND (expires_at IS NULL OR expires_at > ?)"""
_PAGE = """SELECT key, version, length(value){value} FROM entries
    WHERE store=? AND scope=? AND key > ? AND key >= ? AND key < ? AND (expires_at IS NULL OR expires_at > ?)
    ORDER BY key LIMIT ?"""
_COUNT = "SELECT count(*) FROM entries WHERE store=? AND (expires_at IS NULL OR expires_at > ?)"
_OLD = "SELECT version, length(value), expires_at FROM entries WHERE store=? AND scope=? AND key=?"
_PUT = """INSERT INTO entries(store, scope, key, value, version, expires_at) VALUES(?, ?, ?, ?, ?, ?)
    ON CONFLICT(store, scope, key) DO UPDATE SET value=excluded.value, version=excluded.version,
    expires_at=excluded.expires_at"""
_REMOVE = "DELETE FROM entries WHERE store=? AND scope=? AND key=?"
_TOTALS = "SELECT used_bytes, floor FROM totals WHERE store=?"
_SET_TOTALS = """INSERT INTO totals(store, used_bytes, floor) VALUES(?, ?, ?)
    ON CONFLICT(store) DO UPDATE SET used_bytes=excluded.used_bytes, floor=excluded.floor"""
_EXPIRED = """SELECT scope, key, version FROM entries
    WHERE expires_at IS NOT NULL AND expires_at <= ? AND store=? LIMIT ?"""

Operation = Callable[[sqlite3.Connection], object]


def get(connection: sqlite3.Connection, place: StorePlace, key: str, now: float) -> StoredValue | None:
    """One live entry."""
    row = connection.execute(_GET, (place.store_id, place.scope, key.encode("utf-8"), now)).fetchone()
    return None if row is None else StoredValue(row[0], row[1])


def page(connection: sqlite3.Connection, place: StorePlace, query: PageQuery, now: float) -> StorePage:
    """One page of live entries; it ends early before an entry that would lift it over `max_bytes`."""
    prefix = query.prefix.encode("utf-8")
    after = b"" if query.after is None else query.after.encode("utf-8")
    sql = _PAGE.format(value=", value" if query.values else "")
    end = prefix + b"\xff"  # greater than any continuation: UTF-8 has no such byte
    rows = connection.execute(sql, (place.store_id, place.scope, after, prefix, end, now, query.limit + 1))
    items: list[StoredItem] = []
    size = 0
    for row in rows:
        size += len(row[0]) + ENTRY_OVERHEAD + (row[2] if query.values else 0)
        if len(items) == query.limit or (items and size > query.max_bytes):
            rows.close()
            return StorePage(tuple(items), more=True)
        items.append(StoredItem(row[0].decode("utf-8"), row[1], row[3] if query.values else None))
    return StorePage(tuple(items), more=False)


def usage(connection: sqlite3.Connection, store_id: str, now: float) -> StoreUsage:
    """How many live entries a store has, and the bytes charged for it."""
    keys = connection.execute(_COUNT, (store_id, now)).fetchone()[0]
    return StoreUsage(keys, _totals(connection, store_id)[0])


def put(place: StorePlace, write: StoreWrite, now: float) -> Operation:
    """The operation that sets one entry and gives its version. Raises `StorageFull` over the quota."""

    def run(connection: sqlite3.Connection) -> int:
        key = write.key.encode("utf-8")
        purge(connection, place.store_id, now, PURGE_BATCH)
        for _ in range(PURGE_ROUNDS):
            old = connection.execute(_OLD, (place.store_id, place.scope, key)).fetchone()
            used, floor = _totals(connection, place.store_id)
            used += _charge(place, key, len(write.value)) - (0 if old is None else _charge(place, key, old[1]))
            if used <= write.quota_bytes:
                break
            if not purge(connection, place.store_id, now, PURGE_ROWS):
                raise _over_quota(place, write, used)
        else:
            raise _over_quota(place, write, used)
        version: int = (floor if old is None else old[0]) + 1
        expires_at = None if write.ttl is None else now + write.ttl
        connection.execute(_PUT, (place.store_id, place.scope, key, write.value, version, expires_at))
        connection.execute(_SET_TOTALS, (place.store_id, used, floor))
        return version

    return run


def remove(place: StorePlace, key: str, expected: int | None, now: float) -> Operation:
    """The operation that deletes one entry. Raises `Conflict` with the current version if it is not `expected`."""

    def run(connection: sqlite3.Connection) -> bool:
        raw = key.encode("utf-8")
        old = connection.execute(_OLD, (place.store_id, place.scope, raw)).fetchone()
        live = old is not None and (old[2] is None or old[2] > now)
        if expected is not None and (not live or old[0] != expected):
            current = old[0] if live else None
            raise Conflict(
                f"The entry has version {current}, not {expected}." if live else "There is no such entry any more.",
                hint="Read it again and decide anew.",
                details={"version": current},
            )
        if old is None:
            return False
        used, floor = _totals(connection, place.store_id)
        connection.execute(_REMOVE, (place.store_id, place.scope, raw))
        totals = (place.store_id, used - _charge(place, raw, old[1]), max(floor, old[0]))
        connection.execute(_SET_TOTALS, totals)
        return live

    return run


def purge(connection: sqlite3.Connection, store_id: str, now: float, rows: int) -> int:
    """Take up to `rows` expired entries of one store away; how many it were."""
    expired = connection.execute(_EXPIRED, (now, store_id, rows)).fetchall()
    for scope, key, _ in expired:
        remove(StorePlace("", store_id, scope), key.decode("utf-8"), None, now)(connection)
    return len(expired)


def _over_quota(place: StorePlace, write: StoreWrite, used: int) -> StorageFull:
    return StorageFull(
        f"The store {place.store_id} has a quota of {write.quota_bytes} bytes; with this entry it would hold {used}.",
        hint="Delete entries, or raise quota_bytes of the store in ecosystem.json.",
        details={"quota_bytes": write.quota_bytes, "used_bytes": used},
    )


def _totals(connection: sqlite3.Connection, store_id: str) -> tuple[int, int]:
    row = connection.execute(_TOTALS, (store_id,)).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def _charge(place: StorePlace, key: bytes, value_bytes: int) -> int:
    return ENTRY_OVERHEAD + len(key) + len(place.scope.encode("utf-8")) + value_bytes
