"""What one container is: every setting, decided in one pure function.

The threat is the pack itself. It is assumed to be malicious, and its files are read before it runs; so nothing that it
says may reach the engine but limits that policy has capped, one flag for shared memory, the fact that it declared a
network permission, and its own id, which is matched against the grammar before it becomes a label. Names, paths,
images, users, commands, capabilities and mounts come from the kernel alone. Does no I/O and never talks to an engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core_runtime.errors import ValidationFailed
from core_runtime.ids import is_digest, is_pack_id
from core_runtime.sandbox.limits import MIB, Caps, limits_of
from core_runtime.sandbox.ports import PackLaunch
from core_runtime.sandbox.seccomp import SeccompProfile, profile_json

LABEL_INSTANCE = "org.rumi.instance"
LABEL_PACK = "org.rumi.pack"
LABEL_DIGEST = "org.rumi.digest"

SCRATCH = "/tmp"  # noqa: S108 - the container's own tmpfs
PACK_FOLDER = "/pack"
DEPENDENCIES_FOLDER = "/deps"
SOCKET_FOLDER = "/run/rumi"
AGENT_COMMAND = ("python3", "-I", "-B", "/opt/rumi/container_agent.py")
EXTRA_CA_NAME = "ca.pem"
PROXY_URL = "http://127.0.0.1:3128"

FIXED_ENVIRONMENT = {
    "HOME": SCRATCH,
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RUMI_SOCK": f"{SOCKET_FOLDER}/kernel.sock",
}

_NAME = re.compile(r"rumi-[0-9a-f]{16}", re.ASCII)
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_INSTANCE = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_RUNTIME = re.compile(r"[a-zA-Z0-9._-]{0,64}", re.ASCII)
LOWEST_UID = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the kernel decides about one start: none of it comes from the pack.

    `uid` is the number inside the container, `name` the random container name, `image_id` the engine's content id.
    """

    name: str
    uid: int
    socket_folder: Path
    image_id: str
    instance_id: str
    runtime: str = ""
    apparmor: bool = False
    extra_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount: read-only, private propagation, always. `source` is a path that only the kernel can write."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit, soft and hard."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """The settings table of the sandbox as a value. What has a default is the same for every pack."""

    name: str
    labels: Mapping[str, str]
    image_id: str
    user: str
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    security_opt: tuple[str, ...]
    memory_bytes: int
    nano_cpus: int
    pids_limit: int
    ipc_mode: str
    shm_bytes: int | None
    runtime: str
    network_mode: str = "none"
    read_only: bool = True
    cap_drop: tuple[str, ...] = ("ALL",)
    cgroupns: Literal["private"] = "private"
    init: bool = True
    oom_score_adj: int = 500
    tmpfs: tuple[tuple[str, str], ...] = ((SCRATCH, "rw,noexec,nosuid,nodev,size=16m,nr_inodes=1k,mode=1777"),)
    ulimits: tuple[Ulimit, ...] = (
        Ulimit("nofile", 256, 256),
        Ulimit("core", 0, 0),
        Ulimit("fsize", 32 * MIB, 32 * MIB),
        Ulimit("memlock", 0, 0),
        Ulimit("stack", 8 * MIB, 8 * MIB),
    )
    entrypoint: tuple[str, ...] = AGENT_COMMAND
    working_dir: str = SCRATCH
    hostname: str = "pack"
    domainname: str = "pack"
    dns: tuple[str, ...] = ("127.0.0.1",)
    log_driver: str = "json-file"
    log_options: tuple[tuple[str, str], ...] = (("max-file", "1"), ("max-size", "1m"))
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 2

    @property
    def memory_and_swap_bytes(self) -> int:
        """Equal to the memory: no swap at all."""
        return self.memory_bytes


def build_spec(launch: PackLaunch, place: Placement, caps: Caps) -> ContainerSpec:
    """The container for `launch`. Raises `ValidationFailed` if an id, digest or path is not what it must be."""
    _check(launch, place)
    pack = launch.descriptor
    limits = limits_of(pack.sandbox, caps)
    profile = SeccompProfile.LOOPBACK if pack.wants_network else SeccompProfile.SEALED
    return ContainerSpec(
        name=place.name,
        labels={LABEL_INSTANCE: place.instance_id, LABEL_PACK: pack.pack_id, LABEL_DIGEST: launch.digest},
        image_id=place.image_id,
        user=f"{place.uid}:{place.uid}",
        environment=environment_of(network=pack.wants_network, extra_ca=place.extra_ca is not None),
        mounts=_mounts(launch, place),
        security_opt=_security(profile, apparmor=place.apparmor),
        memory_bytes=limits.memory_bytes,
        nano_cpus=limits.nano_cpus,
        pids_limit=limits.pids,
        ipc_mode="private" if limits.shm else "none",
        shm_bytes=MIB if limits.shm else None,
        runtime=place.runtime,
    )


def environment_of(*, network: bool, extra_ca: bool) -> dict[str, str]:
    """The whole environment of a container; nothing of the host's is ever in it."""
    environment = dict(FIXED_ENVIRONMENT)
    if network:
        environment |= {"HTTP_PROXY": PROXY_URL, "HTTPS_PROXY": PROXY_URL}
    if network and extra_ca:
        bundle = f"{SOCKET_FOLDER}/{EXTRA_CA_NAME}"
        environment |= {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle}
    return dict(sorted(environment.items()))


def _security(profile: SeccompProfile, *, apparmor: bool) -> tuple[str, ...]:
    # The engine's API takes the profile's text: a path in its place fails only when the container starts.
    options = ("no-new-privileges:true", f"seccomp={profile_json(profile)}")
    return (*options, "apparmor=docker-default") if apparmor else options


def _mounts(launch: PackLaunch, place: Placement) -> tuple[Mount, ...]:
    mounts = [Mount(launch.sealed_root, PACK_FOLDER), Mount(place.socket_folder, SOCKET_FOLDER)]
    if launch.dependencies_root is not None:
        mounts.append(Mount(launch.dependencies_root, DEPENDENCIES_FOLDER))
    return tuple(mounts)


def _check(launch: PackLaunch, place: Placement) -> None:
    """The last gate before the engine: whoever called, no free text passes."""
    folders = [launch.sealed_root, place.socket_folder, launch.dependencies_root]
    checks = {
        "pack id": is_pack_id(launch.descriptor.pack_id),
        "digest": is_digest(launch.digest),
        "container name": _NAME.fullmatch(place.name) is not None,
        "image id": _IMAGE.fullmatch(place.image_id) is not None,
        "instance id": _INSTANCE.fullmatch(place.instance_id) is not None,
        "runtime": _RUNTIME.fullmatch(place.runtime) is not None,
        "uid": place.uid >= LOWEST_UID,
        "folder": all(path is None or (path.is_absolute() and ".." not in path.parts) for path in folders),
    }
    wrong = [what for what, good in checks.items() if not good]
    if wrong:
        raise ValidationFailed(
            f"A container cannot be described: the {' and the '.join(wrong)} is not of the required form.",
            hint="This is checked again here on purpose; rumi pack show says what the pack asks for; report a defect.",
        )
