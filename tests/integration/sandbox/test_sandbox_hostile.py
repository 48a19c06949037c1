"""A hostile pack in its container: it gets nowhere, costs nobody else anything, and leaves nothing behind. Group CT."""

from __future__ import annotations

import asyncio
import os
import resource
import time

import pytest

from core_runtime.errors import DeadlineExceeded, RumiError, Unavailable

pytestmark = pytest.mark.docker


async def test_ct_04_ct_05_ct_09_ct_11_ct_12_ct_25_what_a_pack_can_try_without_ending_itself(sandbox):
    """One container, many attacks: each of them must fail, and the pack must still answer afterwards."""
    await sandbox.supervisor.start(sandbox.launch("hostile"))

    # CT-04: fork and thread bombs end at the pids limit.
    forks = await sandbox.call("hostile.fork_bomb")
    assert forks["error"] == "EAGAIN"
    assert forks["children"] < 64
    threads = await sandbox.call("hostile.thread_bomb")
    assert threads["result"] == "refused"
    assert threads["threads"] < 64

    # CT-05: scratch space is small, and there is no shared memory.
    scratch = await sandbox.call("hostile.fill_scratch")
    assert scratch["/tmp"][0] == "ENOSPC"
    assert scratch["/tmp"][1] <= 16 << 20
    assert scratch["/dev/shm"] == ["ENOENT", 0]
    assert scratch["/dev/mqueue"][0] in {"ENOENT", "EACCES", "ENOSPC", "EPERM", "EINVAL"}

    # CT-09: no way out by a system call.
    calls = await sandbox.call("hostile.syscalls")
    assert calls.pop("clone3") == "ENOSYS"
    assert {name: result for name, result in calls.items() if result not in {"EPERM", "EAFNOSUPPORT"}} == {}

    # CT-11: nothing of the host's kernel can be written, and nothing of it read.
    paths = await sandbox.call("hostile.open_paths")
    assert paths.pop("environ of 1") == []
    assert paths.pop("socket folders") == []
    reads = {path: paths.pop(path) for path in list(paths) if path.startswith("read ")}
    assert set(reads.values()) <= {"empty", "ENOENT", "EACCES", "EPERM"}
    harmless = {"/proc/kcore", "/proc/keys"}  # masked by /dev/null, which takes every byte and keeps none
    assert {path for path, result in paths.items() if result == "ok"} <= harmless

    # CT-12: no set-uid program, no gain by making one, no way to replace the socket or the code.
    gain = await sandbox.call("hostile.gain")
    assert (gain.pop("setuid"), gain.pop("no_new_privs")) == ([], "1")
    assert gain.pop("uid") == sandbox.supervisor.status()[0].uid
    assert gain.pop("exec from scratch") in {"EACCES", "ENOEXEC", "EPERM"}
    gain.pop("setuid kept")
    assert set(gain.values()) <= {"EROFS", "EACCES", "EPERM"}, gain

    # CT-25: neither its own interpreter nor the engine's init can be rewritten, and nobody runs anything in it.
    rewrite = await sandbox.call("hostile.interpreter")
    assert set(rewrite.values()) <= {"EROFS", "EACCES", "ETXTBSY", "EPERM"}

    assert await sandbox.call("hostile.echo", {"still": "here"}) == {"still": "here"}
    assert sandbox.events.down == []


async def test_ct_07_a_flood_of_output_costs_the_kernel_nothing(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await sandbox.call("hostile.flood", {"bytes": 64 << 20}, seconds=60)
    logs = await sandbox.supervisor.logs("hostile")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 * 1024, f"{grown} KiB"
    assert len(logs.output) <= 1 << 20
    assert not any(ord(char) < 32 and char not in "\n\t" for char in logs.output)
    assert await sandbox.call("hostile.echo", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("attack", ["eat_memory", "child_eats_memory"])
async def test_ct_05_running_out_of_memory_is_told_even_when_the_exit_code_is_0(sandbox, attack):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    with pytest.raises(Unavailable) as failure:
        await sandbox.call(f"hostile.{attack}")
    assert failure.value.details == {"reason": "OOM"}
    await sandbox.until(lambda: ("hostile", "PACK_OOM") in sandbox.events.findings)
    await sandbox.until(lambda: sandbox.state() == "ready")
    assert await sandbox.call("hostile.echo", {"a": 1}) == {"a": 1}


async def test_ct_08_a_busy_loop_and_a_sleeper_end_at_their_deadline_and_the_places_come_back(sandbox):
    """Two threads, both gone for ever: the pack is ended two seconds later and answers again from a new container."""
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    await sandbox.call("hostile.ignore_term_and_sleep")
    await sandbox.call("hostile.orphan")
    first = sandbox.supervisor.status()[0].container
    began = time.monotonic()
    results = await asyncio.gather(
        sandbox.call("hostile.busy", seconds=1.0), sandbox.call("hostile.sleep", seconds=1.0), return_exceptions=True
    )
    assert all(isinstance(item, DeadlineExceeded) for item in results)
    assert time.monotonic() - began < 1.5
    await sandbox.until(lambda: sandbox.events.down == [("hostile", "HUNG")])
    assert time.monotonic() - began < 1.0 + 3.0
    await sandbox.until(lambda: sandbox.state() == "ready")
    assert sandbox.supervisor.status()[0].container != first
    assert len(await sandbox.engine.list(sandbox.instance)) == 1
    assert await sandbox.call("hostile.echo", {"a": 1}) == {"a": 1}


async def test_ft_11_a_pack_that_stops_itself_is_killed_and_replaced(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await sandbox.call("hostile.stop_self", seconds=1.0)
    await sandbox.until(lambda: bool(sandbox.events.down))
    assert time.monotonic() - began < 1.0 + 3.0
    await sandbox.until(lambda: sandbox.state() == "ready")


async def test_ft_12_a_pack_that_leaves_in_the_middle_gives_no_result_and_a_loop_of_it_ends(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    for round_number in range(3):
        await sandbox.until(lambda: sandbox.state() == "ready")
        with pytest.raises(Unavailable) as failure:
            await sandbox.call("hostile.exit_now")
        assert failure.value.details == {"reason": "NO_RESULT"}
        await sandbox.until(lambda count=round_number + 1: len(sandbox.events.down) == count)
    assert sandbox.state() == "crash_looped"
    assert await sandbox.engine.list(sandbox.instance) == []


async def test_ct_04_a_fork_bomb_leaves_the_other_packs_alone(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    await sandbox.supervisor.start(sandbox.launch("isolation_probe", pack_id="neighbour"))
    bomb = asyncio.create_task(sandbox.call("hostile.fork_bomb", {"stay": True}, seconds=2.0))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    with pytest.raises(RumiError):
        await sandbox.call("no.such.interface", pack="neighbour", seconds=1.5)
    assert time.monotonic() - began < 1.5
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await bomb
    await sandbox.supervisor.stop("hostile", "done")
    assert len(await sandbox.engine.list(sandbox.instance)) == 1


async def test_ud_12_each_pack_sees_one_socket_folder_and_another_uid(sandbox):
    await sandbox.supervisor.start(sandbox.launch("hostile"))
    await sandbox.supervisor.start(sandbox.launch("hostile", pack_id="second"))
    one, two = [await sandbox.call("hostile.gain", pack=name) for name in ("hostile", "second")]
    assert one["uid"] != two["uid"]
    folders = list((sandbox.root / "run" / "s").iterdir())
    assert len(folders) == 2
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o711}
    assert os.stat(sandbox.root / "run" / "s").st_mode & 0o777 == 0o700
