"""`ctx`: what a handler is given. A view of the call that it answers; everything it does goes through the kernel.

The names here are fixed by the pack format. A context outlives its call only as an object: the token that it passes on
ends with the call, and the kernel refuses it from then on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any

    from rumi_agent.calls import Call
    from rumi_agent.client_stream import CallStream
    from rumi_agent.ports import Asking, Home
    from rumi_agent.streams import Inbound

    Request = Callable[[Asking, Call | None, str, object, float | None], Awaitable[object]]


class Context:
    """One call (or, outside of any, the pack's own account) and all that may be asked of the kernel in it."""

    __slots__ = ("_call", "_home")

    def __init__(self, home: Home, call: Call | None) -> None:
        self._home = home
        self._call = call

    # -- what is known

    @property
    def pack_id(self) -> str:
        """This pack's id."""
        return self._home.pack_id

    @property
    def settings(self) -> dict[str, Any]:
        """The pack's settings, as the owner set them or by their defaults."""
        return self._home.settings

    @property
    def run_id(self) -> str | None:
        """The id of the flow run that this belongs to."""
        return None if self._call is None else self._call.run_id

    @property
    def actor(self) -> dict[str, Any] | None:
        """`{"id", "role", "groups"}` of whom this is for, or None."""
        return None if self._call is None else self._call.actor

    @property
    def deadline(self) -> float | None:
        """Seconds left until nobody waits for the answer any more; None on the pack's own account."""
        return None if self._call is None else self._call.seconds_left()

    @property
    def cancelled(self) -> bool:
        """True once the caller gave up: a long plain handler looks at it now and then, and returns."""
        return self._call is not None and self._call.cancelled

    @property
    def idempotency_key(self) -> str | None:
        """The same for every try of one wish; None when the caller gave none."""
        return None if self._call is None else self._call.frame.get("idempotency_key")

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the caller."""
        return None if self._call is None else self._call.frame.get("traceparent")

    @property
    def stream(self) -> Inbound | None:
        """What the caller sends beside the arguments, for `for` and `async for`: values, bytes, text. Or None."""
        return None if self._call is None else self._call.inbound

    # -- what can be done

    def log(self, level: str, text: object, **fields: object) -> None:
        """A line in the pack's log: level `debug`, `info`, `warning` or `error`, at most 16 KiB."""
        self._home.packlog.write(level, text, fields, self.run_id)

    def call(self, interface: str, args: object = None) -> Any:
        """Run an interface of this pack or, if granted, of another. Raises `CapabilityError`."""
        return self.capability("interface.call", {"name": interface, "args": {} if args is None else args})

    def capability(self, permission: str, args: object = None, *, timeout_seconds: float | None = None) -> Any:
        """Use a permission and return its answer. Raises `CapabilityError`."""
        return self._home.outgoing.request(permission, args, self._call, timeout_seconds)

    def open_stream(self, permission: str, args: object = None, *, upload: bool = False) -> CallStream:
        """Use a permission whose answer is a stream: iterate over it; with `upload`, `send` to it as well."""
        from rumi_agent.client_stream import CallStream

        return CallStream(self._home.outgoing, self._call, permission, args, upload=upload)

    def store(self, store_id: str) -> Store:
        """A store of this pack (`notes`), or a shared one of another (`pack_id/notes`)."""
        return Store(self, store_id)

    def emit(self, topic: str, payload: object = None) -> Any:
        """Publish an event under this pack's own topics."""
        return self.capability("event.publish", {"topic": topic, "payload": payload})

    def approval(self, title: str, risk: str = "high", args: object = None) -> Any:
        """Ask a person, and wait: `{"approved", "scope", "reason"}`."""
        return self.capability("approval.request", {"title": title, "risk": risk, "args": {} if args is None else args})

    @property
    def aio(self) -> AioContext:
        """The same for coroutines: `await ctx.aio.call(...)`."""
        from rumi_agent.aio import request

        return AioContext(self._home, self._call, request)


class AioContext:
    """The names of `ctx` for coroutines."""

    __slots__ = ("_call", "_home", "_request")

    def __init__(self, home: Asking, call: Call | None, request: Request) -> None:
        self._home = home
        self._call = call
        self._request = request

    async def call(self, interface: str, args: object = None) -> Any:
        """Run an interface of this pack or, if granted, of another. Raises `CapabilityError`."""
        return await self.capability("interface.call", {"name": interface, "args": {} if args is None else args})

    async def capability(self, permission: str, args: object = None, *, timeout_seconds: float | None = None) -> Any:
        """Use a permission and return its answer. Raises `CapabilityError`."""
        return await self._request(self._home, self._call, permission, args, timeout_seconds)

    def store(self, store_id: str) -> StoreRequests:
        """A store whose methods are awaited."""
        return StoreRequests(self, store_id)

    async def emit(self, topic: str, payload: object = None) -> Any:
        """Publish an event under this pack's own topics."""
        return await self.capability("event.publish", {"topic": topic, "payload": payload})

    async def approval(self, title: str, risk: str = "high", args: object = None) -> Any:
        """Ask a person, and wait: `{"approved", "scope", "reason"}`."""
        return await self.capability(
            "approval.request", {"title": title, "risk": risk, "args": {} if args is None else args}
        )


class StoreRequests:
    """The store permissions as methods. `_ask` sends; what it returns is what the methods return."""

    __slots__ = ("_asker", "_scoped", "_store_id")

    def __init__(self, asker: Any, store_id: str, *, scoped: bool = False) -> None:
        self._asker = asker
        self._store_id = store_id
        self._scoped = scoped

    def scoped(self) -> Any:
        """The same store seen by this call's actor and groups alone. The kernel keeps them apart (`"scoped": true`)."""
        return type(self)(self._asker, self._store_id, scoped=True)

    def _ask(self, permission: str, args: dict[str, object]) -> Any:
        asked: dict[str, object] = {"store": self._store_id, **args}
        if self._scoped:
            asked["scoped"] = True
        return self._asker.capability(permission, asked)

    def get(self, key: str) -> Any:
        """`{"value", "version"}`, or None."""
        return self._ask("store.get", {"key": key})

    def set(self, key: str, value: object, *, ttl: float | None = None) -> Any:
        """Store a value: `{"version"}`. `ttl` in seconds."""
        return self._ask("store.set", {"key": key, "value": value, **({} if ttl is None else {"ttl": ttl})})

    def delete(self, key: str, *, expected: object = None) -> Any:
        """Take a key out: `{"deleted"}`. With `expected`, only that version."""
        return self._ask("store.delete", {"key": key, **({} if expected is None else {"expected": expected})})

    def list(self, prefix: str = "", *, limit: int = 100, cursor: str | None = None, values: bool = False) -> Any:
        """Keys in order: `{"items": [{"key", "version", "value"?}], "cursor"}`."""
        args: dict[str, object] = {"prefix": prefix, "limit": limit, "values": values}
        return self._ask("store.list", args if cursor is None else {**args, "cursor": cursor})

    def cas(self, key: str, expected: object, value: object) -> Any:
        """Store a value over the version `expected` alone (None: only if new): `{"version"}` or `CONFLICT`."""
        return self._ask("store.cas", {"key": key, "expected": expected, "value": value})

    def batch_get(self, keys: Iterable[str]) -> Any:
        """Up to 100 keys at once: `{"items"}`."""
        return self._ask("store.batch_get", {"keys": [*keys]})

    def search(self, query: str, *, fields: Iterable[str] | None = None, limit: int | None = None) -> Any:
        """Full-text search: `{"items": [{"key", "snippet", "score"}]}`."""
        args: dict[str, object] = {"query": query}
        if fields is not None:
            args["fields"] = [*fields]
        return self._ask("store.search", args if limit is None else {**args, "limit": limit})

    def transact(self, operations: Iterable[object]) -> Any:
        """Up to 100 of set, cas and delete, all or none: `{"versions"}`."""
        return self._ask("store.transact", {"operations": [*operations]})


class Store(StoreRequests):
    """A store, for plain functions: every method returns the answer."""

    __slots__ = ()
