"""The little of the container engine's HTTP interface that the set-up needs; its SDK is not installed yet.

Every call has a deadline. Plain TCP is refused before a byte is sent: whoever can talk to an engine is root on its
machine, so an unencrypted, unauthenticated port is not a place to send anything to.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from bootstrap_steps.report import SetupError, disk_full

DEFAULT_SOCKET = "/var/run/docker.sock"
Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens: a Unix socket, or a TLS port with the folder of its certificates."""

    socket: str = DEFAULT_SOCKET
    host: str = ""
    port: int = 0
    certificates: str = ""
    explicit: bool = False

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}" if self.host else f"unix://{self.socket}"


def read_address(environment: Mapping[str, str]) -> Address:
    """Where DOCKER_HOST points, or the usual socket."""
    text = environment.get("DOCKER_HOST", "")
    if not text:
        return Address()
    parts = urlsplit(text)
    if parts.scheme == "unix":
        return Address(socket=parts.path, explicit=True)
    if parts.scheme in {"tcp", "https"}:
        if parts.scheme == "tcp" and not environment.get("DOCKER_TLS_VERIFY"):
            raise SetupError(
                "DOCKER_HOST is a plain TCP port: everyone who reaches it is root there. Rumi does not use it.",
                "unset DOCKER_HOST, or set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
            )
        folder = environment.get("DOCKER_CERT_PATH") or str(Path.home() / ".docker")
        return Address(
            socket="", host=parts.hostname or "", port=parts.port or 2376, certificates=folder, explicit=True
        )
    raise SetupError(
        f"DOCKER_HOST is of a kind that Rumi cannot use ({parts.scheme or text}).",
        "unset DOCKER_HOST, or point it to a unix:// socket",
    )


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refused(SetupError):
    """The engine answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"The container engine refused a step: {said}", "python3 bootstrap.py doctor")
        self.status = status
        self.said = said


class Engine:
    """One engine. Every call is a connection of its own: they are few, and a dead one cannot block the next."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def get(self, path: str, *, timeout: float = 10, **query: str) -> Json:
        """A JSON answer. Raises Refused, or OSError if nothing answers in time."""
        return self._parsed(self._call("GET", path, query, None, timeout))

    def post(self, path: str, body: Json = None, *, timeout: float = 60, **query: str) -> Json:
        return self._parsed(
            self._call("POST", path, query, json.dumps(body).encode() if body is not None else b"", timeout)
        )

    def delete(self, path: str, *, timeout: float = 60, **query: str) -> None:
        self._call("DELETE", path, query, None, timeout)

    def raw(self, path: str, *, timeout: float = 60, **query: str) -> bytes:
        """The answer's own bytes (logs, archives)."""
        return self._call("GET", path, query, None, timeout)

    def stream(self, path: str, body: bytes | BinaryIO, *, timeout: float, **query: str) -> Iterator[dict[str, Json]]:
        """Post a tar archive and yield the engine's progress messages; its error message is raised as Refused."""
        connection = self._connect(timeout)
        try:
            connection.request(
                "POST",
                _target(path, query),
                body=body,
                headers={"Content-Type": "application/x-tar"},
                encode_chunked=True,
            )
            answer = connection.getresponse()
            if answer.status >= http.client.BAD_REQUEST:
                raise _refused(answer.status, answer.read())
            for line in answer:
                message = json.loads(line) if line.strip() else None
                if isinstance(message, dict):
                    if "error" in message:
                        raise _refused(answer.status, str(message["error"]).encode())
                    yield message
        finally:
            connection.close()

    def _call(self, method: str, path: str, query: Mapping[str, str], body: bytes | None, timeout: float) -> bytes:
        connection = self._connect(timeout)
        try:
            connection.request(
                method, _target(path, query), body=body, headers={"Content-Type": "application/json"} if body else {}
            )
            answer = connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionResetError(f"no HTTP answer: {error}") from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise _refused(answer.status, data)
        return data

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if not self.address.host:
            return _SocketConnection(self.address.socket, timeout)
        folder = Path(self.address.certificates)
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
        return http.client.HTTPSConnection(self.address.host, self.address.port, timeout=timeout, context=context)

    @staticmethod
    def _parsed(data: bytes) -> Json:
        found: Json = json.loads(data) if data.strip() else None
        return found


def _target(path: str, query: Mapping[str, str]) -> str:
    return quote(path, safe="/:@") + ("?" + urlencode(query) if query else "")


def _refused(status: int, data: bytes) -> SetupError:
    try:
        parsed = json.loads(data)
        said = str(parsed.get("message", parsed)) if isinstance(parsed, dict) else str(parsed)
    except ValueError:
        said = data.decode("utf-8", "replace")
    if "no space left on device" in said.lower():
        return disk_full("python3 bootstrap.py setup")
    return Refused(status, said.strip()[-400:] or f"status {status}")


def dig(value: Json, *keys: str) -> str:
    """The text at a path of keys, or the empty text: an engine's answer is never trusted to have a shape."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
