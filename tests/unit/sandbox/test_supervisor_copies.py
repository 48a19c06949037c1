"""Every start hashes the sealed copy again: the first, the one after a crash, the late one of a lazy pack."""

from __future__ import annotations

import pytest

from core_runtime.errors import ApprovalDenied, Unavailable


async def test_a_damaged_copy_is_not_started(world):
    world.copies.damaged.add("demo")
    with pytest.raises(ApprovalDenied):
        await world.supervisor.start(world.launch())
    assert world.engine.count == 0
    assert world.state() == "failed"


async def test_a_copy_that_was_changed_after_the_first_start_is_not_started_again(world):
    await world.supervisor.start(world.launch())
    world.copies.damaged.add("demo")
    world.engine.end(code=1)
    await world.until(lambda: world.state() == "backing_off")
    world.resume.set()
    await world.until(lambda: world.state() == "failed")
    assert world.copies.looks == ["demo", "demo"]
    assert world.engine.count == 1
    with pytest.raises(Unavailable):
        await world.supervisor.call("demo", "service.x", {}, context=world.context())


async def test_a_lazy_pack_is_looked_at_when_it_is_called_and_not_before(world):
    await world.supervisor.start(world.launch(start="lazy"))
    assert world.copies.looks == []
    world.copies.damaged.add("demo")
    with pytest.raises(ApprovalDenied):
        await world.supervisor.call("demo", "service.x", {}, context=world.context())
    assert world.engine.count == 0
