"""Does the suite notice when a guard is taken out? Each patch here removes one; the test that it names must then fail.

A patch is applied to a temporary copy of the tree, never to the tree itself, and its test runs there with this Python.
Usage: `python tests/mutations/run.py [NAME ...]` prints a table, and exits 1 if a mutant lived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("app.py", "backend_core", "bootstrap.py", "bootstrap_steps", "core_runtime", "docker", "ecosystem", "flow",
          "pyproject.toml", "requirements", "tests")  # fmt: skip
SECONDS = 120
FAILED = 1  # pytest's exit code for tests that ran and failed; anything else is no verdict about the guard


class PatchRefused(Exception):
    """A patch does not fit the tree (any more)."""


@dataclass(frozen=True)
class Mutation:
    """One guard, the patch that takes it out, and the test that must notice."""

    patch: str
    guard: str
    fails: str

    @property
    def text(self) -> str:
        return (HERE / self.patch).read_text("utf-8")


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    mutation: Mutation
    caught: bool
    seconds: float
    output: str


def mutations() -> list[Mutation]:
    """All of the manifest, in its order."""
    listed = yaml.load((HERE / "manifest.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)["mutations"]
    return [Mutation(**item) for item in listed]


def hunks(text: str) -> Iterator[tuple[str, str, str]]:
    """`(path, old, new)` for each hunk of a unified diff. Line numbers are ignored: context finds the place."""
    path, old, new = "", [], []
    for line in text.splitlines(keepends=True):
        if line.startswith(("--- ", "+++ ", "@@")):
            if old or new:
                yield path, "".join(old), "".join(new)
                old, new = [], []
            if line.startswith("+++ "):
                path = line.removeprefix("+++ b/").strip()
            continue
        if line[:1] in {" ", "-"}:
            old.append(line[1:])
        if line[:1] in {" ", "+"}:
            new.append(line[1:])
    if old or new:
        yield path, "".join(old), "".join(new)


def patched(mutation: Mutation, root: Path) -> dict[Path, str]:
    """The files of `root` as the patch leaves them. Raises `PatchRefused` unless each hunk fits in exactly one place."""
    result: dict[Path, str] = {}
    for path, old, new in hunks(mutation.text):
        file = root / path
        text = result.get(file) or file.read_text("utf-8")
        if text.count(old) != 1:
            raise PatchRefused(f"{mutation.patch} fits {text.count(old)} places of {path}; make it anew")
        result[file] = text.replace(old, new)
    if not result:
        raise PatchRefused(f"{mutation.patch} changes nothing")
    return result


def try_out(mutation: Mutation) -> Verdict:
    """Apply one patch to a copy of the tree and run its test there."""
    began = time.monotonic()
    with copy_of_the_tree() as root:
        for file, text in patched(mutation, root).items():
            file.write_text(text, "utf-8")
        code, output = pytest_in(root, [mutation.fails])
    return Verdict(mutation, code == FAILED, time.monotonic() - began, output)


def control(chosen: Sequence[Mutation]) -> str:
    """Run the tests of these mutations with every guard in its place: empty if they pass, else what they said."""
    with copy_of_the_tree() as root:
        code, output = pytest_in(root, sorted({item.fails for item in chosen}))
    return "" if code == 0 else output


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """What the unit tests need, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="rumi-mutant-") as name:
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, Path(name, part), ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, Path(name, part))
        yield Path(name)


def pytest_in(root: Path, nodes: Sequence[str]) -> tuple[int, str]:
    """The exit code and output of pytest in a copy; a test that hangs has failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *nodes]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"it did not end within {SECONDS} s"
    return done.returncode, done.stdout[-3000:] + done.stderr[-2000:]


def main(names: Sequence[str]) -> int:
    """Try those named (all, if none is) and print a table."""
    chosen = [item for item in mutations() if not names or item.patch.removesuffix(".patch") in names]
    broken = control(chosen)
    if broken:
        print(f"the tests fail without any patch:\n{broken}")
        return 1
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(try_out, chosen))
    for verdict in verdicts:
        word = "caught" if verdict.caught else "LIVED"
        print(f"{word:7} {verdict.seconds:5.1f} s  {verdict.mutation.patch:36} {verdict.mutation.guard}")
        if not verdict.caught:
            print(verdict.output)
    caught = sum(verdict.caught for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} caught")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
