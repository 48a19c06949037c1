"""The listening socket of one container start: for one uid, for one connection.

Threat model. A pack must reach its own socket and no other, and nobody else on the machine may reach any. The socket is
open to one uid; who connects is asked of the system (SO_PEERCRED, unix(7)), never of the one who connects; the first of
the right uid is the agent, everybody else is closed without a byte being read, and no faster than the loop can bear.
The socket is made and looked at through a descriptor of its folder, so that a path that is swapped, or longer than the
107 bytes of `sun_path`, is of no consequence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core_runtime.adapters.unix_sockets.access import give_to
from core_runtime.adapters.unix_sockets.places import socket_address
from core_runtime.clock import Clock
from core_runtime.errors import Unavailable
from core_runtime.ids import random_hex

SOCKET_NAME = "kernel.sock"
BACKLOG = 16
ACCEPTS_A_SECOND = 1000
_PEER = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may connect, as the host sees the ids."""

    uid: int
    gid: int | None = None

    def admits(self, connection: socket.socket) -> bool:
        """True if the process at the other end is (SO_PEERCRED: as it was when it connected) this one."""
        pid, uid, gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return pid >= 0 and uid == self.uid and self.gid in (None, gid)


class UnixListener:
    """See `core_runtime.sandbox.ports.ChannelListener`."""

    def __init__(self, folder: Path, peer: Peer, channel_factory: Callable[[], asyncio.Protocol], clock: Clock) -> None:
        self._folder = folder
        self._peer = peer
        self._factory = channel_factory
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[asyncio.Protocol] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._taken = False
        self._closed = False
        self._second = -1.0
        self._accepted = 0
        self.refused = 0
        folder.mkdir(mode=0o700)
        folder.chmod(0o711)
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._socket = self._open(SOCKET_NAME)
        except BaseException:
            os.close(self._directory)
            folder.rmdir()
            raise
        self._identity = self._inode()
        self._watch()

    @property
    def folder(self) -> Path:
        """The host folder that is mounted at /run/rumi."""
        return self._folder

    @property
    def directory(self) -> int:
        """An open descriptor of the folder, for a child process that cannot walk there (`/proc/self/fd/N`)."""
        return self._directory

    async def channel(self) -> asyncio.Protocol:
        """The protocol object of the agent's connection, once it connected. The caller sets the deadline."""
        return await asyncio.shield(self._connected)

    def check(self) -> bool:
        """True while the socket file is the one that was made here, in the folder that was made here."""
        try:
            there = self._folder.stat(follow_symlinks=False)
            here = os.fstat(self._directory)
            return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) and self._inode() == self._identity
        except OSError:
            return False

    def recreate(self) -> None:
        """Make the socket file again in the same folder, in the place of whatever is there; the connection stays.

        The new one is made beside it and renamed over it, so that there is no moment in which a foreign one could
        answer. Raises `Unavailable` when the folder itself is gone (the container has to be started again) or a folder
        stands in the socket's place.
        """
        beside = f".{random_hex(4)}"
        fresh = None
        try:
            fresh = self._open(beside)
            os.rename(beside, SOCKET_NAME, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            if fresh is not None:
                fresh.close()
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=self._directory)
            raise Unavailable(
                f"The socket of a pack cannot be made again: {error.strerror}.",
                hint="Start the pack again: rumi pack disable, then rumi pack enable.",
            ) from None
        self._unwatch()
        self._socket.close()
        self._socket = fresh
        self._identity = self._inode()
        self._watch()

    async def close(self) -> None:
        """Stop listening, close the channel, remove the socket and its folder. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._unwatch()
        self._socket.close()
        if self._accepting is not None:
            self._accepting.cancel()
        if self._transport is not None:
            self._transport.abort()
        if not self._connected.done():
            self._connected.set_exception(Unavailable("The listener was closed before the agent connected."))
            self._connected.exception()
        with contextlib.suppress(OSError):
            for name in os.listdir(self._directory):  # noqa: PTH208 - of the descriptor, whatever the path is now
                os.unlink(name, dir_fd=self._directory)
        os.close(self._directory)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    # --- accepting

    def _watch(self) -> None:
        self._resting = None
        if not self._closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _accept(self) -> None:
        while self._may_accept():
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                break
            self._accepted += 1
            if self._taken or not self._peer.admits(connection):
                self.refused += 1
                connection.close()
            else:
                self._take(connection)
        self._loop.remove_reader(self._socket.fileno())
        self._resting = self._loop.call_later(1.0, self._watch)

    def _may_accept(self) -> bool:
        """A pack that connects for ever must not keep the loop busy with closing."""
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            self._second, self._accepted = now, 0
        return self._accepted < ACCEPTS_A_SECOND

    def _take(self, connection: socket.socket) -> None:
        self._taken = True
        connection.settimeout(0)
        self._accepting = self._loop.create_task(self._connect(connection))

    async def _connect(self, connection: socket.socket) -> None:
        try:
            transport, protocol = await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError as error:
            connection.close()
            if not self._connected.done():
                self._connected.set_exception(Unavailable(f"The agent's connection failed: {error.strerror}."))
            return
        self._transport = transport
        if self._closed:
            transport.abort()
        elif not self._connected.done():
            self._connected.set_result(protocol)

    # --- files

    def _open(self, name: str) -> socket.socket:
        """A socket bound to `name` in the folder and open to the peer alone; listening only once it is so."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.settimeout(0)
            path = socket_address(self._folder, name, self._directory)
            listening.bind(path)
            give_to(path, uid=self._peer.uid, gid=self._peer.uid if self._peer.gid is None else self._peer.gid)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            raise
        return listening

    def _inode(self) -> tuple[int, int]:
        found = os.stat(SOCKET_NAME, dir_fd=self._directory, follow_symlinks=False)
        if not stat.S_ISSOCK(found.st_mode):
            raise FileNotFoundError
        return (found.st_dev, found.st_ino)
