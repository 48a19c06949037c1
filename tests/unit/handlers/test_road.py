"""A wish on its whole way: broker, real handlers, a real database, the real audit log."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core_runtime.adapters.audit_log import AuditLog, verify
from core_runtime.adapters.sqlite_store import SqliteStores, SqliteUses
from core_runtime.authority import OWNER, Actor, CallContext, Grant, Principal
from core_runtime.capability.broker import Broker
from core_runtime.capability.model import CapabilityCall, GrantLevel
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget
from core_runtime.capability.ports import BrokerPorts, PrincipalFacts
from core_runtime.clock import SystemClock
from core_runtime.errors import GrantDenied, NotFound, PolicyDenied, RumiError
from core_runtime.handlers.listing import builtin_catalogue, builtin_handlers
from core_runtime.handlers.ports import HandlerPorts
from core_runtime.packs import DeclaredPermission, StoreDecl, Text

PERMISSIONS = {
    "store.get": {"stores": ["notes"]},
    "store.set": {"stores": ["notes"]},
    "store.list": {"stores": ["notes"]},
    "store.delete": {"stores": ["notes"]},
    "interface.call": {"interfaces": ["echo.*"]},
    "flow.run": {"flows": ["loop"]},
}


def sign(data: bytes) -> str:
    return hashlib.sha256(b"key" + data).hexdigest()


@dataclass
class Kernel:
    """The composition root in small."""

    clock: SystemClock = field(default_factory=SystemClock)
    grants: dict[str, Grant] = field(default_factory=dict)
    number: int = 1
    broker: Broker | None = None

    def generation(self) -> int:
        return self.number

    def policy(self) -> ActorPolicy:
        return ActorPolicy()

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        host = GrantLevel("host", admits_all=True)
        if principal_id == "host":
            return PrincipalFacts(True, levels=(host,))
        declared = (
            DeclaredPermission(permission, PERMISSIONS[permission], Text()) if permission in PERMISSIONS else None
        )
        own = GrantLevel(principal_id, self.grants.get(permission))
        return PrincipalFacts(principal_id == "notes", "pending", declared=declared, levels=(host, own))

    def interface(self, name: str) -> InterfaceTarget | None:
        return InterfaceTarget(name.partition(".")[0])

    def store(self, pack_id: str, store_id: str) -> StoreDecl | None:
        return StoreDecl("notes") if (pack_id, store_id) == ("notes", "notes") else None

    async def call(self, caller: Principal, name: str, args, context: CallContext, *, stream_in=None) -> object:
        """`echo.loop` runs the flow that called it: whoever lets it gets a circle."""
        if name == "echo.loop":
            return await self.wish("flow.run", {"flow": "loop"}, context)
        return args

    def visible(self, caller: Principal, context: CallContext | None) -> list[object]:
        return []

    async def run(self, caller: Principal, flow: str, inputs, context: CallContext, *, detach: bool) -> object:
        return await self.wish("interface.call", {"name": "echo.loop"}, context)

    def publish(self, caller: Principal, topic: str, payload: object, context: CallContext | None) -> int:
        return 0

    def subscribe(self, caller: Principal, topic: str, interface: str) -> None:
        return None

    async def wish(
        self, permission: str, args: Mapping[str, object], context: CallContext | None = None, *, pack: str = "notes"
    ) -> object:
        assert self.broker is not None
        deadline = self.clock.monotonic() + 10
        context = context or CallContext("req_1", deadline, OWNER)
        answer = self.broker.capability(CapabilityCall(pack, permission, args, context, deadline))
        return await answer if isinstance(answer, Awaitable) else answer


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = Kernel()
    kernel.grants = {name: Grant(name, config) for name, config in PERMISSIONS.items()}
    stores = SqliteStores(tmp_path / "stores", kernel.clock)
    uses = SqliteUses.open(tmp_path / "permissions" / "uses.sqlite3", sign)
    log = AuditLog(tmp_path / "audit", kernel.clock, sign)
    loop = asyncio.get_running_loop()
    ports = BrokerPorts(kernel, kernel, uses, log, kernel.clock, lambda when, args: False, loop.call_later)
    handlers = builtin_handlers(HandlerPorts(stores, kernel, kernel, kernel))  # type: ignore[arg-type]
    kernel.broker = Broker(builtin_catalogue(), handlers, ports)
    yield kernel
    kernel.broker.close()
    log.close()
    await stores.close()
    await uses.close()
    assert verify(tmp_path / "audit", sign=sign)["ok"], "S10: the chain verifies at the end"


def lines(tmp_path: Path) -> list[dict[str, object]]:
    return [
        json.loads(line) for path in (tmp_path / "audit").glob("2*.jsonl") for line in path.read_text().splitlines()
    ]


async def test_a_wish_travels_the_whole_way(kernel: Kernel, tmp_path: Path) -> None:
    note = {"title": "é", "tags": ["a"]}
    assert await kernel.wish("store.set", {"store": "notes", "key": "n/1", "value": note}) == {"version": 1}
    assert await kernel.wish("store.get", {"store": "notes", "key": "n/1"}) == {"value": note, "version": 1}
    page = await kernel.wish("store.list", {"store": "notes", "values": True})
    assert page == {"items": [{"key": "n/1", "version": 1, "value": note}], "cursor": None}
    assert await kernel.wish("store.delete", {"store": "notes", "key": "n/1", "expected": 1}) == {"deleted": True}
    assert await kernel.wish("store.get", {"store": "notes", "key": "n/1"}) is None
    assert [line["action"] for line in lines(tmp_path)] == [
        "store.set",
        "store.get",
        "store.list",
        "store.delete",
        "store.get",
    ]
    assert {line["details"]["target"] for line in lines(tmp_path)} == {"notes/notes"}  # type: ignore[index]


async def test_st_04_paging_through_a_real_store_gives_each_key_once(kernel: Kernel) -> None:
    names = [f"k{number:04}" for number in range(1, 351)]
    for start in range(0, 350, 10):
        await asyncio.gather(
            *[kernel.wish("store.set", {"store": "notes", "key": key, "value": 1}) for key in names[start : start + 10]]
        )
    seen: list[str] = []
    cursor: object = None
    for _ in range(4):
        more = {} if cursor is None else {"cursor": cursor}
        page = await kernel.wish("store.list", {"store": "notes", **more})
        assert isinstance(page, dict)
        seen += [item["key"] for item in page["items"]]
        cursor = page["cursor"]
    assert cursor is None
    assert seen == names


async def test_another_pack_and_another_store_are_refused_with_one_line_each(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(RumiError) as caught:
        await kernel.wish("store.get", {"store": "notes/notes", "key": "a"}, pack="mail")
    assert caught.value.hint == "rumi pack approve mail"
    with pytest.raises(GrantDenied):
        await kernel.wish("store.get", {"store": "diary", "key": "a"})
    assert [line["outcome"] for line in lines(tmp_path)] == ["deny", "deny"]
    assert not (tmp_path / "stores").exists()


async def test_a_revoked_grant_ends_at_once_and_says_how_to_get_it_back(kernel: Kernel) -> None:
    await kernel.wish("store.get", {"store": "notes", "key": "a"})
    del kernel.grants["store.get"]
    kernel.number += 1
    with pytest.raises(GrantDenied) as caught:
        await kernel.wish("store.get", {"store": "notes", "key": "a"})
    assert caught.value.hint == """rumi grant give notes store.get --config '{"stores": ["notes"]}'"""


async def test_a_grant_with_a_count_of_three_lets_three_through_however_they_come(kernel: Kernel) -> None:
    kernel.grants["store.get"] = Grant("store.get", {"stores": ["notes"]}, max_count=3, granted_at=5.0)
    kernel.number += 1
    calls = [kernel.wish("store.get", {"store": "notes", "key": "a"}) for _ in range(10)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results].count(GrantDenied) == 7


async def test_ud_15_a_flow_and_an_interface_that_call_each_other_end_with_the_circle_shown(
    kernel: Kernel, tmp_path: Path
) -> None:
    for _ in range(20):  # more often than there are slots: all levels were released
        with pytest.raises(PolicyDenied) as caught:
            await kernel.wish("flow.run", {"flow": "loop"})
    assert "flow:loop -> interface:echo.loop -> flow:loop" in caught.value.message
    assert [line["outcome"] for line in lines(tmp_path)] == ["allow", "allow", "deny"] * 20


async def test_one_actors_scoped_data_is_out_of_anothers_reach(kernel: Kernel) -> None:
    def context(name: str) -> CallContext:
        return CallContext("req_1", kernel.clock.monotonic() + 10, Actor(name, "guest"))

    args = {"store": "notes", "key": "a", "scoped": True}
    await kernel.wish("store.set", {**args, "value": "ada's"}, context("ada"))
    assert await kernel.wish("store.get", args, context("bob")) is None
    assert await kernel.wish("store.get", {"store": "notes", "key": "a"}, context("bob")) is None
    assert await kernel.wish("store.get", args, context("ada")) == {"value": "ada's", "version": 1}


async def test_the_host_reads_by_full_name_and_is_audited(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.broker is not None
    await kernel.wish("store.set", {"store": "notes", "key": "a", "value": 1})
    context = CallContext("req_h", kernel.clock.monotonic() + 10, OWNER)
    answer = kernel.broker.ask(Principal("host"), "store.get", {"store": "notes/notes", "key": "a"}, context)
    assert answer == {"value": 1, "version": 1}
    with pytest.raises(NotFound):
        kernel.broker.ask(Principal("host"), "store.get", {"store": "notes/none", "key": "a"}, context)
    assert lines(tmp_path)[-1]["principal"] == "host"
