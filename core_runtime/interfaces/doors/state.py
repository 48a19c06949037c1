"""Stores, as their owner's doors see them: read by the host, through the broker, with a line in the audit."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from core_runtime.approval.service import ApprovalService
from core_runtime.authority import HOST, OWNER, CallContext
from core_runtime.clock import Clock
from core_runtime.errors import InternalError, NotFound
from core_runtime.handlers.ports import Stores
from core_runtime.ids import request_id
from core_runtime.interfaces.ports import JsonList, JsonObject
from core_runtime.kernel.ports import Authority
from core_runtime.packs import StoreDecl

READ_SECONDS = 30.0


class StoresDoor:
    """`StoresPort`."""

    def __init__(self, approvals: ApprovalService, authority: Authority, stores: Stores, clock: Clock) -> None:
        self._approvals = approvals
        self._authority = authority
        self._stores = stores
        self._clock = clock

    async def list_stores(self) -> JsonList:
        """See `StoresPort`."""
        found: JsonList = []
        for view in self._approvals.list():
            descriptor = self._approvals.ceiling(view.pack_id)
            for decl in descriptor.stores if descriptor else ():
                found.append(await self._described(view.pack_id, decl))
        return found

    async def list_keys(self, pack_id: str, store: str, prefix: str, page: tuple[int, str | None]) -> JsonObject:
        """See `StoresPort`."""
        self._declared(pack_id, store)
        limit, cursor = page
        args: JsonObject = {"store": f"{pack_id}/{store}", "prefix": prefix, "limit": limit}
        value = await self._asked("store.list", args if cursor is None else {**args, "cursor": cursor})
        if not isinstance(value, Mapping):
            raise InternalError("A listing is an object.")
        return dict(value)

    async def get(self, pack_id: str, store: str, key: str) -> JsonObject:
        """See `StoresPort`."""
        self._declared(pack_id, store)
        value = await self._asked("store.get", {"store": f"{pack_id}/{store}", "key": key})
        if not isinstance(value, Mapping):
            raise NotFound(f"{pack_id}/{store} has no key {key[:128]!r}.", hint=f"rumi store list {pack_id} {store}")
        return {"key": key, **value}

    async def _asked(self, permission: str, args: JsonObject) -> object:
        context = CallContext(request_id(), self._clock.monotonic() + READ_SECONDS, actor=OWNER)
        answer = self._authority.ask(HOST, permission, args, context)
        return await answer if isinstance(answer, Awaitable) else answer

    def _declared(self, pack_id: str, store: str) -> StoreDecl:
        descriptor = self._approvals.ceiling(pack_id)
        found = next((decl for decl in descriptor.stores if decl.store_id == store), None) if descriptor else None
        if found is None:
            raise NotFound(f"There is no store {pack_id[:64]}/{store[:128]}.", hint="rumi store list")
        return found

    async def _described(self, pack_id: str, decl: StoreDecl) -> JsonObject:
        usage = (await self._stores.opened(pack_id)).usage(decl.store_id)
        return {
            "pack_id": pack_id,
            "store": decl.store_id,
            "keys": usage.keys,
            "bytes": usage.bytes,
            "quota_bytes": decl.quota_bytes,
            "shared": decl.shared,
        }
