"""What P1 is measured against: a bare echo, a Flask service, `docker exec`. Nothing of the product is in here."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_FLIGHT = 16
ECHO = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
print("ready", flush=True)
peer, _ = server.accept()
while data := peer.recv(65536):
    peer.sendall(data)
"""
FLASK = """
import logging, sys
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server
logging.getLogger("werkzeug").disabled = True
WSGIRequestHandler.protocol_version = "HTTP/1.1"
app = Flask(__name__)
app.post("/")(lambda: request.get_json())
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


def micro(seconds: float) -> float:
    """Microseconds."""
    return round(seconds * 1e6, 1)


class _Echoed(asyncio.Protocol):
    """The least that can await an answer: whole messages come back in the order they were sent."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._part = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def data_received(self, data: bytes) -> None:
        whole, self._part = divmod(self._part + len(data), self._size)
        for _ in range(whole):
            self.waiting.popleft().set_result(None)


class Floor:
    """The same bytes from the same loop over a socket to a bare loop in another process."""

    def __init__(self, folder: Path, message: dict[str, object]) -> None:
        self._path = str(folder / "echo.sock")
        self._process = subprocess.Popen([sys.executable, "-I", "-c", ECHO, self._path], stdout=subprocess.PIPE)
        if self._process.stdout is None or not self._process.stdout.readline():
            raise SystemExit("the echo of this benchmark did not start")
        body = json.dumps(message, separators=(",", ":"))
        self._frame = len(body).to_bytes(4, "big") + body.encode()
        self._protocol = _Echoed(len(self._frame))
        self._transport: asyncio.WriteTransport | None = None

    async def connect(self) -> None:
        """Before the first call."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self._protocol, self._path)

    async def call(self) -> None:
        """There and back."""
        if self._transport is None:
            raise RuntimeError("connect first")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol.waiting.append(answer)
        self._transport.write(self._frame)
        await answer

    def close(self) -> None:
        """End the other process."""
        if self._transport is not None:
            self._transport.abort()
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def flask_peer() -> Iterator[int]:
    """A Flask service in a process of its own; gives its port."""
    process = subprocess.Popen([sys.executable, "-c", FLASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if process.stdout is None:
            raise SystemExit("the Flask peer did not start")
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def flask_figures(args: dict[str, object], count: int) -> dict[str, float]:
    """p50 of single requests, and requests a second over 16 kept connections."""
    body, headers = json.dumps(args), {"Content-Type": "application/json"}

    def ask(port: int, times: list[float], count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(count):
            began = time.perf_counter()
            connection.request("POST", "/", body, headers)
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
        connection.close()

    with flask_peer() as port:
        single: list[float] = []
        ask(port, single, count)
        threads = [threading.Thread(target=ask, args=(port, [], count // 4)) for _ in range(IN_FLIGHT)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    return {"p50_us": micro(statistics.median(single)), "per_second": round(IN_FLIGHT * (count // 4) / seconds)}


def docker_exec(container: str, count: int) -> float | None:
    """Microseconds of `docker exec`, the median; None without a container or the command."""
    if not container or shutil.which("docker") is None:
        return None
    times = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run(["docker", "exec", container, "python3", "-I", "-c", "pass"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return micro(statistics.median(times))
