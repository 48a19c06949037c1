"""On whose behalf a pack acts: by its token, by nothing else (BX-07)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core_runtime.authority import Actor

from .conftest import Wire, settle

ADA = Actor("ada", "guest")


def wish(number: int, token: object = None, **more: Any) -> dict[str, Any]:
    given = {} if token is None else {"token": token}
    return {"k": "call", "id": number, "name": "store.get", "args": {}, "deadline_ms": 60_000, **given, **more}


async def test_BX_07_with_its_token_a_wish_is_on_behalf_of_the_call(wire: Wire) -> None:
    context = wire.context(5.0, actor=ADA, run_id="run_1", chain=("interface:a.b",), traceparent="00-a")
    task, frame = await wire.begun(context=context)
    wire.say(wish(2, frame["token"]))
    (asked,) = wire.gate.asked
    assert asked.context == context
    assert asked.deadline == context.deadline  # never after the call that it belongs to
    wire.say({"k": "result", "id": 1, "ok": True})
    await task


async def test_BX_07_without_a_token_a_wish_is_on_the_packs_own_account(wire: Wire) -> None:
    task, _ = await wire.begun(context=wire.context(actor=ADA))
    wire.say(wish(2), {**wish(4), "token": None})
    assert [asked.context for asked in wire.gate.asked] == [None, None]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_BX_07_a_token_that_ended_with_its_call_is_refused(wire: Wire) -> None:
    task, frame = await wire.begun()
    wire.say({"k": "result", "id": 1, "ok": True})
    await task
    wire.say(wish(2, frame["token"]))
    error = wire.heard()[-1]["error"]
    assert error["code"] == "POLICY_DENIED"
    assert error["hint"]
    assert wire.gate.asked == []
    assert wire.gate.refusals == [("notes", "store.get", "token_invalid", error["request_id"])]


@pytest.mark.parametrize("how", ["timeout", "given up", "closed stream", "stream ended"])
async def test_BX_07_a_token_ends_however_its_call_ends(wire: Wire, how: str) -> None:
    task, frame = await wire.begun(context=wire.context(1.0))
    if how == "timeout":
        wire.pass_time(1.1)
    elif how == "given up":
        task.cancel()
    else:
        wire.say({"k": "item", "id": 1, "value": 1})
        stream = await task
        if how == "closed stream":
            await stream.aclose()
        else:
            wire.say({"k": "result", "id": 1, "ok": True})
    await asyncio.gather(task, return_exceptions=True)
    wire.heard()
    wire.say(wish(2, frame["token"]))
    assert wire.one()["error"]["code"] == "POLICY_DENIED"
    assert len(wire.channel._tokens) == 0


async def test_BX_07_a_token_of_another_connection_is_refused(make_wire) -> None:
    mine, other = make_wire(), make_wire(pack_id="other")
    task, frame = await other.begun(context=other.context(actor=ADA))
    mine.say(wish(2, frame["token"]))
    assert mine.one()["error"]["code"] == "POLICY_DENIED"
    assert mine.gate.asked == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_BX_07_a_token_of_another_call_acts_for_that_call_as_documented(wire: Wire) -> None:
    owners, owners_frame = await wire.begun(context=wire.context(actor=Actor("owner", "owner")))
    guests, guests_frame = await wire.begun(context=wire.context(actor=ADA))
    wire.say(wish(2, owners_frame["token"]), wish(4, guests_frame["token"]))
    assert [asked.context.actor.id for asked in wire.gate.asked] == ["owner", "ada"]
    for task in (owners, guests):
        task.cancel()
    await asyncio.gather(owners, guests, return_exceptions=True)


@pytest.mark.parametrize(
    "token", ["", "0" * 32, "f" * 100_000, "../x", "\x00"], ids=["empty", "zeros", "long", "path", "nul"]
)
async def test_BX_07_an_invented_token_is_refused(wire: Wire, token: str) -> None:
    wire.say(wish(2, token))
    assert wire.one()["error"]["code"] == "POLICY_DENIED"
    assert wire.gate.asked == []


@pytest.mark.parametrize("token", [5, True, [], {}, 1.5])
async def test_UD_06_a_token_of_another_type_is_refused(wire: Wire, token: object) -> None:
    wire.say(wish(2, token))
    assert wire.one()["error"]["code"] == "VALIDATION_ERROR"


async def test_tokens_are_random_and_never_repeat(wire: Wire) -> None:
    issued = {wire.channel._tokens.issue(wire.context()) for _ in range(5000)}
    assert len(issued) == 5000
    assert all(len(token) == 32 and set(token) <= set("0123456789abcdef") for token in issued)


async def test_the_token_of_a_stream_outlives_the_deadline_of_its_head(wire: Wire) -> None:
    task, frame = await wire.begun(context=wire.context(1.0, actor=ADA))
    wire.say({"k": "item", "id": 1, "value": "open"})
    stream = await task
    wire.pass_time(5)
    wire.say(wish(2, frame["token"], deadline_ms=2000))
    (asked,) = wire.gate.asked
    assert asked.context.actor == ADA
    assert asked.context.deadline == asked.deadline == wire.clock.now + 2.0
    await stream.aclose()


async def test_an_idempotency_key_belongs_to_the_wish_that_carries_it(wire: Wire) -> None:
    task, frame = await wire.begun(context=wire.context(idempotency_key="of-the-call"))
    wire.say(wish(2, frame["token"]), wish(4, frame["token"], idempotency_key="of-the-wish", traceparent="00-b"))
    first, second = wire.gate.asked
    assert first.context.idempotency_key is None
    assert (second.context.idempotency_key, second.context.traceparent) == ("of-the-wish", "00-b")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_token_of_an_event_ends_by_time(wire: Wire) -> None:
    wire.channel.event("a.on", "clock/tick", {}, wire.context(500.0, actor=ADA))
    token = wire.one()["token"]
    wire.say(wish(2, token))
    assert wire.gate.asked[0].context.actor == ADA
    wire.pass_time(31)
    wire.heard()
    wire.say(wish(4, token))
    assert wire.one()["error"]["code"] == "POLICY_DENIED"


async def test_the_tokens_of_events_are_bounded_in_number(make_wire) -> None:
    wire = make_wire(event_tokens=3)
    tokens = []
    for _ in range(5):
        wire.channel.event("a.on", "clock/tick", {}, wire.context())
        tokens.append(wire.one()["token"])
    assert len(wire.channel._tokens) == 3
    wire.say(*[wish(2 + 2 * n, token) for n, token in enumerate(tokens)])
    await settle()
    assert [frame["ok"] for frame in wire.heard()] == [False, False, True, True, True]


async def test_nothing_is_valid_after_the_connection_has_ended(wire: Wire) -> None:
    task, _ = await wire.begun()
    wire.channel.abort("x")
    assert len(wire.channel._tokens) == 0
    await asyncio.gather(task, return_exceptions=True)
