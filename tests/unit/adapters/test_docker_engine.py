"""The docker adapter against an endpoint of our own: what it asks for, what it believes, and how it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from core_runtime.adapters.docker_engine import DockerEngine, check_address
from core_runtime.adapters.docker_engine.payload import create_payload, differences
from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.packs import DeclaredPermission, PackDescriptor, SandboxRequest, Text
from core_runtime.sandbox.limits import Caps
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.spec import ContainerSpec, Placement, build_spec

ID = "e" * 64
NAME = "rumi-0123456789abcdef"
GOLDEN = Path(__file__).parent.parent / "sandbox" / "golden"
# The SDK leaves a socket whose connect failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
CORE = Path(__file__).parent.parent.parent.parent / "core_runtime"


def make_spec(*, network: bool = False) -> ContainerSpec:
    permissions = (DeclaredPermission("http.request", {}, Text()),) if network else ()
    pack = PackDescriptor(
        "demo", "x", "1.0.0", Path("/x"), permissions=permissions, sandbox=SandboxRequest(shm=network)
    )
    place = Placement(
        name=NAME,
        uid=1_048_579,
        socket_folder=Path("/state/run/sockets/x"),
        image_id="sha256:" + "c" * 64,
        instance_id="ab" * 8,
        runtime="runsc" if network else "",
        apparmor=network,
        extra_ca=Path("/x.pem") if network else None,
    )
    return build_spec(PackLaunch(pack, Path("/state/sealed/d"), "d" * 64, {}), place, Caps())


def inspected(spec: ContainerSpec) -> dict[str, Any]:
    """What an engine answers to inspect for a container that is exactly what was asked for."""
    payload = json.loads(json.dumps(create_payload(spec)))
    host = payload.pop("HostConfig")
    mounts = [
        {
            "Type": "bind",
            "Source": item["Source"],
            "Destination": item["Target"],
            "RW": False,
            "Propagation": "rprivate",
        }
        for item in host["Mounts"]
    ]
    host |= {
        "Privileged": False,
        "CapAdd": None,
        "PidMode": "",
        "RestartPolicy": {"Name": "no"},
        "ShmSize": host.get("ShmSize", 0),
    }
    payload["Cmd"] = None
    return {"Id": ID, "Name": f"/{NAME}", "HostConfig": host, "Config": payload, "Mounts": mounts, "State": {}}


class Endpoint:
    """A daemon made of canned answers on a Unix socket; remembers what was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = {"GET /version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}}
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.hang = threading.Event()
        self.let_go = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        where = re.sub(r"^/v[0-9.]+", "", handler.path.split("?")[0])
        self.asked.append(f"{handler.command} {where}")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.bodies.append((handler.path, json.loads(body) if body else None))
        if self.hang.is_set():
            self.let_go.wait(10)
            return
        given = self.answers.get(f"{handler.command} {where}", (404, b'{"message": "no such thing"}'))
        status, data = given if isinstance(given, tuple) else (200, given)
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(raw) + (100 if data == b'{"Id": "e' else 0)))
        handler.end_headers()
        handler.wfile.write(raw)


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect here, where the warning is expected, and not in whatever test comes next."""
    yield
    gc.collect()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    made = Endpoint(tmp_path / "engine.sock")

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            self.client_address = ("local", 0)

        def do_GET(self) -> None:
            made.answer(self)

        def do_POST(self) -> None:
            made.answer(self)

        def do_DELETE(self) -> None:
            made.answer(self)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *args: object) -> None:
            """A client that went away is what some tests are about."""

    server = Server(str(made.path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.let_go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
async def engine(endpoint: Endpoint):
    made = DockerEngine(f"unix://{endpoint.path}", call_seconds=0.3)
    yield made
    await made.close()


@pytest.mark.parametrize("name", ["sealed", "loopback"])
def test_the_create_request_is_the_golden_one(name):
    payload = json.loads(json.dumps(create_payload(make_spec(network=name == "loopback"))))
    assert payload == json.loads((GOLDEN / f"payload-{name}.json").read_text())


async def test_create_reads_back_and_never_asks_for_a_pull(endpoint, engine):
    spec = make_spec()
    endpoint.answers |= {"POST /containers/create": (201, {"Id": ID}), f"GET /containers/{ID}/json": inspected(spec)}
    assert await engine.create(spec) == ID
    assert endpoint.asked == ["GET /version", "POST /containers/create", f"GET /containers/{ID}/json"]
    assert endpoint.bodies[1][0].endswith(f"?name={NAME}")


def changed(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for part in way:
            document = document[part]
        document[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("HostConfig.Privileged", True), ("HostConfig.NetworkMode", "bridge"), ("HostConfig.ReadonlyRootfs", False),
        ("HostConfig.CapAdd", ["SYS_ADMIN"]), ("HostConfig.CapDrop", None), ("HostConfig.SecurityOpt", ["seccomp=unconfined"]),
        ("HostConfig.PidMode", "host"), ("HostConfig.UsernsMode", "host"), ("HostConfig.UTSMode", "host"),
        ("HostConfig.IpcMode", "shareable"), ("HostConfig.PidsLimit", 0), ("HostConfig.Memory", 0),
        ("HostConfig.MemorySwap", -1), ("HostConfig.NanoCpus", 0), ("HostConfig.Devices", [{"PathOnHost": "/dev/mem"}]),
        ("HostConfig.DeviceRequests", [{"Driver": "nvidia"}]), ("HostConfig.GroupAdd", ["docker"]),
        ("HostConfig.ExtraHosts", ["a:1.2.3.4"]), ("HostConfig.Dns", ["8.8.8.8"]), ("HostConfig.Binds", ["/:/host"]),
        ("HostConfig.CgroupnsMode", "host"), ("HostConfig.Init", False), ("HostConfig.OomKillDisable", True),
        ("HostConfig.RestartPolicy", {"Name": "always"}), ("HostConfig.Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        ("HostConfig.Tmpfs", {"/tmp": "rw"}), ("HostConfig.LogConfig", {"Type": "syslog", "Config": {}}),
        ("HostConfig.VolumesFrom", ["other"]), ("HostConfig.Links", ["a:b"]), ("HostConfig.Sysctls", {"a": "b"}),
        ("HostConfig.OomScoreAdj", -999), ("Config.User", "root"), ("Config.Env", ["HTTP_PROXY=http://user:pw@host"]),
        ("Config.Entrypoint", ["sh"]), ("Config.Cmd", ["x"]), ("Config.WorkingDir", "/pack"), ("Config.Tty", True),
        ("Config.OpenStdin", True), ("Config.Image", "other"), ("Config.Hostname", "x"), ("Config.Volumes", {"/data": {}}),
        ("Config.Healthcheck", {"Test": ["CMD", "x"]}), ("Config.Labels", {}), ("Name", "/other"),
        ("Mounts", []), ("HostConfig", None),
        ("Mounts", [{"Type": "bind", "Source": "/", "Destination": "/host", "RW": True, "Propagation": "rprivate"}]),
        ("Mounts", [{"Type": "volume", "Source": "/v", "Destination": "/data", "RW": True, "Propagation": ""}]),
    ],
)  # fmt: skip
def test_a_setting_that_the_engine_changed_is_seen(path, value):
    made = inspected(make_spec())
    assert differences(create_payload(make_spec()), made, name=NAME) == []
    changed(path, value)(made)
    assert len(differences(create_payload(make_spec()), made, name=NAME)) == 1


@pytest.mark.parametrize(("path", "value"), [("HostConfig.Privileged", True), ("Id", "f" * 64), ("Mounts", [])])
async def test_a_container_with_other_settings_than_asked_for_never_starts(endpoint, engine, path, value):
    spec, made = make_spec(), inspected(make_spec())
    changed(path, value)(made)
    endpoint.answers |= {
        "POST /containers/create": (201, {"Id": ID}),
        f"GET /containers/{ID}/json": made,
        f"DELETE /containers/{ID}": (204, b""),
    }
    with pytest.raises(Unavailable) as failure:
        await engine.create(spec)
    assert failure.value.details["reason"] == "SETTINGS_REFUSED"
    assert endpoint.asked[-1] == f"DELETE /containers/{ID}"
    assert f"POST /containers/{ID}/start" not in endpoint.asked


def test_a_mount_made_writable_is_a_difference():
    made = inspected(make_spec())
    assert differences(create_payload(make_spec()), made, name=NAME) == []
    made["Mounts"][0]["RW"] = True
    assert differences(create_payload(make_spec()), made, name=NAME) == ["Mounts"]


async def test_ct_16_a_missing_image_is_an_error_and_nothing_else_is_asked(endpoint, engine):
    with pytest.raises(Unavailable) as failure:
        await engine.image("rumi-sandbox:current")
    assert failure.value.details == {"reason": "IMAGE_MISSING"}
    assert endpoint.asked == ["GET /version", "GET /images/rumi-sandbox:current/json"]


async def test_ft_07_refused_connections_are_said_and_a_daemon_that_is_back_is_used(tmp_path, endpoint, collected):
    away = DockerEngine(f"unix://{tmp_path}/nobody.sock", call_seconds=0.3)
    with pytest.raises(Unavailable) as failure:
        await away.list("ab" * 8)
    assert failure.value.details == {"reason": "RUNTIME_UNAVAILABLE"}
    (tmp_path / "nobody.sock").symlink_to(endpoint.path)
    endpoint.answers["GET /containers/json"] = []
    assert await away.list("ab" * 8) == []
    await away.close()


async def test_ft_08_a_daemon_that_hangs_costs_nobody_more_than_the_deadline(endpoint, engine, collected):
    endpoint.answers["GET /containers/json"] = []
    await engine.list("ab" * 8)
    endpoint.hang.set()
    began = time.monotonic()
    results = await asyncio.gather(*(engine.list("ab" * 8) for _ in range(20)), return_exceptions=True)
    assert time.monotonic() - began < 1.5
    assert all(isinstance(item, Unavailable) and item.details["reason"] == "RUNTIME_UNAVAILABLE" for item in results)
    endpoint.hang.clear()
    endpoint.let_go.set()
    await asyncio.sleep(0.35)
    assert await engine.list("ab" * 8) == []


@pytest.mark.parametrize(
    "answer",
    [
        (500, b'{"message": "boom"}'),
        (500, b"not json"),
        b'{"Id": "e',
        b"[1, 2]",
        b"null",
        b'"text"',
        b"{}",
        (200, b""),
        (301, b""),
    ],
    ids=["500", "500-no-json", "half-a-json", "list", "null", "text", "empty-object", "no-body", "redirect"],
)
async def test_ft_08_nonsense_is_runtime_unavailable_and_never_a_traceback(endpoint, engine, answer):
    endpoint.answers |= {"POST /containers/create": answer, f"GET /containers/{ID}/json": answer, "GET /info": answer}
    for call in (engine.create(make_spec()), engine.exit_state(ID), engine.info()):
        with pytest.raises(Unavailable) as failure:
            await call
        assert failure.value.details["reason"] == "RUNTIME_UNAVAILABLE"


async def test_a_runtime_that_the_engine_does_not_have_is_final_not_retried(endpoint, engine):
    endpoint.answers["POST /containers/create"] = (400, b'{"message": "unknown or invalid runtime name: runsc"}')
    with pytest.raises(Unavailable) as failure:
        await engine.create(make_spec(network=True))
    assert failure.value.details == {"reason": "SETTINGS_REFUSED"}
    assert endpoint.bodies[1][1]["HostConfig"]["Runtime"] == "runsc"


async def test_an_old_engine_is_refused(endpoint, engine):
    endpoint.answers["GET /version"] = {"ApiVersion": "1.39"}
    with pytest.raises(Unavailable):
        await engine.info()


async def test_ct_05_oom_is_told_with_any_exit_code(endpoint, engine):
    state = {"Running": False, "Status": "exited", "ExitCode": 0, "OOMKilled": True, "Error": ""}
    endpoint.answers[f"GET /containers/{ID}/json"] = {"State": state}
    ended = await engine.exit_state(ID)
    assert ended is not None
    assert (ended.exit_code, ended.oom_killed) == (0, True)
    endpoint.answers[f"GET /containers/{ID}/json"] = {"State": {**state, "Running": True, "Status": "running"}}
    assert await engine.exit_state(ID) is None


async def test_ft_09_a_container_that_the_engine_does_not_know_is_lost(engine):
    with pytest.raises(Unavailable) as failure:
        await engine.exit_state(ID)
    assert failure.value.details == {"reason": "LOST"}
    await engine.kill(ID)
    await engine.remove(ID)


async def test_ct_19_only_containers_with_our_own_label_are_ever_listed(endpoint, engine):
    endpoint.answers["GET /containers/json"] = [
        {"Id": ID, "Names": ["/rumi-1"], "Labels": {"org.rumi.instance": "ab" * 8}, "State": "running"},
        {"Id": "f" * 64, "Names": ["/rumi-2"], "Labels": {"org.rumi.instance": "cd" * 8}, "State": "running"},
        {"Id": "0" * 64, "Names": ["/rumi-3"], "Labels": None, "State": "running"},
    ]
    assert [item.id for item in await engine.list("ab" * 8)] == [ID]


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:2375", "tcp://127.0.0.1:2375", "http://engine", "ssh://x", "engine"]
)
def test_ct_18_an_engine_over_the_network_without_tls_is_refused(address):
    with pytest.raises(ValidationFailed):
        check_address(address, tls=False)


def test_ct_18_local_sockets_and_tls_are_accepted():
    assert check_address("", tls=False) == "unix:///var/run/docker.sock"
    assert check_address("unix:///run/user/1000/docker.sock", tls=False).startswith("unix://")
    assert check_address("tcp://engine:2376", tls=True) == "tcp://engine:2376"


def test_ct_25_nothing_is_ever_executed_in_attached_to_or_copied_into_a_container():
    forbidden = re.compile(
        r"exec_(run|create|start)|put_archive|get_archive|\.attach\(|attach_socket|\.commit\(|images\.build|api\.build\(|containers\.run\("
        r"|\.pull\(|auto_remove=True|privileged=True|volumes_from="
    )
    for path in CORE.rglob("*.py"):
        found = forbidden.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.name}: {found and found.group()}"


def test_the_sdk_is_imported_in_the_docker_adapter_alone():
    for path in CORE.rglob("*.py"):
        if "docker_engine" not in path.parts:
            assert not re.search(r"^\s*(from|import) docker\b", path.read_text(encoding="utf-8"), re.MULTILINE), (
                path.name
            )
