"""Permissive mode: packs as child processes of the kernel, where no container engine can be had.

This is no sandbox. It keeps the same agent, socket, limits of size and life cycle, so that authors can work, but a
pack can read what the kernel's user can read and reach the network. It exists only when the owner set
`RUMI_SECURITY_MODE=permissive`; nothing ever falls back to it (CT-21), and the constructor wants to be told so.
Children get a clean environment, a session and resource limits of their own, and die with the kernel.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.ids import random_hex
from core_runtime.sandbox.engine_port import LOST, EngineInfo, runtime_unavailable
from core_runtime.sandbox.ports import ExitState, RunningContainer
from core_runtime.sandbox.spec import (
    DEPENDENCIES_FOLDER,
    LABEL_INSTANCE,
    PACK_FOLDER,
    SOCKET_FOLDER,
    ContainerSpec,
)

IMAGE_ID = "sha256:" + "0" * 64
MAX_OUTPUT = 1_048_576
KILL_SECONDS = 5.0
MARK = "RUMI_START"
_PAGE = os.sysconf("SC_PAGE_SIZE")

# Runs before any code of the pack: limits first (a child of ours, so nothing but limits can be wrong), then the agent.
# PR_SET_PDEATHSIG is 1: the child dies with the kernel, whose socket it would lose anyway.
_LAUNCHER = """
import ctypes, json, os, resource, signal, sys
plan = json.loads(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != plan["parent"]:
    os._exit(1)
for name, soft, hard in plan["limits"]:
    number = getattr(resource, "RLIMIT_" + name)
    top = resource.getrlimit(number)[1]
    cap = hard if top == resource.RLIM_INFINITY else min(hard, top)
    resource.setrlimit(number, (min(soft, cap), cap))
sys.argv = ["container_agent.py"]
sys.path.insert(0, plan["agent"])
from rumi_agent.agent import Options
from rumi_agent.main import main
folder = os.open(plan["socket_folder"], os.O_RDONLY | os.O_DIRECTORY)  # a short name however deep it lies (unix(7))
main(Options(socket="/proc/self/fd/%d/kernel.sock" % folder, pack=plan["pack"], deps=plan["deps"]))
"""


@dataclass(slots=True)
class _Child:
    """One pack's process."""

    spec: ContainerSpec
    scratch: Path
    output: int  # descriptor of a file without a name; the limit on file sizes bounds it
    process: asyncio.subprocess.Process | None = None


class SubprocessEngine:
    """`Engine` without an engine. `agent_folder` holds `container_agent.py` and its modules."""

    def __init__(self, agent_folder: Path, *, security_mode: str) -> None:
        if security_mode != "permissive":
            raise ValidationFailed(
                "Packs run as child processes only with RUMI_SECURITY_MODE=permissive.",
                hint="Install a container engine (python3 bootstrap.py setup), or set the mode knowingly.",
            )
        self._agent = agent_folder
        self._children: dict[str, _Child] = {}

    async def image(self, reference: str) -> str:
        """See `Images`: there is none, so any name is the same one."""
        del reference
        return IMAGE_ID

    async def info(self) -> EngineInfo:
        """See `Images`."""
        return EngineInfo(
            "permissive", "", "none", "", apparmor=False, user_namespace=False, rootless=False, root_folder=""
        )

    async def create(self, spec: ContainerSpec) -> str:
        """See `Containers`."""
        child_id = random_hex(32)
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rumi-pack-"))
        output = os.open(scratch / "output", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        (scratch / "output").unlink()
        self._children[child_id] = _Child(spec, scratch, output)
        return child_id

    async def start(self, container_id: str) -> None:
        """See `Containers`."""
        child = self._get(container_id)
        if child.process is not None:
            return
        try:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-B", "-c", _LAUNCHER, self._plan(child.spec),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=child.output,
                stderr=child.output,
                env=_environment(child),
                cwd=child.scratch,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise runtime_unavailable(f"A child process cannot be started: {error.strerror}.") from None

    async def kill(self, container_id: str) -> None:
        """See `Containers`. The process group goes, and whatever left it but still carries this start's mark."""
        child = self._children.get(container_id)
        if child is None or child.process is None:
            return
        if child.process.returncode is None:  # later the number may be another's
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
        await asyncio.to_thread(_kill_marked, child.spec.name)
        with suppress(TimeoutError):
            await asyncio.wait_for(child.process.wait(), KILL_SECONDS)

    async def remove(self, container_id: str) -> None:
        """See `Containers`."""
        await self.kill(container_id)
        child = self._children.pop(container_id, None)
        if child is not None:
            os.close(child.output)
            await asyncio.to_thread(shutil.rmtree, child.scratch, ignore_errors=True)

    async def exit_state(self, container_id: str) -> ExitState | None:
        """See `Observation`. Whether memory ran out cannot be known here."""
        process = self._get(container_id).process
        if process is None or process.returncode is None:
            return None
        code = process.returncode
        return ExitState(code if code >= 0 else 128 - code, oom_killed=False)

    async def list(self, instance_id: str) -> Sequence[RunningContainer]:
        """See `Observation`: only children of this process; those of an earlier one died with it."""
        return [
            RunningContainer(key, child.spec.name, child.spec.labels, _state(child))
            for key, child in self._children.items()
            if child.spec.labels.get(LABEL_INSTANCE) == instance_id
        ]

    async def logs(self, container_id: str) -> bytes:
        """See `Observation`."""
        output = self._get(container_id).output
        size = os.fstat(output).st_size
        return await asyncio.to_thread(os.pread, output, MAX_OUTPUT, max(0, size - MAX_OUTPUT))

    async def memory(self, container_id: str) -> int:
        """See `Observation`: the resident part of the agent's process alone."""
        process = self._get(container_id).process
        if process is None:
            return 0
        try:
            fields = await asyncio.to_thread(Path(f"/proc/{process.pid}/statm").read_text, encoding="ascii")
        except OSError:
            return 0
        return int(fields.split()[1]) * _PAGE

    async def close(self) -> None:
        """End every child."""
        await asyncio.gather(*(self.remove(key) for key in list(self._children)))

    def _get(self, container_id: str) -> _Child:
        child = self._children.get(container_id)
        if child is None:
            raise Unavailable("The pack's process is gone.", details={"reason": LOST})
        return child

    def _plan(self, spec: ContainerSpec) -> str:
        """The launcher's argument: our own paths and numbers, as JSON; nothing of it is a command."""
        places = {mount.target: str(mount.source) for mount in spec.mounts}
        limits = [(item.name.upper(), item.soft, item.hard) for item in spec.ulimits]
        limits.append(("DATA", spec.memory_bytes, spec.memory_bytes))
        return json.dumps(
            {
                "parent": os.getpid(),
                "limits": limits,
                "agent": str(self._agent),
                "socket_folder": places[SOCKET_FOLDER],
                "pack": places[PACK_FOLDER],
                "deps": places.get(DEPENDENCIES_FOLDER),
            }
        )


def _environment(child: _Child) -> dict[str, str]:
    scratch = str(child.scratch)
    return {**child.spec.environment, "HOME": scratch, "TMPDIR": scratch, MARK: child.spec.name}


def _state(child: _Child) -> str:
    if child.process is None:
        return "created"
    return "running" if child.process.returncode is None else "exited"


def _kill_marked(name: str) -> None:
    """Kill what a pack started in sessions of their own. One that wiped its environment stays: this is no sandbox."""
    wanted = f"{MARK}={name}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
