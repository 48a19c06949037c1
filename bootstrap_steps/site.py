"""The checkout that is being set up: its places, its lock, and how a file in it is written."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap_steps.host import Host, Runner
from bootstrap_steps.report import Reporter


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a stage may use: handed in, so that a test can hand in another one."""

    root: Path
    environment: Mapping[str, str]
    host: Host
    runner: Runner
    reporter: Reporter

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def state_file(self) -> Path:
        """Which image belongs to this checkout: the kernel reads it beside its interpreter's `sys.prefix`."""
        return self.venv / "rumi-bootstrap.json"

    @property
    def identity(self) -> str:
        """A short name of this checkout for labels, so that two of them on one engine tell their images apart."""
        return hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:12]


def write_atomically(path: Path, text: str) -> None:
    """Either the old content or the new one is there, whenever the machine stops."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path) -> dict[str, str]:
    """The text values of a small JSON object; whatever cannot be read counts as not there, so that it is made again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, str)}


@contextmanager
def only_one(site: Site) -> Iterator[None]:
    """Hold the checkout for one set-up. The lock is on the folder: it leaves no file, and dies with its holders.

    The programs that a set-up runs hold it too: when a set-up is killed, its pip may live on for a while, and the next
    set-up must not start a second one beside it.
    """
    folder = os.open(site.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            site.reporter.line("wait", "another set-up works in this folder; waiting for it ...")
            fcntl.flock(folder, fcntl.LOCK_EX)
        os.set_inheritable(folder, True)  # noqa: FBT003
        yield
    finally:
        os.close(folder)
