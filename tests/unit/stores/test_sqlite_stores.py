"""Key-value stores on real SQLite files in a temporary folder."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core_runtime.adapters.sqlite_store import SqliteStores, SqliteUses, database, entries
from core_runtime.adapters.sqlite_store.stores import PackStore
from core_runtime.authority import Actor, Grant
from core_runtime.capability.stores import PageQuery, StorePlace, StoreWrite, check_key, scope_of
from core_runtime.errors import Conflict, NotFound, RumiError, StorageFull, Unavailable

NOTES = StorePlace("notes", "notes")
QUOTA = 10_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.ticks = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ticks


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStores]:
    stores = SqliteStores(tmp_path / "stores", clock)
    yield stores
    await stores.close()


async def write(store: PackStore, key: str, value: bytes = b"1", *, place: StorePlace = NOTES, **more: object) -> int:
    quota = more.pop("quota", QUOTA)
    return await store.set(place, StoreWrite(key, value, quota, **more))  # type: ignore[arg-type]


async def test_what_was_set_is_read_back_with_its_version(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    assert store.get(NOTES, "a") is None
    assert await write(store, "a", b'{"x":1}') == 1
    assert await write(store, "a", b'{"x":2}') == 2
    found = store.get(NOTES, "a")
    assert found is not None
    assert (found.value, found.version) == (b'{"x":2}', 2)


async def test_a_version_never_comes_back_after_a_deletion(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    for expected in (1, 2, 3):
        assert await write(store, "a") == expected
    assert await store.delete(NOTES, "a", None)
    assert await write(store, "a") == 4
    assert await store.delete(NOTES, "b", None) is False


async def test_a_deletion_with_another_version_is_a_conflict_that_names_it(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    await write(store, "a")
    with pytest.raises(Conflict) as caught:
        await store.delete(NOTES, "a", 7)
    assert caught.value.details == {"version": 1}
    assert await store.delete(NOTES, "a", 1)
    with pytest.raises(Conflict) as caught:
        await store.delete(NOTES, "a", 1)
    assert caught.value.details == {"version": None}


async def test_an_entry_is_gone_when_its_time_is_up(stores: SqliteStores, clock: Clock) -> None:
    store = await stores.opened("notes")
    await write(store, "a", ttl=10.0)
    clock.now += 9.9
    assert store.get(NOTES, "a") is not None
    clock.now += 0.1
    assert store.get(NOTES, "a") is None
    assert store.page(NOTES, PageQuery()).items == ()
    assert await store.delete(NOTES, "a", None) is False
    assert await write(store, "a") == 2
    clock.now += 1e6
    assert store.get(NOTES, "a") is not None, "a write without ttl takes the old one off"


async def test_expired_entries_give_their_quota_back(stores: SqliteStores, clock: Clock) -> None:
    store = await stores.opened("notes")
    size = entries.ENTRY_OVERHEAD + 1 + 100
    await write(store, "a", b"x" * 100, ttl=1.0, quota=size)
    with pytest.raises(StorageFull):
        await write(store, "b", b"x" * 100, quota=size)
    clock.now += 1
    await write(store, "b", b"x" * 100, quota=size)


async def test_s9_the_quota_is_exact_and_a_refused_write_changes_nothing(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    size = entries.ENTRY_OVERHEAD + 1 + 100
    await write(store, "a", b"x" * 100, quota=size)
    with pytest.raises(StorageFull) as caught:
        await write(store, "a", b"x" * 101, quota=size)
    assert caught.value.details == {"quota_bytes": size, "used_bytes": size + 1}
    found = store.get(NOTES, "a")
    assert found is not None
    assert found.version == 1
    await store.delete(NOTES, "a", None)
    await write(store, "b", b"x" * 100, quota=size)


async def test_one_refused_write_of_a_batch_does_not_harm_the_others(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    quota = 40 * (entries.ENTRY_OVERHEAD + 8)
    writes = [write(store, f"k{number:02}", b"x" * 5, quota=quota) for number in range(50)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    stored = [result for result in results if result == 1]
    refused = [result for result in results if isinstance(result, StorageFull)]
    assert (len(stored), len(refused)) == (40, 10)
    assert len(store.page(NOTES, PageQuery(limit=100)).items) == 40


async def test_writes_at_the_same_time_share_commits_and_lose_nothing(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    versions = await asyncio.gather(*[write(store, "counter", str(number).encode()) for number in range(200)])
    assert sorted(versions) == list(range(1, 201))


KEYS = [
    pytest.param("..", id="ST-03-dots"),
    pytest.param("a/b", id="ST-03-slash"),
    pytest.param("a%2fb", id="ST-03-percent"),
    pytest.param(".lock", id="ST-03-lock"),
    pytest.param(".tmp", id="ST-03-tmp"),
    pytest.param("x" * 512, id="ST-03-512-bytes"),
    pytest.param("é" * 256, id="ST-03-512-bytes-utf8"),
    pytest.param("日本語 キー", id="ST-03-japanese"),
    pytest.param("'; DROP TABLE entries; --", id="ST-03-sql"),
    pytest.param("%", id="ST-03-like"),
]


@pytest.mark.parametrize("key", KEYS)
async def test_any_text_may_be_a_key_and_stays_inside(stores: SqliteStores, tmp_path: Path, key: str) -> None:
    store = await stores.opened("notes")
    await write(store, check_key(key))
    assert store.get(NOTES, key) is not None
    assert [item.key for item in store.page(NOTES, PageQuery()).items] == [key]
    assert {item.name for item in tmp_path.rglob("*") if item.is_file()} <= {
        "notes.sqlite3",
        "notes.sqlite3-wal",
        "notes.sqlite3-shm",
        "notes.sqlite3-open",
    }


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="ST-03-empty"),
        pytest.param("a\x00b", id="ST-03-nul"),
        pytest.param("a\nb", id="ST-03-newline"),
        pytest.param("\x7f", id="ST-03-del"),
        pytest.param("x" * 513, id="ST-03-513-bytes"),
        pytest.param("x" * 1024, id="ST-03-1-KB"),
        pytest.param("\ud800", id="ST-03-surrogate"),
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="must"):
        check_key(key)


async def test_st_03_keys_that_differ_in_case_are_two(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    await write(store, "Key", b"1")
    await write(store, "key", b"2")
    assert [item.key for item in store.page(NOTES, PageQuery()).items] == ["Key", "key"]


@pytest.mark.parametrize("pack_id", ["../x", "a/b", "", ".", "packs", "x" * 65, "a.b"])
async def test_st_03_only_a_pack_id_names_a_file(stores: SqliteStores, tmp_path: Path, pack_id: str) -> None:
    with pytest.raises(NotFound):
        await stores.opened(pack_id)
    assert list(tmp_path.rglob("*.sqlite3")) == []


async def test_st_03_a_linked_folder_or_file_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "stores").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        await SqliteStores(tmp_path / "stores", clock).opened("notes")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "notes.sqlite3").symlink_to("/etc/passwd")
    with pytest.raises(Unavailable):
        await SqliteStores(tmp_path / "two", clock).opened("notes")
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_scopes_are_apart_and_no_key_reaches_across(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    ada = StorePlace("notes", "notes", scope_of(Actor("ada", "guest", ("b", "a"))))
    bob = StorePlace("notes", "notes", scope_of(Actor("bob", "guest")))
    assert ada.scope == scope_of(Actor("ada", "owner", ("a", "b")))
    await write(store, "k", b"1", place=ada)
    assert store.get(bob, "k") is None
    assert store.get(NOTES, "k") is None
    assert store.get(NOTES, ada.scope + "k") is None
    assert store.page(bob, PageQuery()).items == ()
    assert len(store.page(ada, PageQuery()).items) == 1


async def test_stores_of_one_pack_are_apart(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    await write(store, "k")
    assert store.get(StorePlace("notes", "other"), "k") is None


async def test_st_04_pages_miss_and_repeat_nothing_while_others_are_deleted(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    await asyncio.gather(
        *[write(store, f"p{number:03}") for number in range(250)], write(store, "q"), write(store, "a")
    )
    seen: list[str] = []
    after: str | None = None
    for _ in range(10):
        page = store.page(NOTES, PageQuery(prefix="p", after=after, limit=100))
        seen += [item.key for item in page.items]
        for key in ("p000", f"p{len(seen):03}"):
            await store.delete(NOTES, key, None)
        if not page.more:
            break
        after = page.items[-1].key
    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"p{number:03}" for number in range(250) if number not in {0, 100, 200}}


async def test_a_page_of_large_values_ends_early(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    for number in range(5):
        await write(store, f"k{number}", b'"' + b"x" * 1_000_000 + b'"')
    page = store.page(NOTES, PageQuery(values=True, max_bytes=3_000_000))
    assert (len(page.items), page.more) == (2, True)
    only = store.page(NOTES, PageQuery(values=True, max_bytes=10))
    assert (len(only.items), only.more) == (1, True)


async def test_prefixes_are_bytes_not_patterns(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    for key in ("a", "a%", "ab", "a_b", "é1", "é2", "ê"):
        await write(store, key)
    assert [item.key for item in store.page(NOTES, PageQuery(prefix="a%")).items] == ["a%"]
    assert [item.key for item in store.page(NOTES, PageQuery(prefix="é")).items] == ["é1", "é2"]


async def test_st_13_what_durability_rests_on_is_read_back(stores: SqliteStores) -> None:
    store = await stores.opened("notes")
    for connection in (store._database.writer, store._database.reader):
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        ]
        assert found == ["wal", 2, 5000, 1]


async def test_files_are_private(stores: SqliteStores, tmp_path: Path) -> None:
    store = await stores.opened("notes")
    await write(store, "a")
    assert (tmp_path / "stores").stat().st_mode & 0o777 == 0o700
    assert {item.stat().st_mode & 0o777 for item in (tmp_path / "stores").iterdir()} == {0o600}


async def prepared(tmp_path: Path, clock: Clock, *, clean: bool = True) -> Path:
    """A folder with a store that holds something, closed or as a killed kernel leaves it."""
    folder = tmp_path / "made"
    stores = SqliteStores(folder, clock)
    store = await stores.opened("notes")
    await write(store, "a", b"x" * 20_000)
    if clean:
        await stores.close()
        return folder
    left = tmp_path / "left"
    shutil.copytree(folder, left)
    await stores.close()
    return left


def break_header(folder: Path) -> None:
    with (folder / "notes.sqlite3").open("r+b") as file:
        file.write(b"\0" * 100)


def break_page(folder: Path) -> None:
    with (folder / "notes.sqlite3").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def truncate_half(folder: Path) -> None:
    path = folder / "notes.sqlite3"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def truncate_all(folder: Path) -> None:
    (folder / "notes.sqlite3").write_bytes(b"")


def drop_main(folder: Path) -> None:
    (folder / "notes.sqlite3").unlink()


def drop_log(folder: Path) -> None:
    (folder / "notes.sqlite3-wal").unlink()


@pytest.mark.parametrize(
    ("harm", "clean"),
    [
        pytest.param(break_header, True, id="ST-12-header"),
        pytest.param(break_page, True, id="ST-12-page"),
        pytest.param(truncate_half, True, id="ST-12-truncated"),
        pytest.param(truncate_all, True, id="ST-12-empty"),
        pytest.param(drop_main, False, id="ST-12-wal-without-main"),
        pytest.param(drop_log, False, id="ST-12-main-without-wal"),
    ],
)
async def test_a_damaged_store_is_kept_aside_and_refused_and_others_run(
    tmp_path: Path, clock: Clock, harm: object, clean: bool
) -> None:
    folder = await prepared(tmp_path, clock, clean=clean)
    assert callable(harm)
    harm(folder)
    before = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
    stores = SqliteStores(folder, clock)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await stores.opened("notes")
        assert caught.value.details == {"reason": "STORE_DAMAGED"}
        assert str(tmp_path) not in str(caught.value.to_wire())
        clock.ticks += 60
    copies = list((folder / "quarantine").iterdir())
    assert len(copies) == 1
    for name in ("notes.sqlite3", "notes.sqlite3-wal"):
        if name in before:
            assert (copies[0] / name).read_bytes() == before[name]
    assert ("notes.sqlite3" in before) == (folder / "notes.sqlite3").exists(), "no silent new store"
    other = await stores.opened("mail")
    await write(other, "k", place=StorePlace("mail", "notes"))
    await stores.close()


async def test_what_a_killed_kernel_left_opens_again_with_everything(tmp_path: Path, clock: Clock) -> None:
    folder = await prepared(tmp_path, clock, clean=False)
    stores = SqliteStores(folder, clock)
    store = await stores.opened("notes")
    assert store.get(NOTES, "a") is not None
    await stores.close()


async def test_st_12_a_newer_format_is_refused_by_name(tmp_path: Path, clock: Clock) -> None:
    folder = await prepared(tmp_path, clock)
    connection = sqlite3.connect(folder / "notes.sqlite3")
    connection.execute("PRAGMA user_version=7")
    connection.close()
    with pytest.raises(Unavailable, match="format 7; this one knows 1") as caught:
        await SqliteStores(folder, clock).opened("notes")
    assert caught.value.details == {"reason": "STORE_NEWER"}
    assert not (folder / "quarantine").exists()


async def test_a_store_that_was_mended_opens_after_a_moment(tmp_path: Path, clock: Clock) -> None:
    folder = await prepared(tmp_path, clock)
    good = (folder / "notes.sqlite3").read_bytes()
    truncate_all(folder)
    stores = SqliteStores(folder, clock)
    with pytest.raises(Unavailable):
        await stores.opened("notes")
    (folder / "notes.sqlite3").write_bytes(good)
    with pytest.raises(Unavailable):
        await stores.opened("notes")
    clock.ticks += 3
    assert (await stores.opened("notes")).get(NOTES, "a") is not None
    await stores.close()


async def test_ft_04_a_full_disk_fails_the_write_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    stores = SqliteStores(tmp_path / "stores", clock)
    store = await stores.opened("notes")
    await write(store, "a", b"1")
    pages = store._database.writer.execute("PRAGMA page_count").fetchone()[0]
    store._database.writer.execute(f"PRAGMA max_page_count={pages + 4}")
    results = await asyncio.gather(
        write(store, "b", b"x" * 100_000), write(store, "c", b"2"), write(store, "d", b"3"), return_exceptions=True
    )
    assert isinstance(results[0], StorageFull)
    assert results[1:] == [1, 1]
    assert store.get(NOTES, "a") is not None
    store._database.writer.execute("PRAGMA max_page_count=100000")
    assert await write(store, "b", b"x" * 100_000) == 1
    await stores.close()


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_st_10_a_lock_holder_that_is_killed_holds_nobody_up(stores: SqliteStores, tmp_path: Path) -> None:
    store = await stores.opened("notes")
    path = tmp_path / "stores" / "notes.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
        waiting = asyncio.ensure_future(write(store, "a"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert store.get(NOTES, "a") is None, "readers go on"
        holder.kill()
        assert await asyncio.wait_for(waiting, 5) == 1


async def test_st_10_a_lock_that_stays_is_an_error_in_bounded_time(stores: SqliteStores, tmp_path: Path) -> None:
    store = await stores.opened("notes")
    store._database.writer.execute("PRAGMA busy_timeout=50")
    holder = sqlite3.connect(tmp_path / "stores" / "notes.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as caught:
        await write(store, "a")
    assert caught.value.details == {"reason": "BUSY"}
    holder.execute("ROLLBACK")
    holder.close()
    assert await write(store, "a") == 1


async def test_only_so_many_databases_are_open_at_once(tmp_path: Path, clock: Clock) -> None:
    stores = SqliteStores(tmp_path / "stores", clock, max_open=2)
    for name in ("a", "b", "c"):
        store = await stores.opened(name)
        await write(store, "k", name.encode(), place=StorePlace(name, "s"))
    assert stores.ready("a") is None
    assert stores.ready("c") is not None
    again = await stores.opened("a")
    found = again.get(StorePlace("a", "s"), "k")
    assert found is not None
    assert found.value == b"a"
    await stores.close()


async def test_many_who_open_at_once_share_one_database(stores: SqliteStores) -> None:
    opened = await asyncio.gather(*[stores.opened("notes") for _ in range(20)])
    assert len({id(store) for store in opened}) == 1


async def test_nothing_opens_while_it_closes(tmp_path: Path, clock: Clock) -> None:
    stores = SqliteStores(tmp_path / "stores", clock)
    await stores.close()
    with pytest.raises(Unavailable):
        await stores.opened("notes")


async def test_uses_survive_a_restart_and_an_edited_count_is_used_up(tmp_path: Path) -> None:
    path = tmp_path / "permissions" / "uses.sqlite3"
    grant = Grant("store.get", max_count=5, granted_at=10.5)

    def sign(data: bytes) -> str:
        return str(sum(data))

    uses = SqliteUses.open(path, sign)
    first, second = uses.use("notes", grant), uses.use("notes", grant)
    assert uses.used("notes", grant) == 2, "counted before it is awaited"
    await first
    await second
    await uses.close()
    uses = SqliteUses.open(path, sign)
    assert uses.used("notes", grant) == 2
    assert uses.used("notes", Grant("store.get", max_count=5, granted_at=11.0)) == 0
    await uses.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE uses SET used=0")
    connection.commit()
    connection.close()
    uses = SqliteUses.open(path, sign)
    assert uses.used("notes", grant) >= 5
    await uses.close()


def test_errors_of_sqlite_and_the_system_become_ours() -> None:
    assert isinstance(database.os_failure(OSError(28, "No space left on device"), "stores/x"), StorageFull)
    assert isinstance(database.os_failure(OSError(5, "Input/output error"), "stores/x"), Unavailable)
    assert isinstance(database.translate(sqlite3.OperationalError("what"), "stores/x"), RumiError)
