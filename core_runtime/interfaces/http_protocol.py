"""The HTTP/1.1 protocol of the server, with the limits that uvicorn leaves open.

It bounds the head (32 KiB, 100 fields, 10 s), bounds connections for each listener, and tells the application what only
the connection knows: which listener it came in on, the uid of a Unix peer, and the request target as it was sent. These
travel in the ASGI scope's `state`, which is made here and which nothing in a request can write.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from core_runtime.errors import DeadlineExceeded, RumiError, TooLarge, Unavailable, ValidationFailed
from core_runtime.interfaces.admin.envelope import SECURITY_HEADERS, failure
from core_runtime.interfaces.ports import Channel

MAX_HEAD_BYTES = 32_768
MAX_HEADER_FIELDS = 100
HEAD_SECONDS = 10.0
MAX_CONNECTIONS = {Channel.TCP: 512, Channel.SOCKET: 1024}
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)


def peer_uid(connection: socket.socket) -> int | None:
    """The uid that the peer of a Unix socket had when it connected; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        return int(_PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1])
    except OSError:
        return None


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    channel = Channel.TCP
    _head_octets = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Learn who it is; too many of one listener are turned away, and the other listener does not notice."""
        super().connection_made(transport)
        connection: socket.socket = transport.get_extra_info("socket")
        local = connection.family == socket.AF_UNIX
        self.channel = Channel.SOCKET if local else Channel.TCP
        uid = peer_uid(connection) if local else None
        self.app_state = {**self.app_state, "channel": self.channel.value, "peer_uid": uid}
        mine = [one for one in self.connections if isinstance(one, BoundedHttpProtocol) and one.channel == self.channel]
        if len(mine) > MAX_CONNECTIONS[self.channel]:
            self._turn_away(503, Unavailable("Too many connections."))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the timer go with the connection."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count while the head is incomplete: it is kept in memory until it is whole."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._head_octets += len(data)
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._await_head()  # bytes that begin no request, such as empty lines, would else wait for ever
        if self._in_head and self._head_octets > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._turn_away(431, TooLarge("The head of a request holds at most 32 KiB."))

    def on_message_begin(self) -> None:
        """A new head starts."""
        super().on_message_begin()
        self._head_octets = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        """Add what only the connection knows, before the application is started."""
        self._head_arrived()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        state = self.scope["state"]
        state["target"] = bytes(self.url)
        state["head_too_large"] = size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADER_FIELDS
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's own words stay here
        """What cannot be parsed gets the envelope too."""
        self._turn_away(400, ValidationFailed("This is not a well-formed HTTP request."))

    def _await_head(self) -> None:
        self._in_head = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_arrived(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._turn_away(408, DeadlineExceeded("The head of the request did not arrive within 10 s."))

    def _turn_away(self, status: int, error: RumiError) -> None:
        body = failure(error)
        lines = [*SECURITY_HEADERS, ("content-type", "application/json"), ("content-length", str(len(body)))]
        head = b"".join(f"{name}: {value}\r\n".encode() for name, value in lines)
        self.transport.write(STATUS_LINE[status] + head + b"connection: close\r\n\r\n" + body)
        self.transport.close()
