"""Permissive mode: the same agent and life cycle as a child process, only when the owner said so. CT-21."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from core_runtime.adapters.subprocess_engine import SubprocessEngine
from core_runtime.errors import DeadlineExceeded, Unavailable, ValidationFailed
from core_runtime.packs import SandboxRequest
from core_runtime.sandbox.uids import SameUid

AGENT = Path(__file__).parent.parent.parent.parent / "docker" / "core" / "runtime"


@pytest.fixture
async def permissive(make_local_sandbox):
    engine = SubprocessEngine(AGENT, security_mode="permissive")
    yield make_local_sandbox(engine=engine, uids=SameUid(os.getuid()))
    await engine.close()


def test_ct_21_the_engine_of_child_processes_refuses_to_exist_in_strict_mode():
    with pytest.raises(ValidationFailed):
        SubprocessEngine(AGENT, security_mode="strict")


async def test_a_pack_answers_crashes_and_comes_back_as_in_a_container(permissive):
    await permissive.supervisor.start(permissive.launch("hostile"))
    assert await permissive.call("hostile.echo", {"a": 1}) == {"a": 1}
    assert await permissive.supervisor.memory("hostile") > 1_000_000
    with pytest.raises(Unavailable) as failure:
        await permissive.call("hostile.exit_now", {"code": 3})
    assert failure.value.details == {"reason": "NO_RESULT"}
    await permissive.until(lambda: permissive.state() == "ready")
    assert await permissive.call("hostile.echo", {"a": 2}) == {"a": 2}


async def test_a_hung_child_is_killed_with_everything_it_started(permissive):
    request = SandboxRequest(concurrency=1)
    await permissive.supervisor.start(permissive.launch("hostile", sandbox=request))
    await permissive.call("hostile.orphan")
    first = next(iter(permissive.engine._children.values())).process.pid
    with pytest.raises(DeadlineExceeded):
        await permissive.call("hostile.sleep", seconds=0.3)
    await permissive.until(lambda: permissive.events.down == [("hostile", "HUNG")])
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


async def test_the_environment_and_the_limits_of_a_child_are_its_own(permissive, monkeypatch):
    monkeypatch.setenv("RUMI_CANARY_SECRET", "canary")
    await permissive.supervisor.start(permissive.launch("hostile"))
    process = next(iter(permissive.engine._children.values())).process
    environ = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_bytes)
    assert b"canary" not in environ
    limits = await asyncio.to_thread(Path(f"/proc/{process.pid}/limits").read_text)
    assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")] == [["256", "256"]]
    assert os.getsid(process.pid) == process.pid


async def test_output_is_kept_within_a_bound(permissive):
    await permissive.supervisor.start(permissive.launch("hostile"))
    await permissive.call("hostile.flood", {"bytes": 8 << 20})
    await asyncio.sleep(0.2)
    logs = await permissive.supervisor.logs("hostile")
    assert 0 < len(logs.output) <= 1 << 20
    assert logs.output_truncated
