"""One kernel for each profile root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_runtime.adapters.profile_lock import ProfileLock
from core_runtime.errors import Conflict, Unavailable

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_kernel_on_one_root_is_refused_with_the_number_of_the_first(tmp_path):
    with ProfileLock(tmp_path / "private"):
        with pytest.raises(Conflict, match=f"process {os.getpid()}") as caught:
            ProfileLock(tmp_path / "private")
        assert "RUMI_USER_DATA" in caught.value.hint
        assert str(tmp_path) not in caught.value.message
        ProfileLock(tmp_path / "shared").release()
    ProfileLock(tmp_path / "private").release()


def test_the_lock_of_a_killed_kernel_is_free(tmp_path):
    script = (
        "import sys,time;sys.path.insert(0,sys.argv[1])\n"
        "from pathlib import Path\n"
        "from core_runtime.adapters.profile_lock import ProfileLock\n"
        "held=ProfileLock(Path(sys.argv[2]));print('held',flush=True);time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match=f"process {child.pid}"):
            ProfileLock(tmp_path)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    ProfileLock(tmp_path).release()


def test_a_linked_lock_file_is_refused(tmp_path):
    os.symlink("/etc/passwd", tmp_path / "kernel.lock")
    with pytest.raises(Unavailable):
        ProfileLock(tmp_path)
