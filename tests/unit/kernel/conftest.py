"""Fakes of what the glue works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core_runtime.approval.model import PackState, PackStatus, SealedPack
from core_runtime.authority import Grant
from core_runtime.errors import ApprovalDenied, RumiError
from core_runtime.packs import ComponentDecl, InterfaceDecl, PackDescriptor
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.status import PackState as RunState
from core_runtime.sandbox.status import SessionView

DIGEST = "a" * 64


class FakeClock:
    """Both clocks stand at what a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class FakeStandings:
    """Approvals as a test says they are."""

    states: dict[str, PackStatus] = field(default_factory=dict)
    descriptors: dict[str, PackDescriptor] = field(default_factory=dict)
    grants: dict[str, dict[str, Grant]] = field(default_factory=dict)
    offers: dict[str, str] = field(default_factory=dict)

    def approve(self, descriptor: PackDescriptor, digest: str = DIGEST) -> None:
        self.descriptors[descriptor.pack_id] = descriptor
        self.states[descriptor.pack_id] = PackStatus(
            PackState.APPROVED, digest=digest, approved_digest=digest, holds_names=True
        )

    def set(self, pack_id: str, state: PackState, parent: str | None = None) -> None:
        """`holds_names` as the rules say it of a pack that was approved, and switched off only by the owner."""
        holds = state in {PackState.APPROVED, PackState.MODIFIED, PackState.INVALID}
        self.states[pack_id] = PackStatus(state, approved_digest=DIGEST, parent=parent, holds_names=holds)

    def state(self, pack_id: str) -> PackStatus:
        return self.states.get(pack_id, PackStatus(PackState.INVALID))

    def grants_of(self, pack_id: str) -> Mapping[str, Grant]:
        return self.grants.get(pack_id, {})

    def ceiling(self, pack_id: str) -> PackDescriptor | None:
        return self.descriptors.get(pack_id)

    def would_offer(self, interface: str) -> str | None:
        return self.offers.get(interface)

    async def sealed_for_start(self, pack_id: str) -> SealedPack:
        return self.sealed(pack_id)

    def sealed(self, pack_id: str) -> SealedPack:
        status = self.state(pack_id)
        if not status.runnable:
            raise ApprovalDenied("no")
        return SealedPack(Path("/sealed"), status.approved_digest or "", self.descriptors[pack_id])


@dataclass
class FakeRunner:
    """A supervisor that remembers; `answers` are values or errors by interface."""

    answers: dict[str, object] = field(default_factory=dict)
    started: list[PackLaunch] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str, object]] = field(default_factory=list)
    events: list[tuple[str, str, str, object]] = field(default_factory=list)
    start_error: RumiError | None = None

    async def start(self, launch: PackLaunch) -> SessionView:
        self.started.append(launch)
        if self.start_error is not None:
            raise self.start_error
        return SessionView(launch.descriptor.pack_id, RunState.READY)

    async def stop(self, pack_id: str, reason: str) -> None:
        self.stopped.append((pack_id, reason))

    async def call(self, pack_id, interface, args, *, context, stream_in=None):
        self.calls.append((pack_id, interface, args))
        answer = self.answers.get(interface)
        if isinstance(answer, RumiError):
            raise answer
        return answer(args) if callable(answer) else answer

    def event(self, pack_id, interface, topic, payload, context) -> bool:
        self.events.append((pack_id, interface, topic, payload))
        return True


def make_pack(pack_id: str, *interfaces: str | InterfaceDecl, **extra: object) -> PackDescriptor:
    """A descriptor with one component that provides `interfaces`."""
    decls = tuple(item if isinstance(item, InterfaceDecl) else InterfaceDecl(item) for item in interfaces)
    components = (ComponentDecl("main", "service", "1.0.0", decls, **extra.pop("component", {})),)
    return PackDescriptor(pack_id, f"github:a/{pack_id}", "1.0.0", Path("/p"), components=components, **extra)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def standings() -> FakeStandings:
    return FakeStandings()


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def pack():
    return make_pack
