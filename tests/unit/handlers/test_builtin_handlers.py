"""The built-in handlers, each over fakes of what it needs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import pytest

from core_runtime.authority import Actor, CallContext, Principal, Risk
from core_runtime.capability.ports import Invocation
from core_runtime.capability.stores import PageQuery, StoredItem, StoredValue, StorePage, StorePlace, StoreWrite
from core_runtime.errors import InternalError, NotFound, TooLarge, ValidationFailed
from core_runtime.handlers.listing import SPECS, builtin_catalogue, builtin_handlers
from core_runtime.handlers.ports import HandlerPorts
from core_runtime.packs import StoreDecl
from core_runtime.registry.listing import InterfaceListing

NOTES = Principal("notes")


@dataclass
class FakeStore:
    written: list[tuple[StorePlace, StoreWrite]] = field(default_factory=list)
    entries: dict[tuple[str, str], StoredValue] = field(default_factory=dict)
    queries: list[PageQuery] = field(default_factory=list)
    next_page: StorePage = field(default_factory=lambda: StorePage((), more=False))

    def get(self, place: StorePlace, key: str) -> StoredValue | None:
        return self.entries.get((place.scope, key))

    def page(self, place: StorePlace, query: PageQuery) -> StorePage:
        self.queries.append(query)
        return self.next_page

    async def set(self, place: StorePlace, write: StoreWrite) -> int:
        self.written.append((place, write))
        return 7

    async def delete(self, place: StorePlace, key: str, expected: int | None) -> bool:
        return (key, expected) == ("there", 3)


class World:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.open = True
        self.calls: list[tuple[object, ...]] = []
        self.listed: list[InterfaceListing] = []
        self.catalogue = builtin_catalogue()
        self.handlers = builtin_handlers(HandlerPorts(self, self, self, self))

    def ready(self, pack_id: str) -> FakeStore | None:
        return self.store if self.open else None

    async def opened(self, pack_id: str) -> FakeStore:
        self.calls.append(("opened", pack_id))
        return self.store

    def call(self, caller: Principal, name: str, args, context: CallContext, *, stream_in=None) -> object:
        self.calls.append(("call", caller.id, name, dict(args), context.chain))
        return {"answer": name}

    def visible(self, caller: Principal, context: CallContext | None) -> list[InterfaceListing]:
        return self.listed

    async def run(self, caller: Principal, flow: str, inputs, context: CallContext, *, detach: bool) -> object:
        self.calls.append(("run", caller.id, flow, dict(inputs), detach))
        return {"run_id": "run_1"} if detach else {"out": 1}

    def publish(self, caller: Principal, topic: str, payload: object, context: CallContext | None) -> int:
        self.calls.append(("publish", topic, payload))
        return 2

    def subscribe(self, caller: Principal, topic: str, interface: str) -> None:
        self.calls.append(("subscribe", topic, interface))

    async def use(self, permission: str, args: Mapping[str, object], **more: object) -> object:
        spec = self.catalogue.find(permission)
        assert spec is not None
        actor = more.get("actor", Actor("ada", "guest", ("home",)))
        context = CallContext("req_1", 100.0, actor=actor, chain=("interface:x",))  # type: ignore[arg-type]
        invocation = Invocation(
            NOTES,
            form := spec.parse(args),
            spec.asked(form, "notes"),
            more.get("config", spec.unlimited()),  # type: ignore[arg-type]
            "req_1",
            100.0,
            more.get("permits", lambda permission, args: True),  # type: ignore[arg-type]
            more.get("context", context),  # type: ignore[arg-type]
            more.get("store", StoreDecl("notes")),  # type: ignore[arg-type]
        )
        answer = self.handlers[permission](invocation)
        answer = await answer if isinstance(answer, Awaitable) else answer
        if spec.answer is not None and answer is not None:
            spec.answer.model_validate(answer)
        return answer


@pytest.fixture
def world() -> World:
    return World()


def test_every_permission_has_a_handler(world: World) -> None:
    assert set(world.handlers) == {spec.id for spec in SPECS}


@pytest.mark.parametrize("is_open", [True, False])
async def test_store_get_gives_value_and_version_or_null(world: World, is_open: bool) -> None:
    world.open = is_open
    world.store.entries["", "a"] = StoredValue(b'{"x":[1,null]}', 4)
    assert await world.use("store.get", {"store": "notes", "key": "a"}) == {"value": {"x": [1, None]}, "version": 4}
    assert await world.use("store.get", {"store": "notes", "key": "b"}) is None


async def test_an_undeclared_store_says_where_to_declare_it(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        await world.use("store.get", {"store": "diary", "key": "a"}, store=None)
    assert '"store_id": "diary"' in caught.value.hint


async def test_store_set_writes_compact_json_with_quota_and_ttl(world: World) -> None:
    args = {"store": "notes", "key": "a", "value": {"b": "é", "a": [1.5, None]}, "ttl": 60}
    assert await world.use("store.set", args, store=StoreDecl("notes", quota_bytes=99)) == {"version": 7}
    (place, write) = world.store.written[0]
    assert place == StorePlace("notes", "notes")
    assert (write.value, write.quota_bytes, write.ttl) == ('{"b":"é","a":[1.5,null]}'.encode(), 99, 60.0)


@pytest.mark.parametrize(
    ("size", "allowed"),
    [pytest.param(1_048_576, True, id="ST-04-1-MB"), pytest.param(1_048_577, False, id="ST-04-1-MB-and-1")],
)
async def test_the_limit_of_a_value_is_exact(world: World, size: int, allowed: bool) -> None:
    args = {"store": "notes", "key": "a", "value": "x" * (size - 2)}
    if allowed:
        await world.use("store.set", args)
        assert len(world.store.written[0][1].value) == size
    else:
        with pytest.raises(TooLarge) as caught:
            await world.use("store.set", args)
        assert caught.value.details == {"size": size, "limit": 1_048_576}
        assert world.store.written == []


@pytest.mark.parametrize(
    ("decl", "granted", "limit"),
    [(10, 1_000, 10), (1_000, 10, 10), (100_000_000, 100_000_000, 4 * 1024 * 1024 - 65536)],
)
async def test_the_smallest_of_store_grant_and_wire_counts(world: World, decl: int, granted: int, limit: int) -> None:
    config = {"stores": ["*"], "max_value_bytes": granted}
    store = StoreDecl("notes", max_value_bytes=decl)
    await world.use("store.set", {"store": "notes", "key": "a", "value": "x" * (limit - 2)}, config=config, store=store)
    with pytest.raises(TooLarge):
        await world.use(
            "store.set", {"store": "notes", "key": "a", "value": "x" * (limit - 1)}, config=config, store=store
        )


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.nan, id="UD-06-nan"),
        pytest.param([math.inf], id="UD-06-infinity"),
        pytest.param({"a": {"b": -math.inf}}, id="UD-06-minus-infinity"),
        pytest.param(10**30, id="UD-06-large-number"),
        pytest.param("\ud800", id="UD-06-surrogate"),
        pytest.param({1: 2}, id="UD-06-number-as-key"),
        pytest.param(object(), id="UD-06-object"),
    ],
)
async def test_what_is_no_json_is_refused_not_changed(world: World, value: object) -> None:
    with pytest.raises(ValidationFailed):
        await world.use("store.set", {"store": "notes", "key": "a", "value": value})
    assert world.store.written == []


async def test_ud_06_a_deeply_nested_value_is_refused(world: World) -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValidationFailed):
        await world.use("store.set", {"store": "notes", "key": "a", "value": value})
    while isinstance(value, list):
        value = value.pop()


async def test_a_real_null_is_a_value(world: World) -> None:
    await world.use("store.set", {"store": "notes", "key": "a", "value": [None]})
    assert world.store.written[0][1].value == b"[null]"


async def test_scoped_data_is_the_actors_own(world: World) -> None:
    await world.use("store.set", {"store": "notes", "key": "a", "value": 1, "scoped": True})
    await world.use(
        "store.set", {"store": "notes", "key": "a", "value": 1, "scoped": True}, actor=Actor("bob", "guest")
    )
    scopes = [place.scope for place, _ in world.store.written]
    assert scopes == ['["ada",["home"]]', '["bob",[]]']


@pytest.mark.parametrize("permission", ["store.get", "store.delete"])
async def test_scoped_data_without_an_actor_is_refused(world: World, permission: str) -> None:
    with pytest.raises(ValidationFailed):
        await world.use(permission, {"store": "notes", "key": "a", "scoped": True}, actor=None)
    with pytest.raises(ValidationFailed):
        await world.use(permission, {"store": "notes", "key": "a", "scoped": True}, context=None)


async def test_store_delete_says_whether_there_was_one(world: World) -> None:
    assert await world.use("store.delete", {"store": "notes", "key": "there", "expected": 3}) == {"deleted": True}
    assert await world.use("store.delete", {"store": "notes", "key": "gone"}) == {"deleted": False}


@pytest.mark.parametrize("is_open", [True, False])
async def test_st_04_a_page_leads_to_the_next_by_its_cursor(world: World, is_open: bool) -> None:
    world.open = is_open
    world.store.next_page = StorePage((StoredItem("a", 1), StoredItem("é/..", 2)), more=True)
    first = await world.use("store.list", {"store": "notes"})
    assert isinstance(first, dict)
    assert first["items"] == [{"key": "a", "version": 1}, {"key": "é/..", "version": 2}]
    world.store.next_page = StorePage((), more=False)
    assert await world.use("store.list", {"store": "notes", "cursor": first["cursor"], "limit": 5}) == {
        "items": [],
        "cursor": None,
    }
    assert world.store.queries[-1] == PageQuery("", "é/..", 5, values=False)


async def test_a_page_shows_values_only_where_they_were_asked_for(world: World) -> None:
    world.store.next_page = StorePage((StoredItem("a", 1, b"[1]"),), more=False)
    page = await world.use("store.list", {"store": "notes", "values": True, "prefix": "a"})
    assert page == {"items": [{"key": "a", "version": 1, "value": [1]}], "cursor": None}
    assert world.store.queries[-1] == PageQuery("a", None, 100, values=True)


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("forged", id="ST-04-forged"),
        pytest.param("-1", id="ST-04-negative"),
        pytest.param("", id="ST-04-empty"),
        pytest.param("azE6", id="ST-04-no-key"),
        pytest.param("azE6AA==", id="ST-04-nul"),
        pytest.param("azE6/w==", id="ST-04-not-utf8"),
        pytest.param("日本", id="ST-04-not-ascii"),
        pytest.param("azE6YQ==\n", id="ST-04-newline"),
    ],
)
async def test_a_forged_cursor_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(ValidationFailed):
        await world.use("store.list", {"store": "notes", "cursor": cursor})
    assert world.store.queries == []


async def test_st_04_a_cursor_of_another_store_only_begins_elsewhere_in_this_one(world: World) -> None:
    world.store.next_page = StorePage((StoredItem("secret-of-other", 1),), more=True)
    other = await world.use("store.list", {"store": "other"})
    assert isinstance(other, dict)
    await world.use("store.list", {"store": "notes", "cursor": other["cursor"], "prefix": "n"})
    assert world.store.queries[-1] == PageQuery("n", "secret-of-other", 100, values=False)


async def test_an_interface_call_hands_on_caller_arguments_and_chain(world: World) -> None:
    assert await world.use("interface.call", {"name": "a.b", "args": {"x": 1}}) == {"answer": "a.b"}
    assert world.calls == [("call", "notes", "a.b", {"x": 1}, ("interface:x",))]


@pytest.mark.parametrize(("permission", "args"), [("interface.call", {"name": "a.b"}), ("flow.run", {"flow": "f"})])
async def test_a_hop_without_a_context_is_a_defect_not_a_call(world: World, permission: str, args) -> None:
    with pytest.raises(InternalError):
        await world.use(permission, args, context=None)
    assert world.calls == []


async def test_interface_list_shows_only_what_may_be_called(world: World) -> None:
    world.listed = [
        InterfaceListing("mail.send", "mail", {"en": "Sends"}, Risk.HIGH, ("x",), {"type": "object"}),
        InterfaceListing("mail.wipe", "mail"),
        InterfaceListing("notes.add", "notes"),
        InterfaceListing("other.x", "other"),
    ]
    page = await world.use(
        "interface.list",
        {},
        config={"interfaces": ["mail.*"]},
        permits=lambda permission, args: (permission, args["name"]) != ("interface.call", "mail.wipe"),
    )
    assert isinstance(page, dict)
    assert [item["name"] for item in page["items"]] == ["mail.send", "notes.add"]
    assert page["items"][0]["risk"] == "high"
    page = await world.use("interface.list", {"prefix": "notes."})
    assert isinstance(page, dict)
    assert [item["name"] for item in page["items"]] == ["notes.add"]


async def test_flow_run_waits_or_only_begins(world: World) -> None:
    assert await world.use("flow.run", {"flow": "f", "inputs": {"a": 1}}) == {"out": 1}
    assert await world.use("flow.run", {"flow": "f", "detach": True}) == {"run_id": "run_1"}


async def test_events_carry_the_full_name_of_their_topic(world: World) -> None:
    assert await world.use("event.publish", {"topic": "tick", "payload": 1}) == {"subscribers": 2}
    assert await world.use("event.subscribe", {"topic": "clock/tick", "interface": "a.b"}) == {"topic": "clock/tick"}
    assert world.calls == [("publish", "notes/tick", 1), ("subscribe", "clock/tick", "a.b")]


@pytest.mark.parametrize(("size", "allowed"), [(1_048_576, True), (1_048_577, False)])
async def test_the_limit_of_an_events_payload_is_exact(world: World, size: int, allowed: bool) -> None:
    args = {"topic": "tick", "payload": "x" * (size - 2)}
    if allowed:
        await world.use("event.publish", args)
    else:
        with pytest.raises(TooLarge):
            await world.use("event.publish", args)
        assert world.calls == []


async def test_an_event_that_is_no_json_is_refused(world: World) -> None:
    with pytest.raises(ValidationFailed):
        await world.use("event.publish", {"topic": "tick", "payload": {1, 2}})


async def test_a_handler_never_takes_another_permissions_arguments(world: World) -> None:
    spec = world.catalogue.find("flow.run")
    assert spec is not None
    invocation = Invocation(NOTES, spec.parse({"flow": "f"}), "f", {}, "req_1", 1.0, lambda permission, args: True)
    with pytest.raises(InternalError):
        world.handlers["store.get"](invocation)
