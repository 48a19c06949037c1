"""Starting, joining, stopping and replacing packs; what is left behind (nothing)."""

from __future__ import annotations

import asyncio

import pytest

from core_runtime.errors import DeadlineExceeded, Unavailable
from core_runtime.sandbox.ports import RunningContainer
from core_runtime.sandbox.spec import LABEL_INSTANCE

INSTANCE = "ab" * 8


async def test_a_started_pack_is_ready_once_its_agent_said_hello(world):
    view = await world.supervisor.start(world.launch())
    assert view.state.value == "ready"
    assert view.components[0].provides == ("service.x",)
    assert world.events.ready == ["demo"]
    assert world.listeners.peers == [300_000]


async def test_starting_twice_joins_and_makes_one_container(world):
    world.engine.start_gate = asyncio.Event()
    first = asyncio.create_task(world.supervisor.start(world.launch()))
    second = asyncio.create_task(world.supervisor.start(world.launch()))
    await asyncio.sleep(0.02)
    world.engine.start_gate.set()
    assert (await first).state == (await second).state == "ready"
    await world.supervisor.start(world.launch())
    assert world.engine.count == 1
    assert world.events.ready == ["demo"]


async def test_packs_start_side_by_side(world):
    world.engine.start_gate = asyncio.Event()
    starts = [asyncio.create_task(world.supervisor.start(world.launch(f"pack{number}"))) for number in range(10)]
    await world.until(lambda: world.engine.count == 10)
    world.engine.start_gate.set()
    await asyncio.gather(*starts)
    assert world.engine.most_at_once == 10
    assert len(set(world.uids.given.values())) == 10


async def test_other_bytes_replace_the_running_ones_and_never_run_beside_them(world):
    await world.supervisor.start(world.launch())
    await world.supervisor.start(world.launch(digest="e" * 64))
    assert world.engine.most_at_once == 1
    assert world.engine.count == 2
    assert world.events.down == [("demo", "replaced")]
    assert world.supervisor.status()[0].digest == "e" * 64


async def test_stopping_removes_the_container_and_the_socket(world):
    await world.supervisor.start(world.launch())
    await world.supervisor.stop("demo", "disabled")
    assert world.engine.containers == {}
    assert world.listeners.made[0].closed
    assert world.events.down == [("demo", "disabled")]
    assert world.state() == "stopped"
    with pytest.raises(Unavailable):
        await world.supervisor.call("demo", "service.x", {}, context=world.context())


async def test_a_pack_that_will_not_stop_is_removed_all_the_same(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].stops_politely = False
    await asyncio.wait_for(world.supervisor.stop("demo", "disabled"), 1.0)
    assert world.engine.containers == {}


async def test_stopping_in_the_middle_of_a_start_leaves_nothing(world):
    world.engine.says_hello = False
    starting = asyncio.create_task(world.supervisor.start(world.launch()))
    await world.until(lambda: len(world.engine.channels) == 1)
    await world.supervisor.stop("demo", "disabled")
    with pytest.raises(Unavailable):
        await starting
    assert world.engine.containers == {}
    assert world.listeners.made[0].closed
    assert world.state() == "stopped"
    assert world.events.down == []


async def test_a_caller_who_gives_up_does_not_end_the_start_of_the_others(world):
    world.engine.start_gate = asyncio.Event()
    impatient = asyncio.create_task(world.supervisor.start(world.launch()))
    patient = asyncio.create_task(world.supervisor.start(world.launch()))
    await asyncio.sleep(0.02)
    impatient.cancel()
    world.engine.start_gate.set()
    assert (await patient).state == "ready"
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_lazy_pack_starts_at_its_first_call(world):
    view = await world.supervisor.start(world.launch(start="lazy"))
    assert view.state == "stopped"
    assert world.engine.count == 0
    calls = [world.supervisor.call("demo", "nothing", {}, context=world.context()) for _ in range(5)]
    await asyncio.gather(*calls, return_exceptions=True)
    assert world.engine.count == 1
    assert world.state() == "ready"


async def test_a_call_waits_for_a_pack_that_is_just_starting_but_not_past_its_deadline(world):
    world.engine.start_gate = asyncio.Event()
    start = asyncio.create_task(world.supervisor.start(world.launch()))
    await asyncio.sleep(0.01)
    with pytest.raises(DeadlineExceeded):
        await world.supervisor.call("demo", "service.x", {}, context=world.context(0.05))
    waiting = asyncio.create_task(world.supervisor.call("demo", "service.x", {}, context=world.context(1.0)))
    world.engine.start_gate.set()
    await start
    world.engine.channels[0].answers["service.x"] = {"a": 1}
    assert await waiting == {"a": 1}


async def test_an_event_for_a_lazy_pack_wakes_it_and_arrives(world):
    await world.supervisor.start(world.launch(start="lazy"))
    assert world.supervisor.event("demo", "on_tick", "clock/tick", {"n": 1}, None)
    await world.until(lambda: bool(world.engine.channels) and bool(world.engine.channels[0].sent_events))
    assert world.engine.channels[0].sent_events == [("on_tick", "clock/tick", {"n": 1})]
    assert not world.supervisor.event("unknown", "on_tick", "clock/tick", {}, None)


async def test_no_hello_in_time_is_a_failed_start_that_leaves_nothing(world):
    world.engine.says_hello = False
    with pytest.raises(Unavailable) as failure:
        await world.supervisor.start(world.launch())
    assert failure.value.details["reason"] == "NO_HELLO"
    assert world.engine.containers == {}
    assert world.listeners.made[0].closed


@pytest.mark.parametrize("foreign_label", ["cd" * 8, None], ids=["another-kernel", "no-label"])
async def test_ct_19_leftovers_go_before_anything_starts_and_foreign_containers_stay(world, foreign_label):
    labels = {LABEL_INSTANCE: foreign_label} if foreign_label else {}
    world.engine.foreign = [
        RunningContainer("a" * 64, "rumi-0123456789abcdef", {LABEL_INSTANCE: INSTANCE}, "running"),
        RunningContainer("b" * 64, "rumi-0123456789abcdee", labels, "running"),
    ]
    await world.supervisor.start(world.launch())
    assert world.engine.log[:2] == ["remove", "create demo"]
    assert [item.id for item in world.engine.foreign] == ["b" * 64]


async def test_ct_19_nothing_starts_while_leftovers_cannot_be_removed(world):
    world.engine.down = True
    with pytest.raises(Unavailable) as failure:
        await world.supervisor.start(world.launch())
    assert failure.value.details["reason"] == "RUNTIME_UNAVAILABLE"
    assert world.engine.log == []


async def test_closing_stops_every_pack_and_refuses_new_ones(world):
    for name in ("a", "b", "c"):
        await world.supervisor.start(world.launch(name))
    await world.supervisor.close()
    assert world.engine.containers == {}
    with pytest.raises(Unavailable):
        await world.supervisor.start(world.launch("d"))


async def test_logs_are_kept_and_cannot_move_a_terminal(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].events.log("info", "hi\x1b]0;owned\x07", {"k": 1}, None)
    logs = await world.supervisor.logs("demo")
    assert logs.lines[0].text == "hi\ufffd]0;owned\ufffd"
    assert "\x1b" not in logs.output
    assert await world.supervisor.memory("demo") == 12_000_000


async def test_a_start_during_a_stop_waits_for_it_and_then_runs(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].stops_politely = False
    stopping = asyncio.create_task(world.supervisor.stop("demo", "restart"))
    await asyncio.sleep(0.01)
    assert (await world.supervisor.start(world.launch())).state == "ready"
    await stopping
    assert world.state() == "ready"
    assert world.engine.most_at_once == 1
    assert len(world.engine.containers) == 1
    assert world.events.down == [("demo", "restart")]


async def test_an_owner_that_fails_does_not_stop_the_life_cycle(world):
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a defect of the owner")

    world.events.pack_ready = fail
    world.events.pack_down = fail
    assert (await world.supervisor.start(world.launch())).state == "ready"
    await world.supervisor.stop("demo", "disabled")
    assert world.engine.containers == {}
