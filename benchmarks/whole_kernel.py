"""A whole kernel for the benchmarks: `rumi serve` in a process of its own, on a profile and packs of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = b"Rumi is ready"
PATIENCE_SECONDS = 120.0
PROGRAM = (sys.executable, "-m", "rumi_command", "serve")


class _OverSocket(http.client.HTTPConnection):
    """HTTP over the owner's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._socket_path = str(path)

    def connect(self) -> None:
        """See `HTTPConnection`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


class WholeKernel:
    """One profile; at most one kernel process on it at a time. Everything lies below `folder`, whose path is short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.packs = folder / "e" / "packs"
        self.packs.mkdir(parents=True)

    @property
    def pid(self) -> int:
        """Of the running process. Raises `SystemExit` without one."""
        if self._process is None:
            raise SystemExit("the kernel of this benchmark is not running")
        return self._process.pid

    def start(self) -> float:
        """Seconds from the start of the program to its word that it is ready, all packs included."""
        settings = {
            "RUMI_USER_DATA": str(self.folder / "u"),
            "RUMI_ECOSYSTEM_DIR": str(self.folder / "e"),
            "RUMI_API_PORT": "0",
            "RUMI_GATEWAY_PORT": "0",
            "PYTHONPYCACHEPREFIX": str(self.folder / "c"),
        }
        without = ("RUMI_", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(without)}
        log = self.folder / "log"
        began = time.perf_counter()
        self._process = process = subprocess.Popen(
            PROGRAM, cwd=ROOT, env={**kept, **settings}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if process.stderr is None:
            raise SystemExit("the kernel of this benchmark says nothing")
        said = bytearray()
        while READY not in (line := process.stderr.readline()):
            said += line
            if not line:
                raise SystemExit(f"the kernel of this benchmark ended: {said.decode(errors='replace')}")
        seconds = time.perf_counter() - began
        log.write_bytes(said)
        return seconds

    def stop(self) -> None:
        """End it as a person would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """`data` of one request as the owner. Raises `SystemExit` for a refusal."""
        connection = _OverSocket(self.folder / "u" / "private" / "run" / "admin.sock")
        try:
            sent = None if method == "GET" else json.dumps(body or {})
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if not answer.get("success"):
            raise SystemExit(f"{method} {path}: {answer.get('error')}")
        return dict(answer["data"])

    def install(self, pack_id: str) -> None:
        """A copy of the bundled pack `hello` under another id and interface."""
        aside = self.folder / pack_id
        shutil.copytree(ROOT / "ecosystem" / "packs" / "hello" / "backend", aside / "backend")
        for path in aside.rglob("*"):
            if path.is_file():
                text = path.read_text("utf-8").replace("service.hello", f"service.{pack_id}")
                text = text.replace("flow_id: hello", f"flow_id: {pack_id}")
                text = text.replace('"pack_id": "hello"', f'"pack_id": "{pack_id}"')
                path.write_text(text.replace("rumi-packs/hello", f"rumi-packs/{pack_id}"), "utf-8")
        aside.rename(self.packs / pack_id)

    def install_from(self, folder: Path) -> None:
        """A pack as it is; it appears whole."""
        aside = self.folder / folder.name
        shutil.copytree(folder, aside, ignore=shutil.ignore_patterns("__pycache__"))
        aside.rename(self.packs / folder.name)

    def approve(self, pack_id: str) -> None:
        """With all that it asks for."""
        plan = self.ask("GET", f"/api/packs/{pack_id}/plan")
        self.ask("POST", f"/api/packs/{pack_id}/approve", {"plan_hash": plan["plan_hash"]})

    def running(self) -> list[str]:
        """Ids of the packs that are up."""
        found = self.ask("GET", "/api/status")["running"]
        return [str(item) for item in found] if isinstance(found, list) else []

    def call(self, pack_id: str) -> object:
        """One call of a pack of `install`, over the owner's socket."""
        return self.ask("POST", f"/api/interfaces/service.{pack_id}/call", {"args": {"name": "Ada"}})

    def run_flow(self, flow: str) -> object:
        """One run of a flow of `install`, to its end."""
        return self.ask("POST", f"/api/flows/{flow}/run", {"inputs": {"name": "Ada"}})

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Return once it holds. Raises `SystemExit` when that takes too long."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > until:
                raise SystemExit(f"{what} did not happen")
            time.sleep(0.05)


@contextmanager
def whole_kernel(packs: int) -> Iterator[WholeKernel]:
    """A profile with so many approved packs `hello_0`...; its kernel is stopped. Leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp"))
    kernel = WholeKernel(folder)
    try:
        names = [f"hello_{number}" for number in range(packs)]
        for name in names:
            kernel.install(name)
        kernel.start()
        for name in names:
            kernel.approve(name)
        kernel.wait_for(lambda: len(kernel.running()) == packs, f"the start of {packs} packs")
        kernel.stop()
        yield kernel
    finally:
        kernel.stop()
        shutil.rmtree(folder)
