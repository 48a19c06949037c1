"""Packs beside each other on one kernel: bad ones among good ones, events, names that two of them want, settings."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.docker


def test_ct_21_without_an_engine_nothing_runs_anywhere_and_the_owner_is_told(world):
    seen = world.facts["without engine"]
    assert seen["containers"] == []
    assert seen["children"] == [], "a process was started in place of a container"
    assert seen["states"]["hello"] == "approved"
    assert seen["call"]["error"]["code"] == "UNAVAILABLE"
    assert seen["call"]["error"]["details"]["reason"] == "RUNTIME_UNAVAILABLE"
    assert any(item["subject"] == "engine" and item["severity"] == "problem" for item in seen["diagnostics"])
    code, seconds = world.facts["end without engine"]
    assert (code, seconds < 15) == (0, True)


def test_ft_27_three_bad_packs_among_five_good_ones_cost_the_good_ones_nothing(world):
    """One does not parse, one raises in its setup and brings a flow that is no YAML, one never gets ready."""
    seen = world.facts["beside the bad ones"]
    assert world.facts["ready after"] < 10 + 3  # at most 10 s because of them
    assert seen["sleepy"] == ("starting", False), "the boot waited for the slowest"
    good = {name: answer["success"] for name, answer in seen["answers"].items()}
    assert good.pop("stubborn.here") is False
    assert good == dict.fromkeys(good, True)

    told: dict[str, list[dict]] = {}
    for item in seen["diagnostics"]:
        told.setdefault(item["subject"].removeprefix("pack:"), []).append(item)
    assert world.state("garbled") == "invalid"
    assert "JSON" in told["garbled"][0]["message"]
    assert any("I will not start" in item["message"] for item in told["stubborn"])
    assert any("mule.flow.yaml:4:7: error: Not YAML" in item["message"] for item in told["stubborn"])
    assert any("still starting" in item["message"] for item in told["sleepy"])
    assert all(item["hint"] for name in ("garbled", "stubborn", "sleepy") for item in told[name])
    assert not told.keys() & {"hello", "notes"}
    state, seconds = world.facts["switched off"]
    assert (state, seconds < 5) == ("disabled", True), "a pack that starts could not be switched off"


def test_ap_01_a_pack_whose_bytes_change_while_it_starts_is_stopped_too(world, threads, until_true):
    file = world.packs / "sleepy" / "backend" / "components" / "bed" / "setup.py"
    approved = file.read_bytes()
    starting = threads.submit(world.request, "POST", "/api/packs/sleepy/enable", {})
    until_true(lambda: world.container_of("sleepy"), 5, "its start")
    file.write_bytes(approved + b"\n")
    until_true(lambda: not world.container_of("sleepy"), 2.5, "its end")
    assert world.state("sleepy") == "modified"
    assert starting.result(timeout=5)["data"]["state"] == "modified"
    world.post("/api/packs/sleepy/disable")
    file.write_bytes(approved)
    until_true(lambda: world.state("sleepy") == "disabled", 2, "the old bytes being noticed")
    assert world.container_of("sleepy") == []


def test_bx_12_an_event_reaches_who_may_hear_it_and_nobody_else(world, until_true):
    def heard() -> list[object]:
        return [item["args"] for item in world.call("listener.heard")["events"]]

    assert world.call("ticker.tick", {"n": 1}) == {"subscribers": 1}
    until_true(lambda: heard(), 2, "the event's arrival")
    assert heard()[-1]["payload"] == {"n": 1}
    assert heard()[-1]["topic"] == "ticker/tick"
    actor = world.call("listener.heard")["events"][-1]["actor"]
    assert actor["role"] == "owner", "an event is handed on for whoever it happened for"

    before = len(heard())
    world.request("DELETE", "/api/grants/listener/event.subscribe")
    world.call("ticker.tick", {"n": 2})
    world.post("/api/grants", {"principal": "listener", "permission": "event.subscribe"})
    world.call("ticker.tick", {"n": 3})
    until_true(lambda: len(heard()) > before, 2, "the event's arrival")
    assert [item["payload"] for item in heard()[before:]] == [{"n": 3}]

    world.request("DELETE", "/api/grants/ticker/event.publish")
    assert world.refused("ticker.tick", {"n": 4})["details"]["code"] == "GRANT_DENIED"
    world.post("/api/grants", {"principal": "ticker", "permission": "event.publish"})


def test_bx_12_nobody_publishes_under_anothers_topic_or_hears_what_it_was_not_granted(world):
    before = len(world.call("listener.heard")["events"])
    for topic in ("listener/tick", "kernel/tick", "host/tick", "other", "../tick", "TICK"):
        assert world.call("ticker.publish", {"topic": topic})["code"] in {"GRANT_DENIED", "VALIDATION_ERROR"}, topic
    for topic in ("notes/added", "*", "ticker/*", "ticker/secret"):
        assert world.call("listener.subscribe", {"topic": topic})["code"] in {"GRANT_DENIED", "VALIDATION_ERROR"}, topic
    assert len(world.call("listener.heard")["events"]) == before


def test_bx_11_an_interface_stays_with_its_holder_even_when_another_pack_crashes_it(world, until_true):
    assert any(
        item["subject"] == "pack:listener" and "clock.now" in item["message"] and "ticker" in item["message"]
        for item in world.diagnostics()
    )
    denied = world.call("listener.crash_ticker") if not granted(world) else None
    if denied is not None:
        assert denied["code"] == "GRANT_DENIED"
    world.post("/api/grants", {"principal": "listener", "permission": "interface.call"})
    before = world.container_of("ticker")
    assert world.call("listener.crash_ticker")["code"] == "UNAVAILABLE"
    answers = []
    until_true(lambda: answers.append(world.try_call("clock.now")) or answers[-1]["success"], 15, "ticker's return")
    failed = [item["error"]["code"] for item in answers if not item["success"]]
    assert set(failed) <= {"UNAVAILABLE"}
    assert failed, "the holder was never down"
    assert {item["data"]["by"] for item in answers if item["success"]} == {"ticker"}
    assert world.container_of("ticker") != before
    world.request("DELETE", "/api/grants/listener/interface.call")


def granted(kernel) -> bool:
    return any(
        item["permission"] == "interface.call" for item in kernel.get("/api/grants", principal="listener")["items"]
    )


def test_bx_01_a_setting_comes_from_its_own_variable_and_no_other_variable_of_the_host_gets_in(world, canaries):
    seen = world.call("workshop.surroundings")
    assert seen["settings"] == {"greeting": "good day", "aws_secret_access_key": "none"}
    assert set(seen["environment"]) == {
        "HOME",
        "HOSTNAME",
        "LANG",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "RUMI_SOCK",
    }
    assert not any(value in str(seen) for value in canaries.values())
    for item in world.containers():
        inspected = str(world.engine.client.api.inspect_container(item["Id"]))
        assert not any(value in inspected for value in canaries.values())
    everything = [str(world.get("/api/status")), str(world.get("/api/settings")), str(world.audit()), world.log]
    assert not any(value in text for value in canaries.values() for text in everything)


def test_every_pack_has_a_uid_of_its_own_and_a_hardened_container(world):
    uids = {world.call("ticker.pid")["uid"], world.call("workshop.surroundings")["uid"]}
    assert len(uids) == 2
    assert 0 not in uids
    for item in world.containers():
        host = world.engine.client.api.inspect_container(item["Id"])["HostConfig"]
        assert (host["NetworkMode"], host["ReadonlyRootfs"], host["Privileged"]) == ("none", True, False)
        assert host["CapDrop"] == ["ALL"]
