"""The commands: what they accept, what they hand over, and what the set-up as a whole survives."""

import os
import shutil
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap_steps import command, handover, venv
from bootstrap_steps.host import Host
from bootstrap_steps.report import SetupError
from bootstrap_steps.settings import Listener, listeners
from bootstrap_steps.site import only_one, read_json, write_atomically
from tests.unit.bootstrap.support import DEBIAN, FakePython, FakeRunner, Killed, make_site, said, unpack_nothing


@pytest.fixture
def settled(root, runner, fake):
    """A machine with an engine."""
    return make_site(root, runner=runner, DOCKER_HOST=f"unix://{fake.socket}")


def test_a_set_up_says_one_line_per_ready_stage_and_what_comes_next(settled):
    assert command.dispatch(["setup"], settled) == 0
    settled.reporter._stream.truncate(0)
    settled.reporter._stream.seek(0)
    command.dispatch(["setup"], settled)
    heads = [line.split()[0] for line in said(settled).splitlines() if not line.startswith(" ")]
    assert heads == ["python", "engine", "image", "done"]


def test_a_second_set_up_does_nothing(settled, runner, fake):
    command.dispatch(["setup"], settled)
    runner.calls.clear()
    fake.calls.clear()
    command.dispatch(["setup"], settled)
    assert runner.calls == []
    assert [call for call in fake.calls if not call.startswith("GET")] == []


def test_a_kill_at_any_program_that_is_run_is_gone_on_from(tmp_path, fake):
    reached = 0
    for number in range(1, 10):
        root = tmp_path / f"checkout-{number}"
        programs = {**FakePython(root).programs, "mmdebstrap": unpack_nothing}
        runner = FakeRunner(programs)
        runner.kill_at = number
        fake.tags.clear()
        fake.images.clear()
        site = make_site(root, runner=runner, DOCKER_HOST=f"unix://{fake.socket}")
        try:
            command.prepare(site, "base")
        except Killed:
            reached += 1
        command.prepare(replace(site, runner=FakeRunner(programs)), "base")
        assert venv.is_ready(site, "base")
        assert read_json(site.state_file)["image_id"] in fake.images
    assert reached >= 4


def test_a_wrong_command_line_is_exit_code_2(settled, capsys):
    for arguments in (["fly"], [], ["run", "--input", "a=b"], ["run", "--flo", "x"], ["setup", "--force"]):
        with pytest.raises(SystemExit) as caught:
            command.dispatch(arguments, settled)
        assert caught.value.code == 2
        assert "problem:" in capsys.readouterr().err


def test_a_system_that_is_not_linux_is_said_before_anything_is_made(root):
    site = make_site(root, host=Host(system="Darwin"))
    with pytest.raises(SetupError, match="needs Linux"):
        command.dispatch(["setup"], site)
    assert not site.venv.exists()


def test_a_checkout_that_cannot_be_written_is_said_before_anything_is_tried():
    place = Path(tempfile.mkdtemp())
    site = make_site(place / "checkout")
    for folder in (site.root, place):
        folder.chmod(0o555)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)  # root may write everywhere, so somebody else has to try
            command.demand_writable(site)
        except SetupError as error:
            code = 0 if "may not write" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for folder in (place, site.root):
        folder.chmod(0o755)
    shutil.rmtree(place)


def test_permissive_mode_goes_on_without_an_engine_and_says_so(root, runner, tmp_path):
    site = make_site(root, runner=runner, DOCKER_HOST=f"unix://{tmp_path}/none", RUMI_SECURITY_MODE="permissive")
    command.prepare(site, "base")
    assert "WITHOUT A SANDBOX" in said(site)
    with pytest.raises(SetupError):
        command.prepare(replace(site, environment={"DOCKER_HOST": f"unix://{tmp_path}/none"}), "base")


def test_two_set_ups_at_once_are_one_after_the_other(site):
    order = []
    waiting = threading.Event()

    class Waiting(type(site.reporter)):
        def line(self, stage: str, text: str) -> None:
            waiting.set()

    def second() -> None:
        with only_one(replace(site, reporter=Waiting())):
            order.append("second")

    with only_one(site):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_the_lock_leaves_nothing_in_the_checkout(site):
    before = sorted(path.name for path in site.root.iterdir())
    with only_one(site):
        assert sorted(path.name for path in site.root.iterdir()) == before


def test_a_state_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "state.json"
    write_atomically(path, '{"a": "1"}')
    write_atomically(path, '{"a": "2", "b": 3}')
    assert read_json(path) == {"a": "2"}
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
    path.write_text("{half")
    assert read_json(path) == {}
    path.write_text("[]")
    assert read_json(path) == {}


def test_a_taken_port_is_said_before_minutes_of_set_up(root, runner):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site = make_site(root, runner=runner, RUMI_API_PORT=str(port))
        with pytest.raises(SetupError) as caught:
            command.dispatch(["run"], site)
    assert f"Port {port} of 127.0.0.1 is taken" in caught.value.sentence
    assert caught.value.mend == f"RUMI_API_PORT={port + 1} python3 bootstrap.py run"
    assert runner.calls == []


def test_ports_that_the_owner_moved_in_a_file_are_the_kernels_affair(root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        site = make_site(
            root, RUMI_API_PORT=str(taken.getsockname()[1]), RUMI_USER_DATA=str(root / "mine"), RUMI_PROFILE="p"
        )
        (root / "mine/p/settings").mkdir(parents=True)
        (root / "mine/p/settings/kernel.yaml").touch()
        handover.demand_free_ports(site)


def test_an_address_of_another_machine_is_not_called_taken():
    assert not handover.is_taken(Listener("api", "192.0.2.1", 1, "X"))


def test_listeners_come_from_the_environment():
    assert [(one.bind, one.port) for one in listeners({"RUMI_API_PORT": "9"})] == [("127.0.0.1", 9)]
    assert [(one.bind, one.port) for one in listeners({"RUMI_API_BIND": "::1", "RUMI_API_PORT": "many"})] == [
        ("::1", 8765)
    ]


def test_a_checkout_without_an_app_is_said(site):
    with pytest.raises(SetupError, match=r"app\.py is missing"):
        handover.to_kernel(site, [])


def test_the_host_of_these_tests_is_debian():
    assert DEBIAN.uses_apt
