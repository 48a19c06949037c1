"""Making a sealed copy durable: whole file systems where that is enough, each file where it is not."""

from __future__ import annotations

import os

import pytest

from core_runtime.adapters.files import SystemOperations
from core_runtime.adapters.sealed_tree import SealedStore, digest_of, flush_all_of
from core_runtime.adapters.sealed_tree.flushing import _COVERED, _release, _type_of
from core_runtime.adapters.sealed_tree.store import FEW_FILES
from core_runtime.errors import StorageFull, Unavailable


def make_pack(root, files):
    for number in range(files):
        path = root / f"folder{number % 3}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    return root


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o700)
    return folder


class Flush:
    """Stands for a file system that can be flushed as a whole; notes what the copy looked like at that moment."""

    def __init__(self, operations, error=None):
        self.asked = 0
        self.flushed = []
        self._operations = operations
        self._error = error

    def __call__(self, fd):
        self.asked += 1
        kept = os.dup(fd)

        def flush():
            self.flushed.append((list(self._operations.log), modes_below(kept)))
            os.close(kept)
            if self._error is not None:
                raise OSError(self._error, os.strerror(self._error))

        return flush


def modes_below(fd):
    found = {}
    for base, folders, files, below in os.fwalk(".", dir_fd=fd):
        for name in (*folders, *files):
            found[f"{base}/{name}"] = os.stat(name, dir_fd=below).st_mode & 0o777
    return found


def test_many_files_are_flushed_at_once_after_the_last_change_and_before_the_rename(tmp_path, sealed, scripted):
    pack = make_pack(tmp_path / "pack", FEW_FILES + 1)
    operations = scripted()
    flush = Flush(operations)
    SealedStore(sealed, operations, flush).seal(pack, digest_of(pack).digest)
    ((before, modes),) = flush.flushed
    assert operations.log[len(before) :] == ["rename", "fsync"], "nothing but the rename comes after the flush"
    assert before.count("open") == FEW_FILES + 1
    assert set(modes.values()) == {0o444, 0o555}, "the modes are flushed as well"


def test_few_files_are_flushed_one_by_one_and_leave_the_rest_of_the_disk_alone(tmp_path, sealed, scripted):
    pack = make_pack(tmp_path / "pack", FEW_FILES)
    operations = scripted()
    flush = Flush(operations)
    SealedStore(sealed, operations, flush).seal(pack, digest_of(pack).digest)
    assert flush.asked == 0
    assert operations.log.count("fsync") == FEW_FILES + 3 + 1 + 1, "files, folders, the copy, the folder of copies"


def test_many_files_are_flushed_one_by_one_where_that_is_all_that_is_known_to_help(tmp_path, sealed, scripted):
    pack = make_pack(tmp_path / "pack", FEW_FILES + 1)
    operations = scripted()
    SealedStore(sealed, operations, lambda fd: None).seal(pack, digest_of(pack).digest)
    assert operations.log.count("fsync") == FEW_FILES + 1 + 3 + 1 + 1


@pytest.mark.parametrize(("number", "error"), [(28, StorageFull), (5, Unavailable)], ids=["ENOSPC", "EIO"])
def test_ft_04_a_disk_that_fails_while_it_is_flushed_leaves_no_copy(tmp_path, sealed, scripted, number, error):
    pack = make_pack(tmp_path / "pack", FEW_FILES + 1)
    operations = scripted()
    with pytest.raises(error):
        SealedStore(sealed, operations, Flush(operations, number)).seal(pack, digest_of(pack).digest)
    assert list(sealed.iterdir()) == []


def test_the_real_flush_is_offered_only_where_it_is_known_to_cover(tmp_path):
    import ctypes

    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        kind = _type_of(ctypes.CDLL(None, use_errno=True), fd)
        offered = flush_all_of(fd)
        assert (offered is not None) == (kind in _COVERED and _release() >= (5, 8))
        if offered is not None:
            offered()
    finally:
        os.close(fd)


def test_the_real_flush_is_not_offered_for_a_file_system_that_is_not_listed():
    fd = os.open("/proc", os.O_RDONLY)
    try:
        assert flush_all_of(fd) is None
    finally:
        os.close(fd)


def test_a_flush_that_fails_is_an_error_of_the_system(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    offered = flush_all_of(fd)
    os.close(fd)
    if offered is not None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            offered()


def test_a_large_tree_seals_the_same_with_the_real_flush(tmp_path, sealed):
    pack = make_pack(tmp_path / "pack", 150)
    digest = digest_of(pack).digest
    store = SealedStore(sealed, SystemOperations(), flush_all_of)
    assert store.seal(pack, digest).digest == digest
    assert store.verify(digest).digest == digest


def test_of_several_refused_files_always_the_first_is_named(tmp_path):
    from core_runtime.adapters.sealed_tree import reader
    from core_runtime.errors import ValidationFailed

    pack = make_pack(tmp_path / "pack", 300)
    for _ in range(10):
        with reader.open_root(pack) as root:
            found = reader.walk(root, frozenset())
            broken = [found[60], found[130], found[131], found[299]]
            for item in broken:
                (pack / item.path).write_text("longer than before")
            with pytest.raises(ValidationFailed) as caught:
                reader.hash_tree(root, found)
            assert caught.value.details["path"] == broken[0].path
            make_pack(pack, 300)
