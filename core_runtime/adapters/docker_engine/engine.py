"""The container engine behind Docker's API, through the docker SDK.

Only here (and in the files beside it whose names begin the same) the SDK is imported. Rules of the house:

- `create`, read back, `start`; never the SDK's `run`, which pulls what is missing and waits without a deadline.
- Nothing is ever executed in, attached to, copied into, committed or built from a pack's container (CVE-2019-5736).
- Every call has a deadline, twice: on the socket, and for the caller. Blocking calls live in a small thread pool.
- Plain TCP to an engine is refused: whoever answers there is root on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import docker.errors
import requests.exceptions
import structlog
from docker.api.client import APIClient
from docker.tls import TLSConfig

from core_runtime.adapters.docker_engine.payload import LEAST_API, create_payload, differences
from core_runtime.errors import Unavailable, ValidationFailed
from core_runtime.sandbox.engine_port import IMAGE_MISSING, LOST, SETTINGS_REFUSED, EngineInfo, runtime_unavailable
from core_runtime.sandbox.ports import ExitState, RunningContainer
from core_runtime.sandbox.spec import LABEL_INSTANCE, ContainerSpec

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
CALL_SECONDS = 30.0
CALLER_FACTOR = 1.1  # the socket's own deadline comes first
THREADS = 8
MAX_LOG_BYTES = 1_048_576
_logger = structlog.get_logger("rumi.engine")
_Answer = TypeVar("_Answer")


def check_address(address: str, *, tls: bool) -> str:
    """The address to use. Raises `ValidationFailed` for a network address without TLS (CT-18)."""
    chosen = address or DEFAULT_ADDRESS
    if chosen.startswith(("unix://", "npipe://", "https://")) or (chosen.startswith("tcp://") and tls):
        return chosen
    raise ValidationFailed(
        "DOCKER_HOST names an engine over the network without TLS; whoever answers there would be root here.",
        hint="Unset DOCKER_HOST to use the local socket, or set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH.",
    )


class DockerEngine:
    """`Engine` over Docker's API (1.41 or later). Connects at the first call; lives as long as the kernel."""

    def __init__(self, address: str = "", *, tls: TLSConfig | None = None, call_seconds: float = CALL_SECONDS) -> None:
        self._address = check_address(address, tls=tls is not None)
        self._tls = tls
        self._call_seconds = call_seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._connecting = Lock()
        self._client: APIClient | None = None

    async def image(self, reference: str) -> str:
        """See `Images`."""
        return await self._call(partial(_image_id, reference=reference), missing=IMAGE_MISSING)

    async def info(self) -> EngineInfo:
        """See `Images`."""
        return await self._call(_info)

    async def create(self, spec: ContainerSpec) -> str:
        """See `Containers`."""
        return await self._call(partial(_create, spec=spec), missing=IMAGE_MISSING)

    async def start(self, container_id: str) -> None:
        """See `Containers`."""
        await self._call(lambda api: api.start(container_id))

    async def kill(self, container_id: str) -> None:
        """See `Containers`."""
        await self._call(_unless_gone(lambda api: api.kill(container_id)))

    async def remove(self, container_id: str) -> None:
        """See `Containers`."""
        await self._call(_unless_gone(lambda api: api.remove_container(container_id, v=True, force=True)))

    async def exit_state(self, container_id: str) -> ExitState | None:
        """See `Observation`."""
        return await self._call(lambda api: _exit_state(api.inspect_container(container_id)["State"]))

    async def list(self, instance_id: str) -> Sequence[RunningContainer]:
        """See `Observation`."""
        found = await self._call(
            lambda api: api.containers(all=True, filters={"label": f"{LABEL_INSTANCE}={instance_id}"})
        )
        return [
            RunningContainer(item["Id"], item["Names"][0].lstrip("/"), item["Labels"] or {}, item["State"])
            for item in found
            # Checked again on our side: another kernel's container must never be taken for one of ours.
            if (item["Labels"] or {}).get(LABEL_INSTANCE) == instance_id
        ]

    async def logs(self, container_id: str) -> bytes:
        """See `Observation`."""
        return await self._call(partial(_logs, container_id=container_id))

    async def memory(self, container_id: str) -> int:
        """See `Observation`."""
        return await self._call(lambda api: _memory(api.stats(container_id, stream=False, one_shot=True)))

    async def close(self) -> None:
        """Let go of the connections; calls that still run end by their own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def _call(self, function: Callable[[APIClient], _Answer], *, missing: str = LOST) -> _Answer:
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, function, missing)
        try:
            return await asyncio.wait_for(work, self._call_seconds * CALLER_FACTOR)
        except TimeoutError:
            raise runtime_unavailable("The container engine did not answer in time.") from None

    def _guarded(self, function: Callable[[APIClient], _Answer], missing: str) -> _Answer:
        """Run in a thread: every way in which an engine can fail becomes one of three errors."""
        try:
            return function(self._connected())
        except docker.errors.NotFound:
            raise _missing(missing) from None
        except docker.errors.APIError as error:
            _logger.warning("engine_refused", status=error.status_code, error=str(error)[:400])
            if error.status_code == 400:
                raise Unavailable(
                    "The container engine does not accept the container's settings.",
                    hint="rumi doctor names what this engine lacks; see RUMI_SANDBOX_RUNTIME.",
                    details={"reason": SETTINGS_REFUSED},
                ) from None
            raise runtime_unavailable(f"The container engine failed (HTTP {error.status_code}).") from None
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            _logger.warning("engine_unreachable", error=type(error).__name__)
            raise runtime_unavailable("The container engine cannot be reached.") from None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            _logger.warning("engine_answer_unreadable", error=repr(error)[:400])
            raise runtime_unavailable("The container engine gave an answer that cannot be understood.") from None

    def _connected(self) -> APIClient:
        with self._connecting:
            if self._client is None:
                self._client = _connect(self._address, self._tls, self._call_seconds)
            return self._client


def _connect(address: str, tls: TLSConfig | None, seconds: float) -> APIClient:
    client = APIClient(
        base_url=address,
        version="auto",
        timeout=seconds,  # type: ignore[arg-type]  # requests takes a float
        tls=tls or False,
        max_pool_size=THREADS,
    )
    if tuple(int(part) for part in client.api_version.split(".")) < tuple(int(part) for part in LEAST_API.split(".")):
        client.close()
        raise runtime_unavailable(
            f"The container engine speaks API {client.api_version}; at least {LEAST_API} is needed."
        )
    return client


def _missing(reason: str) -> Unavailable:
    if reason == IMAGE_MISSING:
        hint = "python3 bootstrap.py setup makes the image; it is never pulled."
        return Unavailable("The sandbox image is not on this machine.", hint=hint, details={"reason": IMAGE_MISSING})
    return Unavailable("The container is gone.", hint="It is started again by itself.", details={"reason": LOST})


def _image_id(api: APIClient, *, reference: str) -> str:
    return str(api.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]  # the stubs leave it untyped


def _create(api: APIClient, *, spec: ContainerSpec) -> str:
    """Create and read back. A container that is not exactly what was asked for never starts."""
    payload = create_payload(spec, api.api_version)
    made = api.create_container_from_config(payload, name=spec.name)  # type: ignore[no-untyped-call]  # as above
    container_id = str(made["Id"])
    real = api.inspect_container(container_id)
    wrong = differences(payload, real, name=spec.name)
    if real.get("Id") != container_id:
        wrong.append("Id")
    if not wrong:
        return container_id
    api.remove_container(container_id, v=True, force=True)
    raise Unavailable(
        f"The engine made a container with other settings than asked for: {', '.join(sorted(set(wrong)))}.",
        hint="Look for defaults in the engine's own configuration that change these, and take them out.",
        details={"reason": SETTINGS_REFUSED, "settings": sorted(set(wrong))},
    )


def _unless_gone(function: Callable[[APIClient], object]) -> Callable[[APIClient], None]:
    def run(api: APIClient) -> None:
        try:
            function(api)
        except docker.errors.APIError as error:
            if error.status_code not in {404, 409}:  # not there, not running, or being removed already
                raise

    return run


def _exit_state(state: dict[str, Any]) -> ExitState | None:
    if state["Running"] or state["Status"] in {"created", "restarting", "paused"}:
        return None
    # OOMKilled is told even when the exit code is 0: a shell whose child was killed ends cheerfully.
    return ExitState(int(state["ExitCode"]), bool(state["OOMKilled"]), str(state["Error"])[:400])


def _logs(api: APIClient, *, container_id: str) -> bytes:
    # Streamed, so that a large answer is never held as a whole; `follow` would otherwise be on and wait for ever.
    return _tail(api.logs(container_id, stdout=True, stderr=True, stream=True, follow=False))


def _tail(stream: Any) -> bytes:
    """The last `MAX_LOG_BYTES` of a stream of chunks, never holding more than twice that."""
    kept = bytearray()
    for chunk in stream:
        kept += chunk
        if len(kept) > 2 * MAX_LOG_BYTES:
            del kept[:-MAX_LOG_BYTES]
    return bytes(kept[-MAX_LOG_BYTES:])


def _memory(stats: Any) -> int:
    held = stats["memory_stats"]
    details = held.get("stats") or {}
    reclaimable = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, then v2
    return max(0, int(held["usage"]) - int(reclaimable))


def _info(api: APIClient) -> EngineInfo:
    info = api.info()
    options = " ".join(info.get("SecurityOptions") or [])
    return EngineInfo(
        version=str(info["ServerVersion"]),
        api_version=api.api_version,
        storage_driver=str(info["Driver"]),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        apparmor="name=apparmor" in options,
        user_namespace="name=userns" in options,
        rootless="name=rootless" in options,
        root_folder=str(info.get("DockerRootDir", "")),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        memory_bytes=int(info.get("MemTotal", 0)),
        seccomp="name=seccomp" in options,
    )
