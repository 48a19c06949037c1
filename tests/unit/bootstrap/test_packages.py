"""Installing from the distribution: only where it can be done, and through what an earlier kill left."""

import pytest

from bootstrap_steps import packages
from bootstrap_steps.host import Finished, Host, parse_os_release
from bootstrap_steps.report import SetupError
from tests.unit.bootstrap.support import FakeRunner, make_site


def verbs(runner: FakeRunner) -> list[str]:
    return [next(word for word in call if word in {"update", "install", "--configure"}) for call in runner.calls]


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "x_Packages.lz4").touch()
    return tmp_path


def test_no_root_is_told_the_command(root, lists):
    host = Host(distribution="debian", root=False)
    with pytest.raises(SetupError) as caught:
        packages.install(make_site(root, host=host), "engine", ["docker.io"], "A container engine", lists)
    assert "only root may install" in caught.value.sentence
    assert caught.value.mend == "sudo apt-get update && sudo apt-get install -y docker.io"


def test_another_distribution_is_told_what_to_install(root, lists):
    with pytest.raises(SetupError) as caught:
        packages.install(
            make_site(root, host=Host(distribution="fedora", root=True)), "engine", ["docker.io"], "X", lists
        )
    assert "no Debian or Ubuntu" in caught.value.sentence


def test_lists_are_fetched_only_where_there_are_none(root, lists, tmp_path):
    runner = FakeRunner()
    packages.install(make_site(root, runner=runner), "engine", ["docker.io"], "X", lists)
    assert verbs(runner) == ["install"]
    packages.install(make_site(root, runner=runner), "engine", ["docker.io"], "X", tmp_path / "absent")
    assert verbs(runner) == ["install", "update", "install"]


def test_stale_lists_are_fetched_again(root, lists):
    answers = [Finished(100, err="E: Unable to locate package docker.io"), Finished(0), Finished(0)]
    runner = FakeRunner({"apt-get": lambda _: answers.pop(0)})
    packages.install(make_site(root, runner=runner), "engine", ["docker.io"], "X", lists)
    assert verbs(runner) == ["install", "update", "install"]


def test_an_installation_that_was_killed_half_way_is_finished_first(root, lists):
    answers = [Finished(100, err="E: dpkg was interrupted, you must manually run 'dpkg --configure -a'"), Finished(0)]
    runner = FakeRunner({"apt-get": lambda _: answers.pop(0)})
    packages.install(make_site(root, runner=runner), "engine", ["docker.io"], "X", lists)
    assert verbs(runner) == ["install", "--configure", "install"]


def test_nothing_is_asked_recommended_or_started(root, lists):
    runner = FakeRunner()
    packages.install(make_site(root, runner=runner), "engine", ["docker.io"], "X", lists)
    assert "--no-install-recommends" in runner.calls[0]
    assert packages.QUIET["DEBIAN_FRONTEND"] == "noninteractive"


def test_what_calls_itself_like_ubuntu_counts_as_such():
    fields = parse_os_release('ID=linuxmint\nID_LIKE="ubuntu debian"\n# comment\nVERSION_CODENAME=wilma\nodd\n')
    assert fields == {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "wilma"}
    assert Host(distribution="linuxmint", family=frozenset(["ubuntu", "debian"])).uses_apt
    assert not Host(distribution="fedora").uses_apt
