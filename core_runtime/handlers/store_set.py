"""`store.set`: write one entry. The answer comes when it is on disk, together with whatever was written beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.capability.store_calls import STORE_NAMES, StoreKeyArgs, StoreWriteConfig, encode_value, place_of
from core_runtime.capability.stores import MAX_TTL, StorePlace, StoreWrite
from core_runtime.handlers.ports import Stores


class StoreSetArgs(StoreKeyArgs):
    """`ttl` in seconds: afterwards the entry is gone. Without it the entry stays, whatever it had before."""

    value: object
    ttl: Annotated[float, Field(gt=0, le=MAX_TTL)] | None = None


class StoreSetAnswer(Form):
    """The entry's new version."""

    version: int


SPEC = PermissionSpec(
    id="store.set",
    risk=Risk.MEDIUM,
    sentence={
        "en": "Writes entries (at most {max_value_bytes} bytes each) of these stores: {stores}",
        "ja": "次のストアに項目を書く (1 件 {max_value_bytes} バイトまで): {stores}",
    },
    config=StoreWriteConfig,
    arguments=StoreSetArgs,
    answer=StoreSetAnswer,
    names=STORE_NAMES,
    subject=Subject.STORE,
    measured=False,
)


def make(stores: Stores) -> Handler:
    """The handler over these databases."""

    def store_set(invocation: Invocation) -> object:
        args = invocation.arguments(StoreSetArgs)
        place, decl = place_of(invocation, args)
        data = encode_value(args.value, invocation, decl)
        return _write(stores, place, StoreWrite(args.key, data, decl.quota_bytes, args.ttl))

    return store_set


async def _write(stores: Stores, place: StorePlace, write: StoreWrite) -> object:
    store = stores.ready(place.pack_id) or await stores.opened(place.pack_id)
    return {"version": await store.set(place, write)}
