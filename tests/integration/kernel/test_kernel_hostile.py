"""Hostile packs on a real kernel: what they cannot reach, whom they cannot be, and what they cost everybody else.

The sandbox's own tests attack the container; these attack the kernel behind it. After each of them the neighbours
answer as before and the kernel has not grown.
"""

from __future__ import annotations

import os
import statistics
import time

import pytest

pytestmark = pytest.mark.docker

GROWTH_KIB = 30 * 1024


def latency(kernel, count: int = 30) -> float:
    """Median seconds of a neighbour's answer."""
    seen = []
    for _ in range(count):
        began = time.monotonic()
        assert kernel.call("service.hello", {"name": "Ada"}, 5.0) == {"message": "Hello, Ada!"}
        seen.append(time.monotonic() - began)
    return statistics.median(seen)


@pytest.fixture(scope="module")
def attacked(world, until_true):
    """The kernel with the two hostile packs approved, and what is normal on it."""
    world.install("forger", "hostile")
    until_true(lambda: world.state("forger") == world.state("hostile") == "pending", 3, "the packs being listed")
    world.approve("forger", "hostile")
    latency(world)
    world.facts["normal"] = latency(world)
    world.facts["memory"] = world.memory_kib
    yield world
    for name in ("forger", "hostile"):
        world.post(f"/api/packs/{name}/disable")
    until_true(lambda: not world.container_of("forger") and not world.container_of("hostile"), 2, "their end")


@pytest.fixture(autouse=True)
def unharmed(attacked):
    """After every attack the neighbours are well, and so is the kernel."""
    yield
    assert latency(attacked) < max(3 * attacked.facts["normal"], 0.05)
    assert attacked.memory_kib - attacked.facts["memory"] < GROWTH_KIB
    assert attacked.get("/api/audit/verify")["ok"]


def ready_again(kernel, pack: str, old: list[str], until_true) -> None:
    """A pack that was ended is back in another container."""

    def is_back() -> bool:
        return kernel.pack(pack)["running"] == "ready" and kernel.container_of(pack) != old

    until_true(is_back, 15, f"{pack} coming back")


def test_a_hostile_pack_finds_no_network_no_foreign_file_and_no_other_socket(attacked):
    paths = [
        str(attacked.profile / "permissions" / ".secret_key"),
        str(attacked.profile / "run" / "admin.sock"),
        str(attacked.packs / "notes" / "backend" / "ecosystem.json"),
        "/etc/shadow",
        "/var/run/docker.sock",
        "/proc/1/root/etc/shadow",
        str(attacked.folder),
    ]
    seen = attacked.call("forger.look", {"paths": paths})
    assert set(seen["sockets"].values()) <= {"EPERM", "EAFNOSUPPORT"}
    assert seen["interfaces"] in ([], ["lo"])
    assert set(seen["run"]) <= {"/run/rumi/kernel.sock"}
    assert seen["pack"] == ["backend"]
    assert set(seen["files"].values()) <= {"ENOENT", "EACCES", "EPERM"}
    assert seen["uid"] not in {0, os.getuid()}
    calls = attacked.call("hostile.syscalls")
    assert {name for name, result in calls.items() if result == "ok"} == set()


def test_ud_02_a_second_connection_of_a_pack_is_closed_without_an_answer(attacked):
    seen = attacked.call("forger.connect_again", {"count": 50})["seen"]
    assert set(seen) <= {"closed", "ECONNRESET", "EPIPE"}
    assert attacked.pack("forger")["running"] == "ready"


def test_ud_04_no_field_of_a_frame_makes_a_pack_another_principal(attacked, until_true):
    """Frames written past the agent, naming everybody they can think of: the socket says who it is."""
    victims = [
        {"pack_id": "notes", "principal": "notes"},
        {"principal_id": "host", "principal": "host", "actor": {"id": "owner", "role": "owner", "groups": []}},
        {"pack_id": "kernel", "ctx": {"run_id": "run_x", "actor": {"id": "owner", "role": "owner"}}},
        {"pack": "notes", "caller": "notes", "uid": 0, "scopes": ["approve"]},
    ]
    frames = []
    for number, names in enumerate(victims):
        ident = 2_000_000 + 20 * number
        call = {"k": "call", "id": ident, "deadline_ms": 5000, **names}
        stolen = {"store": "notes/notes", "key": f"forged-{number}", "value": names}
        own = {"store": "notes", "key": f"forged-{number}", "value": names}
        frames += [
            {**call, "name": "store.set", "args": stolen | names},
            {**call, "id": ident + 2, "name": "store.set", "args": own},
            {**call, "id": ident + 4, "name": "interface.call", "args": {"name": "notes.list", "args": {}}},
            {**call, "id": ident + 6, "name": "pack.approve", "args": {"pack_id": "forger"}},
            {**call, "id": ident + 8, "name": "event.publish", "args": {"topic": "ticker/tick", "payload": names}},
        ]
    heard = len(attacked.call("listener.heard")["events"])
    last = attacked.audit()[-1]["seq"]
    assert attacked.call("forger.send_frames", {"frames": frames})["sent"] == len(frames)
    lines: list[dict] = []

    def all_told() -> bool:
        lines[:] = [item for item in attacked.audit(principal="forger", outcome="deny") if item["seq"] > last]
        return len(lines) == len(frames)

    until_true(all_told, 5, "a line for each forged wish")
    others = [item for item in attacked.audit(category="capability") if item["seq"] > last]
    names = {item["principal"] for item in others if item["action"] in {"store.set", "event.publish", "pack.approve"}}
    assert names == {"forger"}
    keys = [item["key"] for item in attacked.get("/api/stores/notes/notes", limit=1000)["items"]]
    assert not any(key.startswith("forged") for key in keys)
    assert len(attacked.call("listener.heard")["events"]) == heard


def test_ud_04_frames_that_are_the_kernels_own_do_nothing_from_a_pack(attacked):
    frames = [
        {
            "k": "config",
            "protocol": 1,
            "pack_id": "notes",
            "settings": {},
            "concurrency": 64,
            "max_streams": 1,
            "proxy": False,
        },
        {"k": "stop", "grace_ms": 0},
        {"k": "event", "interface": "listener.on_tick", "topic": "ticker/tick", "payload": {"forged": True}},
        {"k": "result", "id": 1, "ok": True, "value": "forged"},
        {"k": "result", "id": 99_999, "ok": True, "value": "forged"},
        {"k": "cancel", "id": 7},
    ]
    heard = len(attacked.call("listener.heard")["events"])
    answer = attacked.try_call("forger.send_frames", {"frames": frames})
    assert answer["success"] or answer["error"]["code"] == "UNAVAILABLE"  # the connection may be closed for it
    assert len(attacked.call("listener.heard")["events"]) == heard
    assert attacked.pack("notes")["running"] == "ready"


def test_bx_07_tokens_that_are_missing_invented_spent_or_of_another_pack_give_nothing(attacked):
    wish = {"permission": "store.get", "args": {"store": "loot", "key": "x"}}

    def ask(how: str, **more: object) -> dict:
        return attacked.call("forger.ask", {"how": how, **wish, **more})

    assert ask("own") == {"ok": None}
    assert ask("none")["code"] == "POLICY_DENIED", "without its token only what is declared as background"
    background = {"permission": "store.set", "args": {"store": "loot", "key": "x", "value": 1}}
    assert ask("none", **background)["ok"]["version"] >= 1
    invented, spent = ask("invented"), ask("spent")
    lent = attacked.call("workshop.lend_token", wish)
    assert [item.get("code") for item in (invented, spent, lent)] == ["POLICY_DENIED"] * 3


def test_ud_17_ten_thousand_refusals_a_second_do_not_fill_the_audit_or_slow_the_neighbours(
    attacked, threads, until_true
):
    folder = attacked.profile / "audit"

    def size() -> int:
        return sum(path.stat().st_size for path in folder.glob("*.jsonl"))

    before, last = size(), attacked.audit()[-1]["seq"]
    flood = threads.submit(attacked.call, "forger.flood_denied", {"seconds": 3, "per_second": 10_000})
    time.sleep(0.5)
    during = latency(attacked)
    sent = flood.result(timeout=30)["sent"]
    lines: list[dict] = []

    def all_told() -> bool:  # counts are written once a second
        found = attacked.audit(principal="forger", action="store.delete", outcome="deny")
        lines[:] = [item for item in found if item["seq"] > last]
        return sum(item["details"].get("count", 1) for item in lines) >= sent

    assert sent > 10_000
    until_true(all_told, 10, "every refusal being written or counted")
    assert sum(item["details"].get("count", 1) for item in lines) == sent
    assert len(lines) < 300
    assert size() - before < 1 << 20
    assert during < max(5 * attacked.facts["normal"], 0.1)


def test_a_flood_of_log_lines_and_output_is_cut_and_told(attacked):
    before = attacked.memory_kib
    attacked.call("forger.flood_logs", {"lines": 3000, "bytes": 16 << 20}, 60.0)
    logs = attacked.get("/api/packs/forger/logs", limit=1000)["items"]
    assert sum(len(item["text"]) for item in logs) < 2 << 20
    assert attacked.memory_kib - before < 20 * 1024


def test_ct_07_a_reply_of_5_mb_is_too_large_and_the_pack_goes_on(attacked):
    answer = attacked.rumi("call", "hostile.big_reply", "--arg", "bytes:=5000000")
    assert (answer.code, answer.error["code"]) == (1, "TOO_LARGE")
    assert attacked.call("hostile.echo", {"a": 1}) == {"a": 1}


def test_ct_04_a_fork_bomb_ends_at_the_limit_of_its_container(attacked):
    bomb = attacked.call("hostile.fork_bomb")
    assert bomb["error"] == "EAGAIN"
    assert bomb["children"] < 64


def test_ud_06_bytes_that_are_no_frame_end_the_connection_and_the_pack_comes_back(attacked, until_true):
    old = attacked.container_of("forger")
    error = attacked.refused("forger.speak_nonsense", {"hex": "ffffffff" + "00" * 64}, 10.0)
    assert error["code"] == "UNAVAILABLE"
    ready_again(attacked, "forger", old, until_true)
    assert attacked.call("forger.ask", {"how": "own", "permission": "store.get", "args": {"store": "loot", "key": "x"}})


def test_ft_10_ft_12_a_pack_that_runs_out_of_memory_or_dies_is_told_and_replaced_until_it_loops(attacked, until_true):
    """OOM and no result are told apart; the third end in ten minutes is the last one, until the owner acts."""
    old = attacked.container_of("hostile")
    error = attacked.refused("hostile.eat_memory")
    assert (error["code"], error["details"]["reason"]) == ("UNAVAILABLE", "OOM")
    ready_again(attacked, "hostile", old, until_true)

    old = attacked.container_of("hostile")
    error = attacked.refused("hostile.exit_now")
    assert (error["code"], error["details"]["reason"]) == ("UNAVAILABLE", "NO_RESULT")
    ready_again(attacked, "hostile", old, until_true)
    assert attacked.refused("hostile.exit_now")["details"]["reason"] == "NO_RESULT"
    until_true(lambda: attacked.pack("hostile")["running"] == "crash_looped", 5, "the crash loop being noticed")
    assert attacked.container_of("hostile") == []
    assert attacked.refused("hostile.echo")["code"] == "UNAVAILABLE"
    assert "PACK_NO_RESULT" in {item["code"] for item in findings(attacked)}
    assert attacked.post("/api/packs/hostile/enable")["running"] == "ready"
    assert attacked.call("hostile.echo", {"a": 1}) == {"a": 1}


def findings(kernel) -> list[dict]:
    return [item for item in kernel.diagnostics() if item["subject"] == "pack:hostile"]


def test_ft_11_a_pack_that_stops_itself_costs_its_deadline_and_is_replaced(attacked, until_true):
    old = attacked.container_of("hostile")
    began = time.monotonic()
    assert attacked.refused("hostile.stop_self", None, 1.0)["code"] in {"TIMEOUT", "UNAVAILABLE"}
    assert time.monotonic() - began < 1.5
    until_true(lambda: old[0] not in attacked.container_of("hostile"), 5, "the hung container's end")
    assert time.monotonic() - began < 1.0 + 3.0 + 0.5
    ready_again(attacked, "hostile", old, until_true)
    assert attacked.call("hostile.echo", {"a": 1}) == {"a": 1}


def test_ft_11_a_handler_that_never_answers_costs_its_caller_the_deadline_and_no_more(attacked, threads):
    began = time.monotonic()
    results = list(threads.map(lambda _: attacked.refused("forger.never_answers", None, 1.0), range(2)))
    assert {item["code"] for item in results} == {"TIMEOUT"}
    assert time.monotonic() - began < 1.0 + 3.0
    assert attacked.call("forger.look", {"paths": []})["pack"] == ["backend"]
