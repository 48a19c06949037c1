"""The documents, followed word by word: every file is written, every command typed at a terminal, every output compared.

A reader's terminal is a pseudo-terminal here: commands that ask get a `y`. A block below a sentence that names a file is
that file's content; a line with `$ ` is a command, what follows it is its output, where `...` stands for anything. What
starts the kernel (`bootstrap.py run`) is done by the test, on folders and a port of its own.
"""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
NOTICED_SECONDS = 2.1  # the promise is 2 s
DOCUMENTED_ADDRESS = "http://127.0.0.1:8765"
FILE = re.compile(r"`((?:ecosystem/packs|user_data/private)/[^`\s<>]+\.[a-z]+)`")
JOURNEYS = [
    ("README.md",),
    ("README.ja.md",),
    ("docs/tutorial/first-pack.md",),
    ("docs/how-to/approve-a-pack.md", "docs/how-to/mend-a-problem.md"),
    ("docs/how-to/keep-data.md", "docs/how-to/call-other-packs.md"),
    ("docs/how-to/use-the-api.md", "docs/how-to/edit-with-schemas.md", "docs/reference/flows.md"),
]

pytestmark = pytest.mark.docker


@dataclass
class Step:
    """A file to write, or a command to type with the output that the page shows for it."""

    file: str = ""
    content: str = ""
    command: str = ""
    output: list[str] = field(default_factory=list)


def steps_of(text: str) -> list[Step]:
    found: list[Step] = []
    for segment in re.finditer(
        r"(?P<prose>.*?)^```(?P<language>\w*)\n(?P<body>.*?)^```$", text, re.DOTALL | re.MULTILINE
    ):
        if segment["language"] == "console":
            for line in segment["body"].splitlines():
                if line.startswith("$ "):
                    found.append(Step(command=line.removeprefix("$ ")))
                else:
                    found[-1].output.append(line)
        elif segment["language"] in {"json", "python", "yaml"}:
            named = FILE.findall(segment["prose"])
            if named:
                found.append(Step(file=named[-1], content=segment["body"]))
    return found


class Reader:
    """Somebody at a terminal, in a folder with packs and a running kernel."""

    def __init__(self, folder: Path, environment: dict[str, str], address: str) -> None:
        self.folder = folder
        self.environment = environment
        self.address = address
        self._changed_at = 0.0

    def follow(self, step: Step) -> None:
        if step.file:
            (self.folder / step.file).write_text(step.content, encoding="utf-8")
            self._changed_at = time.monotonic()
            return
        if step.command.startswith((". .venv/", "python3 bootstrap.py")):
            return
        if step.command.startswith("curl") and shutil.which("curl") is None:
            return
        time.sleep(max(0.0, self._changed_at + NOTICED_SECONDS - time.monotonic()))
        assigned = re.fullmatch(r"(\w+)=\$\((.*)\)", step.command)
        code, out, err = self._typed(assigned[2] if assigned else step.command)
        if step.command.startswith("sed -i"):
            self._changed_at = time.monotonic()
        if assigned:
            self.environment[assigned[1]] = out.strip()
        if step.output:
            pattern = re.escape("\n".join(step.output)).replace(re.escape("..."), r"[\s\S]*")
            assert re.fullmatch(pattern, (out or err).strip()), f"$ {step.command}\n{out}{err}"
        if not step.output or out:
            assert code == 0, f"$ {step.command}\n{out}{err}"

    def _typed(self, command: str) -> tuple[int, str, str]:
        """Run with a terminal for input and errors, and a pipe for output; a `y` is typed ahead."""
        master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        os.write(master, b"y\n")
        command = command.replace(DOCUMENTED_ADDRESS, self.address)
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
        )
        out, _ = process.communicate(timeout=60)
        os.set_blocking(master, False)
        err = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65536):
                err += chunk
        os.close(slave)
        os.close(master)
        told = re.sub(r"\x1b\[[0-9;]*m", "", err.decode().replace("\r\n", "\n"))  # colours are for a real terminal
        return process.returncode, out.decode(), told


@pytest.fixture
def reader() -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="rd-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "ecosystem", folder / "ecosystem")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("RUMI_", "LC_", "LANG"))}
        environment |= {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "RUMI_USER_DATA": str(folder / "user_data"),
            "RUMI_ECOSYSTEM_DIR": str(folder / "ecosystem"),
            "RUMI_API_PORT": "0",
        }
        log = (folder / "log").open("wb")
        kernel = subprocess.Popen([BIN / "rumi", "serve", "--approve-bundled"], env=environment, stderr=log)
        try:
            yield Reader(folder, environment, _address(kernel, environment))
        finally:
            kernel.send_signal(signal.SIGINT)
            code = kernel.wait(30)
            log.close()
        assert code == 0, (folder / "log").read_text("utf-8")[-2000:]


def _address(kernel: subprocess.Popen, environment: dict[str, str]) -> str:
    for _ in range(200):
        asked = subprocess.run([BIN / "rumi", "status", "--json"], env=environment, capture_output=True, check=False)
        status = json.loads(asked.stdout or "{}")
        if status.get("state") == "ready":
            return status["addresses"]["api"]
        assert kernel.poll() is None
        time.sleep(0.1)
    raise AssertionError("the kernel was not ready in time")


@pytest.mark.parametrize("pages", JOURNEYS, ids=lambda pages: pages[0])
def test_a_reader_who_types_what_the_page_says_sees_what_it_shows(reader, pages):
    steps = [step for page in pages for step in steps_of((ROOT / page).read_text("utf-8"))]
    assert sum(bool(step.command) for step in steps) >= 5
    for step in steps:
        reader.follow(step)


BENCHMARKS = "docs/performance.md"  # takes minutes; each script of it runs with --quick in tests/unit/benchmarks


def test_every_page_with_commands_is_on_a_journey():
    """Left out are what is generated and what shows no command that a reader could type."""
    followed = {page for journey in JOURNEYS for page in journey} | {BENCHMARKS}
    for path in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = path.read_text("utf-8")
        if not text.startswith("<!-- Made by") and any(step.command for step in steps_of(text)):
            assert str(path.relative_to(ROOT)) in followed
