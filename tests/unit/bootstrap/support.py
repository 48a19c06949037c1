"""Fakes for the set-up: a machine that only remembers what it was told, and an engine that keeps images in a dict."""

import io
import json
import platform
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from bootstrap_steps.engine_api import Address, Engine, Json, _refused
from bootstrap_steps.host import Finished, Host
from bootstrap_steps.report import Reporter
from bootstrap_steps.site import Site

DEBIAN = Host(system="Linux", root=True, distribution="debian", codename="bookworm")
LOCK = "alpha==1.0 \\\n    --hash=sha256:00\nbeta==2.0 \\\n    --hash=sha256:11\n"


class Killed(BaseException):
    """Stands for `kill -9`: no handler of the code under test may catch it."""


@dataclass
class FakeChild:
    code: int | None = None
    ended: list[str] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.ended.append("terminate")
        self.code = -15

    def kill(self) -> None:
        self.ended.append("kill")

    def wait(self, timeout: float | None = None) -> int:
        return self.code or 0


class FakeRunner:
    """Programs are functions by their name; those that nobody named succeed and say nothing."""

    def __init__(self, programs: Mapping[str, Callable[[list[str]], Finished]] | None = None) -> None:
        self.programs = dict(programs or {})
        self.calls: list[list[str]] = []
        self.started: list[list[str]] = []
        self.child = FakeChild()
        self.on_start: Callable[[list[str], Path], None] = lambda argv, log: None
        self.there: set[str] = {"apt-get", "dockerd", "mmdebstrap", "systemctl"}
        self.kill_at = -1

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Finished:
        command = list(argv)
        self.calls.append(command)
        if len(self.calls) == self.kill_at:
            raise Killed
        return self.programs.get(Path(command[0]).name, lambda _: Finished(0))(command)

    def start(self, argv: Sequence[str], *, log: Path) -> FakeChild:
        self.started.append(list(argv))
        log.touch()
        self.on_start(list(argv), log)
        return self.child

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name in self.there else None


def make_site(root: Path, *, host: Host = DEBIAN, runner: FakeRunner | None = None, **environment: str) -> Site:
    """A checkout with two locks and a tiny agent, on a machine that is not there."""
    (root / "requirements").mkdir(parents=True, exist_ok=True)
    (root / "requirements" / "base.lock").write_text(LOCK)
    (root / "requirements" / "test.lock").write_text(LOCK + "gamma==3.0 \\\n    --hash=sha256:22\n")
    base, runtime = root / "docker/core/base", root / "docker/core/runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    base.mkdir(parents=True, exist_ok=True)
    (runtime / "container_agent.py").write_text("print('agent')\n")
    real = Path(__file__).resolve().parents[3] / "docker/core/base"
    for path in real.iterdir():
        if path.is_file():
            (base / path.name).write_bytes(path.read_bytes())
    return Site(
        root=root, environment=environment, host=host, runner=runner or FakeRunner(), reporter=Reporter(io.StringIO())
    )


def said(site: Site) -> str:
    stream = site.reporter._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


class FakePython:
    """`python -m venv` and `pip install`, as far as files show: with a place where a kill leaves half of the work."""

    def __init__(self, site_root: Path, half_way: str = "") -> None:
        self.root = site_root
        self.half_way = half_way

    @property
    def packages(self) -> Path:
        return self.root / ".venv/lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def card(self, name: str, *, whole: bool = True) -> None:
        folder = self.packages / f"{name}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text("Name: x\n")
        if whole:
            (folder / "RECORD").write_text(f"x.py,,\n{folder.name}/INSTALLER,sha256=x,4\n")

    def __call__(self, argv: list[str]) -> Finished:
        if argv[1:3] == ["-m", "venv"]:
            (self.root / ".venv/bin").mkdir(parents=True)
            if self.half_way == "venv":
                raise Killed
            (self.root / ".venv/bin/python").write_text("")
            (self.root / ".venv/pyvenv.cfg").write_text(f"version = {platform.python_version()}\n")
            self.card("pip-26.0", whole=self.half_way != "pip")
            if self.half_way == "pip":
                raise Killed
        if argv[1:4] == ["-m", "pip", "install"]:
            self.card("alpha-1.0")
            self.card("beta-2.0", whole=self.half_way != "beta")
            if self.half_way == "beta":
                raise Killed
        return Finished(0)

    @property
    def programs(self) -> dict[str, Callable[[list[str]], Finished]]:
        return {
            "python": self,
            Path(sys.executable).name: self,
            f"python{sys.version_info.major}.{sys.version_info.minor}": self,
        }


def unpack_nothing(argv: list[str]) -> Finished:
    """mmdebstrap, which leaves an empty archive where it was told to."""
    target = next(word for word in argv if word.endswith(".tar"))
    Path(target).write_bytes(b"\0" * 10240)
    return Finished(0)


class FakeEngine:
    """A container engine on a Unix socket: enough of its interface for the set-up, and everything it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self.server: socketserver.UnixStreamServer | None = None
        self.images: dict[str, dict[str, object]] = {}
        self.tags: dict[str, str] = {}
        self.calls: list[str] = []
        self.registry = False
        self.self_check = b'{"python": "3.11.2", "faults": []}\n'
        self.self_check_code = 0
        self.version = {"Version": "28.0", "ApiVersion": "1.48", "Arch": "amd64"}
        self.info: dict[str, object] = {"Driver": "overlay2", "SecurityOptions": ["name=seccomp", "name=rootless"]}
        self.created = 0
        self.builds: list[dict[str, str]] = []

    @property
    def engine(self) -> "DirectEngine":
        return DirectEngine(self)

    @property
    def socket(self) -> Path:
        """Where it listens; from the first time on that somebody wants to know."""
        if self.server is None:
            self.listen()
        return self.path

    def listen(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                self.drain()
                status, body = fake.handle(self.command, unquote(parts.path), query)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def drain(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def address_string(self) -> str:
                return "socket"

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that was killed has hung up: no news."""

        self.server = Server(str(self.path), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def find(self, name: str) -> str:
        return self.tags.get(name, name if name in self.images else "")

    def handle(self, method: str, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        self.calls.append(f"{method} {path}")
        status, body = self.route(method, path, query)
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def route(self, method: str, path: str, query: dict[str, str]) -> tuple[int, object]:
        last = path.rsplit("/", 1)[-1]
        if path == "/version":
            return 200, self.version
        if path == "/info":
            return 200, self.info
        if path == "/build":
            return self.build(query)
        if path == "/images/json":
            return 200, self.listed(json.loads(query["filters"])["label"][0])
        if path == "/images/create":
            return self.add({}, f"{query['repo']}:{query['tag']}")
        if path == "/images/prune":
            return 200, {}
        if path.startswith("/distribution/"):
            return (200, {}) if self.registry else (500, {"message": "no such host"})
        if path.startswith("/containers/"):
            return self.container(method, last)
        return self.image(method, path.removeprefix("/images/"), query)

    def add(self, labels: dict[str, str], tag: str) -> tuple[int, object]:
        self.created += 1
        image_id = f"sha256:{self.created:064d}"
        self.images[image_id] = {"Id": image_id, "Config": {"Labels": labels}, "Created": 2_000_000_000}
        self.tags[tag] = image_id
        return 200, b'{"stream": "done"}\n'

    def build(self, query: dict[str, str]) -> tuple[int, object]:
        self.builds.append(query)
        donor = next(iter(json.loads(query["buildargs"]).values()))
        if not self.find(donor) and "@sha256:" not in donor:
            return 200, b'{"error": "no such donor"}\n'
        return self.add(json.loads(query["labels"]), query["t"])

    def listed(self, label: str) -> list[object]:
        key, value = label.split("=")
        rows: list[object] = []
        for image_id, image in self.images.items():
            labels = image["Config"]["Labels"]  # type: ignore[index]
            if labels.get(key) == value:
                names = [name for name, known in self.tags.items() if known == image_id]
                rows.append({"Id": image_id, "RepoTags": names, "Labels": labels, "Created": image["Created"]})
        return rows

    def container(self, method: str, last: str) -> tuple[int, object]:
        if last == "create":
            return 201, {"Id": "c0ffee"}
        if last == "wait":
            return 200, {"StatusCode": self.self_check_code}
        if last == "logs":
            return 200, b"\x01\0\0\0" + len(self.self_check).to_bytes(4, "big") + self.self_check
        return 204, b""

    def image(self, method: str, name: str, query: dict[str, str]) -> tuple[int, object]:
        name, _, action = name.partition("/")
        image_id = self.find(name)
        if not image_id:
            return 404, {"message": f"No such image: {name}"}
        if method == "DELETE":
            self.tags.pop(name, None)
            if image_id not in self.tags.values():
                self.images.pop(image_id)
        elif action == "tag":
            self.tags[f"{query['repo']}:{query['tag']}"] = image_id
        return 200, self.images.get(image_id, {})


class DirectEngine(Engine):
    """The client without the socket between: most tests are about what is asked, not about HTTP."""

    def __init__(self, fake: FakeEngine) -> None:
        super().__init__(Address())
        self.fake = fake

    def _call(self, method: str, path: str, query: Mapping[str, str], body: bytes | None, timeout: float) -> bytes:
        status, data = self.fake.handle(method, path, dict(query))
        if status >= 400:
            raise _refused(status, data)
        return data

    def stream(self, path: str, body: object, *, timeout: float, **query: str) -> Iterator[dict[str, Json]]:
        for line in self._call("POST", path, query, None, timeout).splitlines():
            message = json.loads(line)
            if "error" in message:
                raise _refused(200, message["error"].encode())
            yield message


class DyingEngine(DirectEngine):
    """A client that is killed at its n-th call, before or after the call took effect."""

    def __init__(self, fake: FakeEngine, kill_at: int, *, after: bool) -> None:
        super().__init__(fake)
        self.left = kill_at
        self.after = after

    def _call(self, *arguments: object) -> bytes:  # type: ignore[override]
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        done = super()._call(*arguments)  # type: ignore[arg-type]
        if self.left == 0:
            raise Killed
        return done
