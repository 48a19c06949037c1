"""The kinds of frame that the kernel may send, and what their fields have to be. Pure.

Each check answers None, or a sentence that names the first wrong field. Unknown fields are ignored.
"""

from __future__ import annotations

from rumi_agent.limits import MAX_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rumi_agent.codec import Check, Frame

_TEXT_OR_NONE = (str, type(None))
_OBJECT_OR_NONE = (dict, type(None))


def _id(frame: Frame) -> str | None:
    found = frame.get("id")
    if type(found) is not int or not 0 < found <= MAX_ID:
        return "id has to be a whole number of 1 to 2^53 - 1"
    return None


def _texts(frame: Frame, *names: str) -> str | None:
    for name in names:
        if type(frame.get(name)) is not str:
            return name + " has to be text"
    return None


def _optional_texts(frame: Frame, *names: str) -> str | None:
    for name in names:
        if not isinstance(frame.get(name), _TEXT_OR_NONE):
            return name + " has to be text"
    return None


def _whole(frame: Frame, name: str, least: int) -> str | None:
    found = frame.get(name)
    return None if type(found) is int and found >= least else f"{name} has to be a whole number of at least {least}"


def _number(found: object, name: str) -> str | None:
    return None if type(found) is int or type(found) is float else name + " has to be a number"


def _ctx(frame: Frame) -> str | None:
    found = frame.get("ctx")
    if found is None:
        return None
    if type(found) is not dict or not isinstance(found.get("actor"), _OBJECT_OR_NONE):
        return "ctx has to be an object with run_id and actor"
    return _optional_texts(found, "run_id")


def _config(frame: Frame) -> str | None:
    if type(frame.get("settings")) is not dict:
        return "settings have to be an object"
    return (
        _whole(frame, "protocol", 1)
        or _texts(frame, "pack_id")
        or _whole(frame, "concurrency", 1)
        or _whole(frame, "max_streams", 0)
    )


def _call(frame: Frame) -> str | None:
    found = frame.get("id")
    if type(found) is not int or not 0 < found <= MAX_ID:
        return "id has to be a whole number of 1 to 2^53 - 1"
    if not found & 1:
        return "the kernel opens odd ids"
    if type(frame.get("name")) is not str:
        return "name has to be text"
    deadline = frame.get("deadline_ms")
    if type(deadline) is not int and type(deadline) is not float:
        return "deadline_ms has to be a number"
    return _call_options(frame) if len(frame) > 5 else None


def _call_options(frame: Frame) -> str | None:
    token = frame.get("token")
    if token is not None and type(token) is not str:
        return "token has to be text"
    if len(frame) == 6 and token is not None:
        return None
    if type(frame.get("in", False)) is not bool:
        return "in has to be true or false"
    return _optional_texts(frame, "traceparent", "idempotency_key") or _ctx(frame)


def _result(frame: Frame) -> str | None:
    wrong = _id(frame)
    if wrong is not None:
        return wrong
    good = frame.get("ok")
    if type(good) is not bool:
        return "ok has to be true or false"
    return None if good else _error(frame.get("error"))


def _error(error: object) -> str | None:
    if type(error) is not dict:
        return "error has to be an object"
    if not isinstance(error.get("details"), _OBJECT_OR_NONE):
        return "details have to be an object"
    return _texts(error, "code", "message") or _optional_texts(error, "hint", "request_id")


def _item(frame: Frame) -> str | None:
    return _id(frame)


def _data(frame: Frame) -> str | None:
    return _id(frame) or (None if type(frame.get("text", False)) is bool else "text has to be true or false")


def _credit(frame: Frame) -> str | None:
    wrong = _id(frame)
    for name in ("items", "bytes"):
        if wrong is None and name in frame:
            wrong = _whole(frame, name, 0)
    return wrong


def _event(frame: Frame) -> str | None:
    return _texts(frame, "interface", "topic") or _optional_texts(frame, "token") or _ctx(frame)


def _stop(frame: Frame) -> str | None:
    return _number(frame.get("grace_ms"), "grace_ms")


def _nothing(_frame: Frame) -> str | None:
    return None


TO_AGENT: Mapping[str, Check] = {
    "config": _config,
    "call": _call,
    "result": _result,
    "item": _item,
    "data": _data,
    "end": _id,
    "credit": _credit,
    "cancel": _id,
    "event": _event,
    "ping": _nothing,
    "pong": _nothing,
    "stop": _stop,
}
