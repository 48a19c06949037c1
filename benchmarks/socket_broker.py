"""P2's floor: a broker over a Unix socket that looks up one grant, writes one chained line and answers; nothing else.

The caller is a process of its own that measures by its own clock, one request at a time and with several under way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import cast

import orjson

IN_FLIGHT = 16
REQUEST = {"k": "cap", "id": 1, "permission": "store.get", "args": {"store": "notes", "key": "a"}, "token": "0" * 32}
CALLER = """
import json, socket, sys, time
line = sys.argv[2].encode() + b"\\n"
calls, in_flight = int(sys.argv[3]), int(sys.argv[4])
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
answers = peer.makefile("rb")
times = []
for _ in range(calls):
    began = time.perf_counter_ns()
    peer.sendall(line)
    json.loads(answers.readline())
    times.append(time.perf_counter_ns() - began)
began = time.perf_counter()
for _ in range(in_flight):
    peer.sendall(line)
for number in range(calls):
    json.loads(answers.readline())
    if number < calls - in_flight:
        peer.sendall(line)
seconds = time.perf_counter() - began
print(json.dumps({"p50_us": sorted(times)[calls // 2] / 1000, "per_second": calls / seconds}))
"""


class _Broker(asyncio.Protocol):
    """One connection."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._prev = "0" * 64
        self._grants = {("notes", "store.get"): 4e9}
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        answers = [self._answer(line) for line in lines]
        if self._transport is not None:
            self._transport.write(b"".join(answers))

    def _answer(self, line: bytes) -> bytes:
        wish = orjson.loads(line)
        allowed = self._grants[wish["args"]["store"], wish["permission"]] > time.time()
        entry = orjson.dumps({"action": wish["permission"], "allowed": allowed, "prev": self._prev})
        self._prev = hashlib.sha256(entry).hexdigest()
        os.write(self._log, entry + b"\n")
        return orjson.dumps({"k": "ok", "id": wish["id"], "value": {"title": "a note", "text": "x" * 150}}) + b"\n"


async def floor_of(folder: Path, calls: int) -> dict[str, float]:
    """`p50_us` of single calls and `per_second` with 16 under way."""
    log = os.open(folder / "floor.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    path = str(folder / "floor.sock")
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Broker(log), path)
    try:
        program = (sys.executable, "-I", "-c", CALLER, path, json.dumps(REQUEST), str(calls), str(IN_FLIGHT))
        caller = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        said, _ = await asyncio.wait_for(caller.communicate(), 60)
    finally:
        server.close()
        await server.wait_closed()
        os.close(log)
    found = json.loads(said)
    return {"p50_us": float(found["p50_us"]), "per_second": float(found["per_second"])}
