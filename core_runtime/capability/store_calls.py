"""What the store permissions have in common: forms, and from an invocation to a place in a database."""

from __future__ import annotations

import json
from typing import Annotated

import orjson
from pydantic import AfterValidator, Field

from core_runtime.capability.fields import Form, NameList, ScopedName, ScopedPatterns
from core_runtime.capability.ports import Invocation
from core_runtime.capability.stores import MAX_VALUE_BYTES, StorePlace, check_key, scope_of
from core_runtime.errors import NotFound, TooLarge, ValidationFailed
from core_runtime.packs import StoreDecl

STORE_NAMES = NameList("stores", "store", scoped=True)
Key = Annotated[str, AfterValidator(check_key)]


class StoresConfig(Form):
    """Which stores."""

    stores: ScopedPatterns = Field(default_factory=list)


class StoreWriteConfig(StoresConfig):
    """Which stores, and how large a value may be (bytes of compact JSON)."""

    max_value_bytes: int = Field(1_048_576, ge=1, le=MAX_VALUE_BYTES)


class StoreArgs(Form):
    """`scoped` keeps the data apart by the actor of the call."""

    store: ScopedName
    scoped: bool = False


class StoreKeyArgs(StoreArgs):
    """One entry of a store."""

    key: Key


def place_of(invocation: Invocation, args: StoreArgs) -> tuple[StorePlace, StoreDecl]:
    """Where the call goes. Raises `NotFound` for an undeclared store, `ValidationFailed` if scoped without an actor."""
    pack_id, _, store_id = invocation.name.partition("/")
    if invocation.store is None:
        raise NotFound(
            f"The pack {pack_id} declares no store {store_id}.",
            hint=f'Its ecosystem.json declares stores as "stores": [{{"store_id": "{store_id}"}}].',
        )
    if not args.scoped:
        return StorePlace(pack_id, store_id), invocation.store
    actor = invocation.context.actor if invocation.context else None
    if actor is None:
        raise ValidationFailed(
            "Scoped data belongs to an actor, and there is none behind this call.",
            hint="Use the store without scoped(), or only while answering a call of an actor.",
        )
    return StorePlace(pack_id, store_id, scope_of(actor)), invocation.store


def encode_value(value: object, invocation: Invocation, decl: StoreDecl) -> bytes:
    """The value as compact JSON. Raises `ValidationFailed` for what is none, `TooLarge` over the smallest limit."""
    try:
        data = orjson.dumps(value)
        if b"null" in data:  # what orjson writes for NaN and infinity too
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValidationFailed("The value is not JSON (numbers are finite and fit 64 bits, keys are text).") from None
    granted = invocation.config.get("max_value_bytes", MAX_VALUE_BYTES)
    limit = min(decl.max_value_bytes, granted if isinstance(granted, int) else 0, MAX_VALUE_BYTES)
    if len(data) > limit:
        raise TooLarge(
            f"The value has {len(data)} bytes; at most {limit} are allowed.",
            hint="The store's max_value_bytes in ecosystem.json and in permissions.json set the limit.",
            details={"size": len(data), "limit": limit},
        )
    return data
