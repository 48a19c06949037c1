"""`store.list`: keys of a store in order, by pages.

A cursor is the last key of the page before, packed so that nobody builds on its form. It carries no right: a forged
one only begins elsewhere in the same store and prefix, which the caller may read anyway (ST-04).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable
from typing import Annotated

import orjson
from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.capability.store_calls import STORE_NAMES, StoreArgs, StoresConfig, place_of
from core_runtime.capability.stores import MAX_KEY_BYTES, PageQuery, StoredItem, StorePlace, check_key
from core_runtime.errors import ValidationFailed
from core_runtime.handlers.ports import OpenStore, Stores

_CURSOR_MARK = b"k1:"


class StoreListArgs(StoreArgs):
    """Which page."""

    prefix: Annotated[str, Field(max_length=MAX_KEY_BYTES)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=1024)] | None = None
    values: bool = False


class StoreListItem(Form):
    """`value` only where values were asked for."""

    key: str
    version: int
    value: object = None


class StoreListAnswer(Form):
    """A page; `cursor` is null on the last one. A page of large values may hold fewer than `limit`."""

    items: list[StoreListItem]
    cursor: str | None


SPEC = PermissionSpec(
    id="store.list",
    risk=Risk.LOW,
    sentence={"en": "Lists entries of these stores: {stores}", "ja": "次のストアの項目を一覧する: {stores}"},
    config=StoresConfig,
    arguments=StoreListArgs,
    answer=StoreListAnswer,
    names=STORE_NAMES,
    subject=Subject.STORE,
    immediate=True,
    measured=False,
)


def make(stores: Stores) -> Handler:
    """The handler over these databases."""

    def store_list(invocation: Invocation) -> object | Awaitable[object]:
        args = invocation.arguments(StoreListArgs)
        place, _ = place_of(invocation, args)
        after = _key_of(args.cursor) if args.cursor is not None else None
        query = PageQuery(_prefix(args.prefix), after, args.limit, args.values)
        ready = stores.ready(place.pack_id)
        return _first(stores, place, query) if ready is None else _page(ready, place, query)

    return store_list


async def _first(stores: Stores, place: StorePlace, query: PageQuery) -> object:
    return _page(await stores.opened(place.pack_id), place, query)


def _page(store: OpenStore, place: StorePlace, query: PageQuery) -> dict[str, object]:
    page = store.page(place, query)
    cursor = _cursor_of(page.items[-1].key) if page.more and page.items else None
    return {"items": [_item(item) for item in page.items], "cursor": cursor}


def _item(item: StoredItem) -> dict[str, object]:
    shown: dict[str, object] = {"key": item.key, "version": item.version}
    if item.value is not None:
        shown["value"] = orjson.loads(item.value)
    return shown


def _prefix(prefix: str) -> str:
    return prefix and _checked(prefix, "prefix")


def _cursor_of(key: str) -> str:
    return base64.urlsafe_b64encode(_CURSOR_MARK + key.encode("utf-8")).decode("ascii")


def _key_of(cursor: str) -> str:
    try:
        data = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        text = data.removeprefix(_CURSOR_MARK).decode("utf-8")
    except (UnicodeError, binascii.Error):
        data, text = b"", ""
    if not data.startswith(_CURSOR_MARK):
        raise ValidationFailed("The cursor is not one of store.list.", hint="Begin again without a cursor.")
    return _checked(text, "cursor")


def _checked(text: str, what: str) -> str:
    try:
        return check_key(text)
    except ValueError as error:
        raise ValidationFailed(f"The {what} {error}.") from None
