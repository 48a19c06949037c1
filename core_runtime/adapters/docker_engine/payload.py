"""From a `ContainerSpec` to the body of the engine's create request, and back again for the comparison.

Pure: talks to nobody. `differences` is the last guard before a container starts: it compares what the engine says it
made with what was asked for, and with the neutral value of everything that was not asked for, so that an old default
of a daemon, an environment of an image or a volume that it declares can never slip in unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.types import ContainerConfig, Healthcheck, HostConfig, LogConfig, Mount, Ulimit

from core_runtime.sandbox.spec import ContainerSpec

LEAST_API = "1.41"

# What a container must not have, with every spelling of "nothing" that engines use for it.
_NOTHING: tuple[object, ...] = (None, "", 0, False, [], {})
_NEVER = (
    "AutoRemove", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioWeight", "CapAdd", "CgroupParent",
    "ContainerIDFile", "CpuQuota", "CpusetCpus", "DeviceCgroupRules", "DeviceRequests", "Devices", "DnsSearch",
    "ExtraHosts", "GroupAdd", "KernelMemory", "Links", "OomKillDisable", "PidMode", "PortBindings", "Privileged",
    "PublishAllPorts", "StorageOpt", "Sysctls", "UTSMode", "UsernsMode", "VolumeDriver", "VolumesFrom", "Binds",
)  # fmt: skip
_NEVER_IN_CONFIG = (
    "AttachStdin",
    "Cmd",
    "ExposedPorts",
    "MacAddress",
    "OnBuild",
    "OpenStdin",
    "Shell",
    "StdinOnce",
    "Tty",
    "Volumes",
)


def create_payload(spec: ContainerSpec, api_version: str = LEAST_API) -> dict[str, Any]:
    """The JSON body of `POST /containers/create` (the name goes in the query)."""
    host = HostConfig(
        version=api_version,
        network_mode=spec.network_mode,
        read_only=spec.read_only,
        cap_drop=list(spec.cap_drop),
        security_opt=list(spec.security_opt),
        pids_limit=spec.pids_limit,
        mem_limit=spec.memory_bytes,
        memswap_limit=spec.memory_and_swap_bytes,
        oom_score_adj=spec.oom_score_adj,
        nano_cpus=spec.nano_cpus,
        ulimits=[Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in spec.ulimits],
        ipc_mode=spec.ipc_mode,
        shm_size=spec.shm_bytes,
        cgroupns=spec.cgroupns,
        init=spec.init,
        tmpfs=dict(spec.tmpfs),
        mounts=[
            Mount(mount.target, str(mount.source), type="bind", read_only=True, propagation="rprivate")
            for mount in spec.mounts
        ],
        dns=list(spec.dns),
        log_config=LogConfig(type=spec.log_driver, config=dict(spec.log_options)),
        runtime=spec.runtime or None,
    )
    return ContainerConfig(
        version=api_version,
        image=spec.image_id,
        command=[],
        detach=True,
        hostname=spec.hostname,
        domainname=spec.domainname,
        user=spec.user,
        environment=dict(spec.environment),
        entrypoint=list(spec.entrypoint),
        working_dir=spec.working_dir,
        labels=dict(spec.labels),
        stop_signal=spec.stop_signal,
        stop_timeout=spec.stop_timeout,
        healthcheck=Healthcheck(test=["NONE"]),
        host_config=host,
    )


def differences(payload: Mapping[str, Any], made: Mapping[str, Any], *, name: str) -> list[str]:
    """The settings in which `made` (an inspect answer) is not what `payload` asked for; empty when all is right."""
    host, config = made.get("HostConfig"), made.get("Config")
    if not isinstance(host, dict) or not isinstance(config, dict):
        return ["HostConfig"]
    asked_host = payload["HostConfig"]
    wrong = [f"HostConfig.{key}" for key, value in asked_host.items() if not _same(key, value, host.get(key))]
    wrong += [f"HostConfig.{key}" for key in _NEVER if host.get(key) not in _NOTHING]
    wrong += [f"Config.{key}" for key in _NEVER_IN_CONFIG if config.get(key) not in _NOTHING]
    for key in ("User", "Image", "Hostname", "Domainname", "Entrypoint", "WorkingDir", "StopSignal", "StopTimeout"):
        if config.get(key) != payload[key]:
            wrong.append(f"Config.{key}")
    if sorted(config.get("Env") or []) != sorted(payload["Env"]):
        wrong.append("Config.Env")
    if (config.get("Healthcheck") or {}).get("Test") != ["NONE"]:
        wrong.append("Config.Healthcheck")
    labels = config.get("Labels") or {}
    if any(labels.get(key) != value for key, value in payload["Labels"].items()):
        wrong.append("Config.Labels")
    if (host.get("RestartPolicy") or {}).get("Name") not in {None, "", "no"}:
        wrong.append("HostConfig.RestartPolicy")
    if made.get("Name") != f"/{name}":
        wrong.append("Name")
    return wrong + _mount_differences(asked_host["Mounts"], made.get("Mounts"))


def _same(key: str, asked: object, made: object) -> bool:
    if key == "Runtime":
        return asked is None or asked == made
    if key == "Mounts":
        return True  # compared against the list that the engine really mounts, below
    if isinstance(asked, list) and isinstance(made, list) and key == "Ulimits":
        return _by_name(asked) == _by_name(made)
    if asked in _NOTHING:
        return made in _NOTHING or key == "ShmSize"
    return asked == made


def _by_name(limits: list[Any]) -> dict[str, tuple[int, int]]:
    return {item["Name"]: (item["Soft"], item["Hard"]) for item in limits}


def _mount_differences(asked: list[Any], made: object) -> list[str]:
    """No mount more, none less, none writable. An engine may list tmpfs mounts or not."""
    if not isinstance(made, list):
        return ["Mounts"]
    real = {
        (item.get("Source"), item.get("Destination"), item.get("RW"), item.get("Propagation"))
        for item in made
        if item.get("Type") == "bind"
    }
    wanted = {(item["Source"], item["Target"], False, "rprivate") for item in asked}
    foreign = [item for item in made if item.get("Type") not in {"bind", "tmpfs"}]
    return ["Mounts"] if real != wanted or foreign else []
