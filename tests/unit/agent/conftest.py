"""A kernel made of a socket and a script: runs the real agent as a child process, as the container would."""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RUNTIME = Path(__file__).parents[3] / "docker" / "core" / "runtime"
if str(RUNTIME) not in sys.path:
    sys.path.insert(0, str(RUNTIME))
PATIENCE = 10.0
BOOT = """
import sys
sys.pycache_prefix = sys.argv[1]
sys.path.insert(0, sys.argv[2])
from rumi_agent.main import main
from rumi_agent.agent import Options
main(Options(socket=sys.argv[3], pack=sys.argv[4], deps=sys.argv[5], back_off=0.02))
"""

Frame = dict[str, Any]


def framed(body: bytes) -> bytes:
    """A length and its bytes."""
    return struct.pack(">I", len(body)) + body


def encode(frame: Frame, payload: bytes = b"") -> bytes:
    """One frame as the kernel writes it."""
    return framed(json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()) + payload


class FakeKernel:
    """One agent under test. `answer` is asked for the value of each capability call; it may raise `Refusal`."""

    def __init__(self, folder: Path, pycache: Path) -> None:
        self.folder = folder
        self.pack = folder / "pack"
        self.deps = folder / "deps"
        self.backend = self.pack / "backend"
        self.backend.mkdir(parents=True)
        (self.backend / "ecosystem.json").write_text('{"pack_id": "probe"}')
        self._pycache = pycache
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "kernel.sock"))
        self._listener.listen(1)
        self._listener.settimeout(PATIENCE)
        self._raw = bytearray()
        self._ids = iter(range(1, 1 << 40, 2))
        self.kept: deque[Frame] = deque()
        self.asked: list[Frame] = []
        self.logs: list[Frame] = []
        self.answer: Callable[[Frame], object] = lambda frame: {"asked": frame["name"], "args": frame["args"]}
        self.process: subprocess.Popen[bytes]
        self.sock: socket.socket
        self.hello: Frame = {}

    # -- the pack

    def component(self, setup: str, provides: list[Any] | None = None, name: str = "main", **more: Any) -> None:
        """Write one component; `provides` is read from `register("...")` in the source unless it is given."""
        folder = self.backend / "components" / name
        folder.mkdir(parents=True)
        (folder / "setup.py").write_text(textwrap.dedent(setup))
        if provides is None:
            provides = [part.split('"')[1] for part in setup.split("register(")[1:]]
        manifest = {"type": "service", "id": name, "version": "1.0.0", "connectivity": {"provides": provides, **more}}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def file(self, path: str, text: str) -> None:
        """Write one file beneath backend/."""
        target = self.backend / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))

    # -- the agent

    def start(self, *, hello: bool = True, **config: Any) -> FakeKernel:
        """Start the agent, configure it, and take its hello."""
        where = (self._pycache, RUNTIME, self.folder / "kernel.sock", self.pack, self.deps)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", BOOT, *map(str, where)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.sock, _ = self._listener.accept()
        self.sock.settimeout(PATIENCE)
        base = {"k": "config", "protocol": 1, "pack_id": "probe", "settings": {}, "concurrency": 8, "max_streams": 256}
        if hello:
            self.send({**base, "proxy": False, **config})
            self.hello = self.read()
            assert self.hello["k"] == "hello"
        return self

    def stop(self) -> None:
        """Whatever state it is in: end it."""
        if hasattr(self, "sock"):
            self.sock.close()
        self._listener.close()
        if hasattr(self, "process"):
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE)

    def stderr(self) -> str:
        """What it wrote for people; only after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    # -- frames

    def send(self, frame: Frame, payload: bytes = b"") -> None:
        """Send one frame."""
        self.sock.sendall(encode(frame, payload))

    def call(self, name: str, args: Any = None, **more: Any) -> int:
        """Send a call, and answer its id."""
        number = next(self._ids)
        self.send(self.call_frame(number, name, args, **more))
        return number

    def call_frame(self, number: int, name: str, args: Any = None, **more: Any) -> Frame:
        """The frame of a call."""
        return {
            "k": "call",
            "id": number,
            "name": name,
            "args": {} if args is None else args,
            "deadline_ms": 10000,
            **more,
        }

    def calls(self, name: str, many: list[Any], **more: Any) -> list[int]:
        """Many calls in one write."""
        numbers = [next(self._ids) for _ in many]
        self.sock.sendall(
            b"".join(encode(self.call_frame(n, name, a, **more)) for n, a in zip(numbers, many, strict=True))
        )
        return numbers

    def read(self) -> Frame:
        """The next frame, whatever it is; `data` with its bytes as `payload`."""
        while True:
            frame = self._whole()
            if frame is not None:
                return frame
            got = self.sock.recv(1 << 18)
            if not got:
                raise EOFError
            self._raw += got

    def quiet(self, seconds: float = 0.1) -> list[Frame]:
        """All frames that come until nothing has come for a while."""
        found = []
        while True:
            frame = self._whole()
            if frame is not None:
                found.append(frame)
            elif select.select([self.sock], [], [], seconds)[0]:
                got = self.sock.recv(1 << 18)
                if not got:
                    return found
                self._raw += got
            else:
                return found

    def _whole(self) -> Frame | None:
        if len(self._raw) < 4:
            return None
        size = int.from_bytes(self._raw[:4], "big")
        if len(self._raw) < 4 + size:
            return None
        frame: Frame = json.loads(self._raw[4 : 4 + size].decode("utf-8"))
        extra = frame["n"] if frame["k"] == "data" else 0
        if len(self._raw) < 4 + size + extra:
            return None
        if frame["k"] == "data":
            frame["payload"] = bytes(self._raw[4 + size : 4 + size + extra])
        del self._raw[: 4 + size + extra]
        return frame

    def next(self, *kinds: str) -> Frame:
        """The next frame of one of these kinds. Wishes are answered, logs are kept, others wait in `kept`."""
        for at, frame in enumerate(self.kept):
            if frame["k"] in kinds:
                del self.kept[at]
                return frame
        while True:
            frame = self.read()
            if frame["k"] in kinds:
                return frame
            self._serve(frame)

    def _serve(self, frame: Frame) -> None:
        if frame["k"] == "log":
            self.logs.append(frame)
        elif frame["k"] == "call":
            self.asked.append(frame)
            self.settle(frame)
        else:
            self.kept.append(frame)

    def settle(self, frame: Frame) -> None:
        """Answer one wish by `answer`."""
        try:
            result = {"ok": True, "value": self.answer(frame)}
        except Refusal as refusal:
            result = {"ok": False, "error": refusal.args[0]}
        if not (result["ok"] and result["value"] is NO_ANSWER):
            self.send({"k": "result", "id": frame["id"], **result})

    def result(self, number: int) -> Frame:
        """The result of a call; other results wait."""
        for at, frame in enumerate(self.kept):
            if frame["k"] == "result" and frame["id"] == number:
                del self.kept[at]
                return frame
        while True:
            frame = self.read()
            if frame["k"] == "result" and frame["id"] == number:
                return frame
            self._serve(frame)

    def value(self, name: str, args: Any = None, **more: Any) -> Any:
        """Call and take the good result's value."""
        frame = self.result(self.call(name, args, **more))
        assert frame["ok"], frame
        return frame["value"]

    def error(self, name: str, args: Any = None, **more: Any) -> dict[str, Any]:
        """Call and take the bad result's error."""
        frame = self.result(self.call(name, args, **more))
        assert not frame["ok"], frame
        error: dict[str, Any] = frame["error"]
        return error

    def log_with(self, text: str) -> Frame:
        """The first log line that holds `text`, waiting for it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for frame in self.logs:
                if text in frame["text"]:
                    return frame
            self.logs.append(self.next("log"))
        raise AssertionError(text)


class Refusal(Exception):
    """Raised by an `answer`, with the error object."""


NO_ANSWER = object()


@pytest.fixture(scope="session")
def pycache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte code of the agent, as the image has it (that of the library gathers there), so that a start costs no compiling."""
    prefix = tmp_path_factory.mktemp("pycache")
    code = "import sys, compileall; sys.pycache_prefix = sys.argv[1]; compileall.compile_dir(sys.argv[2], quiet=2)"
    subprocess.run([sys.executable, "-I", "-c", code, str(prefix), str(RUNTIME)], check=True)
    return prefix


@pytest.fixture
def kernel(pycache: Path) -> Iterator[FakeKernel]:
    """A fake kernel with an empty pack; the agent starts with `kernel.start()`."""
    with tempfile.TemporaryDirectory(prefix="rumi-") as folder:
        made = FakeKernel(Path(folder), pycache)
        yield made
        made.stop()


@pytest.fixture
def refusal() -> type[Refusal]:
    """The exception by which an `answer` refuses."""
    return Refusal


@pytest.fixture
def no_answer() -> object:
    """What an `answer` returns to keep the pack waiting."""
    return NO_ANSWER
