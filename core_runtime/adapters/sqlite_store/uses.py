"""How often grants with `max_count` were used, kept over restarts.

A count goes up in memory at once (two calls in one instant must not both be the last one), and to disk before the
effect. A row carries a MAC over its content: one that was edited counts as used up, it never gives uses back.
"""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from core_runtime.adapters.sqlite_store.database import Database, Layout, open_database
from core_runtime.adapters.sqlite_store.writer import GroupWriter
from core_runtime.authority import Grant
from core_runtime.canonical import canonical_json

SPENT = 2**53
Sign = Callable[[bytes], str]
_Key = tuple[str, str, str]
_LAYOUT = Layout(
    format=1,
    max_bytes=256 * 1024**2,
    schema="""CREATE TABLE uses(owner TEXT NOT NULL, permission TEXT NOT NULL, granted_at TEXT NOT NULL,
        used INTEGER NOT NULL, mac TEXT NOT NULL, PRIMARY KEY(owner, permission)) WITHOUT ROWID""",
)
_PUT = """INSERT INTO uses(owner, permission, granted_at, used, mac) VALUES(?, ?, ?, ?, ?)
    ON CONFLICT(owner, permission) DO UPDATE SET granted_at=excluded.granted_at, used=excluded.used, mac=excluded.mac"""


class SqliteUses:
    """The ledger. Belongs to one loop; `open` blocks, call it in a thread at start."""

    def __init__(self, database: Database, sign: Sign) -> None:
        self._database = database
        self._sign = sign
        self._writer = GroupWriter(database.writer, f"{database.path.parent.name}/{database.path.name}")
        self._used: dict[_Key, int] = dict(self._load())

    @classmethod
    def open(cls, path: Path, sign: Sign) -> SqliteUses:
        """Open or make the ledger at `path`. Raises `Unavailable`, `StorageFull`."""
        return cls(open_database(path, _LAYOUT), sign)

    def used(self, owner: str, grant: Grant) -> int:
        """Uses of this very grant so far. One given anew begins at 0."""
        return self._used.get(_key(owner, grant), 0)

    def use(self, owner: str, grant: Grant) -> Awaitable[None]:
        """Count one use now; the awaitable ends when it is on disk. Raises `Unavailable`, `StorageFull`."""
        key = _key(owner, grant)
        count = self._used.get(key, 0) + 1
        for old in [known for known in self._used if known[:2] == key[:2] and known != key]:
            del self._used[old]
        self._used[key] = count
        row = (*key, count, self._mac(key, count))
        return _done(self._writer.submit(lambda connection: _put(connection, row)))

    async def close(self) -> None:
        """Finish and close."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._database.close)

    def _load(self) -> list[tuple[_Key, int]]:
        rows = self._database.reader.execute("SELECT owner, permission, granted_at, used, mac FROM uses").fetchall()
        return [(row[:3], row[3] if self._is_ours(row[:3], row[3], row[4]) else SPENT) for row in rows]

    def _is_ours(self, key: _Key, used: int, mac: object) -> bool:
        return isinstance(mac, str) and hmac.compare_digest(mac.encode("utf-8"), self._mac(key, used).encode("utf-8"))

    def _mac(self, key: _Key, used: int) -> str:
        return self._sign(canonical_json(["uses", *key, used]))


def _key(owner: str, grant: Grant) -> _Key:
    return owner, grant.permission, repr(grant.granted_at)


async def _done(written: Awaitable[object]) -> None:
    await written


def _put(connection: sqlite3.Connection, row: tuple[object, ...]) -> None:
    connection.execute(_PUT, row)
