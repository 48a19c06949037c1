"""A real supervisor with the real engine, sockets, channel and agent; a fake broker; packs from tests/packs."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from backend_core.ecosystem.describe import read_pack
from core_runtime.adapters.docker_engine import DockerEngine
from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.authority import CallContext
from core_runtime.clock import SystemClock
from core_runtime.errors import Unavailable
from core_runtime.ids import random_hex
from core_runtime.packs import PackDescriptor
from core_runtime.sandbox.channel import ChannelConfig, ChannelLimits, PackChannel
from core_runtime.sandbox.limits import Caps, limits_of
from core_runtime.sandbox.ports import CapabilityGate, ChannelEvents, ComponentReport, PackLaunch
from core_runtime.sandbox.session import SandboxConfig, Surroundings
from core_runtime.sandbox.supervisor import Supervisor
from core_runtime.sandbox.uids import LEAST_BASE, RANGE_SIZE, PackUids, UidMap

PACKS = Path(__file__).parent.parent.parent / "packs"
IMAGE = "rumi-sandbox:current"


@dataclass
class Recorder:
    ready: list[str] = field(default_factory=list)
    down: list[tuple[str, str]] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def pack_ready(self, pack_id: str, components: Sequence[ComponentReport]) -> None:
        self.ready.append(pack_id)

    def pack_down(self, pack_id: str, reason: str) -> None:
        self.down.append((pack_id, reason))

    def finding(self, *, severity: str, code: str, subject: str, message: str, hint: str) -> None:
        self.findings.append((subject, code))


class Memory:
    """A `StateFile` in memory."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def read(self) -> bytes | None:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data


class NoGate:
    def capability(self, call: object) -> object:
        raise Unavailable("no broker in this test")


class SealedByTheTest:
    """The test itself copied the pack a moment ago."""

    async def whole(self, launch: PackLaunch) -> None:
        assert launch.sealed_root.is_dir()


class Sandbox:
    """Everything of the sandbox, real; `instance` is fresh, so tests never see each other's containers."""

    def __init__(
        self, root: Path, engine: object, *, instance: str = "", uids: object = None, **config: object
    ) -> None:
        self.root = root
        self.clock = SystemClock()
        self.events = Recorder()
        self.engine = engine
        self.instance = instance or random_hex(8)
        self.listeners = UnixListeners(root / "run", self.clock)
        self.config = SandboxConfig(instance_id=self.instance, image=IMAGE, **config)  # type: ignore[arg-type]
        around = Surroundings(engine, self.listeners, self.channel, NoGate(), SealedByTheTest())  # type: ignore[arg-type]
        uids = uids or PackUids(Memory(), lambda info: UidMap(LEAST_BASE, LEAST_BASE), RANGE_SIZE)
        self.supervisor = Supervisor(around, uids, events=self.events, clock=self.clock, config=self.config)

    def channel(self, launch: PackLaunch, gate: CapabilityGate, events: ChannelEvents) -> PackChannel:
        limits = limits_of(launch.descriptor.sandbox, Caps())
        config = ChannelConfig(
            launch.settings,
            limits.concurrency,
            limits.max_streams,
            launch.descriptor.wants_network,
            ChannelLimits(hello_seconds=30),
        )
        return PackChannel(launch.descriptor.pack_id, gate, events, config, self.clock)

    def launch(self, name: str, **changes: object) -> PackLaunch:
        """Copy a pack as it would be sealed, and read it from there. `changes` replace fields of the descriptor."""
        sealed = self.root / "sealed" / f"{name}-{random_hex(4)}"
        shutil.copytree(PACKS / name, sealed)
        for path in sealed.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        sealed.chmod(0o555)
        scanned = read_pack(sealed, name)
        assert isinstance(scanned.descriptor, PackDescriptor), scanned.problems
        return PackLaunch(replace(scanned.descriptor, **changes), sealed, random_hex(32), {})  # type: ignore[arg-type]

    def context(self, seconds: float = 30.0) -> CallContext:
        return CallContext("req_test", self.clock.monotonic() + seconds)

    async def call(self, name: str, args: object = None, *, seconds: float = 30.0, pack: str = "hostile") -> object:
        return await self.supervisor.call(pack, name, args or {}, context=self.context(seconds))

    def state(self, pack: str = "hostile") -> str:
        return next(item.state.value for item in self.supervisor.status() if item.pack_id == pack)

    async def until(self, condition: object, seconds: float = 15.0) -> float:
        """Seconds until `condition()` is true."""
        began = time.monotonic()
        while not condition():  # type: ignore[operator]
            assert time.monotonic() - began < seconds, "it did not happen"
            await asyncio.sleep(0.02)
        return time.monotonic() - began


@pytest.fixture
async def docker_engine():
    engine = DockerEngine()
    yield engine
    await engine.close()


@pytest.fixture
async def make_sandbox(tmp_path: Path, docker_engine: DockerEngine):
    made: list[Sandbox] = []

    def make(**options: object) -> Sandbox:
        root = tmp_path / f"sandbox{len(made)}"
        root.mkdir()
        made.append(Sandbox(root, options.pop("engine", docker_engine), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sandbox in made:
        await sandbox.supervisor.close()
        left = await docker_engine.list(sandbox.instance)
        for item in left:
            await docker_engine.remove(item.id)
        assert not left, "a container was left behind"
        assert not list((sandbox.root / "run").glob("s/*")), "a socket folder was left behind"


@pytest.fixture
async def sandbox(make_sandbox) -> Sandbox:
    return make_sandbox()


@pytest.fixture
async def make_local_sandbox(tmp_path: Path):
    """The same without a container engine."""
    made: list[Sandbox] = []

    def make(**options: object) -> Sandbox:
        made.append(Sandbox(tmp_path, options.pop("engine"), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sandbox in made:
        await sandbox.supervisor.close()
        assert not await sandbox.engine.list(sandbox.instance)
        assert not list((sandbox.root / "run").glob("s/*")), "a socket folder was left behind"
