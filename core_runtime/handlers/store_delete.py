"""`store.delete`: remove one entry, if it still is what the caller expects."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.capability.store_calls import STORE_NAMES, StoreKeyArgs, StoresConfig, place_of
from core_runtime.capability.stores import StorePlace
from core_runtime.handlers.ports import Stores


class StoreDeleteArgs(StoreKeyArgs):
    """With `expected`, only that version is removed; another one is a `CONFLICT` that names it."""

    expected: Annotated[int, Field(ge=1)] | None = None


class StoreDeleteAnswer(Form):
    """False where there was nothing."""

    deleted: bool


SPEC = PermissionSpec(
    id="store.delete",
    risk=Risk.MEDIUM,
    sentence={"en": "Deletes entries of these stores: {stores}", "ja": "次のストアの項目を消す: {stores}"},
    config=StoresConfig,
    arguments=StoreDeleteArgs,
    answer=StoreDeleteAnswer,
    names=STORE_NAMES,
    subject=Subject.STORE,
    measured=False,
)


def make(stores: Stores) -> Handler:
    """The handler over these databases."""

    def store_delete(invocation: Invocation) -> object:
        args = invocation.arguments(StoreDeleteArgs)
        place, _ = place_of(invocation, args)
        return _delete(stores, place, args.key, args.expected)

    return store_delete


async def _delete(stores: Stores, place: StorePlace, key: str, expected: int | None) -> object:
    store = stores.ready(place.pack_id) or await stores.opened(place.pack_id)
    return {"deleted": await store.delete(place, key, expected)}
