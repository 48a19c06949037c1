"""A real set-up of a copy of this checkout, killed in the middle, and started again until it is whole."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("bootstrap.py", "bootstrap_steps", "requirements", "docker", "pyproject.toml")
# One kill in each stage: while pip installs, while the base layer is made, and while the image is built and checked.
PLACES = [("locked packages", 1.5), ("base layer", 0.8), ("sandbox image", 0.2)]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy with a digest of its own, so that it finds neither our base layer nor our image."""
    root = tmp_path / "copy"
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, root / name, ignore=ignore) if source.is_dir() else shutil.copy(source, root / name)
    with (root / "docker/core/base/Dockerfile").open("a") as file:
        file.write(f"LABEL org.rumi.test={time.time_ns()}\n")
    yield root
    done = run(root, "uninstall", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (root / ".venv").exists()


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bootstrap.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)


def killed_at(root: Path, word: str, seconds: float) -> str:
    """Start a set-up, wait for the line with `word` and a little longer, and kill it. Returns what it said."""
    process = subprocess.Popen([sys.executable, "bootstrap.py", "setup"], cwd=root, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if word in line and line.rstrip().endswith("..."):
            time.sleep(seconds)
            break
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    process.stderr.close()
    return "".join(said)


def demand_whole(root: Path) -> None:
    """The set-up ends well, its environment works, its image is named, and a second one has nothing to do."""
    done = run(root, "setup")
    assert done.returncode == 0, done.stderr
    probe = [root / ".venv/bin/python", "-I", "-c", "import flask, pydantic, docker.errors, cryptography, orjson, yaml"]
    assert subprocess.run(probe, check=False).returncode == 0
    checked = subprocess.run(
        [root / ".venv/bin/python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert json.loads((root / ".venv/rumi-bootstrap.json").read_text())["image"].startswith("rumi-sandbox:")
    began = time.monotonic()
    again = run(root, "setup")
    assert again.returncode == 0
    assert "..." not in again.stderr, "nothing was left to do"
    print(json.dumps({"nothing_to_set_up_seconds": round(time.monotonic() - began, 3)}))


@pytest.mark.timeout(400)
def test_a_set_up_that_was_killed_in_every_stage_goes_on_where_it_stopped(checkout):
    for word, seconds in PLACES:
        said = killed_at(checkout, word, seconds)
        assert word in said, f"the set-up never got to {word!r}: {said}"
    demand_whole(checkout)


@pytest.mark.scheduled
@pytest.mark.timeout(1800)
def test_a_set_up_that_was_killed_at_twenty_random_instants_ends_whole(checkout):
    chance = random.Random(7)
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "bootstrap.py", "setup"], cwd=checkout, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 12))
        process.kill()
        process.wait(timeout=10)
    demand_whole(checkout)
