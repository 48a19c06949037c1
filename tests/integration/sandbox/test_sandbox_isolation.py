"""The 34 inside checks, run by an ordinary pack through the real agent, and the proof that the probe can see."""

from __future__ import annotations

import dataclasses

import pytest

from core_runtime.adapters.docker_engine import DockerEngine
from core_runtime.packs import DeclaredPermission, SandboxRequest, Text
from core_runtime.sandbox.spec import ContainerSpec, environment_of

pytestmark = pytest.mark.docker


async def probe(sandbox, *, network: bool = False, shm: bool = False) -> dict[str, dict[str, object]]:
    """Run the probe under the settings that a pack with these wishes gets; results by check id."""
    launch = sandbox.launch("isolation_probe")
    permissions = (DeclaredPermission("http.request", {}, Text()),) if network else ()
    request = SandboxRequest(shm=shm, start="eager")
    launch = dataclasses.replace(
        launch, descriptor=dataclasses.replace(launch.descriptor, permissions=permissions, sandbox=request)
    )
    await sandbox.supervisor.start(launch)
    expected = {
        "uid": sandbox.supervisor.status()[0].uid,
        "memory_bytes": request.memory,
        "pids": request.pids,
        "cpus": request.cpus,
        "network": network,
        "shm": shm,
        "environment": environment_of(network=network, extra_ca=False),
    }
    results = await sandbox.call("probe.run", expected, pack="isolation_probe", seconds=60)
    await sandbox.supervisor.stop("isolation_probe", "done")
    return {item["id"]: item for item in results}  # type: ignore[index, union-attr]


def failed(results: dict[str, dict[str, object]]) -> dict[str, object]:
    return {key: item["seen"] for key, item in results.items() if not item["passed"]}


@pytest.mark.parametrize(("network", "shm"), [(False, False), (True, True)], ids=["sealed", "loopback-with-shm"])
async def test_ct_01_all_34_checks_pass(sandbox, network, shm):
    results = await probe(sandbox, network=network, shm=shm)
    assert len(results) == 34
    assert failed(results) == {}


class DefaultSeccomp(DockerEngine):
    """An engine adapter that forgets our profile: the daemon's own one applies."""

    async def create(self, spec: ContainerSpec) -> str:
        kept = tuple(option for option in spec.security_opt if not option.startswith("seccomp="))
        return await super().create(dataclasses.replace(spec, security_opt=kept))


async def test_ct_01_the_probe_is_not_blind(make_sandbox):
    engine = DefaultSeccomp()
    try:
        sandbox = make_sandbox(engine=engine)
        assert sorted(failed(await probe(sandbox))) == ["C12", "C13", "C14"]
    finally:
        await sandbox.supervisor.close()
        await engine.close()
