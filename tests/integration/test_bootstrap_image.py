"""The real image, looked at from outside and from inside. It is what `bootstrap.py` built for this checkout."""

import io
import json
import stat
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from bootstrap_steps import image
from bootstrap_steps.command import open_site
from bootstrap_steps.donors import read_recipe
from bootstrap_steps.engine import ping
from bootstrap_steps.engine_api import Engine, dig, read_address
from bootstrap_steps.report import Reporter

pytestmark = pytest.mark.docker

MOST_BYTES = 60 << 20
TOOLS = {
    "sh",
    "bash",
    "dash",
    "busybox",
    "apt",
    "apt-get",
    "dpkg",
    "perl",
    "pip",
    "pip3",
    "su",
    "sudo",
    "mount",
    "env",
    "openssl",
}


@pytest.fixture(scope="module")
def site():
    return open_site(Reporter(io.StringIO()))


@pytest.fixture(scope="module")
def engine(site) -> Engine:
    return Engine(read_address(site.environment))


@pytest.fixture(scope="module")
def recipe(site):
    return read_recipe(site.root, site.host.codename, ping(read_address(site.environment)).architecture)


@pytest.fixture(scope="module")
def image_id(site, engine, recipe) -> str:
    if not image.find(engine, recipe):
        image.make(site, engine, recipe)
    return image.find(engine, recipe)


@pytest.fixture(scope="module")
def members(engine, image_id) -> list[tarfile.TarInfo]:
    """Everything in the image, without starting it."""
    container = dig(
        engine.post("/containers/create", {"Image": image_id, "Labels": {"org.rumi.kind": "self-check"}}), "Id"
    )
    try:
        with tarfile.open(fileobj=io.BytesIO(engine.raw(f"/containers/{container}/export"))) as tar:
            return tar.getmembers()
    finally:
        engine.delete(f"/containers/{container}", force="1", v="1")


def inside(site, engine, image_id: str, *arguments: str) -> tuple[int, str]:
    return image.run_inside(site, engine, image_id, ["python3", *arguments])


def test_the_self_check_passes_in_a_hardened_container(site, engine, recipe, image_id):
    image.self_check(site, engine, recipe, image_id)


def test_the_self_check_is_not_blind(site, engine, recipe, image_id):
    """The same check with a rule that nothing can keep must fail."""
    code = dict(recipe.agent_files)["self_check.py"].decode().replace('"/pack"', '"/pack", "/not-there"')
    ended, said = inside(site, engine, image_id, "-I", "-B", "-c", code)
    assert ended == 1
    assert "the mount point /not-there is missing" in json.loads(said)["faults"]


def test_there_is_no_shell_no_package_manager_and_one_program(members, recipe):
    names = {PurePosixPath(member.name).name for member in members if not member.isdir()}
    assert not names & TOOLS
    programs = {member.name for member in members if member.isreg() and "bin" in PurePosixPath(member.name).parts[:-1]}
    assert {PurePosixPath(name).name for name in programs} == {f"python{recipe.python}"}
    assert not [member.name for member in members if "dpkg" in member.name or "/apt/" in member.name]


def test_no_file_gives_rights_and_none_can_be_written_by_others(members):
    for member in members:
        if member.isreg():
            assert not member.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), member.name
        assert (member.uid, member.gid) == (0, 0), member.name
    writable = [member.name for member in members if member.isdir() and member.mode & stat.S_IWOTH]
    assert [name.rstrip("/") for name in writable] == ["tmp"]


def test_it_is_small(members):
    assert sum(member.size for member in members) <= MOST_BYTES


def test_its_labels_say_what_it_is(engine, image_id, recipe):
    labels = engine.get(f"/images/{image_id}/json")["Config"]["Labels"]
    assert labels["org.rumi.sandbox"] == "1"
    assert labels["org.rumi.python"] == recipe.python
    assert labels["org.rumi.input-digest"] == recipe.digest
    assert recipe.tag == f"rumi-sandbox:{recipe.digest[:16]}"


def test_the_agents_imports_come_from_byte_code_and_compile_nothing(site, engine, image_id):
    """The root is read-only: what was not compiled at build time would be compiled at every start."""
    code = "import sys; sys.pycache_prefix = '/opt/rumi/pycache'; import asyncio, json, struct, threading, traceback"
    ended, said = inside(site, engine, image_id, "-I", "-B", "-v", "-c", code)
    assert ended == 0
    origins = [line.split("'")[1] for line in said.splitlines() if line.startswith("# code object from '")]
    assert len(origins) > 40
    assert [origin for origin in origins if not origin.endswith(".pyc")] == []


def test_every_module_of_the_agent_is_compiled(members, recipe):
    names = {member.name.lstrip("./") for member in members}
    tag = "cpython-" + recipe.python.replace(".", "")
    for name, _ in recipe.agent_files:
        if name.startswith("runtime/") and name.endswith(".py"):
            inside_name = PurePosixPath(name).relative_to("runtime")
            assert f"opt/rumi/{inside_name}" in names
            assert f"opt/rumi/pycache/opt/rumi/{inside_name.with_suffix('')}.{tag}.pyc" in names


def test_no_test_and_no_byte_code_of_this_machine_went_in(members):
    agent = [member.name for member in members if member.name.startswith("opt/rumi/") and "pycache" not in member.name]
    assert not [name for name in agent if "/tests/" in name or name.endswith(".pyc")]


def test_the_kernel_finds_it_by_the_state_file(site, image_id):
    state = json.loads(Path(site.state_file).read_text(encoding="utf-8"))
    assert state["image_id"] == image_id
    assert state["image"].startswith("rumi-sandbox:")
