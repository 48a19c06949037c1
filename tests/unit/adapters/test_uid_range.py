"""The register of uid ranges: kernels of one machine never share one."""

from __future__ import annotations

import os
import stat

import pytest

from core_runtime.adapters.uid_range import DurableFile, register_path, reserve_range, uid_map
from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.sandbox.engine_port import EngineInfo
from core_runtime.sandbox.uids import UidRange


@pytest.fixture
def owner(tmp_path):
    def make(name: str):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return folder

    return make


def test_two_kernels_get_two_ranges_and_keep_them(tmp_path, owner):
    register = tmp_path / "reg" / "uid-ranges"
    first, second = reserve_range(register, owner("a")), reserve_range(register, owner("b"))
    assert not first.overlaps(second)
    assert reserve_range(register, owner("a")) == first
    assert reserve_range(register, owner("b")) == second
    assert stat.S_IMODE(os.stat(register).st_mode) == 0o600


def test_the_range_of_a_kernel_whose_folder_is_gone_is_free_again(tmp_path, owner):
    register = tmp_path / "uid-ranges"
    first = reserve_range(register, owner("a"))
    (tmp_path / "a").rmdir()
    assert reserve_range(register, owner("b")) == first
    assert str(tmp_path / "a") not in register.read_text()


def test_a_wanted_base_is_taken_unless_it_is_another_kernels(tmp_path, owner):
    register = tmp_path / "uid-ranges"
    taken = reserve_range(register, owner("a"))
    assert reserve_range(register, owner("b"), wanted_base=500_000) == UidRange(500_000)
    with pytest.raises(ValidationFailed):
        reserve_range(register, owner("c"), wanted_base=taken.base + 4095)


@pytest.mark.parametrize("text", ["nonsense\n", "1 x /a\n", "1 4096\n", "-1 4096 /a\n"])
def test_a_damaged_register_gives_nothing_out(tmp_path, owner, text):
    register = tmp_path / "uid-ranges"
    register.write_text(text)
    with pytest.raises(Unavailable):
        reserve_range(register, owner("a"))
    assert register.read_text() == text


def test_a_file_is_replaced_whole_and_private(tmp_path):
    file = DurableFile(tmp_path / "run" / "uids.json")
    assert file.read() is None
    file.write(b"one")
    file.write(b"two")
    assert file.read() == b"two"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["uids.json"]
    assert stat.S_IMODE(os.stat(tmp_path / "run" / "uids.json").st_mode) == 0o600


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path):
    file = DurableFile(tmp_path / "uids.json")
    file.write(b"old")
    with pytest.raises(TypeError):
        file.write("not bytes")  # type: ignore[arg-type]
    assert file.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["uids.json"]


def test_where_the_register_is_and_what_each_engine_makes_of_a_range(tmp_path):
    assert register_path(uid=0, home=tmp_path).is_relative_to("/var/lib")
    assert register_path(uid=1000, home=tmp_path).is_relative_to(tmp_path)
    plain = EngineInfo("1", "1.41", "overlay2", "2", False, False, False, "/var/lib/docker")
    assert uid_map(plain, UidRange(500_000), user_names=("x",)).pair(1).outside == 500_001
