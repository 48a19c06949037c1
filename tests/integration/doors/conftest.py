"""A fake kernel behind the real doors: real uvicorn, real sockets, real tokens; nothing of the kernel itself."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from core_runtime.adapters.token_store import TokenStore
from core_runtime.audit import AuditEntry
from core_runtime.authority import Scope
from core_runtime.clock import SystemClock
from core_runtime.errors import ApprovalDenied, Conflict, GrantDenied, InterfaceFailed, NotFound, Unavailable
from core_runtime.interfaces.admin.asgi import AdminDoor, DoorRules
from core_runtime.interfaces.admin.auth import ALL_SCOPES, Authenticator
from core_runtime.interfaces.admin.bridge import LoopBridge
from core_runtime.interfaces.admin.flask_app import create_admin_app
from core_runtime.interfaces.ports import (
    ApproveWish,
    AuditQuery,
    BatchItem,
    Caller,
    Channel,
    GrantItem,
    Health,
    JsonList,
    JsonObject,
    KernelDoors,
    Metric,
    RunFlow,
)
from core_runtime.interfaces.server import Address, serving

DIGEST = "ab" * 32
PLAN_HASH = "cd" * 32
EVIL = "evil\x1b]0;owned\x07\x1b[31m\u202e\x9b2J"


def plan_of(pack_id: str) -> JsonObject:
    return {
        "pack_id": pack_id,
        "identity": f"github:somebody/{pack_id}",
        "version": "1.2.0",
        "signer": None,
        "state": "pending",
        "digest": DIGEST,
        "plan_hash": PLAN_HASH,
        "files": [
            {
                "path": "backend/components/main/setup.py",
                "change": "changed",
                "size": 812,
                "diff": "-old line\n+new line",
            },
            {"path": "backend/permissions.json", "change": "added", "size": 90},
            {"path": "backend/old.py", "change": "removed", "size": 10},
        ],
        "permissions": [
            {
                "permission": "store.get",
                "risk": "low",
                "sentence": {"en": "Reads its own store notes", "ja": "自分のストア notes を読みます"},
                "reason": {"en": "keeps notes", "ja": "メモを保存するため"},
                "optional": False,
                "background": False,
                "change": "same",
                "config": {"stores": ["notes"]},
            },
            {
                "permission": "http.request",
                "risk": "high",
                "sentence": {
                    "en": "Sends requests to api.example.com with a rather long sentence that has to wrap somewhere"
                },
                "reason": EVIL,
                "optional": True,
                "background": True,
                "change": "new",
                "config": {"domains": ["api.example.com"]},
            },
        ],
        "rating": 6,
        "rating_reasons": [{"en": "It talks to the network", "ja": "ネットワークと通信します"}, "Two files changed"],
        "interfaces": ["notes.add", "notes.list"],
    }


@dataclass
class FakeKernel:
    """Answers every port and remembers who asked for what."""

    calls: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    by: list[Caller] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    store: dict[str, object] = field(default_factory=lambda: {"a/b c": {"n": 1}, "plain": "text"})
    health_now: Health = Health.UP

    def _note(self, name: str, *args: object, by: Caller | None = None) -> None:
        self.calls.append((name, args))
        if by is not None:
            self.by.append(by)

    def _known(self, pack_id: str) -> None:
        if pack_id not in {"hello", "notes", "evil"}:
            raise NotFound("There is no such pack.", hint="rumi pack list")

    async def list_packs(self) -> JsonList:
        return [
            {"pack_id": "evil", "state": "pending", "digest": DIGEST, "version": EVIL, "rating": 2},
            {"pack_id": "hello", "state": "approved", "digest": DIGEST, "version": "1.0.0", "rating": 8},
            {"pack_id": "notes", "state": "pending", "digest": DIGEST, "version": "1.2.0", "rating": 6},
        ]

    async def show(self, pack_id: str) -> JsonObject:
        self._known(pack_id)
        return {
            "pack_id": pack_id,
            "state": "pending",
            "digest": DIGEST,
            "version": "1.2.0",
            "rating": 6,
            "origin": "folder",
        }

    async def plan(self, pack_id: str) -> JsonObject:
        self._known(pack_id)
        return plan_of(pack_id)

    async def logs(self, pack_id: str, limit: int, after: int | None) -> JsonList:
        self._known(pack_id)
        lines: JsonList = [
            {
                "seq": 1,
                "ts": "2026-01-02T03:04:05.678Z",
                "level": "info",
                "text": "started",
                "fields": {},
                "run_id": None,
            },
            {"seq": 2, "ts": "2026-01-02T03:04:06.678Z", "level": "error", "text": EVIL, "fields": {}, "run_id": None},
        ]
        return [line for line in lines if after is None or int(str(line["seq"])) > after][-limit:]

    async def approve(self, pack_id: str, wish: ApproveWish, by: Caller) -> JsonObject:
        self._known(pack_id)
        plan_hash, grants = wish.plan_hash, wish.grants
        if plan_hash not in (None, PLAN_HASH):
            raise Conflict("The plan changed in between.", hint=f"rumi pack plan {pack_id}")
        self._note("approve", pack_id, plan_hash, None if grants is None else [g.permission for g in grants], by=by)
        return {"pack_id": pack_id, "state": "approved", "digest": DIGEST}

    async def reject(self, pack_id: str, reason: str, by: Caller) -> JsonObject:
        self._known(pack_id)
        self._note("reject", pack_id, reason, by=by)
        return {"pack_id": pack_id, "state": "rejected"}

    async def unblock(self, pack_id: str, by: Caller) -> JsonObject:
        self._known(pack_id)
        self._note("unblock", pack_id, by=by)
        if pack_id == "hello":
            await asyncio.sleep(0.4)
            self.finished.append(pack_id)
        return {"pack_id": pack_id, "state": "pending"}

    async def scan(self, by: Caller) -> JsonObject:
        self._note("scan", by=by)
        return {"found": 3}

    async def enable(self, pack_id: str, by: Caller) -> JsonObject:
        self._known(pack_id)
        self._note("enable", pack_id, by=by)
        return {"pack_id": pack_id, "state": "approved"}

    async def disable(self, pack_id: str, by: Caller) -> JsonObject:
        self._known(pack_id)
        self._note("disable", pack_id, by=by)
        return {"pack_id": pack_id, "state": "disabled"}

    async def engine_status(self) -> JsonObject:
        return {"available": True, "version": "20.10", "security_mode": "strict"}

    async def list_containers(self) -> JsonList:
        return [{"pack_id": "hello", "container": "rumi-1234", "state": "running"}]

    async def control(self, pack_id: str, action: str, by: Caller) -> JsonObject:
        self._known(pack_id)
        self._note("control", pack_id, action, by=by)
        return {"pack_id": pack_id, "state": "running"}

    async def list_grants(self, principal: str | None) -> JsonList:
        rows: JsonList = [
            {"principal": "hello", "permission": "store.get", "mode": "always", "config": {"stores": ["x"]}},
            {"principal": "notes", "permission": "store.set", "mode": "ask", "config": {}},
        ]
        return [row for row in rows if principal in (None, row["principal"])]

    async def give(self, principal: str, grant: GrantItem, by: Caller) -> JsonObject:
        self._known(principal)
        self._note("give", principal, grant, by=by)
        return {"principal": principal, "permission": grant.permission, "mode": grant.mode or "always"}

    async def take(self, principal: str, permission: str, by: Caller) -> JsonObject:
        self._known(principal)
        self._note("take", principal, permission, by=by)
        return {"principal": principal, "permission": permission, "taken": True}

    async def batch(self, items: Sequence[BatchItem], by: Caller) -> JsonList:
        self._note("batch", len(items), by=by)
        return [{"ok": True} for _ in items]

    async def list_permissions(self) -> JsonList:
        return [
            {"permission": "store.get", "risk": "low", "sentence": {"en": "Reads a store", "ja": "ストアを読みます"}}
        ]

    async def show_permission(self, permission: str) -> JsonObject:
        if permission != "store.get":
            raise NotFound("There is no such permission.")
        return {"permission": permission, "risk": "low", "config_schema": {}}

    async def list_flows(self) -> JsonList:
        return [{"flow_id": "hello", "owner": "hello", "state": "ready", "digest": DIGEST, "description": "Says hello"}]

    async def show_flow(self, flow_id: str) -> JsonObject:
        if flow_id != "hello":
            raise NotFound("There is no such flow.")
        steps = [{"id": "greet", "kind": "call", "author": "hello", "phase": "main"}]
        return {"flow_id": flow_id, "owner": "hello", "state": "ready", "steps": steps}

    async def run(self, order: RunFlow, by: Caller) -> JsonObject:
        self._note("run", order, by=by)
        if order.flow_id != "hello":
            raise NotFound("There is no such flow.")
        return {"run_id": "run_1", "state": "finished", "outputs": {"echo": order.inputs}}

    async def approve_file(self, file: str, digest: str | None, by: Caller) -> JsonObject:
        self._note("approve_file", file, digest, by=by)
        return {"flow_id": "mine", "file": file, "state": "ready", "digest": digest}

    async def list_interfaces(self) -> JsonList:
        return [{"name": "service.hello", "provider": "hello", "risk": "low"}]

    async def call(self, name: str, args: JsonObject, timeout: float | None, by: Caller) -> object:
        self._note("call", name, args, timeout, by=by)
        if name == "service.hello":
            return {"message": f"Hello, {args.get('name', 'World')}!"}
        if name == "service.pending":
            raise ApprovalDenied(
                "The pack notes is not approved.", hint="rumi pack plan notes", details={"state": "pending"}
            )
        if name == "service.refused":
            raise GrantDenied(f"No grant {EVIL}", hint="rumi grant give notes store.get")
        if name == "service.broken":
            raise InterfaceFailed("ValueError: no", details={"type": "ValueError"})
        if name == "service.oom":
            raise Unavailable("The pack ran out of memory.", details={"reason": "OOM"})
        if name == "service.defect":
            raise RuntimeError("/root/secret/path password=hunter2")
        if name == "service.big":
            return 2**80
        if name == "service.slow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        raise NotFound("There is no such interface.")

    async def list_stores(self) -> JsonList:
        return [{"pack_id": "notes", "store": "notes", "keys": 2, "bytes": 30, "quota_bytes": 1000}]

    async def list_keys(self, pack_id: str, store: str, prefix: str, page: tuple[int, str | None]) -> JsonObject:
        self._known(pack_id)
        keys = [key for key in sorted(self.store) if key.startswith(prefix)]
        start = int(page[1] or 0)
        end = start + page[0]
        items = [{"key": key, "version": 1} for key in keys[start:end]]
        return {"items": items, "cursor": str(end) if end < len(keys) else None}

    async def get(self, pack_id: str, store: str, key: str) -> JsonObject:
        self._known(pack_id)
        if key not in self.store:
            raise NotFound("There is no such key.")
        return {"key": key, "value": self.store[key], "version": 1}

    async def query(self, query: AuditQuery) -> JsonObject:
        self._note("query", query)
        lines = [
            {
                "seq": seq,
                "ts": "2026-01-02T03:04:05.678Z",
                "category": "approval",
                "action": "pack.approve",
                "outcome": "ok",
                "principal": "hello",
                "actor": "owner",
                "rule": "owner",
            }
            for seq in range(1, 6)
        ]
        picked = [line for line in lines if query.after is None or int(str(line["seq"])) > query.after]
        return {"items": picked[-query.limit :], "cursor": None}

    async def verify(self) -> JsonObject:
        return {"ok": True, "files": 1, "lines": 5, "first_bad": None}

    async def status(self) -> JsonObject:
        return {
            "version": "1.0.0",
            "profile": "private",
            "security_mode": "strict",
            "packs": {"approved": 1, "pending": 2},
            "diagnostics": await self.diagnostics(),
        }

    async def settings(self) -> JsonList:
        return [
            {
                "name": "api_port",
                "variable": "RUMI_API_PORT",
                "value": "8765",
                "source": "default",
                "description": "Port",
            }
        ]

    async def diagnostics(self) -> JsonList:
        return [
            {
                "severity": "problem",
                "code": "PACK_INVALID",
                "subject": "evil",
                "message": f"Its files do not parse {EVIL}",
                "hint": "rumi pack show evil",
            }
        ]

    async def health(self) -> Health:
        return self.health_now

    async def metrics(self) -> Sequence[Metric]:
        return [
            Metric("rumi_packs", 3.0, "gauge", "Packs by state", (("state", 'pen"ding'),)),
            Metric("rumi_packs", 1.5, "gauge", "Packs by state", (("state", "approved"),)),
        ]


@dataclass
class MemoryDocument:
    """A signed document that lives in memory."""

    value: Mapping[str, object] = field(default_factory=dict)

    def load(self) -> Mapping[str, object]:
        return self.value

    def save(self, value: Mapping[str, object]) -> None:
        self.value = value


@dataclass
class MemoryAudit:
    """An audit trail that only remembers."""

    entries: list[AuditEntry] = field(default_factory=list)

    def append(self, entry: AuditEntry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq: int) -> None:
        return


class Running:
    """The doors, served on a loop in a thread of its own until `stop`."""

    def __init__(
        self,
        folder: Path,
        *,
        trust_peer_uid: bool = True,
        per_minute: int = 1_000_000,
        body_seconds: float = 10.0,
        guesses_per_second: float = 20.0,
    ) -> None:
        import os

        self.kernel = FakeKernel()
        self.audit = MemoryAudit()
        self.clock = SystemClock()
        self.folder = folder
        self.socket = folder / "run" / "admin.sock"
        self.port = 0
        self._options = (trust_peer_uid, os.geteuid(), per_minute, body_seconds, guesses_per_second)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._stop: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: uvloop.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        if self._failed is not None:
            raise self._failed

    async def _main(self) -> None:
        trust, uid, *limits = self._options
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.tokens = TokenStore(MemoryDocument(), clock=self.clock, audit=self.audit)
        self.tokens.load()
        kernel = self.kernel
        doors = KernelDoors(
            kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel, self.tokens
        )
        app = create_admin_app(doors, LoopBridge(self.loop))
        authenticator = Authenticator(self.tokens, kernel_uid=uid, trust_peer_uid=trust)
        rules = DoorRules(authenticator, self.audit, self.clock, *limits)
        door = AdminDoor(app, rules)
        try:
            async with serving(door, tcp=Address("127.0.0.1", 0), unix_path=self.socket) as listening:
                self.port = listening.port
                self._ready.set()
                await self._stop.wait()
        except BaseException as error:
            self._failed = error
            self._ready.set()
        finally:
            door.close()

    def token(self, *scopes: Scope, name: str = "") -> str:
        """Make a token with these scopes."""
        maker = Caller("owner", ALL_SCOPES, Channel.SOCKET, "req_test")
        label = name or "t" + "".join(scope.value for scope in scopes) + secrets.token_hex(6)
        work = self.tokens.add(label, frozenset(scopes), None, maker)
        return str(self.on_loop(work)["token"])

    def on_loop(self, work: object) -> JsonObject:
        """Run a coroutine on the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)  # type: ignore[arg-type]

    def stop(self) -> None:
        """End it and wait for it."""
        assert self.loop is not None
        assert self._stop is not None
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One set of doors for all tests that do not change it."""
    made = Running(tmp_path_factory.mktemp("d"), guesses_per_second=1e9)
    yield made
    made.stop()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Start doors with options of one's own."""
    made: list[Running] = []

    def begin(**options: object) -> Running:
        made.append(Running(tmp_path_factory.mktemp("d"), **options))  # type: ignore[arg-type]
        return made[-1]

    yield begin
    for one in made:
        one.stop()
