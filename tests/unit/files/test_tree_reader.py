"""Walking and hashing hostile folders on a real disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core_runtime.adapters.sealed_tree import FolderReader, digest_of
from core_runtime.adapters.sealed_tree import reader as tree_reader
from core_runtime.errors import NotFound, ValidationFailed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pack(tmp_path):
    root = tmp_path / "pack"
    (root / "backend/components/x").mkdir(parents=True)
    (root / "backend/ecosystem.json").write_text("{}")
    (root / "backend/components/x/setup.py").write_text("pass\n")
    return root


def reason_of(root: Path) -> tuple[object, object]:
    with pytest.raises(ValidationFailed) as caught:
        digest_of(root)
    return caught.value.details["reason"], caught.value.details["path"]


def test_ap_02_an_added_file_changes_the_digest(pack):
    before = digest_of(pack).digest
    (pack / "backend/components/x/extra.py").write_text("")
    assert digest_of(pack).digest != before


def test_ap_03_empty_folders_count_for_nothing(pack):
    before = digest_of(pack).digest
    (pack / "empty/deeper").mkdir(parents=True)
    assert digest_of(pack).digest == before


def test_ap_04_excluded_names_are_exact_components_below_the_root(tmp_path):
    inside = tmp_path / ".git" / "__pycache__" / "pack"
    (inside / "a/__pycache__").mkdir(parents=True)
    (inside / ".git").mkdir()
    (inside / "a/__pycache__/setup.cpython-311.pyc").write_bytes(b"evil")
    (inside / ".git/config").write_text("x")
    (inside / ".DS_Store").write_text("x")
    for kept in ("a/__pycache__x", ".gitignore", ".git2", "a/x.pyc"):
        (inside / kept).write_text("x")
    assert sorted(e.path for e in digest_of(inside).entries) == [".git2", ".gitignore", "a/__pycache__x", "a/x.pyc"]


def test_ap_09_a_folder_replaced_by_a_link_is_refused(pack, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", pack / "backend/linked")
    assert reason_of(pack) == ("link", "backend/linked")


@pytest.mark.parametrize("target", ["/etc/passwd", "ecosystem.json", "missing", "/"])
def test_ap_09_links_are_refused_wherever_they_point(pack, target):
    os.symlink(target, pack / "backend/l")
    assert reason_of(pack) == ("link", "backend/l")


def test_ap_09_a_hard_link_is_refused(pack, tmp_path):
    (tmp_path / "outside").write_text("secret")
    os.link(tmp_path / "outside", pack / "inside")
    assert reason_of(pack) == ("hard_link", "inside")


def test_ap_09_fifo_and_socket_are_refused_without_being_opened(pack):
    os.mkfifo(pack / "pipe")
    started = time.monotonic()
    assert reason_of(pack) == ("special", "pipe")
    with pytest.raises(ValidationFailed):
        FolderReader().read_file(pack, "pipe", 10)
    (pack / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(pack)  # a socket's path may have 107 bytes only
        try:
            listener.bind("s")
        finally:
            os.chdir(here)
        assert reason_of(pack) == ("special", "s")
    assert time.monotonic() - started < 2


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes are made by root alone")
def test_ap_09_a_device_node_is_refused(pack):
    try:
        os.mknod(pack / "null", 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no right to make device nodes here")
    assert reason_of(pack) == ("special", "null")


def test_ap_09_the_pack_folder_itself_must_not_be_a_link(pack, tmp_path):
    os.symlink(pack, tmp_path / "alias")
    assert reason_of(tmp_path / "alias") == ("unreadable", ".")


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6644])
def test_ap_10_set_id_bits_are_refused(pack, mode):
    (pack / "backend/components/x/setup.py").chmod(mode)
    assert reason_of(pack) == ("set_id", "backend/components/x/setup.py")


def test_ap_10_the_execute_bit_counts_and_other_modes_do_not(pack):
    before = digest_of(pack).digest
    target = pack / "backend/components/x/setup.py"
    target.chmod(0o666)
    assert digest_of(pack).digest == before
    target.chmod(0o755)
    assert digest_of(pack).digest != before


def test_ap_13_names_composed_and_decomposed(pack):
    (pack / "e\u0301").write_text("")
    assert reason_of(pack)[0] == "name"


def test_ap_20_a_name_that_is_not_utf8_is_refused_and_shown_escaped(pack):
    Path(os.fsdecode(os.fsencode(pack) + b"/\xff")).write_text("")
    assert reason_of(pack) == ("name", "\\udcff")


def test_ap_13_twins_under_case_folding_are_refused(pack):
    (pack / "Readme").write_text("")
    (pack / "README").write_text("")
    assert reason_of(pack)[0] == "case_twin"


def test_ap_19_a_sparse_file_of_four_gib_is_refused_unread(pack):
    with (pack / "big").open("wb") as file:
        file.truncate(4 * 1024**3)
    started = time.monotonic()
    assert reason_of(pack) == ("file_size", "big")
    assert time.monotonic() - started < 1


def test_ap_19_many_sparse_files_are_refused_before_hashing(pack):
    for number in range(6):
        with (pack / f"big{number}").open("wb") as file:
            file.truncate(99 * 1024**2)
    started = time.monotonic()
    assert reason_of(pack)[0] == "tree_size"
    assert time.monotonic() - started < 1


def test_ap_19_a_path_of_depth_300_is_refused(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert reason_of(tmp_path)[0] == "depth"


def test_ap_19_a_name_of_255_bytes_is_refused(pack):
    (pack / ("n" * 255)).write_text("")
    assert reason_of(pack)[0] == "path_length"


def test_ap_19_folders_without_end_are_refused(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for number in range(8_001):
        os.mkdir(str(number), dir_fd=fd)
    os.close(fd)
    assert reason_of(tmp_path)[0] == "folder_count"


def test_ap_20_a_file_that_vanishes_between_walk_and_read_makes_the_pack_invalid(pack):
    with tree_reader.open_root(pack) as root:
        found = tree_reader.walk(root, frozenset())
        (pack / "backend/ecosystem.json").unlink()
        with pytest.raises(ValidationFailed) as caught:
            tree_reader.hash_tree(root, found)
    assert caught.value.details == {"path": "backend/ecosystem.json", "reason": "vanished"}


@pytest.mark.parametrize("change", ["grown", "shrunk", "replaced", "linked", "fifo", "executable"])
def test_a_file_that_changes_between_walk_and_read_makes_the_pack_invalid(pack, change):
    target = pack / "backend/components/x/setup.py"
    with tree_reader.open_root(pack) as root:
        found = tree_reader.walk(root, frozenset())
        if change == "grown":
            target.write_text("pass\n#")
        elif change == "shrunk":
            target.write_text("")
        elif change == "executable":
            target.chmod(0o755)
        else:
            target.rename(pack.parent / "kept")  # keep the inode, so that its number is not used again
            if change == "replaced":
                target.write_text("evil\n")
            elif change == "linked":
                os.symlink("../../ecosystem.json", target)
            else:
                os.mkfifo(target)
        with pytest.raises(ValidationFailed):
            tree_reader.hash_tree(root, found)


def test_a_folder_swapped_for_a_link_between_walk_and_read_is_not_followed(pack, tmp_path):
    with tree_reader.open_root(pack) as root:
        found = tree_reader.walk(root, frozenset())
        (pack / "backend").rename(tmp_path / "moved")
        os.symlink(tmp_path / "moved", pack / "backend")
        with pytest.raises(ValidationFailed):
            tree_reader.hash_tree(root, found)


def test_ap_20_an_unreadable_file_makes_the_pack_invalid(pack, tmp_path):
    secret = pack / "backend/ecosystem.json"
    secret.chmod(0)
    if os.geteuid() != 0:
        assert reason_of(pack) == ("unreadable", "backend/ecosystem.json")
        return
    for folder in (pack, *pack.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
    script = (
        "import os,sys;sys.path.insert(0,sys.argv[1])\n"
        "from pathlib import Path\n"
        "from core_runtime.adapters.sealed_tree import digest_of\n"
        "from core_runtime.errors import ValidationFailed\n"
        "os.fchdir(int(sys.argv[2]));os.setgid(65534);os.setuid(65534)\n"
        "try: digest_of(Path('.'))\n"
        "except ValidationFailed as e: print(e.details['reason'], e.details['path'])\n"
    )
    fd = os.open(pack, os.O_RDONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(ROOT), str(fd)],
            pass_fds=[fd],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    finally:
        os.close(fd)
    assert done.stdout.split() == ["unreadable", "backend/ecosystem.json"]


def test_a_missing_folder_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        digest_of(tmp_path / "nowhere")


def test_large_files_are_hashed_in_chunks(pack):
    import hashlib

    data = os.urandom(3 * 1024 * 1024 + 7)
    (pack / "big").write_bytes(data)
    (pack / "exact").write_bytes(data[: 1024 * 1024])
    found = digest_of(pack).by_path()
    assert found["big"].sha256 == hashlib.sha256(data).hexdigest()
    assert found["exact"].sha256 == hashlib.sha256(data[: 1024 * 1024]).hexdigest()


def test_no_descriptor_stays_open_after_success_or_refusal(pack):
    before = len(os.listdir("/proc/self/fd"))
    digest_of(pack)
    os.symlink("x", pack / "backend/components/x/l")
    for _ in range(5):
        reason_of(pack)
    assert len(os.listdir("/proc/self/fd")) == before
