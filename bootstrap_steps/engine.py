"""Stage 2: a container engine that answers.

One that runs is used as it is. Where none runs, root on Debian or Ubuntu gets one installed and started; everybody else
gets the sentence that says what to do. An engine that runs is never stopped or restarted, whoever it belongs to.
"""

import enum
import time
from dataclasses import dataclass
from pathlib import Path

from bootstrap_steps import packages
from bootstrap_steps.engine_api import Address, Engine, Refused, dig, read_address
from bootstrap_steps.engine_daemon import DaemonPaths, start_daemon
from bootstrap_steps.report import SetupError
from bootstrap_steps.site import Site

STAGE = "engine"
OLDEST_API = (1, 41)


class Reply(enum.Enum):
    """What came of asking an engine for its version."""

    ANSWERS = "answers"
    ABSENT = "absent"
    DENIED = "denied"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Ping:
    """An engine's reply, and what it said about itself."""

    reply: Reply
    version: str = ""
    api: str = ""
    architecture: str = ""


def ping(address: Address, timeout: float = 2) -> Ping:
    """Ask for the version, and wait no longer than `timeout` seconds."""
    try:
        answer = Engine(address).get("/version", timeout=timeout)
    except PermissionError:
        return Ping(Reply.DENIED)
    except TimeoutError:
        return Ping(Reply.SILENT)
    except (OSError, ValueError, Refused):
        return Ping(Reply.ABSENT)
    return Ping(Reply.ANSWERS, dig(answer, "Version"), dig(answer, "ApiVersion"), dig(answer, "Arch"))


def ensure(site: Site, paths: DaemonPaths | None = None) -> tuple[Engine, Ping]:
    """An engine that answers and is new enough. Raises SetupError with what to do otherwise."""
    address = read_address(site.environment)
    found = ping(address)
    if found.reply is Reply.ABSENT and not address.explicit:
        found = provide(site, address, paths or DaemonPaths())
    else:
        demand(found, address)
    if api_of(found) < OLDEST_API:
        raise SetupError(
            f"The container engine is too old (API {found.api}); Rumi needs API 1.41, which is Docker 20.10.",
            "sudo apt-get install docker.io    (or a newer release)",
        )
    site.reporter.line(STAGE, f"ready: Docker {found.version} at {address}")
    return Engine(address), found


def api_of(found: Ping) -> tuple[int, ...]:
    """`1.41` as numbers, so that 1.9 is older."""
    return tuple(int(part) for part in found.api.split(".") if part.isdecimal())


def demand(found: Ping, address: Address) -> None:
    """Raise the sentence for every reply that is not an answer."""
    if found.reply is Reply.DENIED:
        raise SetupError(
            f"This user may not use the engine's socket {address.socket}. (Its docker group is as good as root.)",
            'sudo usermod -aG docker "$(id -un)", then log in again',
        )
    if found.reply is Reply.SILENT:
        raise SetupError(
            f"The container engine at {address} does not answer within 2 s.",
            "look into its log: journalctl -u docker, or /var/log/rumi-dockerd.log",
        )
    if found.reply is Reply.ABSENT:
        raise SetupError(
            f"DOCKER_HOST names {address}, and nothing answers there.", "start that engine, or: unset DOCKER_HOST"
        )


def provide(site: Site, address: Address, paths: DaemonPaths) -> Ping:
    """Install an engine if there is none, start it, and wait until it answers."""
    if site.runner.which("dockerd") is None:
        packages.install(site, STAGE, ["docker.io", "iptables", "ca-certificates"], "A container engine (Docker)")
    found = ping(address)
    if found.reply is Reply.ANSWERS:  # the package started it
        return found
    if not site.host.root:
        started = "systemctl start docker" if site.host.systemd else "dockerd &"
        rootless = rootless_socket(site)
        hint = f"export DOCKER_HOST=unix://{rootless}" if rootless else f"sudo {started}"
        raise SetupError("Docker is installed but not running, and only root may start it.", hint)
    with site.reporter.work(STAGE, "starting dockerd"):
        if site.host.systemd:
            done = site.runner.run(["systemctl", "start", "docker"], timeout=180)
            if done.code:
                raise SetupError(f"systemd could not start Docker: {done.last_words}", "journalctl -u docker -n 50")
            return wait_until_it_answers(address, deadline=time.monotonic() + 60, log=paths.log)
        start_daemon(site.runner, paths, lambda: ping(address).reply is Reply.ANSWERS)
        return ping(address)


def wait_until_it_answers(address: Address, *, deadline: float, log: Path) -> Ping:
    """For a daemon that something else started."""
    while time.monotonic() < deadline:
        found = ping(address)
        if found.reply is Reply.ANSWERS:
            return found
        time.sleep(0.1)
    raise SetupError(f"Docker was started but does not answer at {address}.", f"journalctl -u docker -n 50; tail {log}")


def rootless_socket(site: Site) -> str:
    """The socket of an engine that this user runs without root, if it answers."""
    folder = site.environment.get("XDG_RUNTIME_DIR", "")
    path = f"{folder}/docker.sock"
    return path if folder and ping(Address(socket=path)).reply is Reply.ANSWERS else ""
