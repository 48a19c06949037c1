"""The checks that stand before everything: may this request be looked at at all?

Pure functions over the raw head of a request. They are what keeps a web page in the owner's browser, or a name that an
attacker lets resolve to 127.0.0.1 (DNS rebinding, CVE-2018-5702 and many after it), from reaching the API with whatever
it knows: the Host must be one of ours, an Origin must be the very host that was asked, and `Sec-Fetch-Site` must not
say that another site asked. No CORS header is ever sent. A request whose framing or target is ambiguous is refused, not
interpreted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core_runtime.errors import DeadlineExceeded, PolicyDenied, TooLarge, ValidationFailed
from core_runtime.interfaces.admin.envelope import DoorRefused, unauthorized
from core_runtime.interfaces.ports import Channel

RawHeaders = Sequence[tuple[bytes, bytes]]

MAX_BODY_BYTES = 1_048_576
MAX_TARGET_BYTES = 8192
BODY_SECONDS = 10.0
SOCKET_HOST = "localhost"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]", "console.localhost")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MANY_SEGMENTS = "/api/stores/"


@dataclass(frozen=True, slots=True)
class Head:
    """The parts of a request's head that the guards judge; `target` is as it stood in the request line."""

    method: str
    target: bytes
    query: bytes
    headers: RawHeaders
    channel: Channel
    port: int

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order; names arrive in lower case."""
        return [value for key, value in self.headers if key == name]


def check_head(head: Head) -> None:
    """All guards that need no secret, in their order. Raises `DoorRefused`."""
    _check_host(head)
    _check_origin(head)
    _check_target(head)
    _check_framing(head)


def bearer_token(head: Head) -> bytes | None:
    """The token that was sent, None without any header. Two headers or another form raise the one 401 (AD-01)."""
    values = head.values(b"authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(b" ")
    if len(values) != 1 or scheme != b"Bearer" or not token or len(token) > 512:
        raise unauthorized()
    return token


def allowed_hosts(channel: Channel, port: int) -> frozenset[bytes]:
    """The exact values of Host that are ours. Browsers leave out port 80, so then the bare names count too."""
    if channel is Channel.SOCKET:
        return frozenset({SOCKET_HOST.encode()})
    names = {f"{name}:{port}".encode() for name in _LOOPBACK_NAMES}
    return frozenset(names | ({name.encode() for name in _LOOPBACK_NAMES} if port == 80 else set()))


def _check_host(head: Head) -> None:
    hosts = head.values(b"host")
    if len(hosts) != 1 or hosts[0].lower() not in allowed_hosts(head.channel, head.port):
        raise _misdirected()
    if not head.target.startswith(b"/"):  # absolute form, RFC 9112 3.2.2: it has to name the same host
        scheme, _, rest = head.target.partition(b"://")
        authority = rest.split(b"/", 1)[0].split(b"?", 1)[0]
        if scheme.lower() != b"http" or authority.lower() != hosts[0].lower():
            raise _misdirected()


def _misdirected() -> DoorRefused:
    error = PolicyDenied(
        "This address does not belong to the admin API.",
        hint="Use http://127.0.0.1 with the port of the API, or run/admin.sock.",
    )
    return DoorRefused(421, error, reason="host")


def _check_origin(head: Head) -> None:
    origins, sites = head.values(b"origin"), head.values(b"sec-fetch-site")
    expected = b"http://" + head.values(b"host")[0].lower()
    foreign = bool(origins) and (len(origins) != 1 or origins[0].lower() != expected)
    cross = bool(sites) and (len(sites) != 1 or sites[0] not in {b"same-origin", b"none"})
    if foreign or cross or (origins and head.channel is Channel.SOCKET):
        error = PolicyDenied("Pages of other origins may not use the admin API.", hint="Call it from a program.")
        raise DoorRefused(403, error, reason="origin")


def _check_target(head: Head) -> None:
    lowered = head.target.lower()
    path = lowered.partition(b"?")[0]
    if len(head.target) > MAX_TARGET_BYTES:
        raise DoorRefused(414, TooLarge("The address is too long."), reason="target")
    slashed = b"%2f" in path and not path.startswith(_MANY_SEGMENTS.encode())
    if slashed or any(bad in path for bad in (b"%00", b"%5c", b"\\")) or not head.query.isascii():
        raise DoorRefused(
            400, ValidationFailed("The address holds a character that no name here has."), reason="target"
        )


def _check_framing(head: Head) -> None:
    encoding = head.values(b"content-encoding")
    if any(value.lower() != b"identity" for value in encoding):
        raise DoorRefused(415, ValidationFailed("Bodies are taken unencoded only."), reason="encoding")
    for value in head.values(b"content-length"):
        if not value.isdigit() or len(value) > 18:
            raise DoorRefused(400, ValidationFailed("Content-Length is not a number."), reason="framing")
        if int(value) > MAX_BODY_BYTES:
            raise body_too_large()


def check_body(head: Head, body: bytes) -> None:
    """A body belongs to a write and is declared as JSON: the types that a form can send are refused (415)."""
    if not body:
        return
    if head.method not in _BODY_METHODS:
        raise DoorRefused(400, ValidationFailed(f"{head.method[:16]} takes no body."), reason="body")
    types = head.values(b"content-type")
    kind, _, rest = (types[0] if len(types) == 1 else b"").partition(b";")
    parameter = rest.replace(b" ", b"").replace(b'"', b"").lower()
    if kind.strip().lower() != b"application/json" or parameter not in {b"", b"charset=utf-8"}:
        error = ValidationFailed("Bodies are JSON.", hint="Send `Content-Type: application/json`.")
        raise DoorRefused(415, error, reason="content_type")


def body_too_large() -> DoorRefused:
    """413, for a declared and for a counted length."""
    return DoorRefused(413, TooLarge("A body holds at most 1 MiB.", details={"limit": MAX_BODY_BYTES}), reason="body")


def body_too_slow() -> DoorRefused:
    """408: the whole body has 10 s (AD-08)."""
    return DoorRefused(408, DeadlineExceeded("The body did not arrive within 10 s."), reason="slow_body")
