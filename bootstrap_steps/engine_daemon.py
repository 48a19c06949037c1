"""Starting `dockerd` on a machine without systemd, also after a machine that went down without saying good-bye.

A daemon that died leaves its pid files and sockets behind. The next one believes a pid file whenever some process has
that number, and a containerd socket whenever the file exists. So what is left over is cleared first, and only what is
proven to be left over: a pid whose process is another program or none, a socket where nobody listens.

Never stops a process of any kind but the one that it started itself and that did not come up.
"""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootstrap_steps.host import Child, Runner
from bootstrap_steps.report import SetupError, disk_full


@dataclass(frozen=True, slots=True)
class DaemonPaths:
    """Where a daemon keeps its things. The defaults are Docker's own; a test names a private set."""

    socket: Path = Path("/var/run/docker.sock")
    pid_file: Path = Path("/var/run/docker.pid")
    exec_root: Path = Path("/var/run/docker")
    data_root: Path = Path("/var/lib/docker")
    config: Path = Path("/etc/docker/daemon.json")
    log: Path = Path("/var/log/rumi-dockerd.log")
    system_containerd: Path = Path("/run/containerd/containerd.sock")
    processes: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    arguments: tuple[str, ...] = ()
    seconds_to_answer: float = 60

    @property
    def containerd_pid_file(self) -> Path:
        return self.exec_root / "containerd" / "containerd.pid"


def start_daemon(runner: Runner, paths: DaemonPaths, answers: Callable[[], bool]) -> None:
    """Start the daemon and return once it answers. Raises SetupError with the last line of its log."""
    if is_running(paths.pid_file, "dockerd", paths.processes):
        if not wait(answers, None, paths.seconds_to_answer):
            raise SetupError(
                "A dockerd runs here but does not answer; the set-up never stops one.",
                f"look into {paths.log}, end that dockerd, then: python3 bootstrap.py setup",
            )
        return
    clear_leftovers(paths)
    mount_cgroups(runner, paths)
    for extra in ((), ("--iptables=false", "--bridge=none")):  # packs have no network: an engine without one will do
        mark = paths.log.stat().st_size if paths.log.exists() else 0
        child = runner.start([*daemon_command(runner, paths), *extra], log=paths.log)
        if wait(answers, child, paths.seconds_to_answer):
            return
        said = log_since(paths.log, mark)
        give_up(child)
        if answers():  # somebody else's daemon was quicker
            return
        if not network_is_to_blame(said):
            break
        clear_leftovers(paths)
    raise explain(said, paths.log)


def daemon_command(runner: Runner, paths: DaemonPaths) -> list[str]:
    """The command line: the owner's configuration rules; a fresh store is never left to the slow `vfs` driver."""
    command = [runner.which("dockerd") or "dockerd", *paths.arguments]
    fresh = not paths.data_root.is_dir() or not any(paths.data_root.iterdir())
    if fresh and "storage-driver" not in configured(paths.config):
        command += ["--storage-driver=overlay2"]
    return command


def configured(config: Path) -> set[str]:
    """The keys of the daemon's own configuration file."""
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(found) if isinstance(found, dict) else set()


def clear_leftovers(paths: DaemonPaths) -> list[Path]:
    """Remove the pid files and sockets of a daemon that is gone; what may still be somebody's stays. Says what went."""
    gone = []
    for pid_file, program in ((paths.pid_file, "dockerd"), (paths.containerd_pid_file, "containerd")):
        if pid_file.exists() and not is_running(pid_file, program, paths.processes):
            pid_file.unlink()
            gone.append(pid_file)
    for path in (paths.system_containerd, paths.socket):
        if path.is_socket() and not somebody_listens(path):
            path.unlink()
            gone.append(path)
    return gone


def is_running(pid_file: Path, program: str, processes: Path) -> bool:
    """Whether the process that a pid file names is that program and alive.

    Numbers are used again after a restart; and where nobody collects the dead, a killed process keeps its number and
    its name, which is enough for dockerd to wait for it in vain.
    """
    try:
        number = int(pid_file.read_text(encoding="ascii").strip())
        stat = (processes / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    head, _, rest = stat.rpartition(")")  # proc(5): "number (name) state ..."
    return head.partition("(")[2] == program and rest.strip()[:1] not in {"Z", "X", ""}


def somebody_listens(path: Path) -> bool:
    """Whether a connection is taken. Anything but a plain refusal counts as yes: the socket then stays."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def mount_cgroups(runner: Runner, paths: DaemonPaths) -> None:
    """A bare machine without an init system may lack the control groups that limits are made of."""
    if paths.cgroups.is_dir() and not any(paths.cgroups.iterdir()):
        runner.run(["mount", "-t", "cgroup2", "none", str(paths.cgroups)], timeout=10)


def wait(answers: Callable[[], bool], child: Child | None, seconds: float) -> bool:
    """Until the daemon answers, dies, or had its time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answers():
            return True
        if child is not None and child.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def give_up(child: Child) -> None:
    """End the daemon that we started and that never answered."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def log_since(log: Path, mark: int) -> str:
    """What was written to the log after `mark`."""
    with log.open("rb") as file:
        file.seek(mark)
        return file.read(1 << 20).decode("utf-8", "replace")


def network_is_to_blame(said: str) -> bool:
    """Whether the daemon failed on its bridge or its packet filter."""
    return any(word in said for word in ("iptables", "network controller", "bridge", "nf_tables"))


def explain(said: str, log: Path) -> SetupError:
    """The sentence behind a daemon's log."""
    if "no space left on device" in said:
        return disk_full("python3 bootstrap.py setup")
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1][-300:] if lines else "it said nothing"
    return SetupError(f"dockerd did not come up: {last}", f"tail -n 30 {log}")
