"""Somebody writes where the kernel keeps its state, or races it in the pack's folder: what was believed is judged again."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def cell(make_kernel):
    """A kernel of its own: these attacks damage what they touch."""
    with make_kernel("hello", "intruder") as kernel:
        kernel.start()
        kernel.approve("hello", "intruder")
        yield kernel


def denied(kernel) -> str:
    answer = kernel.try_call("service.hello", {"name": "Ada"}, 10.0)
    return "" if answer["success"] else answer["error"]["code"]


def test_a_sealed_copy_that_was_changed_between_two_starts_never_runs(cell, attack, until_true):
    """Its container dies, which the pack itself can arrange; the next one must hold the approved bytes or none."""
    sealed = next((cell.profile / "sealed" / cell.pack("intruder")["digest"]).rglob("setup.py"))
    good = sealed.read_text()
    bad = good.replace('return space.get("result")', 'return "CHANGED"')
    assert bad != good

    def swap() -> list[str]:
        sealed.chmod(0o644)
        sealed.write_text(bad)
        sealed.chmod(0o444)
        old = cell.container_of("intruder")
        assert attack(cell, "os._exit(3)")["error"]["details"]["reason"] == "NO_RESULT"
        return old

    old = swap()
    until_true(
        lambda: cell.pack("intruder")["running"] == "ready" and cell.container_of("intruder") != old, 15, "its return"
    )
    assert attack(cell, "result = 'as approved'")["data"] == "as approved"
    assert sealed.read_text() == good
    assert any(item["action"] == "sealed.damaged" for item in cell.audit(category="security"))

    swap()
    (cell.packs / "intruder" / "backend" / "new.txt").write_text("now the folder cannot mend it")
    refusals: list[str] = []

    def refused() -> bool:
        answer = attack(cell, "result = 1")
        assert not answer["success"], answer
        refusals.append(answer["error"]["code"])
        return refusals[-1] == "APPROVAL_DENIED"

    until_true(refused, 15, "the refusal")
    assert not cell.container_of("intruder")
    (cell.packs / "intruder" / "backend" / "new.txt").unlink()
    until_true(lambda: cell.state("intruder") == "approved", 5, "its bytes being back")
    cell.post("/api/packs/intruder/enable")  # two ends in a row are enough for one day
    assert attack(cell, "result = 'as approved'")["data"] == "as approved"


def test_gr_01_records_that_are_edited_swapped_or_lose_their_index_stop_counting_within_seconds(cell, until_true):
    folder = cell.profile / "permissions"
    record, index = folder / "hello.grants.json", folder / ".approval.grants.index.json"
    kept = {path: path.read_bytes() for path in (record, index)}

    def put_back() -> None:
        for path, data in kept.items():
            path.write_bytes(data)
            path.chmod(0o600)
        until_true(lambda: cell.state("hello") == "approved" and not denied(cell), 8, "its return")

    damages = (
        lambda: record.write_bytes((folder / "intruder.grants.json").read_bytes()),
        lambda: index.unlink(),
    )
    for damage in damages:
        damage()
        until_true(lambda: cell.state("hello") == "invalid", 4.5, "the damage being seen")
        assert denied(cell) == "APPROVAL_DENIED"
        put_back()


def test_what_was_written_into_ledger_and_book_while_no_kernel_ran_gives_nothing_back(cell, attack):
    """Uses of a grant that were set to 0, and a uid that would be somebody else's."""
    ask = "result = [wish(ctx, 'store.get', {'store': 'loot', 'key': 'x'}, ctx._call.frame['token']).get('code') for _ in range(3)]"
    cell.post("/api/grants", {"principal": "intruder", "permission": "store.get", "max_count": 2})
    assert attack(cell, ask)["data"] == [None, None, "GRANT_DENIED"]
    assert cell.stop()[0] == 0
    with sqlite3.connect(cell.profile / "permissions" / "uses.sqlite3") as ledger:
        ledger.execute("UPDATE uses SET used = 0")
    ledger.close()
    book = cell.profile / "run" / "uids.json"
    good = book.read_text()
    packs = {**json.loads(good)["packs"], "hello": 10**9}
    book.write_text(json.dumps({"format": 1, "packs": packs}))
    cell.start()
    assert set(attack(cell, ask)["data"]) == {"GRANT_DENIED"}
    assert denied(cell) == "UNAVAILABLE"
    assert cell.container_of("hello") == []
    assert any("uids.json" in item["message"] for item in cell.diagnostics())
    assert cell.stop()[0] == 0
    book.write_text(good)
    cell.start()
    assert denied(cell) == ""
    cell.post("/api/grants", {"principal": "intruder", "permission": "store.get"})


def test_ad_another_uid_gets_nothing_from_the_owners_socket_even_when_it_can_open_it(cell):
    path = cell.profile / "run" / "admin.sock"
    code = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        "    s.connect(sys.argv[1])\n"
        "    s.sendall(b'GET /api/status HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "    print(s.recv(4000).decode())\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )

    def ask() -> str:
        done = subprocess.run([sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, timeout=20)
        return done.stdout

    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    assert ask().strip() == "PermissionError"
    opened = [cell.folder, cell.user_data, cell.profile, cell.profile / "run", path]
    modes = [item.stat().st_mode & 0o777 for item in opened]
    for item in opened:
        item.chmod(0o777)
    try:
        answer = ask()
    finally:
        for item, mode in zip(opened, modes, strict=True):
            item.chmod(mode)
    assert answer.startswith("HTTP/1.1 401")
    assert "instance" not in answer


def test_ap_09_links_and_pipes_in_the_place_of_folders_are_not_followed_and_hang_nobody(cell, until_true):
    place, aside = cell.packs / "hello", cell.folder / "elsewhere"
    shutil.copytree(place, cell.folder / "copy")
    place.rename(aside)
    place.symlink_to(cell.folder / "copy")
    until_true(lambda: cell.state("hello") == "invalid", 4, "the link being seen")
    assert denied(cell) == "APPROVAL_DENIED"
    place.unlink()
    aside.rename(place)
    until_true(lambda: cell.state("hello") == "approved" and not denied(cell), 5, "its return")
    manifest = place / "backend" / "ecosystem.json"
    manifest.rename(aside)
    os.mkfifo(manifest)
    until_true(lambda: cell.state("hello") == "invalid", 4, "the pipe being seen")
    assert cell.state("intruder") == "approved"
    manifest.unlink()
    aside.rename(manifest)
    until_true(lambda: cell.state("hello") == "approved" and not denied(cell), 5, "its return")


def test_ap_12_bytes_that_flutter_between_plan_and_yes_run_only_as_they_were_shown(cell):
    """Two versions change places every few milliseconds while the owner approves; what answers is what he saw."""
    setup = next((cell.packs / "hello").rglob("setup.py"))
    good = setup.read_bytes()
    versions = [good.replace(b"Hello", word) for word in (b"First", b"Other")]
    stop = threading.Event()

    def flutter() -> None:
        while not stop.is_set():
            for data in versions:
                fresh = cell.folder / "fresh"
                fresh.write_bytes(data)
                fresh.replace(setup)
                time.sleep(random.random() * 0.004)

    worker = threading.Thread(target=flutter)
    worker.start()
    shown: dict[str, set[str]] = {}
    outcomes: dict[str, int] = {}
    try:
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            planned = cell.request("GET", "/api/packs/hello/plan")
            if not planned["success"]:
                continue
            plan = planned["data"]
            body = {"plan_hash": plan["plan_hash"], "grants": []}
            answer = cell.request("POST", "/api/packs/hello/approve", body)
            outcome = "approved" if answer["success"] else answer["error"]["code"]
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            said = cell.try_call("service.hello", {"name": "Ada"}, 5.0)
            if outcome == "approved" and said["success"]:
                shown.setdefault(plan["digest"], set()).add(said["data"]["message"])
    finally:
        stop.set()
        worker.join()
    assert set(outcomes) <= {"approved", "CONFLICT", "VALIDATION_ERROR"}
    assert outcomes.get("approved"), outcomes
    assert all(len(words) == 1 for words in shown.values()), shown
    assert len({frozenset(words) for words in shown.values()}) == len(shown)
