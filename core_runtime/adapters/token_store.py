"""API tokens: 256 random bits each, of which only the SHA-256 is kept.

The list lives in one signed document (`SignedDocument`, injected); a document that cannot be read or whose signature is
bad means that no token is valid and none can be made: it is never replaced by an empty one. A token is shown once, when
it is made; nobody makes one that may do more than he may himself; taking one away holds for the very next request, also
on connections that are open. A plain SHA-256 suffices because the tokens are random: there is nothing to guess at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from core_runtime.audit import AuditCategory, AuditEntry, AuditTrail, Outcome
from core_runtime.authority import Scope
from core_runtime.clock import Clock, iso
from core_runtime.errors import Conflict, NotFound, PolicyDenied, RumiError, Unavailable, ValidationFailed

PREFIX = "rumi_"
TOKEN_BYTES = 32
MAX_TOKENS = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.@-]{0,63}", re.ASCII)


class SignedDocument(Protocol):
    """One signed, atomically written JSON document."""

    def load(self) -> Mapping[str, object]:
        """Its content, `{}` while there is none yet. Raises `RumiError` for one that is unreadable or not ours."""

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it, durably. Raises `RumiError`; then the old one still stands."""


class Maker(Protocol):
    """Who asks: what may he do himself, and under which name is it recorded."""

    @property
    def by(self) -> str:
        """For records and the audit trail."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """What the maker may do."""

    @property
    def request_id(self) -> str:
        """Of the request that he makes."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token, without the token. Times are Unix seconds; `digest` is the SHA-256 of its bytes."""

    id: str
    name: str
    digest: bytes
    scopes: frozenset[Scope]
    created_at: float
    created_by: str
    expires_at: float | None = None
    last_used_at: float | None = None

    def to_json(self, now: float) -> dict[str, object]:
        """For people: no token, no hash."""
        return {
            "id": self.id,
            "name": self.name,
            "scopes": sorted(scope.value for scope in self.scopes),
            "created_at": iso(self.created_at),
            "created_by": self.created_by,
            "expires_at": None if self.expires_at is None else iso(self.expires_at),
            "last_used_at": None if self.last_used_at is None else iso(self.last_used_at),
            "expired": self.expired(now),
        }

    def expired(self, now: float) -> bool:
        """True from the second of its end on."""
        return self.expires_at is not None and now >= self.expires_at


class TokenStore:
    """Makes, knows and ends tokens. All methods run on the loop; only the document is written in a thread."""

    def __init__(self, document: SignedDocument, *, clock: Clock, audit: AuditTrail) -> None:
        self._document = document
        self._clock = clock
        self._audit = audit
        self._tokens: dict[str, ApiToken] = {}
        self._loaded = False
        self._once: ApiToken | None = None
        self._writing = asyncio.Lock()

    def load(self) -> None:
        """Read the document. Raises `RumiError`; then no token is valid and none can be made until it loads."""
        self._loaded = False
        self._tokens = {}
        self._tokens = _decode(self._document.load())
        self._loaded = True

    async def load_if_needed(self) -> None:
        """Try again to read a document that could not be read: the owner may have mended it."""
        if not self._loaded:
            with contextlib.suppress(RumiError):
                await asyncio.to_thread(self.load)

    def verify(self, presented: bytes) -> ApiToken | None:
        """The live token that `presented` is, or None. Compares with every token, in constant time each (SE-14)."""
        digest = hashlib.sha256(presented).digest()
        found: ApiToken | None = None
        for token in self._tokens.values():
            if hmac.compare_digest(token.digest, digest):
                found = token
        now = self._clock.wall()
        if found is None:
            return self._used_once(digest)
        if found.expired(now):
            return None
        self._tokens[found.id] = replace(found, last_used_at=now)
        return found

    async def offer_once(self, seconds: float) -> str:
        """A token with every scope that lets exactly one request in, within `seconds`. Kept in memory alone."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock.wall()
        digest = hashlib.sha256(token.encode()).digest()
        self._once = ApiToken("once", "terminal", digest, frozenset(Scope), now, "kernel", expires_at=now + seconds)
        return token

    def _used_once(self, digest: bytes) -> ApiToken | None:
        once = self._once
        if once is None or not hmac.compare_digest(once.digest, digest):
            return None
        self._once = None
        return None if once.expired(self._clock.wall()) else once

    async def list_tokens(self) -> list[dict[str, object]]:
        """Every token without its secret, by name."""
        now = self._clock.wall()
        return [token.to_json(now) for token in sorted(self._tokens.values(), key=lambda token: token.name)]

    async def add(self, name: str, scopes: frozenset[Scope], expires_at: float | None, by: Maker) -> dict[str, object]:
        """Make one and return it with `token`, this once. Raises `PolicyDenied`, `ValidationFailed`, `Conflict`."""
        self._check_order(name, scopes, expires_at, by)
        return await _whole(self._add(name, scopes, expires_at, by))

    async def revoke(self, token: str, by: Maker) -> dict[str, object]:
        """End the token of this id or name at once. Works also when the audit trail cannot be written."""
        return await _whole(self._revoke(token, by))

    async def flush(self) -> None:
        """Write the times of last use; called now and then and at shutdown, never for each request."""
        await _whole(self._flush())

    async def _add(self, name: str, scopes: frozenset[Scope], expires_at: float | None, by: Maker) -> dict[str, object]:
        now = self._clock.wall()
        secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        async with self._writing:
            self._check_room(name)
            token = ApiToken(
                id=f"tok_{secrets.token_hex(6)}",
                name=name,
                digest=hashlib.sha256(secret.encode()).digest(),
                scopes=scopes,
                created_at=now,
                created_by=by.by,
                expires_at=expires_at,
            )
            seq = self._audit.append(_entry("token.add", token, by))
            await self._audit.durable(seq)
            await self._save({**self._tokens, token.id: token})
            self._tokens[token.id] = token
        return {**token.to_json(now), "token": secret}

    async def _revoke(self, token: str, by: Maker) -> dict[str, object]:
        async with self._writing:
            found = next((one for one in self._tokens.values() if token in (one.id, one.name)), None)
            if found is None:
                raise NotFound("There is no such token.", hint="rumi token list")
            with contextlib.suppress(RumiError):  # ending a right must never wait for room on the disk
                self._audit.append(_entry("token.revoke", found, by))
            del self._tokens[found.id]
            await self._save(dict(self._tokens))
        return {"revoked": found.id, "name": found.name}

    async def _flush(self) -> dict[str, object]:
        async with self._writing:
            if self._loaded:
                await self._save(dict(self._tokens))
        return {}

    def _check_order(self, name: str, scopes: frozenset[Scope], expires_at: float | None, by: Maker) -> None:
        if not self._loaded:
            raise Unavailable("The file of API tokens cannot be used.", hint="rumi doctor says why.")
        if not _NAME.fullmatch(name):
            raise ValidationFailed("A token's name has 1 to 64 letters, digits, spaces and . _ @ -")
        if not scopes:
            raise ValidationFailed("A token needs at least one scope.", hint="--scope read")
        if expires_at is not None and expires_at <= self._clock.wall():
            raise ValidationFailed("A token cannot end before it begins.")
        if not scopes <= by.scopes:
            wider = ", ".join(sorted(scope.value for scope in scopes - by.scopes))
            raise PolicyDenied(f"Nobody makes a token that may do more than he may himself: {wider}.")

    def _check_room(self, name: str) -> None:
        if name in {one.name for one in self._tokens.values()}:
            raise Conflict("A token of this name exists.", hint="rumi token revoke NAME ends it.")
        if len(self._tokens) >= MAX_TOKENS:
            raise Conflict(f"There are {MAX_TOKENS} tokens already.", hint="rumi token revoke NAME ends one.")

    async def _save(self, tokens: Mapping[str, ApiToken]) -> None:
        await asyncio.to_thread(self._document.save, _encode(tokens))


async def _whole(work: Coroutine[object, object, dict[str, object]]) -> dict[str, object]:
    """Finish `work` also when the one who waits for it goes away: a half-done change must not give up the lock."""
    return await asyncio.shield(asyncio.ensure_future(work))


def _entry(action: str, token: ApiToken, by: Maker) -> AuditEntry:
    return AuditEntry(
        category=AuditCategory.SECURITY,
        action=action,
        outcome=Outcome.OK,
        principal="host",
        request_id=by.request_id,
        actor=by.by,
        rule="token",
        details={"id": token.id, "name": token.name, "scopes": sorted(scope.value for scope in token.scopes)},
    )


def _encode(tokens: Mapping[str, ApiToken]) -> dict[str, object]:
    return {
        "version": 1,
        "tokens": [
            {
                "id": token.id,
                "name": token.name,
                "sha256": token.digest.hex(),
                "scopes": sorted(scope.value for scope in token.scopes),
                "created_at": token.created_at,
                "created_by": token.created_by,
                "expires_at": token.expires_at,
                "last_used_at": token.last_used_at,
            }
            for token in tokens.values()
        ],
    }


def _decode(value: Mapping[str, object]) -> dict[str, ApiToken]:
    if not value:
        return {}
    rows = value.get("tokens")
    if value.get("version") != 1 or not isinstance(rows, list) or len(rows) > MAX_TOKENS:
        raise Unavailable("The file of API tokens has a form that this version does not know.")
    try:
        tokens = [_decode_row(row) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise Unavailable("The file of API tokens is damaged.") from None
    return {token.id: token for token in tokens}


def _decode_row(row: Mapping[str, object]) -> ApiToken:
    scopes = row["scopes"]
    digest = bytes.fromhex(str(row["sha256"]))
    if not isinstance(scopes, list) or len(digest) != 32:
        raise ValueError("scopes or sha256")
    return ApiToken(
        id=str(row["id"]),
        name=str(row["name"]),
        digest=digest,
        scopes=frozenset(Scope(str(scope)) for scope in scopes),
        created_at=_seconds(row["created_at"]) or 0.0,
        created_by=str(row["created_by"]),
        expires_at=_seconds(row["expires_at"]),
        last_used_at=_seconds(row["last_used_at"]),
    )


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("seconds")
    return float(value)
