"""The small file layer: atomic, private, never through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core_runtime.adapters.files import StateFiles, SystemOperations
from core_runtime.errors import Conflict, StorageFull, TooLarge, ValidationFailed


@pytest.fixture
def files(tmp_path):
    made = StateFiles(tmp_path / "profile")
    yield made
    made.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_se_05_files_are_0600_and_folders_0700_whatever_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        files = StateFiles(tmp_path / "p") if umask != 0o777 else StateFiles(tmp_path)
        files.write_atomic("permissions/deep/a.json", b"{}")
        files.create("permissions/b.json", b"{}")
    finally:
        os.umask(old)
    root = files.root
    assert [mode_of(root / p) for p in ("", "permissions", "permissions/deep")] == [0o700] * 3
    assert [mode_of(root / p) for p in ("permissions/deep/a.json", "permissions/b.json")] == [0o600] * 2
    files.close()


def test_se_05_folders_of_ours_that_are_too_open_are_closed(files):
    files.write_atomic("secrets/a", b"x")
    (files.root / "secrets").chmod(0o777)
    assert files.read("secrets/a", 10) == b"x"
    assert mode_of(files.root / "secrets") == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_se_05_a_file_that_others_can_reach_is_refused(files, mode):
    files.write_atomic("a", b"x")
    (files.root / "a").chmod(mode)
    with pytest.raises(PermissionError, match="where 0600 is wanted"):
        files.read("a", 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_se_05_a_file_or_folder_of_another_user_is_refused(files):
    files.write_atomic("folder/a", b"x")
    os.chown(files.root / "folder/a", 65534, 65534)
    with pytest.raises(PermissionError, match="another user"):
        files.read("folder/a", 10)
    os.chown(files.root / "folder", 65534, 65534)
    with pytest.raises(PermissionError, match="another user"):
        files.read("folder/a", 10)
    with pytest.raises(Conflict):
        files.write_atomic("folder/b", b"x")
    os.chown(files.root, 65534, 65534)
    with pytest.raises(Conflict):
        StateFiles(files.root)


def test_se_05_a_linked_folder_is_refused_for_reading_and_writing(files, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "elsewhere/a").write_text("foreign")
    os.symlink(tmp_path / "elsewhere", files.root / "secrets")
    with pytest.raises(PermissionError):
        files.read("secrets/a", 10)
    with pytest.raises(Conflict):
        files.write_atomic("secrets/b", b"x")
    with pytest.raises(PermissionError):
        files.list("secrets")
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["a"]


def test_se_05_a_file_replaced_by_a_link_is_not_read_and_a_write_replaces_the_link(files, tmp_path):
    target = tmp_path / "passwd"
    target.write_text("root")
    os.symlink(target, files.root / "secret")
    with pytest.raises(PermissionError, match="symbolic link"):
        files.read("secret", 10)
    files.write_atomic("secret", b"mine")
    assert target.read_text() == "root"
    assert files.read("secret", 10) == b"mine"


def test_se_05_a_linked_root_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "alias")
    with pytest.raises(Conflict):
        StateFiles(tmp_path / "alias")


def test_a_fifo_in_the_place_of_a_file_is_refused_without_waiting(files):
    os.mkfifo(files.root / "pipe", 0o600)
    with pytest.raises(PermissionError, match="not a regular file"):
        files.read("pipe", 10)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "a/.", "a\0b", "n" * 256])
def test_paths_that_leave_the_profile_are_refused(files, path):
    for act in (lambda: files.read(path, 10), lambda: files.write_atomic(path, b""), lambda: files.delete(path)):
        with pytest.raises(ValidationFailed):
            act()


def test_reading_is_bounded_and_absent_files_are_none(files):
    files.write_atomic("a", b"12345")
    assert files.read("a", 5) == b"12345"
    with pytest.raises(TooLarge):
        files.read("a", 4)
    assert files.read("b", 1) is None
    assert files.read("no/such", 1) is None
    assert files.list("no/such") == ()


def test_create_makes_a_file_once(files):
    assert files.create("k", b"one")
    assert not files.create("k", b"two")
    assert files.read("k", 10) == b"one"
    assert files.list("") == ("k",)


def test_delete_and_move(files):
    files.write_atomic("a/x", b"1")
    files.write_atomic("a/y", b"2")
    with pytest.raises(Conflict):
        files.move("a/x", "a/y")
    files.move("a/x", "b/c/x")
    assert files.read("b/c/x", 9) == b"1"
    assert files.delete("b/c/x")
    assert not files.delete("b/c/x")


def test_lists_hide_temporary_files_and_the_reserve(files):
    files.write_atomic("a", b"")
    (files.root / ".tmp-0123456789abcdef").write_text("half")
    files.keep_reserve()
    assert files.list("") == ("a",)
    assert files.remove_leftovers(("", "nowhere")) == 1
    assert not (files.root / ".tmp-0123456789abcdef").exists()


def test_ft_02_killed_at_any_operation_a_file_is_old_or_new(files, scripted, killed):
    files.write_atomic("f/state", b"old" * 1000)
    counting = scripted()
    whole = StateFiles(files.root, counting)
    whole.write_atomic("f/state", b"new" * 2000)
    whole.close()
    seen = set()
    for at in range(1, counting.count + 1):
        files.write_atomic("f/state", b"old" * 1000)
        with pytest.raises(killed):
            StateFiles(files.root, scripted(at)).write_atomic("f/state", b"new" * 2000)
        after = files.read("f/state", 100_000)
        assert after in {b"old" * 1000, b"new" * 2000}
        seen.add(after[:3])
        files.remove_leftovers(("f",))
        assert [p.name for p in (files.root / "f").iterdir()] == ["state"]
    assert seen == {b"old", b"new"}


def test_ft_04_a_full_disk_at_any_operation_changes_nothing_and_leaves_nothing(files, scripted, no_space):
    files.write_atomic("f/state", b"old")
    counting = scripted(only=frozenset({"open", "write", "fsync", "rename"}))
    StateFiles(files.root, counting).write_atomic("f/state", b"old")
    for at in range(1, counting.log.index("rename") + 2):
        failing = StateFiles(files.root, scripted(at, no_space, counting.only))
        with pytest.raises(StorageFull, match="nothing was changed"):
            failing.write_atomic("f/state", b"new")
        assert files.read("f/state", 10) == b"old"
        assert [p.name for p in (files.root / "f").iterdir()] == ["state"]


def test_writes_are_flushed_before_the_rename_and_the_folder_after_it(files, scripted):
    files.write_atomic("f/a", b"")
    recorded = scripted()
    StateFiles(files.root, recorded).write_atomic("f/a", b"x")
    assert [name for name in recorded.log if name in {"write", "fsync", "rename"}] == [
        "write",
        "fsync",
        "rename",
        "fsync",
    ]


def test_short_writes_are_continued(files):
    class Stingy(SystemOperations):
        def write(self, fd, data):
            return os.write(fd, bytes(data)[:3])

    StateFiles(files.root, Stingy()).write_atomic("a", b"0123456789")
    assert files.read("a", 100) == b"0123456789"


def test_an_urgent_write_may_use_the_reserve_of_a_full_disk(files, no_space):
    class Full(SystemOperations):
        def write(self, fd, data):
            if (files.root / ".reserve").exists():
                raise OSError(no_space, "full")
            return os.write(fd, data)

    assert files.keep_reserve()
    assert files.keep_reserve()
    full = StateFiles(files.root, Full())
    with pytest.raises(StorageFull):
        full.write_atomic("a", b"x")
    full.write_atomic("a", b"x", urgent=True)
    assert files.read("a", 10) == b"x"


def test_the_reserve_is_not_kept_half(files, scripted, no_space):
    failing = StateFiles(files.root, scripted(2, no_space, frozenset({"open", "write", "fsync"})))
    assert not failing.keep_reserve()
    assert not (files.root / ".reserve").exists()


def test_no_descriptor_stays_open(files):
    files.write_atomic("a/b/c", b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        files.write_atomic("a/b/c", b"y")
        files.read("a/b/c", 10)
        files.list("a/b")
        files.create("a/b/c", b"")
        files.remove_leftovers(("a", "a/b"))
    assert len(os.listdir("/proc/self/fd")) == before
