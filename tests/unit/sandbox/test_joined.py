"""One question for all who ask it at the same time."""

from __future__ import annotations

import asyncio

import pytest

from core_runtime.errors import Unavailable
from core_runtime.sandbox.joined import Joined


class Engine:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ask(self) -> int:
        self.asked += 1
        return await asyncio.shield(self.answer)


async def test_many_who_ask_at_once_share_one_answer() -> None:
    engine = Engine()
    joined = Joined(engine.ask)
    asking = [asyncio.create_task(joined()) for _ in range(20)]
    await asyncio.sleep(0)
    engine.answer.set_result(7)
    assert await asyncio.gather(*asking) == [7] * 20
    assert engine.asked == 1


async def test_who_asks_after_the_answer_asks_anew() -> None:
    engine = Engine()
    joined = Joined(engine.ask)
    engine.answer.set_result(7)
    assert [await joined(), await joined()] == [7, 7]
    assert engine.asked == 2


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    engine = Engine()
    joined = Joined(engine.ask)
    engine.answer.set_exception(Unavailable("gone"))
    asking = [asyncio.create_task(joined()) for _ in range(3)]
    failed = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in failed] == [Unavailable] * 3
    engine.answer = asyncio.get_running_loop().create_future()
    engine.answer.set_result(8)
    assert await joined() == 8


async def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    engine = Engine()
    joined = Joined(engine.ask)
    first, second = asyncio.create_task(joined()), asyncio.create_task(joined())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    engine.answer.set_result(9)
    assert await second == 9
