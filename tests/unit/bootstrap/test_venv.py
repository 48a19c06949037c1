"""The virtual environment: whole or not there, whenever the set-up was killed."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from bootstrap_steps import venv
from bootstrap_steps.host import Finished, Host
from bootstrap_steps.report import SetupError
from tests.unit.bootstrap.support import FakePython, FakeRunner, Killed, make_site, said


def here() -> bool:
    return True


def test_a_first_set_up_installs_the_lock_by_its_hashes(site, runner):
    venv.ensure(site, "base", here)
    assert venv.is_ready(site, "base")
    pip = runner.calls[-1]
    assert "--require-hashes" in pip
    assert pip[-2:] == ["-r", str(site.root / "requirements/base.lock")]
    assert "2 locked packages" in said(site)


def test_no_address_of_an_index_is_ever_chosen_for_the_owner(site, runner):
    venv.ensure(site, "base", here)
    assert not [word for call in runner.calls for word in call if "index-url" in word or "://" in word]


def test_an_unchanged_lock_starts_no_process(site, runner):
    venv.ensure(site, "base", here)
    before = len(runner.calls)
    venv.ensure(site, "base", here)
    assert len(runner.calls) == before


def test_a_changed_lock_is_installed_into_the_same_environment(site, runner):
    venv.ensure(site, "base", here)
    (site.root / "requirements/base.lock").write_text("alpha==1.1 --hash=sha256:33\n")
    assert not venv.is_ready(site, "base")
    venv.ensure(site, "base", here)
    assert venv.is_ready(site, "base")
    assert [call[2] for call in runner.calls] == ["venv", "pip", "pip"]


def test_who_has_the_tests_requirements_has_the_plain_ones_too(site, runner):
    venv.ensure(site, "test", here)
    before = len(runner.calls)
    venv.ensure(site, "base", here)
    assert len(runner.calls) == before


def test_a_moved_checkout_is_installed_again(site, runner, tmp_path):
    venv.ensure(site, "base", here)
    shutil.move(site.root, tmp_path / "moved")
    assert not venv.is_ready(make_site(tmp_path / "moved", runner=runner), "base")


def test_a_python_that_was_replaced_below_it_makes_the_environment_anew(site, runner):
    venv.ensure(site, "base", here)
    record = json.loads(venv.marker(site).read_text())
    venv.marker(site).write_text(json.dumps({**record, "interpreter": "/usr/bin/python3.10"}))
    venv.ensure(site, "base", here)
    assert [call[2] for call in runner.calls] == ["venv", "pip", "venv", "pip"]


def test_an_environment_of_a_python_that_is_too_old_is_made_anew(site, runner):
    venv.ensure(site, "base", here)
    packages = venv.site_packages(site)
    packages.parent.rename(packages.parent.with_name("python3.9"))
    venv.marker(site).unlink()
    venv.ensure(site, "base", here)
    assert [call[2] for call in runner.calls] == ["venv", "pip", "venv", "pip"]


def test_whichever_python_starts_the_set_up_the_environments_own_one_counts(site, runner):
    venv.ensure(site, "base", here)
    packages = venv.site_packages(site)
    packages.parent.rename(packages.parent.with_name("python3.99"))
    (site.venv / "pyvenv.cfg").write_text("home = /opt\nversion = 3.99.1\n")
    before = len(runner.calls)
    venv.ensure(site, "base", here)
    assert len(runner.calls) == before
    assert "with Python 3.99.1" in said(site)


def test_a_refusal_leaves_the_marks_of_what_is_installed(site):
    venv.ensure(site, "base", here)
    venv.made_by_us(site).unlink()
    (site.venv / "pyvenv.cfg").unlink()
    (site.venv / "bin/rumi").unlink()
    with pytest.raises(SetupError):
        venv.ensure(site, "base", here)
    assert venv.marker(site).exists()


@pytest.mark.parametrize("place", ["venv", "pip", "beta"])
def test_a_kill_inside_a_step_leaves_nothing_that_counts_as_done(root, place):
    site = make_site(root, runner=FakeRunner(FakePython(root, half_way=place).programs))
    with pytest.raises(Killed):
        venv.ensure(site, "base", here)
    assert not venv.is_ready(site, "base")
    again = make_site(root, runner=FakeRunner(FakePython(root).programs))
    venv.ensure(again, "base", here)
    assert venv.is_ready(again, "base")
    assert all(venv.is_installed(card) for card in venv.site_packages(again).glob("*.dist-info"))


def test_pip_does_not_get_to_believe_in_a_half_installed_package(root):
    site = make_site(root, runner=FakeRunner(FakePython(root, half_way="beta").programs))
    with pytest.raises(Killed):
        venv.ensure(site, "base", here)
    present = []

    def look(argv: list[str]) -> Finished:
        present.extend(path.name for path in venv.site_packages(site).glob("*.dist-info"))
        return FakePython(root)(argv)

    venv.ensure(make_site(root, runner=FakeRunner({"python": look})), "base", here)
    assert sorted(present) == ["alpha-1.0.dist-info", "pip-26.0.dist-info"]


def test_a_kill_while_a_new_lock_is_installed_is_not_taken_for_the_old_one(site, root):
    venv.ensure(site, "base", here)
    (root / "requirements/base.lock").write_text("beta==2.1 --hash=sha256:44\n")
    site.runner.programs.update(FakePython(root, half_way="beta").programs)
    with pytest.raises(Killed):
        venv.ensure(site, "base", here)
    make_site(root)  # the old lock comes back
    assert not venv.is_ready(site, "base")


def test_somebody_elses_broken_environment_is_not_cleared(site):
    (site.venv / "bin").mkdir(parents=True)
    (site.venv / "bin/precious").touch()
    with pytest.raises(SetupError, match="set-up did not make it"):
        venv.ensure(site, "base", here)
    assert (site.venv / "bin/precious").exists()


def test_a_missing_venv_module_is_installed_by_root_and_named_to_others(root, runner):
    venv.ensure(make_site(root, runner=runner), "base", lambda: False)
    minor = f"python3.{sys.version_info.minor}-venv"
    assert [minor in call for call in runner.calls].count(True) == 1
    other = make_site(root.parent / "other", host=Host(distribution="debian"))
    with pytest.raises(SetupError) as caught:
        venv.ensure(other, "base", lambda: False)
    assert minor in caught.value.mend


def test_no_network_is_one_sentence(root):
    def pip(argv: list[str]) -> Finished:
        if "pip" in argv:
            return Finished(
                1,
                err="WARNING: Retrying: NewConnectionError: Failed to establish a new connection: [Errno 111]\nERROR: x\n",
            )
        return FakePython(root)(argv)

    site = make_site(root, runner=FakeRunner(dict.fromkeys(FakePython(root).programs, pip)))
    with pytest.raises(SetupError) as caught:
        venv.ensure(site, "base", here)
    assert caught.value.sentence == "pip cannot reach a package index."
    assert not venv.is_ready(site, "base")


def test_a_checkout_without_its_lock_is_said(site):
    (site.root / "requirements/base.lock").unlink()
    with pytest.raises(SetupError, match="not whole"):
        venv.ensure(site, "base", here)


def test_the_launcher_survives_a_place_with_a_space_and_a_long_name(tmp_path):
    root = tmp_path / "a b" / ("long-" * 40)
    runner = FakeRunner(FakePython(root).programs)
    site = make_site(root, runner=runner)
    venv.ensure(site, "base", here)
    site.python.unlink()
    site.python.symlink_to(sys.executable)
    (root / "rumi_command.py").write_text("import sys\ndef main():\n    print('rumi', sys.argv[1:])\n    return 7\n")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([site.venv / "bin/rumi", "x y"], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.returncode) == ("rumi ['x y']\n", 7)
    assert (venv.site_packages(site) / "rumi.pth").read_text() == f"{root}\n"
