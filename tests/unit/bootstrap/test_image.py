"""The image: named by its inputs, named only when it is good, and found again after any kill."""

import json
from dataclasses import replace

import pytest

from bootstrap_steps import image, rootfs
from bootstrap_steps.donors import archive, digest, read_recipe
from bootstrap_steps.host import Finished, Host
from bootstrap_steps.report import SetupError
from bootstrap_steps.site import read_json
from tests.unit.bootstrap.support import DyingEngine, FakeRunner, Killed, said


@pytest.fixture
def ready(site):
    """A site after its first stage: `.venv` is there to hold the state file."""
    site.venv.mkdir()
    return site


def test_a_first_build_goes_from_packages_over_a_base_layer_to_a_checked_image(ready, fake):
    tag = image.ensure(ready, fake.engine, "amd64")
    assert tag in fake.tags
    assert fake.tags[image.CURRENT] == fake.tags[tag]
    assert sorted(name.split(":")[0] for name in fake.tags) == ["rumi-rootfs", "rumi-sandbox", "rumi-sandbox"]
    assert read_json(ready.state_file) == {"image": tag, "image_id": fake.tags[tag], "python": "3.11"}


def test_an_unchanged_checkout_builds_nothing(ready, fake):
    image.ensure(ready, fake.engine, "amd64")
    fake.calls.clear()
    image.ensure(ready, fake.engine, "amd64")
    assert [call for call in fake.calls if "POST" in call or "DELETE" in call] == []


def test_no_step_of_a_build_has_a_network(ready, fake):
    image.ensure(ready, fake.engine, "amd64")
    assert [build["networkmode"] for build in fake.builds] == ["none", "none"]


def test_an_edited_agent_rebuilds_the_top_layer_only(ready, fake):
    first = image.ensure(ready, fake.engine, "amd64")
    (ready.root / "docker/core/runtime/container_agent.py").write_text("print('another')\n")
    fake.builds.clear()
    second = image.ensure(ready, fake.engine, "amd64")
    assert first != second
    assert [build["dockerfile"] for build in fake.builds] == ["agent.Dockerfile"]


def test_an_image_that_fails_its_self_check_gets_no_name(ready, fake):
    fake.self_check, fake.self_check_code = b'{"python": "3.11.2", "faults": ["/bin/sh has no place here"]}\n', 1
    with pytest.raises(SetupError, match="/bin/sh has no place here"):
        image.ensure(ready, fake.engine, "amd64")
    assert [name for name in fake.tags if name.startswith("rumi-sandbox:") and "unchecked" not in name] == []
    assert not ready.state_file.exists()
    fake.self_check_code = 0
    assert image.ensure(ready, fake.engine, "amd64") in fake.tags


def test_an_image_with_another_python_is_refused(ready, fake):
    fake.self_check = b'{"python": "3.12.1", "faults": []}\n'
    with pytest.raises(SetupError, match="self-check"):
        image.ensure(ready, fake.engine, "amd64")


def test_a_tag_that_somebody_put_on_another_image_is_not_believed(ready, fake):
    recipe = read_recipe(ready.root, "bookworm", "amd64")
    fake.add({"org.rumi.input-digest": "0" * 64}, recipe.tag)
    forged = fake.tags[recipe.tag]
    image.ensure(ready, fake.engine, "amd64")
    assert fake.tags[recipe.tag] != forged


def test_the_check_container_is_hardened_and_always_removed(ready, fake):
    image.ensure(ready, fake.engine, "amd64")
    assert "DELETE /containers/c0ffee" in fake.calls
    assert (image.HARDENED["NetworkMode"], image.HARDENED["ReadonlyRootfs"], image.HARDENED["CapDrop"]) == (
        "none",
        True,
        ["ALL"],
    )


def test_a_lost_current_tag_is_put_back(ready, fake):
    tag = image.ensure(ready, fake.engine, "amd64")
    del fake.tags[image.CURRENT]
    image.ensure(ready, fake.engine, "amd64")
    assert fake.tags[image.CURRENT] == fake.tags[tag]


def test_a_day_old_image_of_this_checkout_goes_and_the_last_one_stays(ready, fake):
    first = image.ensure(ready, fake.engine, "amd64")
    fake.images[fake.tags[first]]["Created"] = 1
    fake.add({"org.rumi.checkout": "somebody", "org.rumi.sandbox": "1"}, "rumi-sandbox:foreign")
    fake.images[fake.tags["rumi-sandbox:foreign"]]["Created"] = 1
    (ready.root / "docker/core/runtime/container_agent.py").write_text("print('another')\n")
    second = image.ensure(ready, fake.engine, "amd64")
    assert first not in fake.tags
    assert second in fake.tags
    assert "rumi-sandbox:foreign" in fake.tags


def test_a_registry_that_answers_is_used_by_digest(ready, fake):
    fake.registry = True
    image.ensure(ready, fake.engine, "amd64")
    assert "python@sha256:" in fake.builds[0]["buildargs"]
    assert ready.runner.calls == []


def test_a_registry_that_breaks_off_is_no_dead_end(ready, fake):
    fake.registry = True
    recipe = read_recipe(ready.root, "bookworm", "amd64")
    real = fake.build
    fake.build = lambda query: (
        (200, b'{"error": "pull broke off"}\n') if "python@" in query["buildargs"] else real(query)
    )
    rootfs.ensure_rootfs(ready, fake.engine, recipe)
    assert recipe.rootfs_tag in fake.tags
    assert "pull broke off" in " ".join(said(ready).split())


def test_the_python_of_either_road_is_that_of_the_hosts_release(site):
    assert read_recipe(site.root, "bookworm", "amd64").python == "3.11"
    trixie = read_recipe(site.root, "trixie", "amd64")
    assert (trixie.python, trixie.packages[0]) == ("3.13", "libpython3.13-stdlib")
    unknown = read_recipe(site.root, "", "amd64")
    assert (unknown.python, unknown.release) == ("3.11", "")
    donors = json.loads((site.root / "docker/core/base/donors.json").read_text())
    assert {release["python"] for release in donors["releases"].values()} <= set(donors["registry"])
    assert all("@sha256:" in name for name in donors["registry"].values())


def test_without_a_registry_another_distribution_is_told_so(ready, fake):
    host = Host(distribution="fedora")
    with pytest.raises(SetupError, match="No registry answers"):
        image.ensure(replace(ready, host=host), fake.engine, "amd64")


def test_only_the_distributions_own_archives_are_used(site):
    rows = (
        "Debian|bookworm|main|http://mirror.example/debian/\n"
        "Debian|bookworm-security|main|https://mirror.example/security/\n"
        "Debian|bookworm|contrib|http://mirror.example/debian/\nDebian|trixie|main|http://mirror.example/debian/\n"
        "Somebody|bookworm|main|https://packages.example/\nDebian|bookworm|main|cdrom:/x\nodd\n"
    )
    site.runner.programs["apt-get"] = lambda _: Finished(0, out=rows)
    lines = rootfs.archive_lines(site, read_recipe(site.root, "bookworm", "amd64"))
    keyring = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert sorted(lines) == [
        f"deb {keyring} http://mirror.example/debian/ bookworm main",
        f"deb {keyring} https://mirror.example/security/ bookworm-security main",
    ]


def test_the_owners_proxy_is_handed_to_the_fetching(site):
    site.runner.programs["apt-config"] = lambda _: Finished(
        0, out='Acquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://p:3128";\nAPT::X "1";\n'
    )
    assert rootfs.apt_options(site) == ['--aptopt=Acquire::http::Proxy "http://p:3128"']


def test_mmdebstrap_is_installed_by_root_and_named_to_others(ready, fake):
    runner = FakeRunner()
    runner.there = {"apt-get"}
    host = Host(distribution="debian", codename="bookworm")
    with pytest.raises(SetupError) as caught:
        image.ensure(replace(ready, host=host, runner=runner), fake.engine, "amd64")
    assert "mmdebstrap" in caught.value.mend


def test_every_file_and_name_changes_the_digest(site):
    before = read_recipe(site.root, "bookworm", "amd64")
    assert read_recipe(site.root, "bookworm", "arm64").tag != before.tag
    (site.root / "docker/core/runtime/more.py").write_text("")
    after = read_recipe(site.root, "bookworm", "amd64")
    assert after.tag != before.tag
    assert after.rootfs_tag == before.rootfs_tag
    assert digest([("a", b"bc")]) != digest([("ab", b"c")])


def test_what_a_python_or_a_test_left_behind_does_not_count(site):
    before = read_recipe(site.root, "bookworm", "amd64")
    for name in ("__pycache__/x.pyc", "tests/test_x.py", "notes.swp"):
        path = site.root / "docker/core/runtime" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert read_recipe(site.root, "bookworm", "amd64") == before


def test_the_same_files_make_the_same_archive():
    assert archive([("a", b"1"), ("b/c", b"2")]) == archive([("a", b"1"), ("b/c", b"2")])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kill_at", range(1, 20))
def test_a_kill_at_any_call_of_the_engine_is_gone_on_from(ready, fake, kill_at, after):
    try:
        image.ensure(ready, DyingEngine(fake, kill_at, after=after), "amd64")
    except Killed:
        recipe = read_recipe(ready.root, "bookworm", "amd64")
        named = fake.images.get(fake.tags.get(recipe.tag, ""))
        assert named is None or "POST /containers/c0ffee/wait" in fake.calls, "no name before the check"
    tag = image.ensure(ready, fake.engine, "amd64")
    assert read_json(ready.state_file)["image_id"] == fake.tags[tag]
    assert image.CURRENT in fake.tags
    assert [name for name in fake.tags if "donor" in name or "unchecked" in name] == []


def test_a_checkout_without_an_agent_is_said(site, fake):
    (site.root / "docker/core/runtime/container_agent.py").unlink()
    with pytest.raises(SetupError, match="not whole"):
        image.ensure(site, fake.engine, "amd64")


def test_a_full_disk_of_the_engine_is_said(ready, fake):
    fake.build = lambda _: (200, b'{"error": "write /x: no space left on device"}\n')
    with pytest.raises(SetupError, match="disk is full"):
        image.ensure(ready, fake.engine, "amd64")
