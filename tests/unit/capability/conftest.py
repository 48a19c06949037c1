"""A small world around the broker: facts, targets, a trail and handlers that remember."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from pydantic import Field

from core_runtime.audit import AuditEntry
from core_runtime.authority import Actor, CallContext, Grant, GrantMode, Principal, Risk
from core_runtime.capability.broker import Broker, BrokerLimits
from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.capability.fields import Form
from core_runtime.capability.model import CapabilityCall, GrantLevel
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget
from core_runtime.capability.ports import BrokerPorts, Invocation, PrincipalFacts
from core_runtime.errors import RumiError
from core_runtime.handlers.listing import SPECS
from core_runtime.packs import DeclaredPermission, StoreDecl, Text


@dataclass
class FakeClock:
    now: float = 1_000_000.0
    ticks: float = 50.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ticks


@dataclass
class FakeTrail:
    lines: list[AuditEntry] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    failure: RumiError | None = None

    def append(self, entry: AuditEntry) -> int:
        if self.failure is not None:
            raise self.failure
        self.lines.append(entry)
        self.events.append(f"line:{entry.outcome.value}:{entry.action}")
        return len(self.lines)

    async def durable(self, seq: int) -> None:
        self.events.append(f"durable:{seq}")


@dataclass
class FakeUses:
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def used(self, owner: str, grant: Grant) -> int:
        return self.counts.get((owner, grant.permission), 0)

    def use(self, owner: str, grant: Grant) -> Awaitable[None]:
        self.counts[owner, grant.permission] = self.used(owner, grant) + 1
        return asyncio.sleep(0)


@dataclass
class FakeFacts:
    packs: dict[str, bool] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    declared: dict[tuple[str, str], DeclaredPermission] = field(default_factory=dict)
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    ceilings: dict[tuple[str, str], Mapping[str, object]] = field(default_factory=dict)
    host_ceiling: dict[str, Mapping[str, object]] | None = None
    rules: ActorPolicy = field(default_factory=ActorPolicy)
    number: int = 1
    asked: int = 0

    def generation(self) -> int:
        return self.number

    def policy(self) -> ActorPolicy:
        return self.rules

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        self.asked += 1
        parts = principal_id.split("__")
        parents = tuple("__".join(parts[:count]) for count in range(1, len(parts)))
        if self.host_ceiling is None:
            host = GrantLevel("host", admits_all=True)
        else:
            host = GrantLevel("host", config=self.host_ceiling.get(permission))
        levels = [host]
        for parent, child in zip(parents, (*parents, principal_id)[1:], strict=True):
            levels.append(
                GrantLevel(parent, self.grants.get((parent, permission)), self.ceilings.get((child, permission)))
            )
        if principal_id != "host":
            levels.append(GrantLevel(principal_id, self.grants.get((principal_id, permission))))
        return PrincipalFacts(
            approved=self.packs.get(principal_id, False),
            reason=self.states.get(principal_id, "pending"),
            parents=tuple((parent, self.packs.get(parent, False)) for parent in parents),
            declared=self.declared.get((principal_id, permission)),
            levels=tuple(levels),
            generation=self.number,
        )


@dataclass
class FakeTargets:
    interfaces: dict[str, InterfaceTarget] = field(default_factory=dict)
    stores: dict[tuple[str, str], StoreDecl] = field(default_factory=dict)

    def interface(self, name: str) -> InterfaceTarget | None:
        return self.interfaces.get(name)

    def store(self, pack_id: str, store_id: str) -> StoreDecl | None:
        return self.stores.get((pack_id, store_id))


class RateConfig(Form):
    keys: list[str] = Field(default_factory=list)
    rate_per_minute: int = 60


class NoConfig(Form):
    pass


class NoArgs(Form):
    pass


WORDS = {"en": "x", "ja": "x"}
TEST_SPECS = (
    PermissionSpec("test.high", Risk.HIGH, WORDS, NoConfig, NoArgs),
    PermissionSpec("test.critical", Risk.CRITICAL, WORDS, NoConfig, NoArgs),
    PermissionSpec("test.rated", Risk.LOW, WORDS, RateConfig, NoArgs, immediate=True),
)


class World:
    """Everything around one broker. `effects` are the invocations that reached a handler."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.trail = FakeTrail()
        self.uses = FakeUses()
        self.facts = FakeFacts()
        self.targets = FakeTargets()
        self.effects: list[tuple[str, Invocation]] = []
        self.answers: dict[str, Callable[[Invocation], object]] = {}
        self.timers: list[Callable[[], None]] = []
        self.specs: tuple[PermissionSpec, ...] = (*SPECS, *TEST_SPECS)
        self.limits = BrokerLimits()

    def broker(self) -> Broker:
        catalogue = Catalogue(self.specs)
        ports = BrokerPorts(
            self.facts,
            self.targets,
            self.uses,
            self.trail,
            self.clock,
            lambda condition, args: bool(args.get(condition)),
            lambda seconds, action: self.timers.append(action),
        )
        return Broker(catalogue, {spec.id: self._handler(spec.id) for spec in catalogue.all()}, ports, self.limits)

    def pack(self, pack_id: str, *, approved: bool = True, state: str = "pending") -> None:
        self.facts.packs[pack_id] = approved
        self.facts.states[pack_id] = state

    def declare(self, pack_id: str, permission: str, config: Mapping[str, object], *, background: bool = False) -> None:
        self.facts.declared[pack_id, permission] = DeclaredPermission(
            permission, config, Text({"en": "test"}), background=background
        )

    def grant(self, pack_id: str, permission: str, config: Mapping[str, object], **more: object) -> None:
        base = Grant(permission, dict(config))
        self.facts.grants[pack_id, permission] = replace(base, **more)  # type: ignore[arg-type]
        self.facts.number += 1

    def allow(self, pack_id: str, permission: str, config: Mapping[str, object], **more: object) -> None:
        """A pack that may."""
        self.pack(pack_id)
        self.declare(pack_id, permission, config, background=bool(more.pop("background", False)))
        self.grant(pack_id, permission, config, **more)

    def context(self, **more: object) -> CallContext:
        base = CallContext("req_outer", self.clock.ticks + 30, actor=Actor("owner", "owner"))
        return replace(base, **more)  # type: ignore[arg-type]

    def call(
        self, broker: Broker, permission: str, args: Mapping[str, object], *, pack: str = "notes", **more: object
    ) -> object:
        """As from the pack's channel; `context=None` is its own account."""
        context = more.get("context", self.context())
        deadline = more.get("deadline", self.clock.ticks + 30)
        assert context is None or isinstance(context, CallContext)
        assert isinstance(deadline, int | float)
        return broker.capability(CapabilityCall(pack, permission, args, context, deadline))

    def _handler(self, permission: str) -> Callable[[Invocation], object]:
        def run(invocation: Invocation) -> object:
            self.trail.events.append(f"effect:{permission}")
            self.effects.append((permission, invocation))
            answer = self.answers.get(permission)
            return answer(invocation) if answer else {"done": permission}

        return run


@pytest.fixture
def world() -> World:
    """A world in which the pack `notes` may read its own store `notes`."""
    world = World()
    world.allow("notes", "store.get", {"stores": ["notes"]})
    world.targets.stores["notes", "notes"] = StoreDecl("notes")
    return world


@pytest.fixture
def host() -> Principal:
    return Principal("host")


@pytest.fixture
def modes() -> type[GrantMode]:
    return GrantMode
