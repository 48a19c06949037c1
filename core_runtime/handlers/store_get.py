"""`store.get`: one entry of a store, read on the loop from the database's own read connection."""

from __future__ import annotations

from collections.abc import Awaitable

import orjson

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.capability.store_calls import STORE_NAMES, StoreKeyArgs, StoresConfig, place_of
from core_runtime.capability.stores import StorePlace
from core_runtime.handlers.ports import OpenStore, Stores


class StoreGetAnswer(Form):
    """An entry; the whole answer is null where there is none."""

    value: object
    version: int


SPEC = PermissionSpec(
    id="store.get",
    risk=Risk.LOW,
    sentence={"en": "Reads entries of these stores: {stores}", "ja": "次のストアの項目を読む: {stores}"},
    config=StoresConfig,
    arguments=StoreKeyArgs,
    answer=StoreGetAnswer,
    names=STORE_NAMES,
    subject=Subject.STORE,
    immediate=True,
    measured=False,
)


def make(stores: Stores) -> Handler:
    """The handler over these databases."""

    def store_get(invocation: Invocation) -> object | Awaitable[object]:
        args = invocation.arguments(StoreKeyArgs)
        place, _ = place_of(invocation, args)
        ready = stores.ready(place.pack_id)
        return _first(stores, place, args.key) if ready is None else _read(ready, place, args.key)

    return store_get


async def _first(stores: Stores, place: StorePlace, key: str) -> object:
    return _read(await stores.opened(place.pack_id), place, key)


def _read(store: OpenStore, place: StorePlace, key: str) -> dict[str, object] | None:
    found = store.get(place, key)
    return None if found is None else {"value": orjson.loads(found.value), "version": found.version}
