"""The one server behind the listeners: uvicorn on loopback TCP and on the owner's socket.

It binds nothing but loopback, makes the owner's socket with mode 0600 inside a 0700 folder, and leaves signals to the
composition root: whoever enters `serving` decides when it ends. An address in use, a path too long for a Unix socket
and a folder that is not safe are each one sentence with the command that mends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvicorn

from core_runtime.errors import Conflict, Unavailable, ValidationFailed
from core_runtime.interfaces.http_protocol import BoundedHttpProtocol

AsgiApp = Callable[
    [
        MutableMapping[str, object],
        Callable[[], Awaitable[MutableMapping[str, object]]],
        Callable[[MutableMapping[str, object]], Awaitable[None]],
    ],
    Awaitable[None],
]

MAX_SOCKET_PATH = 107  # struct sockaddr_un holds 108 bytes with the closing NUL
STOP_SECONDS = 8
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen on; `variable` is the setting that the mending command names."""

    host: str
    port: int
    variable: str = "RUMI_API"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server listens now."""

    port: int
    socket_path: Path


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: those belong to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


@contextlib.asynccontextmanager
async def serving(app: AsgiApp, *, tcp: Address, unix_path: Path) -> AsyncIterator[Listening]:
    """Listen while the block runs; leaving it ends idle connections at once and the rest within 10 s.

    Raises `ValidationFailed` (address, path or folder) and `Conflict` (in use) before anything is served.
    """
    tcp_socket = await asyncio.to_thread(bind_tcp, tcp)
    try:
        unix_socket = await asyncio.to_thread(bind_unix, unix_path)
    except BaseException:
        tcp_socket.close()
        raise
    made = await asyncio.to_thread(lambda: unix_path.stat().st_ino)
    server = _Server(_config(app))
    task = asyncio.create_task(server.serve(sockets=[tcp_socket, unix_socket]))
    try:
        while not server.started:
            if task.done():
                raise Unavailable("The server could not be started.") from task.exception()
            await asyncio.sleep(0.005)
        yield Listening(int(tcp_socket.getsockname()[1]), unix_path)
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, STOP_SECONDS + 2)
        tcp_socket.close()
        unix_socket.close()
        _remove(unix_path, made)


def bind_tcp(address: Address) -> socket.socket:
    """A bound socket on loopback and nowhere else, whatever the name resolves to (AD-07)."""
    host = _loopback(address)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, address.port))
        bound.listen(BACKLOG)  # bound alone does not collide with another that is bound alone
    except OSError as error:
        bound.close()
        raise _cannot_bind(error, address) from None
    return bound


def bind_unix(path: Path) -> socket.socket:
    """A bound socket of mode 0600 in a 0700 folder of ours; what a dead kernel left there is replaced."""
    octets = len(os.fsencode(path))
    if octets > MAX_SOCKET_PATH:
        raise ValidationFailed(
            f"The path of run/admin.sock has {octets} bytes; a Unix socket takes at most {MAX_SOCKET_PATH}.",
            hint="RUMI_USER_DATA=/a/shorter/folder rumi serve",
        )
    _check_folder(path.parent)
    _clear_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(bound.fileno(), 0o600)  # the file takes it at bind: there is no instant with a wider mode
        bound.bind(os.fspath(path))
        path.chmod(0o600)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise Unavailable(f"run/admin.sock cannot be made: {error.strerror}.", hint="rumi doctor") from None
    return bound


def _config(app: AsgiApp) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Callable[..., Awaitable[None]]", app),
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_SECONDS,
        interface="asgi3",
    )


def _loopback(address: Address) -> str:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    hosts = [str(entry[4][0]) for entry in found]
    if not address.host or not hosts or not all(ipaddress.ip_address(host.split("%")[0]).is_loopback for host in hosts):
        raise ValidationFailed(
            f"{address.variable}_BIND={address.host}: the admin API listens on this computer alone.",
            hint=f"{address.variable}_BIND=127.0.0.1 rumi serve",
        )
    return next((host for host in hosts if ":" not in host), hosts[0])


def _cannot_bind(error: OSError, address: Address) -> Conflict | ValidationFailed:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"Port {address.port} of {address.host} is taken by another program.",
            hint=f"{address.variable}_PORT={_free_port(address.port)} rumi serve",
        )
    return ValidationFailed(
        f"{address.host} port {address.port} cannot be listened on: {error.strerror}.",
        hint=f"{address.variable}_PORT={_free_port(8765)} rumi serve",
    )


def _free_port(after: int) -> int:
    for port in range(after + 1, min(after + 50, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return 0


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ValidationFailed("The folder run/ is not a folder of this user.", hint="Remove it and start again.")
        if stat.S_IMODE(found.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(f"The folder run/ cannot be used: {error.strerror}.", hint="rumi doctor") from None


def _clear_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ValidationFailed("run/admin.sock is there but is no socket.", hint="Remove it and start again.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise Unavailable(f"run/admin.sock cannot be looked at: {error.strerror}.") from None
    raise Conflict("Another kernel already serves this profile.", hint="rumi status")


def _remove(path: Path, inode: int) -> None:
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
