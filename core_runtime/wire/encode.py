"""Messages of the kernel -> bytes. What cannot be said on the wire is refused here, before any byte is sent.

Raises `TooLarge` for a value over 4 MiB and `ValidationFailed` for what has no JSON form. A NaN or an infinity, which
JSON lacks, goes out as null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.wire.limits import MAX_CHUNK_BYTES, MAX_FRAME_BYTES, MAX_VALUE_BYTES
from core_runtime.wire.messages import (
    Call,
    Cancel,
    Config,
    Credit,
    Data,
    End,
    Event,
    FromKernel,
    ItemFrame,
    Ping,
    Pong,
    Result,
    Stop,
)

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def encode(message: FromKernel) -> bytes:
    """The whole frame of `message`. Raises `TooLarge` or `ValidationFailed`."""
    return _WRITERS[type(message)](message)


def value_bytes(value: object) -> int:
    """How many bytes the JSON of `value` takes. Raises `ValidationFailed` for what has none."""
    return len(_json(value))


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:
        raise ValidationFailed(
            f"The value cannot be sent as JSON: {error}.",
            hint="Use only texts, finite numbers, true, false, null, lists and objects, at most 250 deep.",
        ) from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _frame(fields: dict[str, object], value: object = None) -> bytes:
    body = _json(fields)
    size = len(body)
    if size > MAX_VALUE_BYTES and (size > MAX_FRAME_BYTES or value_bytes(value) > MAX_VALUE_BYTES):
        raise TooLarge(
            f"The value takes more than {MAX_VALUE_BYTES} bytes as JSON.",
            hint="Send it as a stream, or in parts.",
            details={"limit": MAX_VALUE_BYTES},
        )
    return size.to_bytes(4, "big") + body


def _config(message: Config) -> bytes:
    return _frame(
        {
            "k": "config",
            "protocol": message.protocol,
            "pack_id": message.pack_id,
            "settings": message.settings,
            "concurrency": message.concurrency,
            "max_streams": message.max_streams,
            "proxy": message.proxy,
        }
    )


def _call(message: Call) -> bytes:
    fields: dict[str, object] = {
        "k": "call",
        "id": message.id,
        "name": message.name,
        "args": message.args,
        "deadline_ms": message.deadline_ms,
    }
    if message.token is not None:
        fields["token"] = message.token
    if message.traceparent is not None:
        fields["traceparent"] = message.traceparent
    if message.stream_in:
        fields["in"] = True
    if message.idempotency_key is not None:
        fields["idempotency_key"] = message.idempotency_key
    if message.ctx is not None:
        fields["ctx"] = message.ctx
    return _frame(fields, message.args)


def _result(message: Result) -> bytes:
    if message.error is not None:
        return _frame({"k": "result", "id": message.id, "ok": False, "error": message.error})
    return _frame({"k": "result", "id": message.id, "ok": True, "value": message.value}, message.value)


def _item(message: ItemFrame) -> bytes:
    return _frame({"k": "item", "id": message.id, "value": message.value}, message.value)


def _data(message: Data) -> bytes:
    count = len(message.payload)
    if count > MAX_CHUNK_BYTES:
        raise TooLarge(
            f"A chunk of {count} bytes is over {MAX_CHUNK_BYTES}.",
            hint="Cut it into smaller ones.",
            details={"limit": MAX_CHUNK_BYTES},
        )
    fields: dict[str, object] = {"k": "data", "id": message.id, "n": count}
    if message.text:
        fields["text"] = True
    return _frame(fields) + message.payload


def _end(message: End) -> bytes:
    return _frame({"k": "end", "id": message.id})


def _credit(message: Credit) -> bytes:
    fields: dict[str, object] = {"k": "credit", "id": message.id}
    if message.items:
        fields["items"] = message.items
    if message.octets:
        fields["bytes"] = message.octets
    return _frame(fields)


def _cancel(message: Cancel) -> bytes:
    return _frame({"k": "cancel", "id": message.id})


def _event(message: Event) -> bytes:
    fields: dict[str, object] = {
        "k": "event",
        "interface": message.interface,
        "topic": message.topic,
        "payload": message.payload,
    }
    if message.token is not None:
        fields["token"] = message.token
    if message.ctx is not None:
        fields["ctx"] = message.ctx
    return _frame(fields, message.payload)


def _ping(_message: Ping) -> bytes:
    return _PING


def _pong(_message: Pong) -> bytes:
    return _PONG


def _stop(message: Stop) -> bytes:
    return _frame({"k": "stop", "grace_ms": message.grace_ms})


_PING = _frame({"k": "ping"})
_PONG = _frame({"k": "pong"})
_WRITERS: dict[type, Callable[[Any], bytes]] = {
    Config: _config,
    Call: _call,
    Result: _result,
    ItemFrame: _item,
    Data: _data,
    End: _end,
    Credit: _credit,
    Cancel: _cancel,
    Event: _event,
    Ping: _ping,
    Pong: _pong,
    Stop: _stop,
}
