"""Tokens: how a pack that calls back says on whose behalf, without being able to say anything else.

A token is 128 random bits, known on one connection only (each channel has a table of its own), and gone the moment the
call it was given with ends. So a token of another call, pack or time is simply not in the table: there is no signature
to forge and no list of revoked ones to forget.
"""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf

from core_runtime.authority import CallContext

TOKEN_BYTES = 16
_POOL_BYTES = 4096


class TokenTable:
    """Tokens of the calls that are open on one connection."""

    __slots__ = ("_contexts", "_pool", "_used")

    def __init__(self) -> None:
        self._contexts: dict[str, CallContext] = {}
        self._pool = b""
        self._used = 0

    def __len__(self) -> int:
        return len(self._contexts)

    def issue(self, context: CallContext) -> str:
        """A new token for `context`. Random bytes are fetched many at a time, to save a system call for each."""
        start = self._used
        if start >= len(self._pool):
            self._pool = os.urandom(_POOL_BYTES)
            start = 0
        self._used = start + TOKEN_BYTES
        token = self._pool[start : self._used].hex()
        self._contexts[token] = context
        return token

    def context_of(self, token: str) -> CallContext | None:
        """The context that `token` stands for, or None if it is unknown here or its call has ended."""
        return self._contexts.get(token)

    def lift_deadline(self, token: str) -> None:
        """The call began to stream: from now on only idleness ends it, so its context has no deadline any more."""
        context = self._contexts.get(token)
        if context is not None:
            self._contexts[token] = replace(context, deadline=inf)

    def revoke(self, token: str) -> None:
        """The call has ended."""
        self._contexts.pop(token, None)

    def clear(self) -> None:
        """The connection has ended."""
        self._contexts.clear()


class EventTokens:
    """Tokens that went out with events. An event has no answer that would end it: time and number end its token."""

    __slots__ = ("_expiry", "_most", "_tokens")

    def __init__(self, tokens: TokenTable, most: int) -> None:
        self._tokens = tokens
        self._most = most
        self._expiry: dict[str, float] = {}

    def issue(self, context: CallContext, *, now: float, seconds: float) -> str:
        """A token that lasts until the context's deadline, at most `seconds`, and while no `most` newer ones exist."""
        self.expire(now)
        while len(self._expiry) >= self._most:
            self._drop(next(iter(self._expiry)))
        token = self._tokens.issue(context)
        self._expiry[token] = min(context.deadline, now + seconds)
        return token

    def expire(self, now: float) -> float:
        """End those whose time is over; returns when the next one is due (infinity if none is)."""
        for token in [token for token, end in self._expiry.items() if end <= now]:
            self._drop(token)
        return min(self._expiry.values(), default=inf)

    def _drop(self, token: str) -> None:
        del self._expiry[token]
        self._tokens.revoke(token)
