"""Frames written past the agent from inside a real container: each tries to act for somebody, or to break something.

After each of them the neighbour answers, the intruder is still its own self, and the kernel has not grown.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.docker

ALIVE = "result = wish(ctx, 'store.get', {'store': 'loot', 'key': 'x'}, ctx._call.frame['token'])"
GROWTH_KIB = 30 * 1024


@pytest.fixture(autouse=True)
def unharmed(den, latency):
    yield
    assert latency(den) < 0.25
    assert den.memory_kib - den.facts["memory"] < 2 * GROWTH_KIB
    assert den.pack("notes")["running"] == "ready"


def codes(kernel, attack, frames: str) -> set[str]:
    """Send frames, then see that the connection lives; the refusal codes that the trail got for them."""
    last = kernel.audit()[-1]["seq"]
    answer = attack(kernel, f"send(*{frames})\nimport time\ntime.sleep(0.3)\n{ALIVE}")
    assert answer["success"], answer
    assert "ok" in answer["data"], answer
    return {item["details"].get("reason", "") for item in kernel.audit(principal="intruder") if item["seq"] > last} - {
        "granted"
    }


PARITY = """[
    {"k": "call", "id": 1, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
    {"k": "call", "id": 0, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
    {"k": "call", "id": -2, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
    {"k": "call", "id": 2**70, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
    {"k": "call", "id": "4", "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
    {"k": "call", "id": 4.0, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000},
]"""
NOT_THEIRS = """[
    {"k": kind, "id": number, **more}
    for number in (1, 3, 5, 99_999, 2, 4, 2_000_000)
    for kind, more in (("result", {"ok": True, "value": "forged"}), ("item", {"value": 1}), ("end", {}),
                       ("credit", {"items": 10**9, "bytes": 10**15}), ("cancel", {}))
    if not (kind == "result" and number == ctx._call.frame["id"]) and number != ctx._call.frame["id"]
]"""
CREDIT = """[
    {"k": "credit", "id": 2_000_002, "items": value, "bytes": value}
    for value in (2**31, 2**63, 2**64, 10**30, -1, 0, 1.5, "9", None, True)
]"""
PROTOTYPES = """[
    {"k": "call", "id": 2_000_010, "name": "store.set", "deadline_ms": 1000, "token": ctx._call.frame["token"],
     "args": {"store": "loot", "key": "proto", "value": {"__proto__": {"admin": True}, "constructor": {"prototype": 1},
              "__class__": "x", "": "", "toString": None}}},
    {"k": "call", "id": 2_000_012, "name": "store.get", "__proto__": {"token": "x"}, "deadline_ms": 1000,
     "args": {"store": "loot", "key": "proto", "__proto__": {"store": "notes/notes"}}},
    {"k": "call", "id": 2_000_014, "name": "store.get", "deadline_ms": 1000,
     "args": {"store": "loot", "key": "x", "__class__": {}, "store.": "notes/notes"}},
]"""
UNICODE = """[
    {"k": "call", "id": 2_000_100 + 2 * number, "name": name, "args": {"store": "loot", "key": "x"}, "deadline_ms": 1000}
    for number, name in enumerate(["\\u017ftore.get", "store\\u2024get", "store.get\\u200b", "store.get\\u0000", "STORE.GET",
                                   "\\u202estore.get", "st\\u00f6re.get", "store.get ", " store.get", "\\ud7ff"])
]"""


@pytest.mark.parametrize(
    ("frames", "reasons"),
    [
        pytest.param(PARITY, set(), id="UD-08-ids-of-the-wrong-parity-or-type"),
        pytest.param(NOT_THEIRS, set(), id="UD-08-answers-and-ends-of-calls-that-are-not-theirs"),
        pytest.param(CREDIT, set(), id="UD-06-credit-that-overflows"),
        pytest.param(PROTOTYPES, {"bad_arguments"}, id="UD-06-keys-that-mean-something-elsewhere"),
        pytest.param(UNICODE, {"unknown_permission"}, id="UD-07-names-that-look-like-others"),
    ],
)
def test_forged_frames_are_refused_one_by_one_and_the_connection_lives(den, attack, frames, reasons):
    assert codes(den, attack, frames) == reasons


def test_keys_of_other_languages_are_plain_data(den, attack):
    answer = attack(den, "result = wish(ctx, 'store.get', {'store': 'loot', 'key': 'proto'}, ctx._call.frame['token'])")
    assert answer["data"]["ok"]["value"]["__proto__"] == {"admin": True}
    assert [item["key"] for item in den.get("/api/stores/notes/notes")["items"] if item["key"] in {"proto", "x"}] == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("v = None\nfor _ in range(240): v = [v]", id="UD-06-240-deep"),
        pytest.param("v = {str(n): n for n in range(60_000)}", id="UD-06-60000-keys"),
        pytest.param("v = 'x' * 900_000", id="UD-06-900-kb-of-text"),
        pytest.param("v = [0.1] * 150_000", id="UD-06-150000-numbers"),
    ],
)
def test_giant_values_that_are_valid_are_stored_or_refused_and_hold_nobody_up(den, attack, value):
    code = f"{value}\nresult = [wish(ctx, 'store.set', {{'store': 'loot', 'key': 'big', 'value': v}}).get('code', 'ok') for _ in range(4)]"
    answer = attack(den, code)
    assert set(answer["data"]) <= {"ok", "TOO_LARGE", "VALIDATION_ERROR"}


def test_ud_02_further_connections_get_no_configuration_and_no_answer(den, attack):
    code = """
result = []
for opening in (b"", frame({"k": "hello", "protocol": 1, "agent": "x", "components": [{"id": "c", "provides": ["notes.list"]}]}),
                frame({"k": "call", "id": 2, "name": "store.get", "args": {"store": "loot", "key": "x"}, "deadline_ms": 900})):
    extra = socket.socket(socket.AF_UNIX)
    extra.settimeout(3)
    try:
        extra.connect("/run/rumi/kernel.sock")
        if opening:
            extra.sendall(opening)
        result.append(extra.recv(100).hex())
    except OSError as error:
        result.append(type(error).__name__)
"""
    seen = attack(den, code)["data"]
    assert set(seen) <= {"", "ConnectionResetError", "BrokenPipeError"}
    assert den.call("notes.list") is not None


def test_bx_12_a_second_hello_registers_nothing_and_ends_only_its_sender(den, attack, until_true):
    """It would be the moment to claim a component with the interface of somebody else."""
    old = den.container_of("intruder")
    hello = '{"k": "hello", "protocol": 1, "agent": "x", "components": [{"id": "crowbar", "provides": ["notes.list"]}]}'
    error = attack(den, f"send({hello})\nimport time\ntime.sleep(20)")["error"]
    assert error["code"] == "UNAVAILABLE"
    until_true(
        lambda: den.pack("intruder")["running"] == "ready" and den.container_of("intruder") != old, 15, "its return"
    )
    provider = {item["name"]: item["provider"] for item in den.get("/api/interfaces")["items"]}
    assert provider["notes.list"] == "notes"
