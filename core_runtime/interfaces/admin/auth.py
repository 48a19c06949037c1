"""Who is it? Identity comes from the channel: the uid of a socket's peer, or a token that only its holder can know.

The owner's socket gives every scope to peers that run under the kernel's own uid or root, and nothing to others. In
permissive mode packs are child processes that may share that uid, so there the socket gives nothing either and a token
is needed. A token sent over the socket narrows to what the token may. The uid is read by the server from the kernel of
the operating system and travels in the ASGI scope, where no header can put it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.envelope import DoorRefused, unauthorized
from core_runtime.interfaces.admin.guards import Head, bearer_token
from core_runtime.interfaces.ports import Caller, Channel

ALL_SCOPES = frozenset(Scope)
ROOT_UID = 0


class TokenIdentity(Protocol):
    """What a valid token stands for."""

    @property
    def id(self) -> str:
        """Its id, which is no secret."""

    @property
    def name(self) -> str:
        """The name that its maker gave it."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """What it may do."""


class TokenVerifier(Protocol):
    """Knows the tokens."""

    def verify(self, presented: bytes) -> TokenIdentity | None:
        """The token's identity, or None. Constant in time over the tokens there are, and without any waiting."""


@dataclass(frozen=True, slots=True)
class Identified:
    """A caller; `token_id` is None for the owner's socket, which has no request limit."""

    caller: Caller
    token_id: str | None


class Authenticator:
    """Turns a request's head and its channel into a `Caller`, or the one 401."""

    def __init__(self, tokens: TokenVerifier, *, kernel_uid: int, trust_peer_uid: bool) -> None:
        self._tokens = tokens
        self._owners = frozenset({kernel_uid, ROOT_UID}) if trust_peer_uid else frozenset()

    def identify(self, head: Head, state: Mapping[str, object], request_id: str) -> Identified:
        """Raises `DoorRefused` (401). All roads to it hash and compare the same way, so that none is faster."""
        try:
            presented = bearer_token(head)
        except DoorRefused:
            self._tokens.verify(b"")
            raise
        found = self._tokens.verify(presented or b"")
        over_socket = head.channel is Channel.SOCKET
        if over_socket and presented is None and state.get("peer_uid") in self._owners:
            return Identified(Caller("owner", ALL_SCOPES, head.channel, request_id), None)
        if found is None or presented is None:
            raise unauthorized()
        caller = Caller(f"token:{found.name}", found.scopes, head.channel, request_id)
        return Identified(caller, None if over_socket else found.id)
