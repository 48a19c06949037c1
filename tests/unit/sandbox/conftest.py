"""A sandbox without an engine: fakes of its ports, and a world that puts them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core_runtime.authority import CallContext
from core_runtime.errors import ApprovalDenied, DeadlineExceeded, NotFound, Unavailable
from core_runtime.packs import DeclaredPermission, PackDescriptor, SandboxRequest, Text
from core_runtime.sandbox.engine_port import IMAGE_MISSING, LOST, EngineInfo, runtime_unavailable
from core_runtime.sandbox.ports import ComponentReport, ExitState, PackLaunch, RunningContainer
from core_runtime.sandbox.session import SandboxConfig, Surroundings
from core_runtime.sandbox.spec import LABEL_INSTANCE, LABEL_PACK, ContainerSpec
from core_runtime.sandbox.supervisor import Supervisor
from core_runtime.sandbox.uids import UidPair

INSTANCE = "ab" * 8


class FakeClock:
    """Real monotonic time (deadlines), fixed wall time, and a jump that tests may add."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.ahead

    def monotonic(self) -> float:
        return asyncio.get_event_loop().time() + self.ahead


class FakeChannel(asyncio.Protocol):
    """An agent that answers at once unless told otherwise."""

    def __init__(self, launch: PackLaunch, events: object) -> None:
        self.launch = launch
        self.events = events
        self.calls: list[tuple[str, object]] = []
        self.sent_events: list[tuple[str, str, object]] = []
        self.answers: dict[str, object] = {}
        self.alive = True
        self.stops_politely = True
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(self, name: str, args: object, *, context: CallContext, stream_in: object = None) -> object:
        self.calls.append((name, args))
        if self.over.done():
            raise Unavailable("gone", details={"reason": "NO_RESULT"})
        answer = self.answers.get(name, NotFound("no such interface")) if self.alive else "never"
        if isinstance(answer, Exception):
            raise answer
        if answer != "never" and not isinstance(answer, asyncio.Event):
            return answer
        waiting = answer.wait() if isinstance(answer, asyncio.Event) else asyncio.Event().wait()
        seconds = max(0.0, context.deadline - asyncio.get_running_loop().time())
        task = asyncio.ensure_future(waiting)
        await asyncio.wait({task, self.over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self.over.done():
            task.cancel()
            raise Unavailable("gone", details={"reason": "NO_RESULT"})
        if not task.done():
            task.cancel()
            raise DeadlineExceeded("too late")
        return "done"

    def event(self, interface: str, topic: str, payload: object, context: object) -> None:
        self.sent_events.append((interface, topic, payload))

    def stop(self, grace: float) -> None:
        if self.stops_politely:
            self.break_off("stopped")

    def abort(self, reason: str) -> None:
        self.break_off(reason)

    def break_off(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(None)
            self.events.closed(reason)


@dataclass
class FakeListener:
    folder: Path
    closed: bool = False
    intact: bool = True
    mendable: bool = True

    def check(self) -> bool:
        return self.intact

    def recreate(self) -> None:
        if not self.mendable:
            raise Unavailable("the folder is gone")
        self.intact = True

    async def close(self) -> None:
        self.closed = True


class FakeListeners:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[FakeListener] = []
        self.peers: list[int] = []
        self.factories: list[Callable[[], asyncio.Protocol]] = []

    async def listen(self, *, peer_uid: int, channel_factory: Callable[[], asyncio.Protocol]) -> FakeListener:
        folder = self.root / f"socket{len(self.made)}"
        folder.mkdir()
        self.made.append(FakeListener(folder))
        self.peers.append(peer_uid)
        self.factories.append(channel_factory)
        return self.made[-1]


@dataclass
class FakeContainer:
    spec: ContainerSpec
    state: str = "created"
    exit: ExitState | None = None


@dataclass
class FakeEngine:
    """An engine in memory. `on_start` plays the agent: by default it says hello."""

    listeners: FakeListeners
    components: tuple[ComponentReport, ...] = (ComponentReport("main", ("service.x",)),)
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    channels: list[FakeChannel] = field(default_factory=list)
    foreign: list[RunningContainer] = field(default_factory=list)
    down: bool = False
    image_there: bool = True
    says_hello: bool = True
    create_error: Exception | None = None
    start_gate: asyncio.Event | None = None
    log: list[str] = field(default_factory=list)
    count: int = 0
    most_at_once: int = 0

    def _up(self) -> None:
        if self.down:
            raise runtime_unavailable("The container engine cannot be reached.")

    def _get(self, container_id: str) -> FakeContainer:
        self._up()
        if container_id not in self.containers:
            raise Unavailable("gone", details={"reason": LOST})
        return self.containers[container_id]

    async def image(self, reference: str) -> str:
        self._up()
        if not self.image_there:
            raise Unavailable("no image", details={"reason": IMAGE_MISSING})
        return "sha256:" + "1" * 64

    async def info(self) -> EngineInfo:
        self._up()
        return EngineInfo("1", "1.41", "overlay2", "2", False, False, False, "/var/lib/docker")

    async def create(self, spec: ContainerSpec) -> str:
        self._up()
        if self.create_error is not None:
            raise self.create_error
        self.count += 1
        container_id = f"{self.count:064x}"
        self.containers[container_id] = FakeContainer(spec)
        self.log.append(f"create {spec.labels[LABEL_PACK]}")
        return container_id

    async def start(self, container_id: str) -> None:
        self._get(container_id).state = "running"
        if self.start_gate is not None:
            await self.start_gate.wait()
        self.most_at_once = max(self.most_at_once, sum(c.state == "running" for c in self.containers.values()))
        channel = self.listeners.factories[-1]()
        mine = self._get(container_id).spec.mounts[1].source
        channel = self.listeners.factories[[item.folder for item in self.listeners.made].index(mine)]()
        assert isinstance(channel, FakeChannel)
        self.channels.append(channel)
        if self.says_hello:
            asyncio.get_running_loop().call_soon(channel.events.ready, self.components)

    def end(self, index: int = -1, *, code: int = 1, oom: bool = False) -> None:
        """The newest (or another) container ends by itself."""
        container = list(self.containers.values())[index]
        container.state, container.exit = "exited", ExitState(code, oom)
        self.channels[index].break_off("the agent closed the connection")

    async def kill(self, container_id: str) -> None:
        self.log.append("kill")
        container = self._get(container_id)
        container.state, container.exit = "exited", ExitState(137, oom_killed=False)

    async def remove(self, container_id: str) -> None:
        self._up()
        self.log.append("remove")
        self.containers.pop(container_id, None)
        self.foreign = [item for item in self.foreign if item.id != container_id]

    async def exit_state(self, container_id: str) -> ExitState | None:
        return self._get(container_id).exit

    async def list(self, instance_id: str) -> Sequence[RunningContainer]:
        self._up()
        own = [RunningContainer(key, c.spec.name, c.spec.labels, c.state) for key, c in self.containers.items()]
        return [item for item in [*own, *self.foreign] if item.labels.get(LABEL_INSTANCE) == instance_id]

    async def logs(self, container_id: str) -> bytes:
        self._get(container_id)
        return b"a line\x1b[31m of output\n"

    async def memory(self, container_id: str) -> int:
        self._get(container_id)
        return 12_000_000


class FakeUids:
    def __init__(self) -> None:
        self.given: dict[str, int] = {}

    def of(self, pack_id: str, info: EngineInfo) -> UidPair:
        number = self.given.setdefault(pack_id, 300_000 + len(self.given))
        return UidPair(number, number)


@dataclass
class Recorder:
    """What the supervisor told its owner."""

    ready: list[str] = field(default_factory=list)
    down: list[tuple[str, str]] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def pack_ready(self, pack_id: str, components: Sequence[ComponentReport]) -> None:
        self.ready.append(pack_id)

    def pack_down(self, pack_id: str, reason: str) -> None:
        self.down.append((pack_id, reason))

    def finding(self, *, severity: str, code: str, subject: str, message: str, hint: str) -> None:
        self.findings.append((subject, code))


class NoGate:
    def capability(self, call: object) -> object:
        raise AssertionError("no wish is expected here")


def make_launch(
    root: Path,
    pack_id: str = "demo",
    *,
    digest: str = "d" * 64,
    network: bool = False,
    settings: Mapping[str, object] | None = None,
    **sandbox: object,
) -> PackLaunch:
    """A launch of a pack that has nothing but its sandbox wishes."""
    permissions = (DeclaredPermission("http.request", {"domains": ["example.com"]}, Text()),) if network else ()
    request = SandboxRequest(**sandbox)  # type: ignore[arg-type]
    descriptor = PackDescriptor(pack_id, "local:demo", "1.0.0", root, sandbox=request, permissions=permissions)
    return PackLaunch(descriptor, root, digest, settings or {})


class FakeCopies:
    """Counts the looks at a sealed copy; `damaged` holds the pack ids whose copy is not whole."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.damaged: set[str] = set()

    async def whole(self, launch: PackLaunch) -> None:
        self.looks.append(launch.descriptor.pack_id)
        if launch.descriptor.pack_id in self.damaged:
            raise ApprovalDenied("Its sealed copy is damaged.")


class World:
    """A supervisor with everything fake around it. Pauses of restarts are recorded and last until let go."""

    def __init__(self, root: Path, **config: object) -> None:
        self.root = root
        self.clock = FakeClock()
        self.listeners = FakeListeners(root)
        self.engine = FakeEngine(self.listeners)
        self.events = Recorder()
        self.uids = FakeUids()
        self.pauses: list[float] = []
        self.resume = asyncio.Event()
        self.config = SandboxConfig(
            **{
                "instance_id": INSTANCE,
                "image": "image",
                "health_seconds": 0.02,
                "hang_grace_seconds": 0.05,
                "stop_seconds": 0.05,
                "hello_seconds": 0.3,
                **config,
            }  # type: ignore[arg-type]
        )
        self.copies = FakeCopies()
        around = Surroundings(
            self.engine,
            self.listeners,
            lambda launch, gate, events: FakeChannel(launch, events),
            NoGate(),
            self.copies,
        )
        self.supervisor = Supervisor(
            around, self.uids, events=self.events, clock=self.clock, config=self.config, pause=self._pause
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.resume.wait()

    def launch(self, pack_id: str = "demo", **options: object) -> PackLaunch:
        return make_launch(self.root, pack_id, **options)  # type: ignore[arg-type]

    def context(self, seconds: float = 1.0) -> CallContext:
        return CallContext("req_1", self.clock.monotonic() + seconds)

    def state(self, pack_id: str = "demo") -> str:
        return next(item.state.value for item in self.supervisor.status() if item.pack_id == pack_id)

    async def until(self, condition: Callable[[], bool], seconds: float = 2.0) -> None:
        """Wait for something that the supervisor does by itself."""
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, "it did not happen"
            await asyncio.sleep(0.005)


@pytest.fixture
async def make_world(tmp_path: Path):
    worlds: list[World] = []

    def make(**config: object) -> World:
        folder = tmp_path / f"world{len(worlds)}"
        folder.mkdir()
        worlds.append(World(folder, **config))
        return worlds[-1]

    yield make
    for world in worlds:
        world.engine.down = False
        world.resume.set()
        await world.supervisor.close()


@pytest.fixture
async def world(make_world) -> World:
    return make_world()


@pytest.fixture
def launch_of(tmp_path: Path) -> Callable[..., PackLaunch]:
    return lambda *args, **options: make_launch(tmp_path, *args, **options)
