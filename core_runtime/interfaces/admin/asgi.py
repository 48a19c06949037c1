"""The admin API's front door: an ASGI application that admits, refuses and answers.

Order: guards on the head, who is it, how often, the body within 1 MiB and 10 s, and only then Flask in one of a few
threads. So neither a slow sender nor a stranger ever holds a thread, and neither does anything but a quick read: the
rest runs here on the loop, and a call or a run is cancelled when its client goes away. Every answer carries the
security headers and a request id of our own; the access log has no query string and no header. Event streams belong
beside Flask in `_answer`, behind the same guards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from typing import cast

from a2wsgi import WSGIMiddleware
from flask import Flask

from core_runtime.audit import AuditTrail
from core_runtime.clock import Clock
from core_runtime.errors import DeadlineExceeded, RateLimited, RumiError, TooLarge, Unavailable
from core_runtime.ids import request_id as new_request_id
from core_runtime.interfaces.admin.auth import Authenticator
from core_runtime.interfaces.admin.envelope import (
    JSON_TYPE,
    SECURITY_HEADERS,
    DoorRefused,
    Reply,
    answer,
    internal,
    refusal,
)
from core_runtime.interfaces.admin.flask_app import CALLER_KEY, DEFERRED_KEY, REFUSED_KEY, REQUEST_ID_KEY
from core_runtime.interfaces.admin.guards import (
    BODY_SECONDS,
    MAX_BODY_BYTES,
    Head,
    body_too_large,
    body_too_slow,
    check_body,
    check_head,
)
from core_runtime.interfaces.admin.limits import GUESSES_PER_SECOND, GuessBrake, RequestBudget
from core_runtime.interfaces.admin.refusals import RefusalLog
from core_runtime.interfaces.admin.route import Deferred, Pace
from core_runtime.interfaces.admin.routes import OPEN_PATHS
from core_runtime.interfaces.ports import Channel

Scope = MutableMapping[str, object]
Event = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

WORKER_THREADS = 8
SLOW_SECONDS = 300.0
_access = logging.getLogger("rumi.access")
_log = logging.getLogger("rumi.admin")


class ClientGone(Exception):
    """Nobody is there any more to answer."""


@dataclass(frozen=True, slots=True)
class DoorRules:
    """What the door needs beside the application: who may come in, how often, and where refusals are written."""

    authenticator: Authenticator
    audit: AuditTrail
    clock: Clock
    requests_per_minute: int = 120
    body_seconds: float = BODY_SECONDS
    guesses_per_second: float = GUESSES_PER_SECOND


@dataclass(slots=True)
class _Visit:
    """One request on its way through the door."""

    head: Head
    state: dict[str, object]
    request_id: str
    source: str
    path: str
    by: str = "anonymous"
    headers: dict[str, str] = field(default_factory=dict)


class AdminDoor:
    """The ASGI application that the server mounts."""

    def __init__(self, app: Flask, rules: DoorRules) -> None:
        self._wsgi = WSGIMiddleware(app, workers=WORKER_THREADS)  # type: ignore[arg-type]
        self._rules = rules
        self._budget = RequestBudget(rules.clock, rules.requests_per_minute)
        self._brake = GuessBrake(rules.clock, rules.guesses_per_second)
        self._refusals = RefusalLog(rules.audit)

    def close(self) -> None:
        """Write the refusals that were only counted so far and let the threads go."""
        self._refusals.close()
        self._wsgi.executor.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        visit = _visit(scope)
        begun = self._rules.clock.monotonic()
        try:
            reply = await self._answer(visit, scope, receive)
        except ClientGone:
            return
        except DoorRefused as refused:
            self._refusals.note(visit.source, refused.reason, request_id=visit.request_id, by=visit.by)
            reply = refused.reply(visit.request_id)
        except RumiError as error:
            reply = refusal(error, visit.request_id)
        except asyncio.CancelledError:  # the server is stopping and has waited long enough
            reply = refusal(Unavailable("The kernel is stopping."), visit.request_id)
        except Exception as error:  # noqa: BLE001 - the last net: a defect must leave as an id and nothing else
            _log.error("request %s failed", visit.request_id, exc_info=error)
            reply = internal(visit.request_id)
        await _send(send, reply, visit)
        spent = (self._rules.clock.monotonic() - begun) * 1000
        shown = (visit.request_id, visit.by, visit.head.method[:16], visit.path[:256], reply.status, spent)
        _access.info("%s %s %s %s %d %.1fms", *shown)

    async def _answer(self, visit: _Visit, scope: Scope, receive: Receive) -> Reply:
        if visit.state.get("head_too_large"):
            raise DoorRefused(431, TooLarge("The head of a request holds at most 32 KiB."), reason="head")
        check_head(visit.head)
        await self._identify(visit, scope)
        body = await self._read_body(visit, receive)
        reply = await self._through_flask(scope, body)
        work = visit.state.pop(DEFERRED_KEY, None)
        refused = visit.state.pop(REFUSED_KEY, None)
        if refused is not None:
            self._refusals.note(visit.source, str(refused), request_id=visit.request_id, by=visit.by)
        return answer(await _finish(work, receive)) if isinstance(work, Deferred) else reply

    async def _identify(self, visit: _Visit, scope: Scope) -> None:
        if scope["path"] in OPEN_PATHS:
            return
        try:
            found = self._rules.authenticator.identify(visit.head, visit.state, visit.request_id)
        except DoorRefused:
            if visit.head.values(b"authorization"):
                await asyncio.sleep(self._brake.delay(visit.source))
            raise
        visit.by = found.caller.by
        visit.state[CALLER_KEY] = found.caller
        if found.token_id is None:
            return
        allowance = self._budget.take(found.token_id)
        visit.headers = allowance.headers()
        if not allowance.admitted:
            error = RateLimited(
                f"At most {allowance.limit} requests a minute for each token.",
                hint=f"Try again in {allowance.reset_seconds} s; run/admin.sock has no limit.",
            )
            raise DoorRefused(429, error, reason="rate", close=False)

    async def _read_body(self, visit: _Visit, receive: Receive) -> bytes:
        parts = bytearray()
        try:
            async with asyncio.timeout(self._rules.body_seconds):
                more = True
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise ClientGone
                    parts += _octets(event.get("body"))
                    more = event.get("more_body") is True
                    if len(parts) > MAX_BODY_BYTES:
                        raise body_too_large()
        except TimeoutError:
            raise body_too_slow() from None
        body = bytes(parts)
        check_body(visit.head, body)
        return body

    async def _through_flask(self, scope: Scope, body: bytes) -> Reply:
        events: list[Event] = []

        async def receive() -> Event:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: Event) -> None:
            events.append(event)

        await self._wsgi(_for_flask(scope, body), receive, send)  # type: ignore[arg-type]
        raw = cast("list[tuple[bytes, bytes]]", events[0]["headers"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
        content_type = headers.pop("content-type", JSON_TYPE)
        headers.pop("content-length", None)
        content = b"".join(_octets(event.get("body")) for event in events[1:])
        return Reply(cast("int", events[0]["status"]), content, content_type, headers)


def _for_flask(scope: Scope, body: bytes) -> Scope:
    """The scope with what Flask needs and no more: it never sees a token, and a chunked body has a length by now.

    Without the length WSGI would take a chunked body for an empty one, and so an order for its defaults.
    """
    raw = cast("list[tuple[bytes, bytes]]", scope["headers"])
    kept = [(name, value) for name, value in raw if name in {b"host", b"content-type"}]
    return {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}


async def _finish(work: Deferred, receive: Receive) -> object:
    if work.pace is Pace.LONG:
        return await _until_gone(work.begin(), receive)
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            return await work.begin()
    except TimeoutError:
        raise DeadlineExceeded(f"The kernel did not finish this within {SLOW_SECONDS:g} s.") from None


async def _until_gone(work: Coroutine[object, object, object], receive: Receive) -> object:
    """The result of `work`, which is cancelled when the client disconnects first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _visit(scope: Scope) -> _Visit:
    state = cast("dict[str, object]", scope.setdefault("state", {}))
    made = new_request_id()
    state[REQUEST_ID_KEY] = made
    channel = Channel.SOCKET if state.get("channel") == Channel.SOCKET.value else Channel.TCP
    raw_path, query = _octets(scope.get("raw_path")), _octets(scope.get("query_string"))
    target = _octets(state.get("target")) or raw_path + (b"?" + query if query else b"")
    server = cast("tuple[str, int | None] | None", scope.get("server"))
    client = cast("tuple[str, int] | None", scope.get("client"))
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    port = (server[1] if server else None) or 0
    head = Head(str(scope["method"]), target, query, headers, channel, port)
    source = "socket" if channel is Channel.SOCKET or not client else str(client[0])
    return _Visit(head, state, made, source, raw_path.decode("ascii", "replace"))


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


async def _send(send: Send, reply: Reply, visit: _Visit) -> None:
    headers = {
        **dict(SECURITY_HEADERS),
        **{name.lower(): value for name, value in {**visit.headers, **reply.headers}.items()},
        "content-type": reply.content_type,
        "content-length": str(len(reply.body)),
        "x-request-id": visit.request_id,
    }
    if reply.close:
        headers["connection"] = "close"
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
