"""A second, private container engine, started the way a bare machine's first one is, and left behind the way a crash does."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bootstrap_steps.engine import Reply, ping
from bootstrap_steps.engine_api import Address, Engine, dig
from bootstrap_steps.engine_daemon import DaemonPaths, start_daemon
from bootstrap_steps.host import Child, SystemRunner

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may start an engine"),
    pytest.mark.skipif(
        not shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin"), reason="dockerd is not installed here"
    ),
]


class Remembering(SystemRunner):
    """Keeps the processes that it started, so that the test can end exactly those."""

    def __init__(self) -> None:
        super().__init__(dict(os.environ))
        self.children: list[Child] = []

    def start(self, argv: Sequence[str], *, log: Path) -> Child:
        self.children.append(super().start(argv, log=log))
        return self.children[-1]


@pytest.fixture
def paths() -> Iterator[DaemonPaths]:
    folder = Path(tempfile.mkdtemp(prefix="rumi-dockerd-"))
    places = DaemonPaths(
        socket=folder / "x.sock",
        pid_file=folder / "docker.pid",
        exec_root=folder / "exec",
        data_root=folder / "data",
        config=folder / "daemon.json",
        log=folder / "log",
        system_containerd=folder / "no-containerd.sock",
        arguments=(
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--host=unix://{folder}/x.sock",
            f"--pidfile={folder}/docker.pid",
            f"--config-file={folder}/daemon.json",
            "--bridge=none",
            "--iptables=false",
        ),
    )
    places.config.write_text("{}")
    yield places
    for mount in sorted(Path("/proc/self/mounts").read_text().split()[1::6], reverse=True):
        if mount.startswith(str(folder)):
            subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def runner(paths) -> Iterator[Remembering]:
    remembering = Remembering()
    yield remembering
    for child in remembering.children:
        if child.poll() is None:
            child.terminate()
            child.wait(timeout=30)
    end_containerd(paths)


def end_containerd(paths: DaemonPaths) -> None:
    """A killed daemon's containerd lives on; it is ours, by its pid file below our own folder."""
    try:
        number = int(paths.containerd_pid_file.read_text())
        if Path(f"/proc/{number}/comm").read_text().strip() != "containerd":
            return
        os.kill(number, signal.SIGKILL)
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + 10
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def answers(paths: DaemonPaths) -> bool:
    return ping(Address(socket=str(paths.socket))).reply is Reply.ANSWERS


def test_an_engine_is_started_from_nothing_with_overlay2(paths, runner):
    start_daemon(runner, paths, lambda: answers(paths))
    assert dig(Engine(Address(socket=str(paths.socket))).get("/info"), "Driver") == "overlay2"


def test_an_engine_whose_machine_went_down_is_started_again(paths, runner):
    """Killed without a word; its pid files now name processes of other programs; its sockets lie there deaf."""
    start_daemon(runner, paths, lambda: answers(paths))
    runner.children[0].kill()
    runner.children[0].wait(timeout=10)
    end_containerd(paths)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        paths.pid_file.write_text(str(other.pid))
        paths.containerd_pid_file.write_text(str(other.pid))
        assert paths.socket.is_socket()
        start_daemon(runner, paths, lambda: answers(paths))
        assert other.poll() is None, "the process that has the number now was left alone"
    finally:
        other.kill()
        other.wait()
    assert len(runner.children) == 2


def test_an_engine_whose_containerd_outlived_it_is_started_again(paths, runner):
    start_daemon(runner, paths, lambda: answers(paths))
    runner.children[0].kill()
    runner.children[0].wait(timeout=10)
    start_daemon(runner, paths, lambda: answers(paths))
    assert answers(paths)


def test_an_engine_that_runs_is_left_alone(paths, runner):
    start_daemon(runner, paths, lambda: answers(paths))
    start_daemon(runner, paths, lambda: answers(paths))
    assert len(runner.children) == 1
    assert runner.children[0].poll() is None
