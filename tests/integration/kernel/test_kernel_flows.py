"""Flows over real packs: every kind of step, whose rights they have, circles, depth, and what a broken file says."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.docker


def run_flow(kernel, flow: str, inputs: dict | None = None) -> dict:
    return kernel.request("POST", f"/api/flows/{flow}/run", {"inputs": inputs or {}})


def test_a_flow_uses_loops_branches_retries_blocks_and_other_flows_over_real_packs(world):
    outputs = world.rumi("flow", "run", "everything", "--input", 'names:=["Ada", "Bob"]', "--input", "key=first").value
    assert outputs == {
        "messages": [{"message": "Hello, Ada!"}, {"message": "Hello, Bob!"}],
        "doubled": 42,
        "inner": "first",
        "tries": 3,
        "note": "two",
        "skipped": None,
    }


def test_a_step_that_fails_to_the_end_fails_the_run_with_the_packs_own_error(world):
    answer = run_flow(
        world, "everything", {"names": [], "key": "first"}
    )  # its tries are used up: flaky answers at once
    assert answer["success"], answer
    error = world.refused("workshop.fail", {"text": "boom"})
    assert error["code"] == "INTERFACE_ERROR"
    assert "ValueError: boom" in error["message"]
    assert "Traceback" not in str(error)
    assert "setup.py" not in str(error)
    assert any("Traceback" in line["text"] for line in world.get("/api/packs/workshop/logs", limit=200)["items"])


def test_yj_08_flows_in_a_circle_are_refused_and_the_chain_is_named(world):
    answer = world.rumi("flow", "run", "round_a")
    assert answer.code != 0
    assert answer.error["code"] in {"CONFLICT", "POLICY_DENIED"}
    assert "round_a" in answer.error["message"]
    assert "round_b" in answer.error["message"]


def test_ud_15_a_pack_that_calls_a_flow_that_calls_the_pack_is_stopped_and_everything_is_given_back(world, threads):
    began = time.monotonic()
    answer = run_flow(world, "again")
    assert not answer["success"]
    assert "again" in answer["error"]["message"]
    assert time.monotonic() - began < 5
    many = list(threads.map(lambda _: run_flow(world, "again")["success"], range(24)))
    assert not any(many)
    assert world.call("workshop.echo", {"still": "here"}) == {"still": "here"}
    busy = next(item for item in world.get("/api/containers")["items"] if item["pack_id"] == "workshop")
    assert (busy["calls_in_flight"], busy["calls_waiting"]) == (0, 0)


def test_ud_15_calls_are_ten_deep_and_not_eleven(world, threads):
    assert world.call("workshop.level_1", {"to": 10}) == {"deepest": 10}
    error = world.refused("workshop.level_1", {"to": 11})
    assert "10" in error["message"]
    side_by_side = list(threads.map(lambda _: world.call("workshop.level_1", {"to": 5}, 10.0), range(8)))
    assert side_by_side == [{"deepest": 5}] * 8


def test_a_flow_of_a_pack_has_that_packs_rights_and_no_others(world):
    error = run_flow(world, "reaches")["error"]
    assert error["code"] == "GRANT_DENIED"
    assert "notes.list" in error["hint"]


def test_a_flow_that_names_a_block_of_another_pack_is_never_loaded(world):
    answer = world.rumi("flow", "run", "thief")
    assert (answer.code, answer.error["code"]) == (1, "UNAVAILABLE")
    assert "The block belongs to 'notes'" in answer.error["message"]
    assert any("thief.flow.yaml" in item["code"] for item in world.diagnostics())


def test_two_packs_with_one_flow_id_the_first_keeps_it_and_a_diagnostic_names_both(world):
    claims = [item for item in world.rumi("flow", "list").value if item["flow_id"] == "what_time"]
    assert {item["state"] for item in claims} == {"active", "disabled"}
    lost = next(item for item in claims if item["state"] == "disabled")
    told = [item["message"] for item in world.diagnostics() if "what_time" in item["message"]]
    assert len(told) == 1
    assert "ticker" in told[0]
    assert "listener" in told[0]
    holder = next(item for item in claims if item["state"] == "active")["owner"]
    assert {holder, lost["owner"]} == {"ticker", "listener"}


def test_yj_06_texts_of_strangers_are_never_evaluated_again(world):
    nasty = "${inputs.key} {{x}} %s __class__ ${run.id}"
    outputs = run_flow(world, "nested", {"text": nasty})["data"]["outputs"]
    assert outputs == {"text": nasty}


def test_inputs_are_checked_before_the_first_step(world):
    answer = world.rumi("flow", "run", "everything", "--input", "names=Ada", "--input", "key=x")
    assert (answer.code, answer.error["code"]) == (2, "VALIDATION_ERROR")
    assert "names" in answer.error["message"]


def test_calls_in_flight_end_as_denied_when_the_bytes_of_their_pack_change(world, threads, until_true):
    file = world.packs / "workshop" / "backend" / "components" / "bench" / "setup.py"
    approved = file.read_bytes()
    under_way = [threads.submit(world.try_call, "workshop.slow", {"seconds": 30}) for _ in range(2)]
    flow = threads.submit(run_flow, world, "slow", {"seconds": 30})
    until_true(lambda: in_flight(world, "workshop") == 3, 5, "the calls being under way")
    file.write_bytes(approved + b"\n")
    began = time.monotonic()
    errors = [task.result(timeout=10)["error"] for task in [*under_way, flow]]
    assert time.monotonic() - began < 4
    assert [item["code"] for item in errors] == ["APPROVAL_DENIED"] * 3
    file.write_bytes(approved)
    until_true(lambda: world.state("workshop") == "approved", 2, "the old bytes being noticed")
    assert world.call("workshop.echo", {"back": True}) == {"back": True}


def in_flight(kernel, pack: str) -> int:
    return next(item["calls_in_flight"] for item in kernel.get("/api/containers")["items"] if item["pack_id"] == pack)
