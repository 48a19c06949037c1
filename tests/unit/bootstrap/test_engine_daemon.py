"""What a daemon that died with its machine leaves behind, and what must be left alone."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap_steps import engine_daemon
from bootstrap_steps.engine_daemon import DaemonPaths, clear_leftovers, daemon_command, start_daemon
from bootstrap_steps.report import SetupError
from tests.unit.bootstrap.support import FakeChild, FakeRunner


@pytest.fixture
def paths(tmp_path) -> DaemonPaths:
    places = DaemonPaths(
        socket=tmp_path / "docker.sock",
        pid_file=tmp_path / "docker.pid",
        exec_root=tmp_path / "exec",
        data_root=tmp_path / "data",
        config=tmp_path / "daemon.json",
        log=tmp_path / "log",
        system_containerd=tmp_path / "containerd.sock",
        processes=tmp_path / "proc",
        cgroups=tmp_path / "cgroup",
        seconds_to_answer=0.1,
    )
    places.containerd_pid_file.parent.mkdir(parents=True)
    places.processes.mkdir()
    return places


def process(paths: DaemonPaths, number: int, program: str, state: str = "S") -> None:
    (paths.processes / str(number)).mkdir()
    (paths.processes / str(number) / "stat").write_text(f"{number} ({program}) {state} 1 1 1 0 -1\n")


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as once:
        once.bind(str(path))


@pytest.mark.parametrize("content", ["123", "123\n", "", "rubbish", "-1", "99999999999999999999"])
def test_a_pid_file_without_its_process_goes(paths, content):
    paths.pid_file.write_text(content)
    assert clear_leftovers(paths) == [paths.pid_file]


def test_a_pid_that_another_program_has_now_goes(paths):
    process(paths, 123, "nginx")
    paths.pid_file.write_text("123")
    paths.containerd_pid_file.write_text("123")
    assert clear_leftovers(paths) == [paths.pid_file, paths.containerd_pid_file]


def test_a_dead_process_that_nobody_collected_counts_as_gone(paths):
    process(paths, 123, "containerd", state="Z")
    paths.containerd_pid_file.write_text("123")
    assert clear_leftovers(paths) == [paths.containerd_pid_file]


def test_a_process_cannot_look_like_another_by_its_name(paths):
    process(paths, 123, "x) S (dockerd")
    paths.pid_file.write_text("123")
    assert clear_leftovers(paths) == [paths.pid_file]


def test_the_pid_file_of_a_living_daemon_stays(paths):
    process(paths, 123, "dockerd")
    process(paths, 124, "containerd")
    paths.pid_file.write_text("123")
    paths.containerd_pid_file.write_text("124")
    assert clear_leftovers(paths) == []


def test_a_socket_that_nobody_listens_on_goes(paths):
    dead_socket(paths.socket)
    dead_socket(paths.system_containerd)
    assert clear_leftovers(paths) == [paths.system_containerd, paths.socket]
    assert not paths.socket.exists()


def test_a_socket_that_somebody_listens_on_stays(paths):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.system_containerd))
        listener.listen()
        assert clear_leftovers(paths) == []
    assert paths.system_containerd.exists()


def test_a_file_where_a_socket_is_expected_stays(paths):
    paths.socket.write_text("somebody's")
    assert clear_leftovers(paths) == []


def test_a_daemon_that_runs_and_is_mute_is_neither_ended_nor_doubled(paths):
    process(paths, 123, "dockerd")
    paths.pid_file.write_text("123")
    runner = FakeRunner()
    with pytest.raises(SetupError, match="never stops one"):
        start_daemon(runner, paths, lambda: False)
    assert (runner.started, runner.child.ended) == ([], [])


def test_a_daemon_that_is_just_coming_up_is_waited_for(paths):
    process(paths, 123, "dockerd")
    paths.pid_file.write_text("123")
    answers = [False, True]
    runner = FakeRunner()
    start_daemon(runner, replace(paths, seconds_to_answer=5), lambda: answers.pop(0))
    assert runner.started == []


def test_a_fresh_store_is_overlay2_and_never_vfs(paths):
    assert daemon_command(FakeRunner(), paths) == ["/usr/bin/dockerd", "--storage-driver=overlay2"]
    paths.data_root.mkdir()
    assert "--storage-driver=overlay2" in daemon_command(FakeRunner(), paths)


def test_an_owners_own_choice_of_storage_rules(paths):
    paths.config.write_text('{"storage-driver": "zfs"}')
    assert daemon_command(FakeRunner(), paths) == ["/usr/bin/dockerd"]


def test_a_store_that_is_in_use_keeps_its_driver(paths):
    (paths.data_root / "image").mkdir(parents=True)
    assert daemon_command(FakeRunner(), paths) == ["/usr/bin/dockerd"]


def test_a_machine_without_a_packet_filter_gets_a_daemon_without_a_network(paths):
    runner = FakeRunner()
    runner.child = FakeChild(code=1)
    runner.on_start = lambda argv, log: log.write_text("failed to start daemon: iptables not found\n") and None
    start_daemon(runner, paths, lambda: len(runner.started) == 2)
    assert [("--bridge=none" in command) for command in runner.started] == [False, True]


def test_a_daemon_that_dies_is_told_by_its_last_words_and_not_tried_again(paths):
    runner = FakeRunner()
    runner.child = FakeChild(code=1)
    runner.on_start = lambda argv, log: log.write_text("starting\nfailed to start daemon: something else\n") and None
    with pytest.raises(SetupError, match="something else") as caught:
        start_daemon(runner, paths, lambda: False)
    assert caught.value.mend == f"tail -n 30 {paths.log}"
    assert len(runner.started) == 1


def test_a_daemon_that_we_started_and_that_stays_mute_is_ended(paths):
    runner = FakeRunner()
    with pytest.raises(SetupError):
        start_daemon(runner, paths, lambda: False)
    assert runner.child.ended == ["terminate"]


def test_only_the_log_of_this_start_is_read(paths):
    paths.log.write_text("iptables: an old failure\n")
    runner = FakeRunner()
    runner.child = FakeChild(code=1)
    with pytest.raises(SetupError, match="said nothing"):
        start_daemon(runner, paths, lambda: False)
    assert len(runner.started) == 1


def test_control_groups_are_mounted_only_where_there_are_none(paths):
    runner = FakeRunner()
    engine_daemon.mount_cgroups(runner, paths)
    assert runner.calls == []
    paths.cgroups.mkdir()
    engine_daemon.mount_cgroups(runner, paths)
    assert runner.calls == [["mount", "-t", "cgroup2", "none", str(paths.cgroups)]]
    (paths.cgroups / "memory").mkdir()
    engine_daemon.mount_cgroups(runner, paths)
    assert len(runner.calls) == 1


def test_this_very_process_is_no_dockerd(tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert not engine_daemon.is_running(tmp_path / "pid", "dockerd", Path("/proc"))
