"""One uid for each pack, never given out twice, in a range that nobody else uses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.sandbox.engine_port import EngineInfo
from core_runtime.sandbox.uids import (
    LEAST_BASE,
    RANGE_SIZE,
    PackUids,
    SameUid,
    UidMap,
    UidPair,
    UidRange,
    first_free_range,
    map_of_remapped_engine,
    map_of_rootless_engine,
    subordinate_ranges,
    subordinate_start,
)


class Book:
    def __init__(self, data: bytes | None = None) -> None:
        self.data = data
        self.writes = 0

    def read(self) -> bytes | None:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data
        self.writes += 1


INFO = EngineInfo("1", "1.41", "overlay2", "2", apparmor=False, user_namespace=False, rootless=False, root_folder="")


def plain(info: EngineInfo) -> UidMap:
    return UidMap(1_000_000, 1_000_000)


def test_a_pack_keeps_its_uid_over_restarts_and_no_other_pack_ever_gets_it():
    book = Book()
    first = PackUids(book, plain)
    assert [first.of(name, INFO).inside for name in ("a", "b", "a")] == [1_000_000, 1_000_001, 1_000_000]
    second = PackUids(book, plain)
    assert second.of("c", INFO).inside == 1_000_002
    assert second.of("b", INFO).inside == 1_000_001
    assert book.writes == 3


def test_the_book_is_written_before_a_uid_is_used():
    class Full(Book):
        def write(self, data: bytes) -> None:
            raise OSError(28, "no space")

    uids = PackUids(Full(), plain)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            uids.of("a", INFO)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"format":1,"packs":{"a":0,"b":0}}', b'{"format":1,"packs":{"a":-1}}', b'{"format":2,"packs":{}}',
     b'{"format":1,"packs":{"new":4096}}', b'{"format":1,"packs":{"a b":1}}', b'{"format":1,"packs":{"a":true}}', b'{"format":1,"packs":[]}'],
)  # fmt: skip
def test_a_damaged_book_gives_nothing_out(data):
    book = Book(data)
    with pytest.raises(Unavailable):
        PackUids(book, plain).of("new", INFO)
    assert book.data == data


def test_a_used_up_range_is_an_error_not_a_second_owner():
    uids = PackUids(Book(), plain, count=2)
    uids.of("a", INFO)
    uids.of("b", INFO)
    with pytest.raises(Unavailable):
        uids.of("c", INFO)
    assert uids.of("b", INFO).inside == 1_000_001


def test_starts_side_by_side_get_different_uids():
    book = Book()
    uids = PackUids(book, plain)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: uids.of(f"p{n % 50}", INFO).inside, range(500)))
    assert len(set(numbers)) == 50
    assert len(json.loads(book.data or b"")["packs"]) == 50


def test_only_pack_ids_get_uids():
    with pytest.raises(ValidationFailed):
        PackUids(Book(), plain).of("../x", INFO)


def test_the_range_lies_above_every_subordinate_one_and_beside_every_registered_one():
    below = subordinate_ranges("anna:100000:65536\nbad line\nben:2000000:65536\nx:y:z\n")
    assert [item.base for item in below] == [100_000, 2_000_000]
    first = first_free_range(below, [])
    assert first.base >= 2_065_536
    assert first.base % RANGE_SIZE == 0
    second = first_free_range(below, [first])
    assert second.base == first.end
    gap = first_free_range(below, [UidRange(first.base), UidRange(first.base + 3 * RANGE_SIZE)])
    assert gap.base == first.base + RANGE_SIZE
    assert first_free_range([], []).base == LEAST_BASE


def test_no_room_above_is_said():
    with pytest.raises(Unavailable):
        first_free_range([UidRange(2**31 - 4096, 4096)], [])


def test_engines_with_a_user_namespace_see_other_numbers():
    assert map_of_remapped_engine("/var/lib/docker/231072.231072").pair(3) == UidPair(10_003, 241_075)
    assert map_of_rootless_engine(100_000).pair(0) == UidPair(10_000, 109_999)
    with pytest.raises(ValidationFailed):
        map_of_remapped_engine("/var/lib/docker")
    assert subordinate_start("anna:100000:65536\n1001:300000:65536\n", ("ben", "1001")) == 300_000
    assert subordinate_start("anna:100000:65536\n", ("ben", "1001")) is None
    assert SameUid(1000).of("a", INFO).outside == 1000


def test_the_map_follows_the_engine_that_is_there_now():
    uids = PackUids(Book(), lambda info: UidMap(10_000, 500_000) if info.rootless else plain(info))
    assert uids.of("a", INFO).outside == 1_000_000
    assert uids.of("a", replace(INFO, rootless=True)) == UidPair(10_000, 500_000)
