"""Wishes of the pack."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core_runtime.errors import GrantDenied
from core_runtime.wire.limits import MAX_VALUE_BYTES

from .conftest import Wire, settle


def call(number: int = 2, name: str = "store.get", **more: Any) -> dict[str, Any]:
    return {"k": "call", "id": number, "name": name, "args": {}, "deadline_ms": 1000, **more}


async def test_an_answer_at_once_costs_no_task(wire: Wire) -> None:
    before = len(asyncio.all_tasks())
    wire.say(call(args={"key": "k"}))
    assert wire.one() == {"k": "result", "id": 2, "ok": True, "value": {"asked": "store.get"}}
    assert len(asyncio.all_tasks()) == before
    (asked,) = wire.gate.asked
    assert (asked.pack_id, asked.name, asked.args, asked.context) == ("notes", "store.get", {"key": "k"}, None)


async def test_an_answer_that_takes_time_holds_nobody_up(wire: Wire) -> None:
    slow: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    wire.gate.answer = lambda call: slow if call.name == "slow" else "fast"
    wire.say(call(2, "slow"), call(4, "fast"))
    await settle()
    assert wire.one() == {"k": "result", "id": 4, "ok": True, "value": "fast"}
    slow.set_result("at last")
    await settle()
    assert wire.one() == {"k": "result", "id": 2, "ok": True, "value": "at last"}


@pytest.mark.parametrize("how", ["raised", "awaited"])
async def test_a_refusal_reaches_the_pack_with_its_hint_and_number(wire: Wire, how: str) -> None:
    error = GrantDenied("No.", hint="rumi grant give notes store.get", request_id="req_9", details={"rule": "default"})

    async def later() -> object:
        raise error

    def answer(_call: object) -> object:
        if how == "raised":
            raise error
        return later()

    wire.gate.answer = answer
    wire.say(call())
    await settle()
    assert wire.one() == {"k": "result", "id": 2, "ok": False, "error": error.to_wire()}


@pytest.mark.parametrize("how", ["raised", "awaited", "iterated"])
async def test_a_defect_of_the_kernel_crosses_as_a_number_only(wire: Wire, how: str) -> None:
    secret = "postgres://user:hunter2@db"

    async def later() -> object:
        raise RuntimeError(secret)

    async def items():
        raise RuntimeError(secret)
        yield

    def answer(_call: object) -> object:
        if how == "raised":
            raise RuntimeError(secret)
        return later() if how == "awaited" else items()

    wire.gate.answer = answer
    wire.say(call())
    await settle()
    frame = wire.one()
    assert frame["error"]["code"] == "INTERNAL"
    assert frame["error"]["request_id"].startswith("req_")
    assert secret not in str(frame)


@pytest.mark.parametrize("args", [[], "x", 5, True, 1.5])
async def test_UD_06_arguments_that_are_no_object_are_refused(wire: Wire, args: object) -> None:
    wire.say(call(args=args))
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"
    assert wire.gate.asked == []


async def test_no_arguments_are_an_empty_object(wire: Wire) -> None:
    frame = call()
    del frame["args"]
    wire.say(frame)
    assert wire.gate.asked[0].args == {}


async def test_UD_06_a_bad_value_is_answered_and_the_connection_lives(wire: Wire) -> None:
    wire.say(call(name=5), call(4))
    first, second = wire.heard()
    assert (first["id"], first["error"]["code"]) == (2, "VALIDATION_ERROR")
    assert first["error"]["hint"]
    assert second["ok"]
    assert not wire.events.ends


async def test_UD_08_an_odd_id_is_refused(wire: Wire) -> None:
    wire.say(call(3))
    assert (wire.heard()[0]["error"]["code"], wire.gate.asked) == ("VALIDATION_ERROR", [])


async def test_UD_08_an_id_in_flight_that_is_used_again_closes_the_connection(wire: Wire) -> None:
    pending = [asyncio.get_running_loop().create_future() for _ in range(2)]
    wire.gate.answer = lambda _call: pending[len(wire.gate.asked) - 1]
    wire.say(*[call(2, args={"n": n}) for n in range(50)])
    assert len(wire.gate.asked) == 1
    assert wire.heard() == []
    assert wire.events.ends == ["protocol: call 2 was opened while it was open"]
    await settle()
    assert pending[0].cancelled()


async def test_UD_08_an_id_used_again_after_its_end_gets_its_own_answer(wire: Wire) -> None:
    started: list[asyncio.Future[object]] = []

    async def stubborn(number: int) -> object:
        mine: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        started.append(mine)
        while True:
            try:
                return await asyncio.shield(mine)
            except asyncio.CancelledError:
                if number == 2:
                    raise

    wire.gate.answer = lambda _call: stubborn(len(wire.gate.asked))
    wire.say(call(2, deadline_ms=50))
    await settle()
    wire.pass_time(0.06)
    assert wire.one()["error"]["code"] == "TIMEOUT"
    wire.say(call(2))
    await settle()
    started[0].set_result("of the first")
    await settle()
    assert wire.heard() == []
    started[1].set_result("of the second")
    await settle()
    assert wire.one() == {"k": "result", "id": 2, "ok": True, "value": "of the second"}


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(0, 0.001, id="UD-10-zero"),
        pytest.param(-1, 0.001, id="UD-10-negative"),
        pytest.param(1e9, 120.0, id="UD-10-huge"),
        pytest.param(10**18, 120.0, id="UD-10-larger"),
        pytest.param(1.7e308, 120.0, id="UD-10-the-largest"),
        pytest.param(0.5, 0.001, id="UD-10-a-fraction"),
        pytest.param(2500.5, 2.5005, id="within-policy"),
        pytest.param(None, 30.0, id="UD-10-null"),
    ],
)
async def test_a_deadline_of_the_pack_is_clamped_to_policy(wire: Wire, asked: object, seconds: float) -> None:
    wire.say(call(deadline_ms=asked))
    assert wire.gate.asked[0].deadline - wire.clock.now == pytest.approx(seconds)


@pytest.mark.parametrize("asked", ["inf", "NaN", [], {}, True], ids=lambda value: f"UD-10-{value!r}")
async def test_a_deadline_that_is_no_number_is_refused(wire: Wire, asked: object) -> None:
    wire.say(call(deadline_ms=asked))
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"


async def test_a_deadline_is_kept_by_the_kernel(wire: Wire) -> None:
    stopped = asyncio.Event()

    async def forever() -> object:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    wire.gate.answer = lambda _call: forever()
    wire.say(call(deadline_ms=700))
    await settle()
    wire.pass_time(0.8)
    assert wire.one()["error"]["code"] == "TIMEOUT"
    await asyncio.wait_for(stopped.wait(), 2)


async def test_a_cancelled_wish_stops_and_is_not_answered(wire: Wire) -> None:
    stopped = asyncio.Event()

    async def forever() -> object:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    wire.gate.answer = lambda _call: forever()
    wire.say(call())
    await settle()
    wire.say({"k": "cancel", "id": 2})
    await asyncio.wait_for(stopped.wait(), 2)
    await settle()
    assert wire.heard() == []


async def test_a_wish_cancelled_in_the_same_breath_leaves_nothing_behind(wire: Wire) -> None:
    async def never_begun() -> object:
        raise AssertionError

    wire.gate.answer = lambda _call: never_begun()
    wire.say(call(), {"k": "cancel", "id": 2})
    await settle()
    assert wire.heard() == []
    assert wire.channel._inward._busy == 0


async def test_one_wish_more_than_may_be_open_is_refused_and_told(make_wire) -> None:
    wire = make_wire(calls_in=64)
    pending: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    wire.gate.answer = lambda _call: asyncio.shield(pending)
    wire.say(*[call(2 * n + 2) for n in range(65)])
    frame = wire.one()
    assert (frame["id"], frame["error"]["code"]) == (130, "RATE_LIMITED")
    assert wire.gate.refusals == [("notes", "store.get", "too_many_calls", frame["error"]["request_id"])]
    pending.set_result(1)
    await settle(10)
    assert len(wire.heard()) == 64
    wire.say(call(200))
    await settle()
    assert wire.one()["ok"]


async def test_giving_up_does_not_make_room_before_the_work_has_ended(make_wire) -> None:
    wire = make_wire(calls_in=2)
    release = asyncio.Event()

    async def deaf() -> object:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return None

    wire.gate.answer = lambda _call: deaf()
    for number in (2, 4, 6, 8):
        wire.say(call(number))
        await settle()
        wire.say({"k": "cancel", "id": number})
        await settle()
    assert len(wire.gate.asked) == 2
    assert [frame["error"]["code"] for frame in wire.heard()] == ["RATE_LIMITED"] * 2
    release.set()
    await settle()


async def test_too_many_bytes_at_work_refuse_the_next_wish_and_hold_nobody_else_up(make_wire) -> None:
    wire = make_wire(inbound_bytes=1000)
    pending: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    wire.gate.answer = lambda _call: asyncio.shield(pending)
    wire.say(call(2, args={"x": "a" * 2000}), call(4))
    assert wire.one()["error"]["code"] == "RATE_LIMITED"
    task, frame = await wire.begun()
    wire.say({"k": "result", "id": frame["id"], "ok": True, "value": "heard"})
    assert await task == "heard"
    pending.set_result(None)
    await settle(10)
    assert wire.one()["ok"]
    wire.say(call(6))
    await settle()
    assert wire.one()["ok"]


async def test_an_answer_over_4_mib_becomes_too_large(wire: Wire) -> None:
    wire.gate.answer = lambda _call: "a" * (MAX_VALUE_BYTES - 2)
    wire.say(call())
    assert wire.one()["ok"]
    wire.gate.answer = lambda _call: "a" * (MAX_VALUE_BYTES - 1)
    wire.say(call(4))
    assert wire.one()["error"]["code"] == "TOO_LARGE"


async def test_an_answer_that_is_not_json_becomes_an_error(wire: Wire) -> None:
    wire.gate.answer = lambda _call: {"x": object()}
    wire.say(call())
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"


async def test_details_that_cannot_be_sent_are_left_out(wire: Wire) -> None:
    def answer(_call: object) -> object:
        raise GrantDenied("No.", details={"x": object()})

    wire.gate.answer = answer
    wire.say(call())
    error = wire.one()["error"]
    assert (error["code"], error["details"]) == ("GRANT_DENIED", {})


@pytest.mark.parametrize(
    "forged",
    [
        {"pack_id": "kernel"},
        {"principal_id": "other", "pack_id": "kernel", "principal": "host"},
        {"actor": {"id": "owner", "role": "owner", "groups": []}, "ctx": {"run_id": "run_x", "actor": {"id": "owner"}}},
    ],
    ids=["UD-04-pack", "UD-04-principal", "UD-04-context"],
)
async def test_who_asks_is_never_read_from_a_frame(wire: Wire, forged: dict[str, Any]) -> None:
    wire.say(call(args={"pack_id": "other"}, **forged))
    (asked,) = wire.gate.asked
    assert asked.pack_id == "notes"
    assert asked.context is None
    assert asked.args == {"pack_id": "other"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="UD-07-empty"),
        pytest.param("../../handler", id="UD-07-path"),
        pytest.param("secrets.get\n", id="UD-07-newline"),
        pytest.param("secrets ", id="UD-07-space"),
        pytest.param("*", id="UD-07-wildcard"),
        pytest.param("STORE.GET", id="UD-07-upper-case"),
    ],
)
async def test_a_name_reaches_the_gate_exactly_as_it_was_said(wire: Wire, name: str) -> None:
    wire.say(call(name=name))
    assert wire.gate.asked[0].name == name


async def test_UD_07_a_name_of_a_megabyte_is_refused_before_the_gate(wire: Wire) -> None:
    wire.say(call(name="a" * 1_000_000))
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"
    assert wire.gate.asked == []


async def test_a_witness_that_fails_does_not_spare_the_refusal(wire: Wire) -> None:
    def broken(**_what: object) -> None:
        raise OSError("disk full")

    wire.gate.refused = broken  # type: ignore[method-assign]
    wire.say(call(token="f" * 32))
    assert wire.one()["error"]["code"] == "POLICY_DENIED"


async def test_a_ping_of_the_agent_is_answered(wire: Wire) -> None:
    wire.say({"k": "ping"})
    assert wire.one() == {"k": "pong"}
