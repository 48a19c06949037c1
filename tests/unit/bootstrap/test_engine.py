"""Finding an engine, and saying what to do where none can be had."""

import socket

import pytest

from bootstrap_steps import engine
from bootstrap_steps.engine import Ping, Reply
from bootstrap_steps.engine_api import Address, Engine, dig, read_address
from bootstrap_steps.engine_daemon import DaemonPaths
from bootstrap_steps.host import Finished, Host
from bootstrap_steps.report import SetupError
from tests.unit.bootstrap.support import FakeRunner, make_site, said

NOT_ROOT = Host(distribution="debian")


@pytest.fixture
def nowhere(tmp_path) -> Address:
    return Address(socket=str(tmp_path / "nothing.sock"))


@pytest.fixture
def paths(tmp_path) -> DaemonPaths:
    """A daemon's places, all private, and empty."""
    (tmp_path / "proc").mkdir()
    return DaemonPaths(
        socket=tmp_path / "engine.sock",
        pid_file=tmp_path / "docker.pid",
        exec_root=tmp_path / "exec",
        data_root=tmp_path / "data",
        config=tmp_path / "daemon.json",
        log=tmp_path / "log",
        system_containerd=tmp_path / "containerd.sock",
        processes=tmp_path / "proc",
        cgroups=tmp_path / "cgroup",
        seconds_to_answer=0.2,
    )


def test_the_usual_socket_is_asked_where_nothing_else_is_said():
    assert read_address({}) == Address(socket="/var/run/docker.sock", explicit=False)
    assert read_address({"DOCKER_HOST": "unix:///run/user/7/docker.sock"}).socket == "/run/user/7/docker.sock"


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:2375", "tcp://127.0.0.1:2375", "ssh://host", "npipe://x", "nonsense"])
def test_ct_18_an_engine_without_tls_is_refused(text):
    with pytest.raises(SetupError) as caught:
        read_address({"DOCKER_HOST": text})
    assert "unset DOCKER_HOST" in caught.value.mend


def test_an_engine_behind_tls_is_taken():
    address = read_address(
        {"DOCKER_HOST": "tcp://engine.example:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}
    )
    assert (address.host, address.port, address.certificates) == ("engine.example", 2376, "/c")


def test_a_running_engine_is_used_as_it_is(root, fake):
    runner = FakeRunner()
    site = make_site(root, runner=runner, DOCKER_HOST=f"unix://{fake.socket}")
    _, found = engine.ensure(site)
    assert (found.version, found.architecture) == ("28.0", "amd64")
    assert (runner.calls, runner.started) == ([], [])
    assert "ready: Docker 28.0" in said(site)


def test_an_old_engine_is_refused_by_its_number_not_by_its_spelling(root, fake):
    fake.version["ApiVersion"] = "1.9"
    with pytest.raises(SetupError, match="too old"):
        engine.ensure(make_site(root, DOCKER_HOST=f"unix://{fake.socket}"))


def test_an_engine_that_was_named_and_does_not_answer_is_never_replaced(root, nowhere):
    runner = FakeRunner()
    with pytest.raises(SetupError, match="nothing answers there"):
        engine.ensure(make_site(root, runner=runner, DOCKER_HOST=str(nowhere)))
    assert (runner.calls, runner.started) == ([], [])


def test_an_engine_that_hangs_is_given_up_after_the_deadline(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen()
        assert engine.ping(Address(socket=str(tmp_path / "mute.sock")), timeout=0.05).reply is Reply.SILENT


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{]}x!", b"SSH-2.0-x\r\n"])
def test_something_that_is_no_engine_is_no_engine(tmp_path, answer):
    import threading

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "odd.sock"))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert engine.ping(Address(socket=str(tmp_path / "odd.sock"))).reply is Reply.ABSENT
        thread.join()


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply.DENIED, "may not use the engine's socket"),
        (Reply.SILENT, "does not answer"),
        (Reply.ABSENT, "nothing answers"),
    ],
)
def test_every_reply_but_an_answer_is_a_sentence(reply, sentence):
    with pytest.raises(SetupError, match=sentence) as caught:
        engine.demand(Ping(reply), Address())
    assert caught.value.mend


def test_without_an_engine_and_without_root_the_command_is_named(root, nowhere, paths):
    runner = FakeRunner()
    runner.there = {"apt-get"}
    with pytest.raises(SetupError) as caught:
        engine.provide(make_site(root, host=NOT_ROOT, runner=runner), nowhere, paths)
    assert "apt-get install -y docker.io" in caught.value.mend
    assert runner.calls == []


@pytest.mark.parametrize(("systemd", "mend"), [(True, "sudo systemctl start docker"), (False, "sudo dockerd &")])
def test_an_installed_engine_that_only_root_may_start_is_said(root, nowhere, paths, systemd, mend):
    runner = FakeRunner()
    with pytest.raises(SetupError) as caught:
        engine.provide(
            make_site(root, host=Host(distribution="debian", systemd=systemd), runner=runner), nowhere, paths
        )
    assert caught.value.mend == mend
    assert runner.started == []


def test_a_rootless_engine_is_pointed_at(root, nowhere, paths, fake):
    fake.socket.rename(fake.socket.with_name("docker.sock"))
    with pytest.raises(SetupError) as caught:
        engine.provide(make_site(root, host=NOT_ROOT, XDG_RUNTIME_DIR=str(fake.socket.parent)), nowhere, paths)
    assert caught.value.mend == f"export DOCKER_HOST=unix://{fake.socket.parent}/docker.sock"


def test_root_on_debian_gets_one_installed_and_used_at_once_if_the_package_started_it(root, paths, fake):
    runner = FakeRunner()
    runner.there = {"apt-get"}
    found = engine.provide(make_site(root, runner=runner), Address(socket=str(fake.socket)), paths)
    assert found.reply is Reply.ANSWERS
    assert "docker.io" in runner.calls[-1]
    assert "iptables" in runner.calls[-1]
    assert runner.started == []


def test_without_systemd_the_daemon_is_started_and_waited_for(root, nowhere, paths, fake):
    runner = FakeRunner()
    runner.on_start = lambda *_: fake.socket.rename(nowhere.socket)
    found = engine.provide(make_site(root, runner=runner), nowhere, paths)
    assert found.reply is Reply.ANSWERS
    assert len(runner.started) == 1


def test_with_systemd_the_service_is_started(root, nowhere, paths, fake):
    def systemctl(_: list[str]) -> Finished:
        fake.socket.rename(nowhere.socket)
        return Finished(0)

    runner = FakeRunner({"systemctl": systemctl})
    site = make_site(root, host=Host(root=True, distribution="debian", systemd=True), runner=runner)
    assert engine.provide(site, nowhere, paths).reply is Reply.ANSWERS
    assert runner.started == []


def test_a_service_that_does_not_start_is_said(root, nowhere, paths):
    runner = FakeRunner({"systemctl": lambda _: Finished(1, err="Job for docker.service failed.")})
    site = make_site(root, host=Host(root=True, distribution="debian", systemd=True), runner=runner)
    with pytest.raises(SetupError, match=r"Job for docker\.service failed"):
        engine.provide(site, nowhere, paths)


def test_an_engines_error_is_told_in_its_own_words(fake):
    with pytest.raises(SetupError, match="No such image: nothing"):
        Engine(Address(socket=str(fake.socket))).get("/images/nothing/json")


def test_an_answer_is_never_trusted_to_have_a_shape():
    assert dig({"a": {"b": "x"}}, "a", "b") == "x"
    assert dig({"a": [1]}, "a", "b") == ""
    assert dig(None, "a") == ""
    assert dig({"a": 5}, "a") == ""
