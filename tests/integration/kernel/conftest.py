"""The whole product as a black box: a real kernel process, real containers, the real `rumi` command, nothing faked.

A container start is what costs here, so kernels and packs are shared: `world` for the session, with five good packs and
three bad ones, others for a module. Every kernel that was started must end well (S10): exit code 0 in time, no container
with its label, no socket or temporary file in its run folder, an audit trail that verifies.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import docker
import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
TEST_PACKS = ROOT / "tests" / "packs"
BUNDLED = ROOT / "ecosystem" / "packs"
IMAGE = "rumi-sandbox:current"
LABEL = "org.rumi.instance"
RUMI = Path(sys.executable).parent / "rumi"
GOOD = ("hello", "notes", "ticker", "listener", "workshop")
BAD = ("garbled", "stubborn", "sleepy")


@dataclass(frozen=True)
class Answer:
    """How a command ended. `value` is its JSON document, or None."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def value(self):
        return json.loads(self.out)

    @property
    def error(self):
        return self.value["error"]


@dataclass
class Engine:
    """The engine, only looked at, beside whatever the kernel does with it."""

    client: docker.DockerClient

    def containers(self, label: str) -> list[dict]:
        return self.client.api.containers(all=True, filters={"label": label})

    def make_decoy(self, name: str, labels: Mapping[str, str]) -> str:
        """A container of somebody else that never runs."""
        return self.client.api.create_container(IMAGE, name=name, labels=dict(labels), entrypoint=["true"])["Id"]

    def exists(self, container: str) -> bool:
        return any(item["Id"] == container for item in self.client.api.containers(all=True))

    def remove(self, container: str) -> None:
        self.client.api.remove_container(container, force=True)


def until(condition: Callable[[], object], seconds: float, what: str = "it") -> float:
    """Seconds until `condition()` is true; a failure of the test if that takes longer than `seconds`."""
    began = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - began
        assert time.monotonic() - began < seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.03)


@dataclass
class Kernel:
    """One profile of its own and, while it is started, the kernel process on it."""

    folder: Path
    engine: Engine
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    instance: str = ""
    instances: set[str] = field(default_factory=set)
    http: httpx.Client | None = None
    facts: dict[str, object] = field(default_factory=dict)

    # Where things are.

    @property
    def user_data(self) -> Path:
        return self.folder / "u"

    @property
    def profile(self) -> Path:
        return self.user_data / "private"

    @property
    def packs(self) -> Path:
        return self.folder / "e" / "packs"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RUMI_", "DOCKER_"))}
        own = {
            "RUMI_USER_DATA": str(self.user_data),
            "RUMI_ECOSYSTEM_DIR": str(self.folder / "e"),
            "RUMI_API_PORT": "0",
            "RUMI_GATEWAY_PORT": "0",
            "LANG": "C.UTF-8",
        }
        return {**kept, **own, **self.settings, **more}

    # Its life.

    def install(self, *names: str) -> None:
        """Put packs of the tests, or the bundled ones, into its ecosystem; each appears whole."""
        for name in names:
            source = TEST_PACKS / name if (TEST_PACKS / name).is_dir() else BUNDLED / name
            aside = self.folder / f"aside-{name}"
            shutil.copytree(source, aside, ignore=shutil.ignore_patterns("__pycache__"))
            self.packs.mkdir(parents=True, exist_ok=True)
            aside.rename(self.packs / name)

    def launch(self, *options: str, **more: str) -> None:
        """Start its process, and wait for nothing."""
        assert self.process is None
        with (self.folder / "log").open("ab") as log:
            command = [str(RUMI), "serve", *options]
            self.process = subprocess.Popen(
                command, env=self.environment(**more), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def connect(self, token: str = "") -> None:
        """The client of `request`: as the owner, or with a token."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(uds=str(self.profile / "run" / "admin.sock"))
        self.http = httpx.Client(
            transport=transport, base_url="http://localhost", timeout=120, trust_env=False, headers=headers
        )

    def start(self, *options: str, ready: float = 30.0, **more: str) -> float:
        """Start it and wait until it is ready; the seconds that this took."""
        began = time.monotonic()
        self.launch(*options, **more)
        self.connect()
        assert self.process is not None
        while (state := self._state()) != "ready":
            assert self.process.poll() is None, f"the kernel ended with {self.process.returncode}\n{self.log}"
            assert time.monotonic() - began < ready, f"the kernel is {state} after {ready} s\n{self.log}"
            time.sleep(0.03)
        self.instance = str(self.get("/api/status")["instance_id"])
        self.instances.add(self.instance)
        return time.monotonic() - began

    def _state(self) -> object:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(self.profile / "run" / "admin.sock")) != 0:
                return None
        answer = self.request("GET", "/api/status")
        return answer["data"]["state"] if answer["success"] else None

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; the exit code and the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(20)
        finally:
            self._gone()
        return code, time.monotonic() - began

    def kill(self) -> None:
        """End it as a crash of the machine would: nothing of it runs on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self._gone()

    def _gone(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(10)
        if self.http is not None:
            self.http.close()
            self.http = None

    def ends_well(self) -> None:
        """Stop it if it runs, and look at what it left (S10)."""
        if self.process is None and not self.instances:
            return  # it never got so far
        if self.process is not None:
            code, seconds = self.stop()
            assert (code, seconds < 15) == (0, True), f"exit code {code} after {seconds:.1f} s\n{self.log}"
        left = [item["Names"] for instance in self.instances for item in self.containers(instance)]
        assert left == [], f"containers were left behind: {left}"
        assert self.leftovers() == []
        assert self.rumi("audit", "verify").code == 0, "the audit trail does not verify"

    def leftovers(self) -> list[str]:
        """Sockets and temporary files below the profile's folder."""
        found = []
        for base, folders, names in os.walk(self.profile):
            for name in [*names, *folders]:
                path = Path(base, name)
                mode = path.lstat().st_mode
                if stat.S_ISSOCK(mode) or name.endswith((".tmp", ".part")) or path.parent == self.profile / "run" / "s":
                    found.append(str(path.relative_to(self.profile)))
        return found

    # What it is asked.

    def rumi(self, *arguments: str, as_json: bool = True, **more: str) -> Answer:
        """The command as a person or a script starts it, without a terminal."""
        command = [str(RUMI), *arguments, *(["--json"] if as_json else [])]
        began = time.monotonic()
        done = subprocess.run(
            command, env=self.environment(**more), stdin=subprocess.DEVNULL, capture_output=True, timeout=100
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode(), time.monotonic() - began)

    def request(self, method: str, path: str, body: object = None, **query: object) -> dict:
        """The envelope of one request over the owner's socket: the same road as the command's, without its start."""
        assert self.http is not None
        answer = self.http.request(method, path, json=body, params={k: str(v) for k, v in query.items()})
        return {"status": answer.status_code, **answer.json()}

    def get(self, path: str, **query: object):
        answer = self.request("GET", path, **query)
        assert answer["success"], answer
        return answer["data"]

    def post(self, path: str, body: object = None):
        answer = self.request("POST", path, body or {})
        assert answer["success"], answer
        return answer["data"]

    def try_call(self, name: str, args: object = None, seconds: float | None = None) -> dict:
        """`{"success", "data" | "error"}` of a call of an interface."""
        body = {"args": args or {}} | ({} if seconds is None else {"timeout": seconds})
        return self.request("POST", f"/api/interfaces/{name}/call", body)

    def call(self, name: str, args: object = None, seconds: float | None = None):
        """What an interface returns."""
        answer = self.try_call(name, args, seconds)
        assert answer["success"], answer
        return answer["data"]

    def refused(self, name: str, args: object = None, seconds: float | None = None) -> dict:
        """The error of a call that must fail."""
        answer = self.try_call(name, args, seconds)
        assert not answer["success"], answer
        return answer["error"]

    def approve(self, *names: str) -> None:
        """As `rumi pack approve --plan HASH --grant all` would."""
        for name in names:
            plan = self.get(f"/api/packs/{name}/plan")
            grants = [{"permission": item["permission"]} for item in plan["permissions"]]
            self.post(f"/api/packs/{name}/approve", {"plan_hash": plan["plan_hash"], "grants": grants})

    def pack(self, name: str) -> dict:
        return self.get(f"/api/packs/{name}")

    def state(self, name: str) -> str | None:
        """The state of a pack, or None if it is not listed."""
        found = self.get("/api/packs", limit=1000)["items"]
        return next((item["state"] for item in found if item["pack_id"] == name), None)

    def diagnostics(self) -> list[dict]:
        return self.get("/api/status")["diagnostics"]

    def audit(self, **query: object) -> list[dict]:
        """Lines of the trail, the newest 1000 that match."""
        return self.get("/api/audit", limit=1000, **query)["items"]

    def containers(self, instance: str = "") -> list[dict]:
        """Everything of this kernel that the engine knows."""
        return self.engine.containers(f"{LABEL}={instance or self.instance}")

    def container_of(self, pack: str) -> list[str]:
        return [item["Id"] for item in self.containers() if item["Labels"]["org.rumi.pack"] == pack]

    def children(self) -> list[str]:
        """Ids of the processes that it started."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [pid for task in tasks for pid in (task / "children").read_text().split()]

    @property
    def memory_kib(self) -> int:
        """Resident memory of the kernel process."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    client = docker.from_env(timeout=30)
    yield Engine(client)
    client.close()


@pytest.fixture(scope="session")
def make_kernel(engine: Engine) -> Iterator[Callable[..., contextlib.AbstractContextManager[Kernel]]]:
    """Makes a kernel in a folder whose path is short enough for a Unix socket; leaving the block ends it well."""

    @contextlib.contextmanager
    def make(*packs: str, **settings: str) -> Iterator[Kernel]:
        folder = Path(tempfile.mkdtemp(prefix="rk-", dir="/tmp"))
        kernel = Kernel(folder, engine, settings)
        kernel.packs.mkdir(parents=True)
        kernel.install(*packs)
        try:
            yield kernel
            kernel.ends_well()
        finally:
            kernel._gone()
            for instance in kernel.instances:
                for item in kernel.containers(instance):
                    engine.remove(item["Id"])
            shutil.rmtree(folder, ignore_errors=True)

    return make


@pytest.fixture(scope="session")
def until_true() -> Callable[..., float]:
    return until


@pytest.fixture(scope="session")
def threads() -> Iterator[ThreadPoolExecutor]:
    """For calls that are under way while the test does something else."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture(scope="session")
def canaries() -> dict[str, str]:
    """Variables of the host that no pack may ever see."""
    return {"AWS_SECRET_ACCESS_KEY": "canary-7f3a9c-host", "MY_DATABASE_PASSWORD": "canary-51bd02-host"}


@pytest.fixture(scope="session")
def world(make_kernel, canaries) -> Iterator[Kernel]:
    """Five good packs and three bad ones, approved while there was no engine, then booted with the real one."""
    nowhere = "unix:///nonexistent/rumi-test.sock"
    setting = {"RUMI_PACK_WORKSHOP_GREETING": "good day"}
    with make_kernel(*GOOD, *BAD, **setting, **canaries) as kernel:
        kernel.start(DOCKER_HOST=nowhere)
        kernel.approve(*GOOD, "stubborn", "sleepy")
        kernel.facts["without engine"] = {
            "diagnostics": kernel.diagnostics(),
            "call": kernel.try_call("service.hello", {"name": "Ada"}, 2.0),
            "states": {name: kernel.state(name) for name in (*GOOD, *BAD)},
            "containers": kernel.containers(),
            "children": kernel.children(),
        }
        kernel.facts["end without engine"] = kernel.stop()
        kernel.facts["ready after"] = kernel.start(ready=45.0)
        ask = ("service.hello", "notes.list", "clock.now", "listener.heard", "workshop.echo", "stubborn.here")
        kernel.facts["beside the bad ones"] = {
            "answers": {name: kernel.try_call(name, seconds=5.0) for name in ask},
            "sleepy": (kernel.pack("sleepy")["running"], kernel.try_call("sleepy.here", seconds=0.5)["success"]),
            "diagnostics": kernel.diagnostics(),
        }
        began = time.monotonic()
        kernel.facts["switched off"] = kernel.post("/api/packs/sleepy/disable")["state"], time.monotonic() - began
        yield kernel


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
