"""The sealed copies: whole, read-only, verified, collected."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core_runtime.adapters.files import SystemOperations
from core_runtime.adapters.sealed_tree import SealedStore, digest_of
from core_runtime.errors import Conflict, NotFound, StorageFull, ValidationFailed


@pytest.fixture
def pack(tmp_path):
    root = tmp_path / "pack"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/run.sh").write_text("#!")
    (root / "a/b/run.sh").chmod(0o700)
    (root / "a/data").write_bytes(os.urandom(2_000_000))
    (root / "empty").mkdir()
    (root / "a/__pycache__").mkdir()
    (root / "a/__pycache__/x.pyc").write_bytes(b"evil")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("x")
    return root


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "sealed"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def store(folder):
    return SealedStore(folder, SystemOperations())


def test_ap_04_the_copy_holds_the_hashed_files_and_nothing_else(pack, store):
    digest = digest_of(pack).digest
    assert store.seal(pack, digest).digest == digest
    copy = store.path(digest)
    assert sorted(str(p.relative_to(copy)) for p in copy.rglob("*")) == ["a", "a/b", "a/b/run.sh", "a/data"]
    assert (copy / "a/data").read_bytes() == (pack / "a/data").read_bytes()


def test_files_and_folders_of_the_copy_are_read_only(pack, store):
    digest = digest_of(pack).digest
    store.seal(pack, digest)
    modes = {
        str(p.relative_to(store.path(digest))): stat.S_IMODE(p.stat().st_mode) for p in store.path(digest).rglob("*")
    }
    assert modes == {"a": 0o555, "a/b": 0o555, "a/b/run.sh": 0o555, "a/data": 0o444}
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o555


def test_sealing_again_changes_nothing(pack, store, folder):
    digest = digest_of(pack).digest
    store.seal(pack, digest)
    inode = store.path(digest).stat().st_ino
    store.seal(pack, digest)
    assert store.path(digest).stat().st_ino == inode
    assert [p.name for p in folder.iterdir()] == [digest]


def test_ap_12_other_bytes_than_expected_are_refused_and_leave_nothing(pack, store, folder):
    digest = digest_of(pack).digest
    (pack / "a/data").write_text("changed")
    with pytest.raises(Conflict, match="changed while it was sealed"):
        store.seal(pack, digest)
    assert list(folder.iterdir()) == []


def test_ap_12_a_whole_sealed_copy_does_not_stand_in_for_a_changed_folder(pack, store):
    digest = digest_of(pack).digest
    store.seal(pack, digest)
    (pack / "a/data").write_text("changed")
    with pytest.raises(Conflict):
        store.seal(pack, digest)
    assert store.verify(digest).digest == digest


@pytest.mark.parametrize("damage", ["content", "added", "removed", "pycache", "link", "execute"])
def test_verify_notices_every_damage_of_the_copy(pack, store, damage):
    digest = digest_of(pack).digest
    store.seal(pack, digest)
    copy = store.path(digest)
    (copy / "a").chmod(0o755)
    (copy / "a/data").chmod(0o644)
    if damage == "content":
        with (copy / "a/data").open("r+b") as file:
            file.seek(1_500_000)
            file.write(b"!")
    elif damage == "added":
        (copy / "a/new.py").write_text("")
    elif damage == "removed":
        (copy / "a/data").unlink()
    elif damage == "pycache":
        (copy / "a/__pycache__").mkdir()
        (copy / "a/__pycache__/x.pyc").write_bytes(b"evil")
    elif damage == "link":
        (copy / "a/data").unlink()
        os.symlink("/etc/passwd", copy / "a/data")
    else:
        (copy / "a/data").chmod(0o755)
    with pytest.raises(Conflict, match="damaged"):
        store.verify(digest)
    assert store.seal(pack, digest).digest == digest  # a damaged copy is replaced
    assert store.verify(digest).digest == digest


def test_verify_of_what_is_not_there_is_not_found(store):
    with pytest.raises(NotFound):
        store.verify("0" * 64)


@pytest.mark.parametrize("bad", ["", "..", "A" * 64, "0" * 63, "sha256:" + "0" * 57, "../" + "0" * 61])
def test_gr_09_only_full_lower_case_digests_name_a_copy(store, bad):
    with pytest.raises(ValidationFailed):
        store.path(bad)


def test_collect_removes_what_nothing_refers_to_and_interrupted_seals(pack, store, folder):
    digest = digest_of(pack).digest
    store.seal(pack, digest)
    (pack / "a/data").write_text("two")
    other = digest_of(pack).digest
    store.seal(pack, other)
    half = folder / ".tmp-0123456789abcdef"
    (half / "deep").mkdir(parents=True)
    os.symlink("/etc", half / "deep/l")
    (half / "deep").chmod(0o555)
    (folder / "foreign").mkdir()
    assert store.collect({digest}) == 2
    assert sorted(p.name for p in folder.iterdir()) == sorted([digest, "foreign"])
    assert Path("/etc/passwd").exists()


def test_ft_04_a_full_disk_at_any_step_leaves_no_copy_and_says_so(pack, folder, scripted, no_space):
    digest = digest_of(pack).digest
    counting = scripted()
    SealedStore(folder, counting).seal(pack, digest)
    SealedStore(folder, SystemOperations()).collect(())
    steps = counting.log.index("rename") + 1
    for at in range(1, steps + 1):
        with pytest.raises(StorageFull):
            SealedStore(folder, scripted(at, no_space)).seal(pack, digest)
        assert list(folder.iterdir()) == [], at


def test_ft_02_killed_at_any_operation_a_copy_is_whole_or_not_there(pack, folder, scripted, killed):
    digest = digest_of(pack).digest
    counting = scripted()
    SealedStore(folder, counting).seal(pack, digest)
    SealedStore(folder, SystemOperations()).collect(())
    for at in range(1, counting.count + 1):
        with pytest.raises(killed):
            SealedStore(folder, scripted(at)).seal(pack, digest)
        after = SealedStore(folder, SystemOperations())
        if after.path(digest).exists():
            assert after.verify(digest).digest == digest
        after.collect({digest})
        assert all(p.name == digest for p in folder.iterdir())
        after.collect(())


def test_a_swap_race_never_seals_bytes_that_were_not_hashed(pack, store):
    import threading

    good, evil = b"good" * 5_000, b"evil" * 5_000
    target = pack / "a/data"
    target.write_bytes(good)
    wanted = digest_of(pack).digest
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            target.write_bytes(evil)
            target.write_bytes(good)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(60):
            try:
                store.seal(pack, wanted)
            except (Conflict, ValidationFailed):
                continue
            assert (store.path(wanted) / "a/data").read_bytes() == good
            store.collect(())
    finally:
        stop.set()
        thread.join()
