"""The small parts: places for calls, pauses between starts, bounded logs."""

from __future__ import annotations

import asyncio

import pytest

from core_runtime.errors import DeadlineExceeded
from core_runtime.sandbox.logs import MAX_CHARACTERS, MAX_LINES, LogRing, printable
from core_runtime.sandbox.restart import LONGEST_PAUSE_SECONDS, RestartPolicy
from core_runtime.sandbox.slots import Slots


class Still:
    def wall(self) -> float:
        return 1.0

    def monotonic(self) -> float:
        return 1.0


async def test_a_place_goes_to_the_first_in_line_even_if_others_gave_up():
    slots = Slots(1, 10)
    assert slots.try_take()
    first, second = asyncio.create_task(slots.take(5)), asyncio.create_task(slots.take(5))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slots.give_back()
    await second
    assert (slots.in_use, slots.waiting) == (1, 0)


async def test_whoever_waits_past_the_deadline_leaves_the_line():
    slots = Slots(1, 10)
    await slots.take(1)
    with pytest.raises(DeadlineExceeded):
        await slots.take(0.01)
    slots.give_back()
    assert (slots.in_use, slots.waiting) == (0, 0)


async def test_a_turn_that_comes_in_the_moment_of_giving_up_is_not_lost():
    slots = Slots(1, 10)
    await slots.take(1)
    waiting = asyncio.create_task(slots.take(5))
    await asyncio.sleep(0)
    slots.give_back()
    waiting.cancel()
    await asyncio.wait({waiting})
    if waiting.cancelled():
        assert slots.try_take()
    else:
        slots.give_back()
        assert slots.try_take()


def test_three_crashes_in_ten_minutes_end_it():
    policy = RestartPolicy()
    assert [policy.after_crash(now) for now in (0.0, 100.0, 599.0)] == [1.0, 2.0, None]


def test_crashes_older_than_ten_minutes_do_not_count():
    policy = RestartPolicy()
    assert [policy.after_crash(now) for now in (0.0, 100.0, 600.0, 1201.0)] == [1.0, 2.0, 2.0, 1.0]


def test_the_engine_is_tried_again_at_most_every_minute_and_for_ever():
    policy = RestartPolicy()
    pauses = [policy.after_engine_failure() for _ in range(50)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(pauses) == LONGEST_PAUSE_SECONDS
    policy.engine_works()
    assert policy.after_engine_failure() == 1


def test_ct_07_the_log_ring_has_a_bound_in_lines_and_in_size():
    ring = LogRing(Still())
    for number in range(3 * MAX_LINES):
        ring.add("info", f"line {number}", {})
    lines = ring.with_output(b"").lines
    assert len(lines) == MAX_LINES
    assert lines[-1].text == f"line {3 * MAX_LINES - 1}"
    for _ in range(10):
        ring.add("info", "x" * MAX_CHARACTERS, {})
    assert sum(len(line.text) for line in ring.with_output(b"").lines) <= MAX_CHARACTERS


def test_ct_07_output_is_cut_flagged_and_cleaned():
    logs = LogRing(Still()).with_output(b"\xff\x00\x1b[2J" + b"y" * 2_000_000)
    assert logs.output_truncated
    assert len(logs.output) <= 1_048_576
    assert printable("a\x1b[31m\u202eb\n\tc") == "a\ufffd[31m\ufffdb\n\tc"
    assert LogRing(Still()).with_output(b"\xff").output == "\ufffd"
