"""The doctor: looks only, says ok, warning or problem, and how each problem is mended. And the uninstall beside it."""

import json
import socket

import pytest

from bootstrap_steps import command, doctor, uninstall, venv
from bootstrap_steps.host import Finished, Host, is_contained
from tests.unit.bootstrap.support import FakeRunner, make_site


@pytest.fixture
def settled(root, runner, fake):
    """A finished set-up, with ports that nobody has."""
    site = make_site(root, runner=runner, DOCKER_HOST=f"unix://{fake.socket}", RUMI_API_PORT="0", RUMI_GATEWAY_PORT="0")
    command.prepare(site, "base")
    fake.socket.chmod(0o660)
    runner.calls.clear()
    return site


def levels(site) -> dict[str, str]:
    return {found.subject: found.level for check in doctor.CHECKS for found in doctor.guarded(check, site)}


def test_a_whole_set_up_has_no_problem(settled, capsys):
    assert doctor.run(settled) == 0
    assert "problem" not in capsys.readouterr().out


def test_the_doctor_works_before_any_set_up_and_names_what_mends(root, tmp_path, capsys):
    site = make_site(root, DOCKER_HOST=f"unix://{tmp_path}/none")
    assert doctor.run(site) == 1
    out = capsys.readouterr().out
    assert out.count("problem ") == 3  # venv, engine, image
    assert out.count("mend: ") >= 3


def test_the_doctor_changes_nothing(root, tmp_path):
    runner = FakeRunner()
    doctor.run(make_site(root, runner=runner, DOCKER_HOST=f"unix://{tmp_path}/none"))
    assert (runner.calls, runner.started) == ([], [])
    assert not (root / ".venv").exists()


def test_every_problem_carries_a_mending_command(root, tmp_path):
    for environment in ({"DOCKER_HOST": "tcp://127.0.0.1:2375"}, {"DOCKER_HOST": f"unix://{tmp_path}/none"}):
        site = make_site(root, host=Host(system="Darwin"), **environment)
        for check in doctor.CHECKS:
            for found in doctor.guarded(check, site):
                assert found.level != "problem" or found.mend


def test_ct_18_plain_tcp_is_a_problem(root):
    assert levels(make_site(root, DOCKER_HOST="tcp://127.0.0.1:2375"))["engine"] == "problem"


def test_ct_18_a_socket_that_everybody_may_write_is_a_warning(settled, fake):
    assert "socket" not in levels(settled)
    fake.socket.chmod(0o666)
    assert levels(settled)["socket"] == "warning"


def test_ct_18_a_rumi_inside_a_container_is_warned(root):
    found = doctor.check_host(make_site(root, host=Host(root=True, contained=True)))
    assert [(one.level, "root on the host" in one.text) for one in found] == [("warning", True)]


def test_a_machine_that_was_made_from_an_image_is_no_container(tmp_path):
    mark, mounts = tmp_path / "mark", tmp_path / "mounts"
    mark.touch()
    mounts.write_text("/dev/vda / ext4 rw 0 0\noverlay /var/lib/x overlay rw 0 0\n")
    assert not is_contained(mark, mounts)
    mounts.write_text("overlay / overlay rw 0 0\n")
    assert is_contained(mark, mounts)
    mark.unlink()
    assert not is_contained(mark, mounts)


def test_a_slow_or_open_engine_is_told(settled, fake):
    fake.info = {"Driver": "vfs", "SecurityOptions": []}
    found = levels(settled)
    assert (found["storage"], found["seccomp"], found["userns"]) == ("warning", "problem", "warning")


def test_an_engine_that_answers_oddly_is_a_finding_and_no_crash(settled, fake):
    fake.info = {"SecurityOptions": "none"}
    assert levels(settled)["seccomp"] == "problem"


def test_a_taken_port_is_told_with_another_one(root, settled):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = doctor.check_ports(make_site(root, RUMI_API_PORT=str(port), RUMI_GATEWAY_PORT="0"))
    assert [(one.level, one.mend) for one in found] == [
        ("warning", f"RUMI_API_PORT={port + 1} python3 bootstrap.py run")
    ]


def test_the_kernels_own_checks_follow_and_count(settled, capsys):
    (settled.root / "app.py").touch()
    settled.runner.programs["python"] = lambda _: Finished(1, out="problem  kernel says so\n")
    assert doctor.run(settled) == 1
    assert "kernel says so" in capsys.readouterr().out


def test_a_kernel_that_cannot_check_itself_is_a_warning(settled, capsys):
    (settled.root / "app.py").touch()
    settled.runner.programs["python"] = lambda _: Finished(1, err="ImportError: x\n")
    assert doctor.run(settled) == 0
    assert "could not run: ImportError: x" in capsys.readouterr().out


def test_uninstall_removes_what_the_set_up_made_and_says_so(settled, fake, capsys):
    fake.add({"org.rumi.checkout": "another", "org.rumi.sandbox": "1"}, "rumi-sandbox:theirs")
    theirs = fake.tags["rumi-sandbox:theirs"]
    (settled.root / "user_data").mkdir()
    assert uninstall.run(settled) == 0
    assert not settled.venv.exists()
    assert (settled.root / "user_data").is_dir()
    assert fake.tags == {"rumi-sandbox:theirs": theirs, "rumi-sandbox:current": theirs}
    out = capsys.readouterr().out
    assert "removed: .venv" in out
    assert "left: the container engine, and your data in" in out
    assert settled.runner.calls == []


def test_uninstall_leaves_an_environment_that_it_did_not_make(settled, capsys):
    venv.made_by_us(settled).unlink()
    uninstall.run(settled)
    assert settled.python.exists()
    assert not venv.marker(settled).exists()
    assert "left: .venv" in capsys.readouterr().out


def test_an_image_in_use_stays_and_the_exit_code_says_so(settled, fake, capsys):
    real = fake.image
    conflict = (409, {"message": "conflict: image is being used by running container"})
    fake.image = lambda method, name, query: conflict if method == "DELETE" else real(method, name, query)
    assert uninstall.run(settled) == 1
    assert "being used by running container" in capsys.readouterr().out


def test_uninstall_without_an_engine_says_what_it_could_not_reach(root, tmp_path, capsys):
    assert uninstall.run(make_site(root, DOCKER_HOST=f"unix://{tmp_path}/none")) == 0
    assert "left: the images" in capsys.readouterr().out


def test_uninstall_of_nothing_is_no_error(root, fake):
    site = make_site(root, DOCKER_HOST=f"unix://{fake.socket}")
    assert uninstall.run(site) == 0
    assert json.dumps(fake.tags) == "{}"
