"""What the sandbox image is made from: which Python, by which road, and the digest of everything that goes in.

Pure but for reading the checkout's own files. The digest names the image, so an unchanged checkout finds its image
again, and no changed file ever runs under an old name.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootstrap_steps.report import SetupError

BASE_FILES = ("Dockerfile", "assemble.py", "donors.json")
AGENT_FILES = ("agent.Dockerfile", "self_check.py")
SKIPPED_FOLDERS = {"__pycache__", "tests"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image to be: its Python, its files, and the two digests that name its layers."""

    python: str
    architecture: str
    registry: str
    release: str
    components: str
    packages: tuple[str, ...]
    base_files: tuple[tuple[str, bytes], ...]
    agent_files: tuple[tuple[str, bytes], ...]

    @property
    def rootfs_digest(self) -> str:
        return digest(
            [("python", self.python.encode()), ("architecture", self.architecture.encode()), *self.base_files]
        )

    @property
    def digest(self) -> str:
        return digest([("rootfs", self.rootfs_digest.encode()), *self.agent_files])

    @property
    def rootfs_tag(self) -> str:
        return f"rumi-rootfs:{self.rootfs_digest[:16]}"

    @property
    def tag(self) -> str:
        return f"rumi-sandbox:{self.digest[:16]}"


def read_recipe(root: Path, codename: str, architecture: str) -> Recipe:
    """The recipe for this checkout on a host of the release `codename` (an unknown or empty one: by registry only)."""
    base = root / "docker" / "core" / "base"
    runtime = root / "docker" / "core" / "runtime"
    if not (runtime / "container_agent.py").is_file() or not (base / "donors.json").is_file():
        raise SetupError("docker/core is not complete: this checkout is not whole.", "git checkout -- docker")
    donors = json.loads((base / "donors.json").read_text(encoding="utf-8"))
    release = donors["releases"].get(codename, {})
    python = str(release.get("python", donors["default"]))
    return Recipe(
        python=python,
        architecture=architecture,
        registry=str(donors["registry"].get(python, "")),
        release=codename if release else "",
        components=str(release.get("components", "main")),
        packages=tuple(str(name).format(python=python) for name in donors["packages"]),
        base_files=tuple((name, (base / name).read_bytes()) for name in BASE_FILES),
        agent_files=(*((name, (base / name).read_bytes()) for name in AGENT_FILES), *runtime_files(runtime)),
    )


def runtime_files(runtime: Path) -> list[tuple[str, bytes]]:
    """The agent's files as they go into the image, without its tests and without what a Python left behind."""
    found = []
    for path in sorted(runtime.rglob("*")):
        inside = path.relative_to(runtime)
        if (
            path.is_file()
            and not SKIPPED_FOLDERS.intersection(inside.parts)
            and path.suffix in {".py", ".json", ".typed"}
        ):
            found.append((f"runtime/{inside.as_posix()}", path.read_bytes()))
    return found


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over names and contents, each with its length before it, so that no two lists look alike."""
    total = hashlib.sha256()
    for name, content in files:
        total.update(b"%d:%s%d:" % (len(name.encode()), name.encode(), len(content)))
        total.update(content)
    return total.hexdigest()


def archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar archive that is the same for the same files: no owner, no time, no mode of this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
