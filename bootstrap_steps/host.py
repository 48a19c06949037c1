"""What kind of machine this is, as far as the set-up's choices depend on it, and how commands are run on it."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bootstrap_steps.report import SetupError

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Host:
    """The facts that decide which road a stage takes."""

    system: str = "Linux"
    root: bool = False
    distribution: str = ""
    family: frozenset[str] = frozenset()
    codename: str = ""
    systemd: bool = False
    contained: bool = False

    @property
    def uses_apt(self) -> bool:
        """Debian, Ubuntu and what calls itself like one of them."""
        return bool({"debian", "ubuntu"} & {self.distribution, *self.family})


def read_host(os_release: Path = Path("/etc/os-release"), systemd: Path = Path("/run/systemd/system")) -> Host:
    """Look at the running machine."""
    fields = parse_os_release(os_release.read_text(encoding="utf-8", errors="replace")) if os_release.is_file() else {}
    return Host(
        system=platform.system(),
        root=os.geteuid() == 0,
        distribution=fields.get("ID", ""),
        family=frozenset(fields.get("ID_LIKE", "").split()),
        codename=fields.get("VERSION_CODENAME", ""),
        systemd=systemd.is_dir(),
        contained=is_contained(),
    )


def is_contained(mark: Path = Path("/.dockerenv"), mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether this looks like a container: the engine's mark and a root of layers (machines may bear the mark too)."""
    if not mark.exists() or not mounts.is_file():
        return False
    rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    return any(row[1:3] == ["/", "overlay"] for row in rows)


def parse_os_release(text: str) -> dict[str, str]:
    """`KEY=value` lines as os-release(5) has them; quotes go, everything odd is skipped."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def last_words(self) -> str:
        """The last line it said, for a sentence to a person."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"exit code {self.code}"


class Child(Protocol):
    """A program that was started and not waited for (what subprocess.Popen offers)."""

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Runner(Protocol):
    """Runs programs of this machine. Tests hand in one that only remembers."""

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Finished:
        """Wait for a program; its output is kept, not shown. A program that is not there ends with code 127."""

    def start(self, argv: Sequence[str], *, log: Path) -> Child:
        """Start a program that outlives this one, in a session of its own, with its output in `log`."""

    def which(self, name: str) -> str | None:
        """Where a program is, also in the folders that only an administrator has on the path."""


class SystemRunner:
    """The real one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._path = environment.get("PATH", "") + ":" + SYSTEM_FOLDERS

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Finished:
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env={**self._environment, "PATH": self._path, **(env or {})},
                close_fds=False,  # the lock goes along (see site.only_one); Python keeps every other file to itself
                check=False,
            )
        except FileNotFoundError:
            return Finished(127, err=f"{argv[0]}: not found")
        except subprocess.TimeoutExpired as error:
            raise SetupError(f"{argv[0]} did not end within {timeout:.0f} s.", "python3 bootstrap.py setup") from error
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, argv: Sequence[str], *, log: Path) -> Child:
        environment = {**self._environment, "PATH": self._path}
        with log.open("ab") as output:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment,
                cwd="/",
            )

    def which(self, name: str) -> str | None:
        return shutil.which(name, path=self._path)
