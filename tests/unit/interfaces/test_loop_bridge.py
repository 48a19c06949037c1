"""From a thread to the loop and back."""

import asyncio

import pytest

from core_runtime.errors import Cancelled, DeadlineExceeded, NotFound, Unavailable
from core_runtime.interfaces.admin.bridge import LoopBridge


async def test_results_and_errors_come_back_to_the_thread():
    bridge = LoopBridge(asyncio.get_running_loop())

    async def good():
        return 7

    async def bad():
        raise NotFound("x")

    assert await asyncio.to_thread(bridge.call, good()) == 7
    with pytest.raises(NotFound):
        await asyncio.to_thread(bridge.call, bad())


async def test_work_that_takes_too_long_is_cancelled_and_the_thread_is_free():
    bridge = LoopBridge(asyncio.get_running_loop())
    ended = asyncio.Event()

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded):
        await asyncio.to_thread(bridge.call, slow(), 0.02)
    await asyncio.wait_for(ended.wait(), 1)


async def test_work_that_is_cancelled_or_times_out_by_itself_is_a_typed_error():
    bridge = LoopBridge(asyncio.get_running_loop())

    async def cancelled():
        raise asyncio.CancelledError

    async def late():
        raise TimeoutError

    with pytest.raises(Cancelled):
        await asyncio.to_thread(bridge.call, cancelled())
    with pytest.raises(DeadlineExceeded):
        await asyncio.to_thread(bridge.call, late())


def test_a_loop_that_is_gone_is_unavailable():
    loop = asyncio.new_event_loop()
    loop.close()

    async def work():
        return 1

    with pytest.raises(Unavailable):
        LoopBridge(loop).call(work())
