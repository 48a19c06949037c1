"""The container engine as the supervisor sees it, in three small parts.

The docker adapter and the permissive child-process adapter stand behind these; tests bring fakes. Every method has a
deadline inside the adapter (30 s), raises `Unavailable` with `details.reason` `RUNTIME_UNAVAILABLE` when the engine
does not answer, and never pulls an image. There is deliberately no way to run a second program in a container, to
attach to one, to copy into one or to build from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core_runtime.errors import Unavailable
from core_runtime.sandbox.ports import ExitState, RunningContainer
from core_runtime.sandbox.spec import ContainerSpec

RUNTIME_UNAVAILABLE = "RUNTIME_UNAVAILABLE"
IMAGE_MISSING = "IMAGE_MISSING"
SETTINGS_REFUSED = "SETTINGS_REFUSED"
LOST = "LOST"


def runtime_unavailable(what: str) -> Unavailable:
    """The one error for an engine that cannot be used now; `what` is a sentence without paths or addresses."""
    return Unavailable(
        what,
        hint="rumi doctor says what is wrong with the container engine.",
        details={"reason": RUNTIME_UNAVAILABLE},
    )


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the kernel and the doctor want to know of an engine."""

    version: str
    api_version: str
    storage_driver: str
    cgroup_version: str
    apparmor: bool
    user_namespace: bool
    rootless: bool
    root_folder: str
    runtimes: tuple[str, ...] = ()
    memory_bytes: int = 0
    seccomp: bool = True


class Images(Protocol):
    """Looking at images and at the engine."""

    async def image(self, reference: str) -> str:
        """The content id of a local image. Raises `Unavailable` (`IMAGE_MISSING`); never pulls."""

    async def info(self) -> EngineInfo:
        """What engine this is."""


class Containers(Protocol):
    """Making and ending containers."""

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container, read its settings back, and return its id.

        Raises `Unavailable`: `SETTINGS_REFUSED` if the engine made anything else than `spec` (it is removed then).
        """

    async def start(self, container_id: str) -> None:
        """Start it. Does nothing if it runs already."""

    async def kill(self, container_id: str) -> None:
        """End it at once. Does nothing if it is gone or has ended."""

    async def remove(self, container_id: str) -> None:
        """Kill and remove it with its volumes. Does nothing if it is gone."""


class Observation(Protocol):
    """Looking at containers."""

    async def exit_state(self, container_id: str) -> ExitState | None:
        """How it ended, or None while it runs. Raises `Unavailable` (`LOST`) if the engine does not know it."""

    async def list(self, instance_id: str) -> Sequence[RunningContainer]:
        """Every container, running or not, that carries this instance's label."""

    async def logs(self, container_id: str) -> bytes:
        """The end of what it wrote to standard output and error, at most 1 MiB. For people; never parsed."""

    async def memory(self, container_id: str) -> int:
        """Bytes that its cgroup holds now, without what can be reclaimed at once."""


class Engine(Images, Containers, Observation, Protocol):
    """All three together: what an adapter is."""
