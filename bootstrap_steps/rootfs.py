"""The donor of the sandbox image: a registry's Python, or a root file system from the distribution's own packages.

Either is only where `docker/core/base/assemble.py` copies from. Both are taken by name and digest, or by the signatures
of the distribution; nothing is ever fetched from anywhere else.
"""

import contextlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bootstrap_steps import packages
from bootstrap_steps.donors import Recipe, archive
from bootstrap_steps.engine_api import Engine, Refused
from bootstrap_steps.report import SetupError
from bootstrap_steps.site import Site

STAGE = "image"
REGISTRY_SECONDS = 10
NOT_FOUND = 404
KEYRINGS = {"Debian": "debian-archive-keyring.gpg", "Ubuntu": "ubuntu-archive-keyring.gpg"}
SOURCES = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)"


def labels(site: Site, kind: str, recipe: Recipe) -> dict[str, str]:
    """The labels that every image of ours carries; the kind `sandbox` alone may be run."""
    common = {"org.rumi.kind": kind, "org.rumi.checkout": site.identity, "org.rumi.python": recipe.python}
    if kind == "sandbox":
        return {**common, "org.rumi.sandbox": "1", "org.rumi.input-digest": recipe.digest}
    return {**common, "org.rumi.input-digest": recipe.rootfs_digest}


@dataclass(frozen=True, slots=True)
class Build:
    """One run of the engine's builder: a tar archive of the files, and what the result is called and marked."""

    context: bytes
    dockerfile: str
    tag: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]


def ensure_rootfs(site: Site, engine: Engine, recipe: Recipe) -> None:
    """Have the bottom layer there under its own tag, by whichever road is open."""
    if is_there(engine, recipe.rootfs_tag):
        return
    if recipe.registry and registry_answers(engine, recipe.registry):
        try:
            with site.reporter.work(STAGE, f"building the base layer from {recipe.registry[:32]}..."):
                build_rootfs(site, engine, recipe, recipe.registry)
        except (SetupError, OSError) as error:
            site.reporter.line(STAGE, f"that image cannot be used ({error}); trying the distribution's packages")
        else:
            return
    with donor_from_packages(site, engine, recipe) as donor, site.reporter.work(STAGE, "building the base layer"):
        build_rootfs(site, engine, recipe, donor)


def is_there(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of that name."""
    try:
        engine.get(f"/images/{name}/json")
    except Refused as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


def registry_answers(engine: Engine, image: str) -> bool:
    """Ask the registry, through the engine, whose mirrors and proxies count: it would be the one to fetch."""
    try:
        engine.get(f"/distribution/{image}/json", timeout=REGISTRY_SECONDS)
    except (OSError, SetupError, ValueError):
        return False
    return True


def build_rootfs(site: Site, engine: Engine, recipe: Recipe, donor: str) -> None:
    """Build the bottom layer out of a donor image."""
    arguments = {"DONOR": donor, "CHECKOUT": site.identity}
    marks = labels(site, "rootfs", recipe)
    build(engine, Build(archive(recipe.base_files), "Dockerfile", recipe.rootfs_tag, arguments, marks))


def build(engine: Engine, wanted: Build) -> None:
    """Run one build to its end; its steps have no network. Raises Refused with the builder's own words."""
    query = {
        "dockerfile": wanted.dockerfile,
        "t": wanted.tag,
        "rm": "1",
        "forcerm": "1",
        "networkmode": "none",
        "buildargs": json.dumps(wanted.arguments),
        "labels": json.dumps(wanted.labels),
    }
    for _message in engine.stream("/build", wanted.context, timeout=900, **query):
        pass


@contextmanager
def donor_from_packages(site: Site, engine: Engine, recipe: Recipe) -> Iterator[str]:
    """A short-lived image with the few packages that hold a Python: unpacked only, no script of theirs has run."""
    if not recipe.release:
        raise SetupError(
            "No registry answers, and this distribution's packages are of no use for the sandbox image.",
            "let the engine reach a registry (docker pull python:3.11-slim), then: python3 bootstrap.py setup",
        )
    if site.runner.which("mmdebstrap") is None:
        packages.install(site, STAGE, ["mmdebstrap"], "mmdebstrap, which makes the sandbox's root file system,")
    tar = site.venv / "rumi-donor.tar"  # one known place: what a kill leaves is overwritten by the next set-up
    try:
        with site.reporter.work(STAGE, f"fetching Python {recipe.python} from {recipe.release}'s packages"):
            unpack_packages(site, recipe, tar)
        with tar.open("rb") as body:
            take_in(site, engine, body)
    finally:
        tar.unlink(missing_ok=True)
    yield donor_tag(site)


def donor_tag(site: Site) -> str:
    return f"rumi-donor:{site.identity}"


def take_in(site: Site, engine: Engine, body: BinaryIO) -> None:
    """Make a donor image of a tar archive."""
    repository, tag = donor_tag(site).split(":")
    marks = f"LABEL org.rumi.kind=scratch org.rumi.checkout={site.identity}"
    query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": marks}
    for _message in engine.stream("/images/create", body, timeout=300, **query):
        pass


def unpack_packages(site: Site, recipe: Recipe, tar: Path) -> None:
    """Let mmdebstrap fetch, verify and unpack; a `python3` on the path is all that is added."""
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--format=tar"]
    command += [f"--components={','.join(recipe.components.split())}", f"--include={','.join(recipe.packages)}"]
    command += [*apt_options(site), recipe.release, str(tar), *archive_lines(site, recipe)]
    done = site.runner.run(command, timeout=1800)
    if done.code:
        error = packages.explain(done.err, "mmdebstrap", done.last_words)
        raise SetupError(
            f"The sandbox's root file system could not be made. {error.sentence}",
            "sudo apt-get update && python3 bootstrap.py setup",
        )
    with tarfile.open(tar, "a") as file:
        link = tarfile.TarInfo("./usr/local/bin/python3")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, f"/usr/bin/python{recipe.python}", 0o777
        file.addfile(link)


def archive_lines(site: Site, recipe: Recipe) -> list[str]:
    """The distribution's own archives as this machine has them configured (its mirror, its updates), and no others."""
    done = site.runner.run(["apt-get", "indextargets", "--format", SOURCES, "Created-By: Packages"], timeout=30)
    lines = []
    for row in sorted(set(done.out.splitlines())):
        origin, codename, component, uri = [*row.split("|"), "", "", ""][:4]
        ours = codename == recipe.release or codename.startswith(f"{recipe.release}-")
        if (
            origin in KEYRINGS
            and ours
            and component in recipe.components.split()
            and uri.startswith(("http://", "https://"))
        ):
            lines.append(f"deb [signed-by=/usr/share/keyrings/{KEYRINGS[origin]}] {uri} {codename} {component}")
    return lines


def apt_options(site: Site) -> list[str]:
    """How this machine's owner lets apt reach the network: proxies and certificates."""
    dump = site.runner.run(["apt-config", "dump"], timeout=30).out.splitlines()
    return [
        f"--aptopt={line.rstrip(';')}"
        for line in dump
        if line.startswith(("Acquire::http", "Acquire::https")) and '""' not in line
    ]


def sweep(site: Site, engine: Engine) -> None:
    """Remove this checkout's donor and its unnamed build stages, also those of a set-up that was killed.

    Failing at it harms nothing but disk space.
    """
    filters = {"dangling": ["true"], "label": ["org.rumi.kind=scratch", f"org.rumi.checkout={site.identity}"]}
    with contextlib.suppress(SetupError, OSError):
        if is_there(engine, donor_tag(site)):
            engine.delete(f"/images/{donor_tag(site)}", force="1")
        engine.post("/images/prune", filters=json.dumps(filters))
