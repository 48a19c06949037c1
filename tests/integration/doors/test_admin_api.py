"""The admin API over real sockets: what it answers, to whom, and in which form."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.routes import ROUTES

PLAN_HASH = "cd" * 32
VALUES = {
    "pack_id": "notes",
    "principal": "notes",
    "permission": "store.get",
    "flow_id": "hello",
    "name": "service.hello",
    "store": "notes",
    "key": "plain",
    "token": "nobody",
}
BODIES: dict[tuple[str, str], dict[str, object]] = {
    ("POST", "/api/grants"): {"principal": "notes", "permission": "store.get"},
    ("POST", "/api/grants/batch"): {"items": [{"principal": "notes", "permission": "store.get"}]},
    ("POST", "/api/flows/approve"): {"file": "mine.flow.yaml"},
    ("POST", "/api/tokens"): {"name": "made by the table", "scopes": ["approve"]},
}


def filled(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
    return path


def body_of(method: str, path: str) -> dict[str, object] | None:
    return BODIES.get((method, path), {}) if method == "POST" else None


@pytest.fixture
def api(running) -> Iterator[Callable[..., httpx.Client]]:
    made: list[httpx.Client] = []

    def client(*scopes: Scope, token: str | None = None) -> httpx.Client:
        headers = {}
        if scopes or token:
            headers["authorization"] = f"Bearer {token or running.token(*scopes)}"
        made.append(httpx.Client(base_url=f"http://127.0.0.1:{running.port}", headers=headers, trust_env=False))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def owner(running) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(running.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", trust_env=False) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_answers_to_its_own_scope_and_to_no_other(route, api):
    arguments = {"url": filled(route.path), "json": body_of(route.method, route.path)}
    needed = route.scope
    for scope in Scope:
        answer = api(scope).request(route.method, **arguments)
        if needed is None or scope is needed:
            assert answer.status_code in (200, 404, 409), (scope, answer.text)
        else:
            assert answer.status_code == 403
            assert answer.json()["error"]["details"] == {"scope": needed.value}


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.path != "/api/tokens/{token}"], ids=lambda r: f"{r.method} {r.path}"
)
def test_the_owners_socket_may_do_everything_without_a_token_and_without_a_limit(route, owner):
    answer = owner.request(route.method, filled(route.path), json=body_of(route.method, route.path))
    assert answer.status_code in (200, 409), answer.text
    assert "x-ratelimit-limit" not in answer.headers


def test_answers_have_the_envelope_a_request_id_and_the_security_headers(owner):
    answer = owner.get("/api/packs/hello")
    assert answer.json()["success"] is True
    assert answer.json()["data"]["pack_id"] == "hello"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_error_has_code_text_hint_and_the_request_id_of_the_answer(owner):
    answer = owner.get("/api/packs/nobody")
    error = answer.json()["error"]
    assert answer.status_code == 404
    assert answer.json()["success"] is False
    assert error["code"] == "NOT_FOUND"
    assert error["hint"] == "rumi pack list"
    assert error["request_id"] == answer.headers["x-request-id"]


def test_lists_come_in_pages_that_together_hold_every_item_once(owner):
    seen, cursor = [], None
    for _ in range(3):
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        data = owner.get("/api/packs", params=query).json()["data"]
        seen += [item["pack_id"] for item in data["items"]]
        cursor = data["cursor"]
    assert seen == ["evil", "hello", "notes"]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["x", "====", "LTE=", "OTk5OTk5OTk5OTk5OTk5", "é", "A" * 600])
def test_a_cursor_that_is_not_ours_is_refused(owner, cursor):
    assert owner.get("/api/packs", params={"cursor": cursor}).status_code == 400


def test_pending_lists_what_waits_for_a_decision(owner):
    items = owner.get("/api/packs/pending").json()["data"]["items"]
    assert [item["pack_id"] for item in items] == ["evil", "notes"]


def test_approving_hands_plan_hash_grants_and_the_caller_to_the_kernel(owner, running):
    body = {"plan_hash": PLAN_HASH, "grants": [{"permission": "store.get", "mode": "ask", "max_count": 3}]}
    answer = owner.post("/api/packs/notes/approve", json=body)
    assert answer.json()["data"]["state"] == "approved"
    assert running.kernel.calls[-1] == ("approve", ("notes", PLAN_HASH, ["store.get"]))
    caller = running.kernel.by[-1]
    assert (caller.by, caller.principal, caller.actor.id, caller.actor.role) == ("owner", "host", "owner", "owner")
    assert caller.request_id == answer.headers["x-request-id"]


def test_grants_left_out_and_an_empty_list_of_them_are_two_things(owner, running):
    owner.post("/api/packs/notes/approve", json={})
    assert running.kernel.calls[-1] == ("approve", ("notes", None, None))
    owner.post("/api/packs/notes/approve", json={"grants": []})
    assert running.kernel.calls[-1] == ("approve", ("notes", None, []))


def test_a_plan_that_changed_is_a_conflict(owner):
    answer = owner.post("/api/packs/notes/approve", json={"plan_hash": "00" * 32})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")


def test_a_token_is_named_in_what_it_did(api, running):
    token = running.token(Scope.OPERATE, name="deploy bot")
    api(token=token).post("/api/packs/notes/disable")
    assert running.kernel.by[-1].by == "token:deploy bot"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("service.hello", 200, None),
        ("service.pending", 403, "APPROVAL_DENIED"),
        ("service.refused", 403, "GRANT_DENIED"),
        ("service.broken", 502, "INTERFACE_ERROR"),
        ("service.oom", 503, "UNAVAILABLE"),
        ("service.none", 404, "NOT_FOUND"),
    ],
)
def test_a_call_answers_the_bare_value_or_the_error_of_the_table(owner, name, status, code):
    answer = owner.post(f"/api/interfaces/{name}/call", json={"args": {"name": "Ada"}})
    assert answer.status_code == status
    if code is None:
        assert answer.json()["data"] == {"message": "Hello, Ada!"}
    else:
        assert answer.json()["error"]["code"] == code


def test_integers_beyond_64_bits_survive_the_answer(owner):
    assert owner.post("/api/interfaces/service.big/call", json={}).json()["data"] == 2**80


def test_a_call_is_cancelled_when_its_client_goes_away(owner, running):
    running.kernel.cancelled.clear()
    with pytest.raises(httpx.ReadTimeout):
        owner.post("/api/interfaces/service.slow/call", json={}, timeout=0.3)
    deadline = time.monotonic() + 5
    while not running.kernel.cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.kernel.cancelled == ["service.slow"]


def test_many_long_calls_do_not_keep_the_owner_from_disabling_a_pack(running):
    transport = httpx.HTTPTransport(uds=str(running.socket))
    import concurrent.futures

    def slow() -> None:
        with (
            httpx.Client(transport=httpx.HTTPTransport(uds=str(running.socket)), base_url="http://localhost") as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.post("/api/interfaces/service.slow/call", json={}, timeout=1.5)

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(slow) for _ in range(40)]
        time.sleep(0.4)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            begun = time.monotonic()
            assert client.post("/api/packs/notes/disable").status_code == 200
            assert time.monotonic() - begun < 1.0
        for one in waiting:
            one.result()


def test_store_keys_may_hold_slashes_and_spaces(owner):
    answer = owner.get("/api/stores/notes/notes/a%2Fb%20c")
    assert answer.json()["data"] == {"key": "a/b c", "value": {"n": 1}, "version": 1}


def test_health_needs_no_token_and_says_one_word(api, running):
    from core_runtime.interfaces.ports import Health

    for health, status in ((Health.UP, 200), (Health.DEGRADED, 200), (Health.DOWN, 503)):
        running.kernel.health_now = health
        answer = api().get("/health")
        assert (answer.status_code, answer.json()) == (status, {"status": health.value})
    running.kernel.health_now = Health.UP


def test_metrics_are_prometheus_text(owner):
    answer = owner.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'rumi_packs{state="approved"} 1.5' in answer.text


def test_nobody_makes_a_token_that_may_do_more_than_he_may_himself(api):
    narrow = api(Scope.APPROVE)
    assert narrow.post("/api/tokens", json={"name": "same", "scopes": ["approve"]}).status_code == 200
    answer = narrow.post("/api/tokens", json={"name": "wide", "scopes": ["approve", "operate"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "POLICY_DENIED")


def test_ad_01_a_revoked_token_ends_for_connections_that_are_open(owner, api, running):
    client = api(token=running.token(Scope.READ, name="short lived"))
    assert client.get("/api/packs").status_code == 200
    assert owner.delete("/api/tokens/short lived").status_code == 200
    assert client.get("/api/packs").status_code == 401


def test_a_token_over_the_socket_narrows_what_the_socket_may(owner, running):
    token = running.token(Scope.READ, name="over the socket")
    headers = {"authorization": f"Bearer {token}"}
    assert owner.get("/api/packs", headers=headers).status_code == 200
    assert owner.post("/api/packs/notes/approve", json={}, headers=headers).status_code == 403
    assert owner.get("/api/packs", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_in_permissive_mode_the_socket_gives_nothing_without_a_token(start):
    doors = start(trust_peer_uid=False)
    transport = httpx.HTTPTransport(uds=str(doors.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", trust_env=False) as client:
        assert client.get("/api/packs").status_code == 401
        token = doors.token(Scope.READ)
        assert client.get("/api/packs", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_the_121st_request_of_a_minute_is_429_with_retry_after_and_others_go_on(start):
    doors = start(per_minute=120)
    first, second = doors.token(Scope.READ, name="a"), doors.token(Scope.READ, name="b")
    with httpx.Client(base_url=f"http://127.0.0.1:{doors.port}", trust_env=False) as client:
        headers = {"authorization": f"Bearer {first}"}
        for count in range(120):
            answer = client.get("/api/docker/status", headers=headers)
            assert answer.status_code == 200
            assert answer.headers["x-ratelimit-remaining"] == str(119 - count)
        refused = client.get("/api/docker/status", headers=headers)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "RATE_LIMITED"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/api/docker/status", headers={"authorization": f"Bearer {second}"}).status_code == 200


def test_what_was_begun_is_finished_also_when_the_client_goes_away(owner, running):
    running.kernel.finished.clear()
    with pytest.raises(httpx.ReadTimeout):
        owner.post("/api/packs/hello/unblock", timeout=0.1)
    deadline = time.monotonic() + 5
    while not running.kernel.finished and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.kernel.finished == ["hello"]


def test_ad_13_a_defect_leaves_as_a_code_and_an_id_and_nothing_else(owner, caplog):
    answer = owner.post("/api/interfaces/service.defect/call", json={})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "INTERNAL")
    assert "hunter2" not in answer.text
    assert "/root" not in answer.text
    assert "Traceback" not in answer.text
    assert error["request_id"] in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    "pack_id", ["nobody", "host", "kernel", "..", "a__b__c__d__e", "x" * 65, "ＡＢＣ", "private", "%00"]
)
def test_ad_14_ids_that_are_not_there_and_ids_that_cannot_be_get_the_same_status(owner, pack_id):
    statuses = {
        owner.request(method, f"/api/packs/{pack_id}{tail}", json={} if method == "POST" else None).status_code
        for method, tail in (("GET", "/plan"), ("POST", "/approve"), ("POST", "/disable"))
    }
    assert statuses <= {404, 400}
    assert statuses == ({400} if pack_id == "%00" else {404})


def test_se_09_a_refused_body_is_not_repeated_in_the_answer(owner):
    answer = owner.post("/api/tokens", json={"name": "x", "scopes": ["hunter2-in-the-wrong-field"]})
    assert answer.status_code == 400
    assert "hunter2" not in answer.text


def test_se_09_and_se_10_the_access_log_has_one_line_without_query_and_headers(owner, caplog):
    caplog.set_level("INFO", logger="rumi.access")
    owner.get("/api/packs?token=hunter2&x=%0Aforged%20line")
    deadline = time.monotonic() + 5
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.01)
    lines = [record.getMessage() for record in caplog.records if record.name == "rumi.access"]
    assert len(lines) == 1
    assert "/api/packs 400" in lines[0]
    assert "hunter2" not in lines[0]
    assert "\n" not in lines[0]


def test_ad_11_a_hundred_wrong_tokens_are_slowed_and_the_owner_is_not(start):
    doors = start()
    right = doors.token(Scope.READ)
    address = f"http://127.0.0.1:{doors.port}/api/docker/status"
    with httpx.Client(trust_env=False) as client:
        begun = time.monotonic()
        for _ in range(80):
            assert client.get(address, headers={"authorization": "Bearer wrong"}).status_code == 401
        slowed = time.monotonic() - begun
        assert slowed > 1.0
        begun = time.monotonic()
        assert client.get(address, headers={"authorization": f"Bearer {right}"}).status_code == 200
        assert time.monotonic() - begun < 0.5
    doors.stop()
    refused = [entry for entry in doors.audit.entries if entry.action == "api.refused"]
    counted = sum(int(str(entry.details.get("more_like_this", 0))) for entry in refused)
    assert len([entry for entry in refused if "more_like_this" not in entry.details]) + counted == 80
    assert len(refused) <= 21
    assert "wrong" not in repr(refused)


def test_refusals_leave_an_audit_line_that_says_who_and_why(api, running):
    running.audit.entries.clear()
    answer = api(token=running.token(Scope.READ, name="curious")).post("/api/packs/notes/approve", json={})
    [line] = [entry for entry in running.audit.entries if entry.action == "api.refused"]
    assert (line.actor, line.rule, line.outcome.value) == ("token:curious", "door:scope", "deny")
    assert line.request_id == answer.headers["x-request-id"]
