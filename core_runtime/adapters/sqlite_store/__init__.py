"""Key-value stores and use counts on SQLite. The package is one adapter; its parts are not used from outside."""

from core_runtime.adapters.sqlite_store.stores import SqliteStores
from core_runtime.adapters.sqlite_store.uses import SqliteUses

__all__ = ["SqliteStores", "SqliteUses"]
