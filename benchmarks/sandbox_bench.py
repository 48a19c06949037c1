"""What the container benchmarks share: a real supervisor without a kernel around it, and the peers' side of a start."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from backend_core.ecosystem.describe import read_pack
from core_runtime.adapters.docker_engine import DockerEngine
from core_runtime.adapters.sealed_tree.reader import digest_of
from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.authority import CallContext
from core_runtime.capability.model import CapabilityCall
from core_runtime.clock import SystemClock
from core_runtime.errors import NotFound
from core_runtime.ids import random_hex
from core_runtime.sandbox.channel import ChannelConfig, ChannelLimits, PackChannel
from core_runtime.sandbox.limits import Caps, limits_of
from core_runtime.sandbox.ports import CapabilityGate, ChannelEvents, ComponentReport, PackLaunch
from core_runtime.sandbox.session import SandboxConfig, Surroundings
from core_runtime.sandbox.spec import ContainerSpec, Placement, build_spec
from core_runtime.sandbox.supervisor import Supervisor
from core_runtime.sandbox.uids import LEAST_BASE, PackUids, UidMap

ROOT = Path(__file__).resolve().parent.parent
NOTHING = ("python3", "-I", "-c", "pass")


class _Book:
    def __init__(self) -> None:
        self._data: bytes | None = None

    def read(self) -> bytes | None:
        return self._data

    def write(self, data: bytes) -> None:
        self._data = data


class _Quiet:
    """No owner, and no broker: these benchmarks make no wishes."""

    def pack_ready(self, pack_id: str, components: Sequence[ComponentReport]) -> None:
        """Nobody listens."""

    def pack_down(self, pack_id: str, reason: str) -> None:
        """Nobody listens."""

    def finding(self, *, severity: str, code: str, subject: str, message: str, hint: str) -> None:
        """Say it: a benchmark with a finding measured something else."""
        print(f"{severity}: {code} {subject}: {message} {hint}", file=sys.stderr)

    def capability(self, call: CapabilityCall) -> object:
        """Refuse."""
        raise NotFound(f"no {call.name} in a benchmark")


@dataclass
class Bench:
    """A supervisor over the real engine, below one temporary folder."""

    root: Path
    image: str
    engine: DockerEngine
    supervisor: Supervisor
    clock: SystemClock
    instance: str

    def launch(self, pack_id: str, pack: str = "hello") -> PackLaunch:
        """A copy of a bundled pack under another id (the id is changed in the description only)."""
        sealed = self.root / "sealed" / pack_id
        if not sealed.exists():
            shutil.copytree(ROOT / "ecosystem" / "packs" / pack, sealed)
        scanned = read_pack(sealed, pack)
        if scanned.descriptor is None:
            raise SystemExit(f"the pack {pack} cannot be read: {scanned.problems}")
        return PackLaunch(replace(scanned.descriptor, pack_id=pack_id), sealed, random_hex(32), {})

    async def answer(self, pack_id: str) -> object:
        """One call of the pack `hello`."""
        context = CallContext("req_bench", self.clock.monotonic() + 30.0)
        return await self.supervisor.call(pack_id, "service.hello", {"name": "Ada"}, context=context)

    async def bare_spec(self, launch: PackLaunch, number: int) -> ContainerSpec:
        """The same image and settings, doing nothing: what a peer starts."""
        folder = self.root / "peer"
        folder.mkdir(exist_ok=True)
        place = Placement(
            name=f"rumi-{random_hex(8)}",
            uid=LEAST_BASE + 3000 + number,
            socket_folder=folder,
            image_id=await self.engine.image(self.image),
            instance_id=random_hex(8),
        )
        return replace(build_spec(launch, place, Caps()), entrypoint=NOTHING)


class _Sealed:
    """Hashes the copy, as the kernel does before each start."""

    async def whole(self, launch: PackLaunch) -> None:
        """See `SealedCopies`."""
        await asyncio.to_thread(digest_of, launch.sealed_root)


@asynccontextmanager
async def bench(image: str) -> AsyncIterator[Bench]:
    """Build it, and leave nothing behind."""
    clock, engine, quiet, instance = SystemClock(), DockerEngine(), _Quiet(), random_hex(8)

    def channel(launch: PackLaunch, gate: CapabilityGate, events: ChannelEvents) -> PackChannel:
        limits = limits_of(launch.descriptor.sandbox, Caps())
        config = ChannelConfig(
            launch.settings, limits.concurrency, limits.max_streams, limits=ChannelLimits(hello_seconds=30.0)
        )
        return PackChannel(launch.descriptor.pack_id, gate, events, config, clock)

    with tempfile.TemporaryDirectory(prefix="rumi-bench-") as name:
        root = Path(name)
        around = Surroundings(engine, UnixListeners(root / "run", clock), channel, quiet, _Sealed())
        config = SandboxConfig(instance_id=instance, image=image)
        uids = PackUids(_Book(), lambda _info: UidMap(LEAST_BASE, LEAST_BASE))
        supervisor = Supervisor(around, uids, events=quiet, clock=clock, config=config)
        try:
            yield Bench(root, image, engine, supervisor, clock, instance)
        finally:
            await supervisor.close()
            await engine.close()


def docker_run(spec: ContainerSpec, seccomp_file: Path) -> float:
    """Seconds that `docker run` takes with exactly these settings, to the end of the program."""
    seccomp = next(option for option in spec.security_opt if option.startswith("seccomp="))
    seccomp_file.write_text(seccomp.removeprefix("seccomp="))
    settings = {
        "network": "none",
        "cap-drop": "ALL",
        "pids-limit": spec.pids_limit,
        "memory": spec.memory_bytes,
        "memory-swap": spec.memory_bytes,
        "oom-score-adj": spec.oom_score_adj,
        "cpus": spec.nano_cpus / 1e9,
        "ipc": spec.ipc_mode,
        "cgroupns": spec.cgroupns,
        "dns": "127.0.0.1",
        "hostname": spec.hostname,
        "user": spec.user,
        "workdir": spec.working_dir,
        "log-driver": spec.log_driver,
        "name": spec.name,
    }
    command = ["docker", "run", "--read-only", "--init", "--no-healthcheck"]
    command += ["--security-opt", "no-new-privileges:true", "--security-opt", f"seccomp={seccomp_file}"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    command += [part for key, value in spec.log_options for part in ("--log-opt", f"{key}={value}")]
    command += [part for key, value in spec.tmpfs for part in ("--tmpfs", f"{key}:{value}")]
    command += [part for item in spec.ulimits for part in ("--ulimit", f"{item.name}={item.soft}:{item.hard}")]
    command += [part for key, value in spec.environment.items() for part in ("--env", f"{key}={value}")]
    for mount in spec.mounts:
        command += [
            "--mount",
            f"type=bind,source={mount.source},target={mount.target},readonly,bind-propagation=rprivate",
        ]
    command += ["--entrypoint", spec.entrypoint[0], spec.image_id, *spec.entrypoint[1:]]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    subprocess.run(["docker", "rm", "--force", "--volumes", spec.name], check=True, capture_output=True)
    return seconds


def image_is_there(image: str) -> bool:
    """True if the `docker` command reaches an engine that has the image."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
