"""What a route is: method, path, scope, view, form of its input. A route without a scope cannot be written by accident.

`scope` has no default, so whoever adds a route has to say what it needs; `None` means open to all and stands for
`/health` alone (a test counts them).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from core_runtime.authority import Scope
from core_runtime.errors import InternalError, NotFound, ValidationFailed
from core_runtime.ids import HOST_PRINCIPAL, is_name, is_pack_id
from core_runtime.interfaces.admin.models import Body, NoQuery, Nothing, PageQuery, Query
from core_runtime.interfaces.ports import Caller, JsonList, JsonObject, KernelDoors

ModelT = TypeVar("ModelT", bound="Body | Query")
_PARAMETER = re.compile(r"\{(\w+)(?::(path))?\}")
_OFFSET = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ask:
    """One admitted, checked request as a view sees it."""

    doors: KernelDoors
    caller: Caller
    path: Mapping[str, str]
    query: Query
    body: Body

    def input(self, model: type[ModelT]) -> ModelT:
        """The body or query as the model that the route declares."""
        for value in (self.body, self.query):
            if isinstance(value, model):
                return value
        raise InternalError("A route is declared without the model that its view reads.")


View = Callable[[Ask], Coroutine[object, object, object]]


class Pace(Enum):
    """How a view is waited for."""

    QUICK = "quick"  # from a worker thread, 30 s at most
    SLOW = "slow"  # on the loop, without a thread; what was begun is finished also when the client goes away
    LONG = "long"  # on the loop for as long as it takes; ends when the client goes away


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the API. Whatever is not a quick read holds no thread, so that the owner can always stop things."""

    method: str
    path: str
    scope: Scope | None
    view: View
    summary: str
    body: type[Body] = Nothing
    query: type[Query] = NoQuery
    long: bool = False
    slow: bool = False

    @property
    def pace(self) -> Pace:
        """Writes are never quick: they may wait for a disk or an engine."""
        if self.long:
            return Pace.LONG
        return Pace.SLOW if self.slow or self.method != "GET" else Pace.QUICK

    @property
    def rule(self) -> str:
        """The path as the router writes it: `{id}` is `<id>`, `{key:path}` may hold slashes."""
        return _PARAMETER.sub(lambda match: f"<{'path:' if match[2] else ''}{match[1]}>", self.path)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A checked request that is to be answered on the loop: what the worker thread leaves behind for the door."""

    pace: Pace
    begin: Callable[[], Coroutine[object, object, object]]


def check_parameters(path: Mapping[str, str]) -> None:
    """Names in a path have the grammar of their kind, or there is no such thing (404, never a look at a file)."""
    known: Mapping[str, Callable[[str], bool]] = {
        "pack_id": is_pack_id,
        "principal": lambda text: text == HOST_PRINCIPAL or is_pack_id(text),
        "permission": is_name,
        "flow_id": is_name,
        "name": is_name,
        "store": is_name,
        "key": lambda text: len(text) <= 1024 and text.isprintable(),
        "token": lambda text: len(text) <= 64 and text.isprintable(),
    }
    for parameter, value in path.items():
        if not known[parameter](value):
            raise NotFound("There is no such thing here.")


def page(items: Sequence[JsonObject], ask: Ask) -> JsonObject:
    """`{items, cursor}` of a list that the kernel gave whole; the cursor is null on the last page."""
    query = ask.input(PageQuery)
    start = _offset(query.cursor)
    end = start + query.limit
    cut: JsonList = list(items[start:end])
    cursor = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else None
    return {"items": cut, "cursor": cursor}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    if not _OFFSET.fullmatch(text):
        raise ValidationFailed("This cursor is not one of ours.", hint="Leave it out to begin again.")
    return int(text)
