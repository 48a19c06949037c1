"""JSON objects of an agent -> messages, type by type. Written for the assumption that the agent is the attacker's.

A field of the wrong type is a `BadValue`: that one frame is refused, the connection goes on. Checks are exact
(`type(x) is int`), because `True` is an `int` to Python. Fields that are not known are ignored, those that name a pack
among them: there is no place in a message where such a name could be kept.
"""

from __future__ import annotations

from collections.abc import Callable

from core_runtime.wire.limits import MAX_ID
from core_runtime.wire.messages import (
    Call,
    Cancel,
    Credit,
    Data,
    End,
    FromAgent,
    Hello,
    HelloComponent,
    ItemFrame,
    Log,
    Ping,
    Pong,
    Result,
)

Fields = dict[str, object]


class BadValue(Exception):
    """A good frame with a bad value. `kind` is its `k` where known, `call_id` the id to answer, if there is one."""

    def __init__(self, text: str, *, kind: str = "", call_id: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind
        self.call_id = call_id


def parse(fields: Fields) -> FromAgent:
    """The message in `fields` (`data` excepted: its payload comes beside it, see `parse_data`). Raises `BadValue`."""
    kind = fields.get("k")
    reader = _READERS.get(kind) if type(kind) is str else None
    if reader is None:
        raise BadValue("k is none of the kinds that an agent sends.")
    return reader(fields)


def parse_data(fields: Fields, payload: bytes) -> Data:
    """A `data` frame whose bytes were read. Raises `BadValue`."""
    call_id = _id(fields, "data")
    text = fields.get("text", False)
    if type(text) is not bool:
        raise BadValue("text of data is not true or false.", kind="data", call_id=call_id)
    return Data(call_id, payload, text)


def usable_id(fields: Fields) -> int | None:
    """The id of a frame, if it is one."""
    value = fields.get("id")
    return value if type(value) is int and 0 < value <= MAX_ID else None


def _id(fields: Fields, kind: str) -> int:
    value = usable_id(fields)
    if value is None:
        raise BadValue(f"id of {kind} is not a whole number of 1 to 2^53 - 1.", kind=kind)
    return value


def _text(fields: Fields, name: str, kind: str, call_id: int | None = None) -> str:
    value = fields.get(name)
    if type(value) is not str:
        raise BadValue(f"{name} of {kind} is not a text.", kind=kind, call_id=call_id)
    return value


def _optional_text(fields: Fields, name: str, kind: str, call_id: int | None = None) -> str | None:
    value = fields.get(name)
    if value is None or type(value) is str:
        return value
    raise BadValue(f"{name} of {kind} is not a text.", kind=kind, call_id=call_id)


def _object(fields: Fields, name: str, kind: str, call_id: int | None = None) -> Fields:
    value = fields.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise BadValue(f"{name} of {kind} is not an object.", kind=kind, call_id=call_id)
    return value


def _whole(fields: Fields, name: str, kind: str, call_id: int | None = None) -> int:
    value = fields.get(name, 0)
    if type(value) is not int or value < 0:
        raise BadValue(f"{name} of {kind} is not a whole number of 0 or more.", kind=kind, call_id=call_id)
    return value


def _call(fields: Fields) -> Call:
    call_id = _id(fields, "call")
    if call_id & 1:
        raise BadValue("The agent opens calls with even ids only.", kind="call", call_id=call_id)
    deadline = fields.get("deadline_ms")
    if not (deadline is None or type(deadline) is int or type(deadline) is float):
        raise BadValue("deadline_ms of call is not a number.", kind="call", call_id=call_id)
    stream_in = fields.get("in", False)
    if type(stream_in) is not bool:
        raise BadValue("in of call is not true or false.", kind="call", call_id=call_id)
    return Call(
        call_id,
        _text(fields, "name", "call", call_id),
        fields.get("args"),
        deadline,
        _optional_text(fields, "token", "call", call_id),
        _optional_text(fields, "traceparent", "call", call_id),
        stream_in,
        _optional_text(fields, "idempotency_key", "call", call_id),
    )


def _result(fields: Fields) -> Result:
    call_id = _id(fields, "result")
    well = fields.get("ok")
    if well is True:
        return Result(call_id, fields.get("value"))
    if well is not False:
        raise BadValue("ok of result is not true or false.", kind="result", call_id=call_id)
    error = fields.get("error")
    if type(error) is not dict:
        raise BadValue("error of result is not an object.", kind="result", call_id=call_id)
    for name in ("code", "message"):
        _text(error, name, "error", call_id)
    for name in ("hint", "request_id"):
        _optional_text(error, name, "error", call_id)
    _object(error, "details", "error", call_id)
    return Result(call_id, None, error)


def _item(fields: Fields) -> ItemFrame:
    call_id = _id(fields, "item")
    if "value" not in fields:
        raise BadValue("value of item is missing.", kind="item", call_id=call_id)
    return ItemFrame(call_id, fields["value"])


def _end(fields: Fields) -> End:
    return End(_id(fields, "end"))


def _credit(fields: Fields) -> Credit:
    call_id = _id(fields, "credit")
    return Credit(call_id, _whole(fields, "items", "credit", call_id), _whole(fields, "bytes", "credit", call_id))


def _cancel(fields: Fields) -> Cancel:
    return Cancel(_id(fields, "cancel"))


def _log(fields: Fields) -> Log:
    return Log(
        _text(fields, "level", "log"),
        _text(fields, "text", "log"),
        _object(fields, "fields", "log"),
        _optional_text(fields, "run_id", "log"),
    )


def _component(value: object) -> HelloComponent:
    if type(value) is not dict:
        raise BadValue("A component of hello is not an object.", kind="hello")
    provides = value.get("provides")
    if type(provides) is not list or not all(type(name) is str for name in provides):
        raise BadValue("provides of a component is not a list of texts.", kind="hello")
    return HelloComponent(_text(value, "id", "hello"), tuple(provides), _optional_text(value, "error", "hello"))


def _hello(fields: Fields) -> Hello:
    protocol = fields.get("protocol")
    if type(protocol) is not int:
        raise BadValue("protocol of hello is not a whole number.", kind="hello")
    components = fields.get("components")
    if type(components) is not list:
        raise BadValue("components of hello is not a list.", kind="hello")
    return Hello(protocol, _text(fields, "agent", "hello"), tuple(map(_component, components)))


def _ping(_fields: Fields) -> Ping:
    return Ping()


def _pong(_fields: Fields) -> Pong:
    return Pong()


_READERS: dict[str, Callable[[Fields], FromAgent]] = {
    "call": _call,
    "result": _result,
    "item": _item,
    "end": _end,
    "credit": _credit,
    "cancel": _cancel,
    "log": _log,
    "hello": _hello,
    "ping": _ping,
    "pong": _pong,
}
