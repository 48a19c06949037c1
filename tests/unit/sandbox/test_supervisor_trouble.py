"""Packs that crash, loop, hang or run out of memory, and an engine that fails: group FT-07 to FT-12, CT-16, CT-21."""

from __future__ import annotations

import asyncio

import pytest

from core_runtime.errors import DeadlineExceeded, RateLimited, Unavailable


async def test_ft_12_a_call_in_flight_fails_with_no_result_when_the_container_ends(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].answers["slow"] = "never"
    call = asyncio.create_task(world.supervisor.call("demo", "slow", {}, context=world.context()))
    await asyncio.sleep(0.01)
    world.engine.end(code=0)
    with pytest.raises(Unavailable) as failure:
        await call
    assert failure.value.details == {"reason": "NO_RESULT"}
    await world.until(lambda: world.events.down == [("demo", "NO_RESULT")])
    assert world.listeners.made[0].closed


@pytest.mark.parametrize("code", [137, 0], ids=["FT-10-killed", "CT-05-exit-code-0"])
async def test_out_of_memory_is_told_from_the_exit_state(world, code):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].answers["slow"] = "never"
    call = asyncio.create_task(world.supervisor.call("demo", "slow", {}, context=world.context()))
    await asyncio.sleep(0.01)
    world.engine.end(code=code, oom=True)
    with pytest.raises(Unavailable) as failure:
        await call
    assert failure.value.details == {"reason": "OOM"}
    await world.until(lambda: ("demo", "PACK_OOM") in world.events.findings)


async def test_ft_12_a_crash_is_followed_by_growing_pauses_and_then_by_none(world):
    world.resume.set()
    await world.supervisor.start(world.launch())
    for number in range(1, 4):
        await world.until(lambda number=number: world.state() == "ready" and world.engine.count == number)
        world.engine.end()
    await world.until(lambda: world.state() == "crash_looped")
    assert world.pauses == [1.0, 2.0]
    assert world.engine.count == 3
    with pytest.raises(Unavailable) as failure:
        await world.supervisor.call("demo", "service.x", {}, context=world.context())
    assert "three times" in failure.value.message
    await world.supervisor.start(world.launch())
    assert world.state() == "ready"


async def test_crashes_far_apart_are_no_loop(world):
    world.resume.set()
    await world.supervisor.start(world.launch())
    for number in range(1, 6):
        await world.until(lambda number=number: world.state() == "ready" and world.engine.count == number)
        world.clock.ahead += 601
        world.engine.end()
    await world.until(lambda: world.state() == "ready" and world.engine.count == 6)
    assert world.pauses == [1.0] * 5


async def test_ft_12_a_pack_that_ends_while_starting_is_a_crash_as_well(world):
    world.resume.set()
    world.engine.says_hello = False
    start = asyncio.create_task(world.supervisor.start(world.launch()))
    for number in range(3):
        await world.until(lambda number=number: len(world.engine.channels) == number + 1)
        await asyncio.sleep(0.01)
        world.engine.end(code=0)
    await world.until(lambda: world.state() == "crash_looped")
    with pytest.raises(Unavailable) as failure:
        await start
    assert failure.value.details["reason"] == "NO_RESULT"


async def test_ft_11_a_hung_agent_is_ended_after_its_call_ran_over(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].alive = False
    with pytest.raises(DeadlineExceeded):
        await world.supervisor.call("demo", "x", {}, context=world.context(0.05))
    await world.until(lambda: world.events.down == [("demo", "HUNG")], seconds=1.0)
    assert "kill" in world.engine.log
    assert world.engine.containers == {}
    assert world.supervisor.status()[0].calls_in_flight == 0


async def test_ft_11_a_slow_call_does_not_end_a_pack_whose_agent_answers(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].answers |= {"slow": "never", "quick": 1}
    with pytest.raises(DeadlineExceeded):
        await world.supervisor.call("demo", "slow", {}, context=world.context(0.02))
    await asyncio.sleep(0.15)
    assert world.state() == "ready"
    assert await world.supervisor.call("demo", "quick", {}, context=world.context()) == 1


async def test_ct_08_a_pack_whose_every_thread_sleeps_for_ever_is_ended(world):
    await world.supervisor.start(world.launch(concurrency=2))
    world.engine.channels[0].answers["sleep"] = "never"
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await world.supervisor.call("demo", "sleep", {}, context=world.context(0.02))
    await world.until(lambda: world.events.down == [("demo", "HUNG")], seconds=1.0)


async def test_a_pack_that_answers_timeout_in_time_is_not_suspected(world):
    await world.supervisor.start(world.launch(concurrency=1))
    world.engine.channels[0].answers["x"] = DeadlineExceeded("my own upstream was slow")
    with pytest.raises(DeadlineExceeded):
        await world.supervisor.call("demo", "x", {}, context=world.context(5.0))
    await asyncio.sleep(0.1)
    assert world.state() == "ready"


async def test_calls_beyond_the_places_wait_in_order_and_the_line_is_bounded(make_world):
    world = make_world(most_waiting=3)
    await world.supervisor.start(world.launch(concurrency=1, max_streams=1))
    gate = asyncio.Event()
    world.engine.channels[0].answers["x"] = gate
    calls = [asyncio.create_task(world.supervisor.call("demo", "x", n, context=world.context(5))) for n in range(5)]
    await asyncio.sleep(0.02)
    status = world.supervisor.status()[0]
    assert (status.calls_in_flight, status.calls_waiting) == (2, 3)
    with pytest.raises(RateLimited):
        await world.supervisor.call("demo", "x", 9, context=world.context())
    gate.set()
    assert await asyncio.gather(*calls) == ["done"] * 5
    assert [args for _, args in world.engine.channels[0].calls] == [0, 1, 2, 3, 4]
    assert world.supervisor.status()[0].calls_in_flight == 0


async def test_ft_07_an_engine_that_is_away_is_tried_again_and_no_pack_runs_elsewhere(world):
    world.engine.down = True
    with pytest.raises(Unavailable) as failure:
        await world.supervisor.start(world.launch())
    assert failure.value.details["reason"] == "RUNTIME_UNAVAILABLE"
    assert world.state() == "backing_off"
    with pytest.raises(Unavailable) as call_failure:
        await world.supervisor.call("demo", "service.x", {}, context=world.context())
    assert call_failure.value.details == {"reason": "RUNTIME_UNAVAILABLE"}
    world.engine.down = False
    world.resume.set()
    await world.until(lambda: world.state() == "ready")
    assert world.pauses == [1.0]


async def test_ct_21_without_an_engine_nothing_runs_however_often_it_is_asked_for(world):
    world.engine.down = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            await world.supervisor.start(world.launch())
    assert world.engine.log == []
    assert world.listeners.made == []
    assert world.events.ready == []


async def test_ct_16_a_missing_image_is_said_and_tried_again_not_pulled(world):
    world.engine.image_there = False
    with pytest.raises(Unavailable) as failure:
        await world.supervisor.start(world.launch())
    assert failure.value.details["reason"] == "IMAGE_MISSING"
    assert ("demo", "PACK_IMAGE_MISSING") in world.events.findings
    assert world.engine.log == []


async def test_settings_that_the_engine_changes_are_final(world):
    world.engine.create_error = Unavailable("changed", details={"reason": "SETTINGS_REFUSED"})
    with pytest.raises(Unavailable):
        await world.supervisor.start(world.launch())
    assert world.state() == "failed"
    assert world.pauses == []
    assert world.listeners.made[0].closed


async def test_ft_09_a_container_that_the_engine_lost_is_noticed_and_started_again(world):
    world.resume.set()
    await world.supervisor.start(world.launch())
    world.engine.channels[0].answers["slow"] = "never"
    call = asyncio.create_task(world.supervisor.call("demo", "slow", {}, context=world.context()))
    await asyncio.sleep(0.01)
    world.engine.containers.clear()
    with pytest.raises(Unavailable) as failure:
        await call
    assert failure.value.details == {"reason": "RUNTIME_UNAVAILABLE"}
    await world.until(lambda: world.events.down == [("demo", "LOST")])
    await world.until(lambda: world.state() == "ready")
    assert world.listeners.made[0].closed


async def test_ft_07_an_outage_is_told_once_and_running_packs_go_on(world):
    await world.supervisor.start(world.launch())
    world.engine.channels[0].answers["x"] = 1
    world.engine.down = True
    await world.until(lambda: ("engine", "RUNTIME_UNAVAILABLE") in world.events.findings)
    await asyncio.sleep(0.1)
    assert world.events.findings.count(("engine", "RUNTIME_UNAVAILABLE")) == 1
    assert await world.supervisor.call("demo", "x", {}, context=world.context()) == 1


async def test_ft_08_a_container_of_unknown_outcome_is_removed_later_by_its_label(world):
    await world.supervisor.start(world.launch())
    spec = next(iter(world.engine.containers.values())).spec
    stray = await world.engine.create(
        type(spec)(**{**{n: getattr(spec, n) for n in spec.__slots__}, "name": "rumi-" + "0" * 16})
    )
    await world.until(lambda: stray not in world.engine.containers)
    assert len(world.engine.containers) == 1
    assert world.state() == "ready"


async def test_ft_13_a_socket_file_that_somebody_removed_is_made_again_and_told(world):
    await world.supervisor.start(world.launch())
    world.listeners.made[0].intact = False
    await world.until(lambda: world.listeners.made[0].intact)
    assert ("demo", "SOCKET_REPLACED") in world.events.findings
    assert world.state() == "ready"


async def test_ft_13_a_socket_folder_that_is_gone_means_a_new_start(world):
    world.resume.set()
    await world.supervisor.start(world.launch())
    world.listeners.made[0].intact = world.listeners.made[0].mendable = False
    await world.until(lambda: world.engine.count == 2 and world.state() == "ready")
    assert world.events.down == [("demo", "LOST")]
