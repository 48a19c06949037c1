"""The command line as a client of the kernel: one road for everything, over admin.sock or a URL with a token.

A token comes from a file (0600) or from `RUMI_TOKEN`, never from an argument, where every process of this computer
could read it; it is never sent in the clear beyond loopback. Proxies of the environment are not used. Every failure
becomes the `RumiError` that the kernel sent, or `KernelUnreachable`.
"""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx

from core_runtime.errors import RumiError, Unavailable, ValidationFailed, error_from_wire
from core_runtime.interfaces.ports import JsonList, JsonObject

TIMEOUT_SECONDS = 60.0
LONG_TIMEOUT_SECONDS = 86_400.0
MAX_PAGES = 1000
MAX_SOCKET_PATH = 107


class KernelUnreachable(Unavailable):
    """No kernel answers (exit code 6)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the kernel is: a socket, or a base URL."""

    socket: Path | None = None
    url: str | None = None
    token: str | None = None


def read_token_file(path: Path) -> str:
    """The token in a file that only its owner can read. Raises `ValidationFailed`."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(1024).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no token"
        raise ValidationFailed(f"The token file cannot be used: {reason}.") from None
    if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
        raise ValidationFailed("Others can read the token file.", hint=f"chmod 600 {path}")
    if not text or not text.isprintable() or " " in text:
        raise ValidationFailed("The token file holds no token.")
    return text


class KernelClient:
    """Requests to one kernel; a context manager that closes its connection."""

    def __init__(self, target: Target) -> None:
        headers = {"user-agent": "rumi", "accept": "application/json"}
        if target.token:
            headers["authorization"] = f"Bearer {target.token}"
        transport = None
        base = "http://localhost"
        if target.url is not None:
            base = _checked_url(target.url, target.token)
        elif target.socket is not None:
            if len(str(target.socket).encode()) > MAX_SOCKET_PATH:
                raise ValidationFailed(
                    "The path of run/admin.sock is longer than a Unix socket takes.",
                    hint="Set RUMI_USER_DATA to a shorter folder, for `rumi serve` too.",
                )
            transport = httpx.HTTPTransport(uds=str(target.socket))
        self._http = httpx.Client(
            base_url=base, transport=transport, headers=headers, trust_env=False, timeout=TIMEOUT_SECONDS
        )

    def __enter__(self) -> KernelClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> object:
        """The `data` of a GET; parameters that are None are left out."""
        return self._ask("GET", path, query={key: str(item) for key, item in query.items() if item is not None})

    def record(self, path: str, **query: object) -> JsonObject:
        """The `data` of a GET that is an object."""
        return _as_object(self.get(path, **query))

    def items(self, path: str, **query: object) -> JsonList:
        """Every item of a list, page by page."""
        found: JsonList = []
        cursor: object = None
        for _ in range(MAX_PAGES):
            answer = self.record(path, **query, limit=1000, cursor=cursor)
            found += cast("JsonList", answer.get("items") or [])
            cursor = answer.get("cursor")
            if not cursor:
                break
        return found

    def post(self, path: str, body: Mapping[str, object] | None = None, *, long: bool = False) -> object:
        """The `data` of a POST; `long` waits for as long as the kernel works on it."""
        return self._ask("POST", path, body=body or {}, seconds=LONG_TIMEOUT_SECONDS if long else TIMEOUT_SECONDS)

    def delete(self, path: str) -> object:
        """The `data` of a DELETE."""
        return self._ask("DELETE", path)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> object:
        limits = httpx.Timeout(seconds, connect=5.0, write=30.0, pool=5.0)
        try:
            answer = self._http.request(method, path, params=dict(query or {}), json=body, timeout=limits)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise KernelUnreachable("No kernel answers here.", hint="rumi serve") from None
        except httpx.TimeoutException:
            raise KernelUnreachable(f"The kernel did not answer within {seconds:g} s.", hint="rumi doctor") from None
        except httpx.HTTPError:
            raise KernelUnreachable("The kernel went away in the middle of this.", hint="rumi status") from None
        return _data(answer)


def _data(answer: httpx.Response) -> object:
    try:
        envelope: object = answer.json()
    except ValueError:
        envelope = None
    if isinstance(envelope, dict) and envelope.get("success") is True:
        return cast("object", envelope.get("data"))
    if isinstance(envelope, dict) and isinstance(envelope.get("error"), dict):
        raise error_from_wire(envelope["error"])
    raise KernelUnreachable("What answers there is no kernel of Rumi.", hint="Check --url.")


def _as_object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise KernelUnreachable("The kernel answered in a form that this version does not know.")
    return value


def _checked_url(url: str, token: str | None) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ValidationFailed("--url is not an address.", hint="--url http://127.0.0.1:8765") from None
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        raise ValidationFailed("--url is not an address.", hint="--url http://127.0.0.1:8765")
    if token is None:
        raise ValidationFailed(
            "With --url a token is needed.", hint="Put it into RUMI_TOKEN or give --token-file FILE."
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValidationFailed(
            "A token is not sent in the clear to another computer.",
            hint=f"ssh -L 8765:127.0.0.1:8765 {host}, then --url http://127.0.0.1:8765",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def as_json_error(error: RumiError) -> JsonObject:
    """`{"error": {code, message, hint, request_id}}`."""
    return {
        "error": {
            "code": error.code.value,
            "message": error.message,
            "hint": error.hint,
            "request_id": error.request_id,
        }
    }
