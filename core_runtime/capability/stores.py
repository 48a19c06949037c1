"""The words of key-value stores: what a key may be, what an entry is, whose data it is.

Values are JSON as compact UTF-8 bytes; sizes are of those bytes. Scoped data is kept apart by an actor's id and groups
in a column of its own, so no key that a pack can write reaches another actor's (or the unscoped) data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core_runtime.authority import Actor
from core_runtime.canonical import canonical_json

MAX_KEY_BYTES = 512
MAX_VALUE_BYTES = 4 * 1024 * 1024 - 64 * 1024
MAX_TTL = 10 * 366 * 86_400.0
ENTRY_OVERHEAD = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where an entry lives: the pack's database, one of its stores, and the scope ("" for unscoped data)."""

    pack_id: str
    store_id: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value as JSON bytes, with its version (from 1, growing by each write of its key, also over a deletion)."""

    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One entry of a page; `value` is None where values were not asked for."""

    key: str
    version: int
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class StorePage:
    """Entries in the order of their keys' UTF-8 bytes; `more` says that others follow the last one."""

    items: tuple[StoredItem, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What a store holds: live entries, and the bytes charged for them."""

    keys: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Keys that begin with `prefix` and come after `after`, at most `limit` and about `max_bytes` of answer."""

    prefix: str = ""
    after: str | None = None
    limit: int = 100
    values: bool = False
    max_bytes: int = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """One value to set. `ttl` in seconds; without one the entry stays. `quota_bytes` is for the whole store."""

    key: str
    value: bytes
    quota_bytes: int
    ttl: float | None = None


def check_key(key: str) -> str:
    """The key, if it is 1 to 512 bytes of UTF-8 without control characters. Raises `ValueError`."""
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise ValueError(f"must have 1 to {MAX_KEY_BYTES} bytes of UTF-8")
    if _CONTROL.search(key):
        raise ValueError("must not hold control characters")
    return key


def scope_of(actor: Actor) -> str:
    """The scope of an actor's data: its id and its groups, in one canonical spelling."""
    return canonical_json([actor.id, sorted(set(actor.groups))]).decode("utf-8")
