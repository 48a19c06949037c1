"""Real containers that are lost, left over or foreign; a real engine asked for things that it does not have."""

from __future__ import annotations

import pytest

from core_runtime.errors import Unavailable
from core_runtime.packs import SandboxRequest
from core_runtime.sandbox.limits import Caps
from core_runtime.sandbox.spec import Placement, build_spec
from core_runtime.sandbox.uids import LEAST_BASE

pytestmark = pytest.mark.docker


async def test_ct_19_and_ft_18_leftovers_of_a_killed_kernel_go_and_a_foreign_container_stays(make_sandbox):
    heir, other = make_sandbox(), make_sandbox()
    await other.supervisor.start(other.launch("hostile"))
    launch = heir.launch("isolation_probe", sandbox=SandboxRequest())
    folder = heir.root / "socket-of-the-dead"
    folder.mkdir()
    for number in range(3):
        place = Placement(
            name=f"rumi-{number:016x}",
            uid=LEAST_BASE + 7,
            socket_folder=folder,
            image_id=await heir.engine.image(heir.config.image),
            instance_id=heir.instance,
        )
        container = await heir.engine.create(build_spec(launch, place, Caps()))
        if number:
            await heir.engine.start(container)
    assert len(await heir.engine.list(heir.instance)) == 3
    assert (await heir.supervisor.start(launch)).state == "ready"
    (left,) = await heir.engine.list(heir.instance)
    assert left.name == heir.supervisor.status()[0].container
    assert len(await other.engine.list(other.instance)) == 1


async def test_ft_09_a_container_removed_behind_our_back_is_noticed_and_replaced(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    (container,) = await sandbox.engine.list(sandbox.instance)
    await sandbox.engine.remove(container.id)
    assert await sandbox.until(lambda: len(sandbox.events.down) == 1) <= 5.0
    assert sandbox.events.down[0][1] in {"LOST", "NO_RESULT"}  # by whether the engine still knew how it ended
    await sandbox.until(lambda: sandbox.state() == "ready")
    assert await sandbox.call("hostile.echo", {"a": 1}) == {"a": 1}


async def test_ft_13_a_socket_removed_on_the_host_is_made_again_while_the_pack_goes_on(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    (socket,) = (sandbox.root / "run" / "s").glob("*/kernel.sock")
    socket.unlink()
    assert await sandbox.until(socket.exists, 10.0) <= 5.0
    assert ("hostile", "SOCKET_REPLACED") in sandbox.events.findings
    assert await sandbox.call("hostile.echo", {"a": 1}) == {"a": 1}


async def test_ct_16_an_image_that_is_not_here_is_never_pulled(make_sandbox):
    sandbox = make_sandbox(health_seconds=5.0)
    object.__setattr__(sandbox.config, "image", "rumi-no-such-image:ever")
    with pytest.raises(Unavailable) as failure:
        await sandbox.supervisor.start(sandbox.launch("hostile"))
    assert failure.value.details == {"reason": "IMAGE_MISSING"}


async def test_a_runtime_that_the_engine_lacks_is_said(make_sandbox):
    sandbox = make_sandbox(runtime="no-such-runtime")
    with pytest.raises(Unavailable) as failure:
        await sandbox.supervisor.start(sandbox.launch("hostile"))
    assert failure.value.details["reason"] == "SETTINGS_REFUSED"
    assert sandbox.state() == "failed"


async def test_memory_and_logs_of_a_running_pack_can_be_looked_at(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    assert 1_000_000 < await sandbox.supervisor.memory("hostile") < 96 << 20
    assert (await sandbox.supervisor.logs("hostile")).output_truncated is False
