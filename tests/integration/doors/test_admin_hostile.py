"""What hostile requests get, byte for byte over raw sockets: group AD of the adversarial cases."""

from __future__ import annotations

import json
import random
import re
import socket
import string
import time
from dataclasses import dataclass

import pytest

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.routes import ROUTES

MIB = 1_048_576


@dataclass(frozen=True)
class Raw:
    """An answer as it came over the wire."""

    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        found = re.search(rf"(?im)^{re.escape(name)}: (.*?)\r?$", self.head)
        return found[1] if found else None


def ask(running, *chunks: bytes, unix: bool = False, timeout: float = 15.0) -> Raw:
    """Send the chunks and read until the answer is whole or the connection ends."""
    family = socket.AF_UNIX if unix else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as raw:
        raw.settimeout(timeout)
        raw.connect(str(running.socket) if unix else ("127.0.0.1", running.port))
        data = b""
        try:
            for chunk in chunks:
                raw.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while True:
                got = raw.recv(65536)
                if not got:
                    break
                data += got
                head, found, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if found and length and len(body) >= int(length[1]) and not head.startswith(b"HTTP/1.1 100"):
                    break
        except ConnectionResetError:
            pass
    head, _, body = data.partition(b"\r\n\r\n")
    assert head, "no answer at all"
    return Raw(int(head.split(b" ")[1]), head.decode("latin-1"), body)


@pytest.fixture(scope="module")
def token(running) -> str:
    return running.token(*Scope, name="all of it")


def request(
    running, token: str | None, *, method: str = "GET", target: str = "/api/packs", extra: str = "", body: bytes = b""
) -> bytes:
    host = f"Host: 127.0.0.1:{running.port}\r\n" if "\nHost:" not in f"\n{extra}" else ""
    auth = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {target} HTTP/1.1\r\n{host}{auth}{extra}\r\n".encode("latin-1") + body


# --- AD-01: nothing but a valid token in the one right form


def variants(token: str) -> dict[str, tuple[str, str]]:
    """name -> (extra header lines, query)."""
    return {
        "none": ("", ""),
        "empty": ("Authorization: \r\n", ""),
        "bearer-empty": ("Authorization: Bearer \r\n", ""),
        "lower-case-scheme": (f"Authorization: bearer {token}\r\n", ""),
        "wrong": ("Authorization: Bearer x\r\n", ""),
        "in-the-query": ("", f"?token={token}&access_token={token}"),
        "basic": (f"Authorization: Basic {token}\r\n", ""),
        "two-headers": (f"Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n", ""),
        "two-headers-one-wrong": (f"Authorization: Bearer {token}\r\nAuthorization: Bearer x\r\n", ""),
        "token-and-space": (f"Authorization: Bearer {token} \r\n", ""),
        "two-spaces": (f"Authorization: Bearer  {token}\r\n", ""),
        "joined": (f"Authorization: Bearer {token}, Bearer {token}\r\n", ""),
        "upper-case": (f"Authorization: Bearer {token.upper()}\r\n", ""),
        "shortened": (f"Authorization: Bearer {token[:-1]}\r\n", ""),
        "long": (f"Authorization: Bearer {'x' * 5000}\r\n", ""),
        "latin-1": ("Authorization: Bearer \xe9\r\n", ""),
        "other-header": (f"X-Api-Key: {token}\r\nCookie: token={token}\r\nX-Rumi-Caller: owner\r\n", ""),
        "forged-state": ("State: caller=owner\r\nX-Forwarded-For: 127.0.0.1\r\nPeer-Uid: 0\r\n", ""),
    }


def concrete(path: str) -> str:
    return re.sub(r"\{\w+(:path)?\}", "notes", path)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.scope is not None], ids=lambda r: f"{r.method} {r.path}")
def test_ad_01_every_route_answers_401_with_one_body_to_every_wrong_way(running, token, route):
    bodies = set()
    calls = len(running.kernel.calls)
    for name, (extra, query) in variants(token).items():
        answer = ask(
            running, request(running, None, method=route.method, target=concrete(route.path) + query, extra=extra)
        )
        assert answer.status == 401, name
        assert answer.header("www-authenticate") == "Bearer"
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert len(running.kernel.calls) == calls


def test_ad_01_addresses_that_do_not_exist_are_401_too(running):
    assert ask(running, request(running, None, target="/api/nothing")).status == 401
    assert ask(running, request(running, None, target="/api/packs", method="OPTIONS")).status == 401


# --- AD-03, AD-04, AD-06: whom a browser believes it talks to

HOSTS = {
    "evil": "evil.test",
    "evil-with-our-port": "evil.test:{port}",
    "suffix": "127.0.0.1.evil.test:{port}",
    "port-then-name": "localhost:{port}.evil.test",
    "wrong-port": "127.0.0.1:1",
    "no-port": "127.0.0.1",
    "empty": "",
    "any-address": "0.0.0.0:{port}",
    "short-form": "127.1:{port}",
    "decimal": "2130706433:{port}",
    "ipv6-any": "[::]:{port}",
    "ipv6-mapped": "[::ffff:127.0.0.1]:{port}",
    "ipv6-zone": "[::1%25lo]:{port}",
    "userinfo": "127.0.0.1:{port}@evil.test",
    "userinfo-before": "evil@127.0.0.1:{port}",
    "trailing-dot": "localhost.:{port}",
    "list": "127.0.0.1:{port}, evil.test",
    "subdomain": "x.localhost:{port}",
    "trailing-space-name": "127.0.0.1:{port} evil",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=[f"AD-03-{name}" for name in HOSTS])
@pytest.mark.parametrize("target", ["/api/packs", "/health"])
def test_ad_03_a_host_that_is_not_ours_is_refused_before_anything_else(running, token, host, target):
    answer = ask(running, request(running, token, target=target, extra=f"Host: {host.format(port=running.port)}\r\n"))
    assert answer.status in (400, 421)
    assert b'"success":true' not in answer.body


def test_ad_03_no_host_two_hosts_and_http_1_0_without_one_are_refused(running, token):
    auth = f"Authorization: Bearer {token}\r\n".encode()
    ours = f"Host: 127.0.0.1:{running.port}\r\n".encode()
    assert ask(running, b"GET /api/packs HTTP/1.1\r\n" + auth + b"\r\n").status in (400, 421)
    assert ask(running, b"GET /api/packs HTTP/1.1\r\n" + ours + ours + auth + b"\r\n").status in (400, 421)
    assert ask(running, b"GET /api/packs HTTP/1.1\r\n" + ours + b"Host: evil.test\r\n" + auth + b"\r\n").status in (
        400,
        421,
    )
    assert ask(running, b"GET /api/packs HTTP/1.0\r\n" + auth + b"\r\n").status in (400, 421)


@pytest.mark.parametrize(
    ("authority", "status"),
    [("evil.test", 421), ("127.0.0.1:{port}", 200), ("localhost:{port}", 421), ("u@127.0.0.1:{port}", 421)],
)
def test_ad_03_an_absolute_address_has_to_name_the_host_of_the_header(running, token, authority, status):
    target = f"http://{authority.format(port=running.port)}/api/packs"
    assert ask(running, request(running, token, target=target)).status == status


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "console.localhost"])
def test_ad_03_our_own_names_with_our_port_are_served(running, token, name):
    assert ask(running, request(running, token, extra=f"Host: {name}:{running.port}\r\n")).status == 200


@pytest.mark.parametrize("host", ["evil.test", "", "127.0.0.1:8765", "localhost:9999"])
def test_ad_03_the_socket_takes_its_one_name_only(running, host):
    assert ask(running, f"GET /api/packs HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), unix=True).status in (400, 421)


ORIGINS = {
    "null": "Origin: null\r\n",
    "evil": "Origin: http://evil.test\r\n",
    "other-local-app": "Origin: http://localhost:3000\r\n",
    "same-name-other-port": "Origin: http://127.0.0.1:1\r\n",
    "suffix": "Origin: http://127.0.0.1:{port}.evil.test\r\n",
    "userinfo": "Origin: http://localhost:{port}@evil\r\n",
    "https": "Origin: https://127.0.0.1:{port}\r\n",
    "the-console": "Origin: http://console.localhost:{port}\r\n",
    "empty": "Origin: \r\n",
    "two": "Origin: http://127.0.0.1:{port}\r\nOrigin: http://evil.test\r\n",
    "slash": "Origin: http://127.0.0.1:{port}/\r\n",
    "cross-site-without-origin": "Sec-Fetch-Site: cross-site\r\n",
    "same-site": "Sec-Fetch-Site: same-site\r\n",
    "two-fetch-sites": "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
}


@pytest.mark.parametrize("headers", ORIGINS.values(), ids=[f"AD-04-{name}" for name in ORIGINS])
@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/api/packs/notes/disable"), ("GET", "/api/packs"), ("GET", "/health")]
)
def test_ad_04_pages_of_other_origins_reach_neither_writes_nor_reads(running, token, headers, method, target):
    calls = len(running.kernel.calls)
    answer = ask(
        running, request(running, token, method=method, target=target, extra=headers.format(port=running.port))
    )
    assert answer.status == 403
    assert "access-control" not in answer.head.lower()
    assert len(running.kernel.calls) == calls


def test_ad_04_the_same_origin_and_programs_are_let_in(running, token):
    own = f"Origin: http://127.0.0.1:{running.port}\r\nSec-Fetch-Site: same-origin\r\n"
    assert ask(running, request(running, token, extra=own)).status == 200
    assert ask(running, request(running, token, extra="Sec-Fetch-Site: none\r\n")).status == 200


def test_ad_06_a_preflight_gets_no_allow_header(running):
    wanted = (
        "Origin: https://evil.test\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Private-Network: true\r\nAccess-Control-Request-Headers: authorization\r\n"
    )
    answer = ask(running, request(running, None, method="OPTIONS", extra=wanted))
    assert answer.status == 403
    assert "access-control" not in answer.head.lower()


# --- AD-08: bodies

JSON = "Content-Type: application/json\r\n"
POST = {"method": "POST", "target": "/api/packs/notes/reject"}


def sized(body: bytes, extra: str = JSON) -> dict[str, object]:
    return {"extra": f"{extra}Content-Length: {len(body)}\r\n", "body": body}


@pytest.mark.parametrize(
    "length",
    [
        "-1",
        "10000000000",
        "1_000",
        "+5",
        "0x10",
        "5, 5",
        "99999999999999999999999999",
        "",
        "٣".encode().decode("latin-1"),
        "5 5",
    ],
    ids=lambda value: f"AD-08-{value!r}",
)
def test_ad_08_a_length_that_is_none_or_too_large_is_refused_at_once(running, token, length):
    begun = time.monotonic()
    answer = ask(running, request(running, token, **POST, extra=f"{JSON}Content-Length: {length}\r\n"))
    assert 400 <= answer.status < 500
    assert time.monotonic() - begun < 11


@pytest.mark.parametrize(
    "extra",
    [
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding : chunked\r\n",
    ],
    ids=lambda value: "AD-08-" + value.replace("\r\n", "|"),
)
def test_ad_08_ambiguous_framing_is_refused(running, token, extra):
    answer = ask(running, request(running, token, **POST, extra=JSON + extra, body=b"{}"))
    assert 400 <= answer.status < 500


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffffff\r\n{}", b"2\r\n{}xx\r\n0\r\n\r\n", b"\r\n\r\n"]
)
def test_ad_08_bad_chunk_sizes_are_refused(running, token, chunk):
    answer = ask(running, request(running, token, **POST, extra=JSON + "Transfer-Encoding: chunked\r\n", body=chunk))
    assert 400 <= answer.status < 500


def test_ad_08_a_body_of_one_mebibyte_passes_and_one_byte_more_does_not(running, token):
    head, tail = b'{"reason":"', b'"}'
    exact = head + b" " * (MIB - len(head) - len(tail)) + tail
    assert (
        ask(running, request(running, token, **POST, **sized(exact))).status == 400
    )  # whole, but the field is too long
    assert ask(running, request(running, token, **POST, **sized(exact + b" "))).status == 413


def test_ad_08_a_chunked_body_is_counted_while_it_comes(running, token):
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    head = request(running, token, **POST, extra=JSON + "Transfer-Encoding: chunked\r\n")
    assert ask(running, head, *([chunk] * 17), b"0\r\n\r\n").status == 413


def test_ad_08_a_chunked_order_is_read_whole_and_not_taken_for_an_empty_one(running, token):
    head = request(
        running, token, method="POST", target="/api/packs/notes/approve", extra=JSON + "Transfer-Encoding: chunked\r\n"
    )
    calls = len(running.kernel.calls)
    parts = [b'{"pla', b'n_hash":"' + b"0" * 64, b'"}', b""]
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    assert ask(running, head, *chunks).status == 409
    assert len(running.kernel.calls) == calls


def test_ad_08_a_slow_body_is_ended_and_holds_no_thread(start):
    doors = start(body_seconds=0.5)
    secret = doors.token(*Scope)
    with socket.create_connection(("127.0.0.1", doors.port)) as raw:
        raw.sendall(request(doors, secret, **POST, extra=JSON + "Content-Length: 100\r\n"))
        begun = time.monotonic()
        raw.settimeout(0.05)
        data = b""
        while not data and time.monotonic() - begun < 5:
            try:
                raw.sendall(b" ")
                data = raw.recv(65536)
            except TimeoutError:
                continue
        spent = time.monotonic() - begun
    assert data.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in data
    assert 0.4 < spent < 2.0


def test_ad_08_forty_slow_bodies_do_not_keep_others_waiting(start):
    doors = start(body_seconds=3.0)
    secret = doors.token(*Scope)
    slow = []
    for _ in range(40):
        raw = socket.create_connection(("127.0.0.1", doors.port))
        raw.sendall(request(doors, secret, **POST, extra=JSON + "Content-Length: 100\r\n", body=b"{"))
        slow.append(raw)
    begun = time.monotonic()
    assert ask(doors, request(doors, secret)).status == 200
    assert time.monotonic() - begun < 1.0
    for raw in slow:
        raw.close()


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        (JSON + "Content-Encoding: gzip\r\n", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: multipart/form-data; boundary=x\r\n", 415),
        ("Content-Type: application/json; charset=utf-16\r\n", 415),
        ("Content-Type: application/jsonp\r\n", 415),
        ("", 415),
        (JSON + JSON, 415),
        ("Content-Type: Application/JSON; charset=UTF-8\r\n", 200),
    ],
    ids=lambda value: f"AD-08-{str(value).strip()[:60]}",
)
def test_ad_08_only_plain_json_is_a_body(running, token, extra, status):
    assert ask(running, request(running, token, **POST, **sized(b'{"reason":"x"}', extra))).status == status


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b"1", b'"x"', b"{}{}", b'{"reason":NaN}', b'{"reason":1}', b'{"unknown":1}', b'{"__proto__":{}}',
        b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}x", b'{"reason":"\xff"}', b'{"reason":"\\ud800"}', b"[" * 100_000,
        b'{"a":' * 50_000, b'{"reason":' + b"9" * 50_000 + b"}", b"\x00", b'{"reason":null}', b'{"reason":["x"]}',
    ],
    ids=lambda value: f"AD-08-{value[:18]!r}",
)  # fmt: skip
def test_ad_08_what_is_not_the_declared_object_is_400(running, token, body):
    answer = ask(running, request(running, token, **POST, **sized(body)))
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "target",
    [
        "/api/packs/notes%2fapprove", "/api/packs/..%2f..%2fetc/plan", "/api/packs/%2e%2e/plan", "/api/packs/../plan",
        "/api/packs/notes%00/plan", "/api/packs/notes%5c/plan", "/api/packs//plan", "//evil.test/api/packs", "/api/packs/",
        "/api/packs/notes%0d%0aX: y/plan", "/%61pi/nothing", "/api/packs/%ff%fe/plan", "/api/stores/notes/..%2f..%2fx/k",
        "/api/stores/notes/notes/..%2f..%2fetc%2fpasswd", "/api/packs/%F0%9F%92%A9/plan", "/api/packs?limit=0", "/api/packs?limit=1&limit=2",
        "/api/packs?limit=1e9", "/api/packs?nonsense=1", "/api/audit?since=nan", "/api/audit?after=-1", "/static/x.map", "/", "*",
        "/api/packs/" + "a" * 9000,
    ],
    ids=lambda value: f"AD-08-{value[:40]}",
)  # fmt: skip
def test_ad_08_and_ad_16_odd_addresses_are_4xx(running, token, target):
    answer = ask(running, request(running, token, target=target))
    assert 400 <= answer.status < 500


def test_ad_08_a_body_on_a_get_is_refused(running, token):
    assert ask(running, request(running, token, **sized(b"{}"))).status == 400


@pytest.mark.parametrize(
    "payload",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", b"GET /\x01 HTTP/1.1\r\n\r\n", b"GET /api/packs?\xff HTTP/1.1\r\n\r\n"],
    ids=lambda value: repr(value[:20]),
)  # fmt: skip
def test_what_is_no_request_is_4xx_with_the_envelope(running, payload):
    answer = ask(running, payload)
    assert 400 <= answer.status < 500
    assert json.loads(answer.body)["success"] is False
    assert answer.header("x-content-type-options") == "nosniff"


def test_a_head_without_end_is_ended_and_a_large_one_is_refused(running, token):
    endless = ask(running, b"GET / HTTP/1.1\r\n", *([b"X: " + b"y" * 1000 + b"\r\n"] * 100))
    assert endless.status == 431
    many = "".join(f"X-{count}: y\r\n" for count in range(101))
    assert ask(running, request(running, token, extra=many)).status == 431
    assert ask(running, request(running, token, extra=f"X: {'y' * 33_000}\r\n")).status == 431


def test_a_websocket_upgrade_is_no_way_in(running, token):
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    assert ask(running, request(running, None, extra=upgrade)).status == 401
    assert ask(running, request(running, token, target="/api/nothing", extra=upgrade)).status == 404


def test_requests_that_follow_each_other_on_one_connection_are_judged_each_for_itself(running, token):
    good = request(running, token)
    bad = request(running, None)
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(good + bad + good)
        raw.settimeout(5)
        data = b""
        while True:
            got = raw.recv(65536)
            if not got:
                break
            data += got
    statuses = re.findall(rb"HTTP/1.1 (\d+)", data)
    assert statuses == [b"200", b"401"]  # a refusal ends the connection


# --- AD-18: whatever else somebody may try


METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"]
IDS = ["..", "%2e", "a" * 200, "%00", "%", "%2f", "host", "\xe9", "kernel", "a%2fb"]
FIELDS = ["plan_hash", "grants", "reason", "principal", "permission", "config", "mode", "inputs", "args", "timeout", "file",
          "digest", "name", "scopes", "expires_at", "items", "take"]  # fmt: skip
KNOWN = {"pack_id": "notes", "principal": "notes", "permission": "store.get", "flow_id": "hello", "name": "service.hello",
         "store": "notes", "key": "plain", "token": "nobody"}  # fmt: skip


def junk(rng: random.Random) -> str:
    return "".join(
        rng.choice(string.ascii_letters + string.digits + "!$&'()*+,-./:;<=>@[]^_`{|}~%")
        for _ in range(rng.randint(0, 20))
    )


def scalar(rng: random.Random) -> object:
    return rng.choice(
        [None, True, 0, -1, 5, 1e308, "x", "store.get", junk(rng), [], {}, [1], ["read"], 2**70, {"a": [None]}]
    )


def generated(rng: random.Random, port: int, token: str | None) -> bytes:
    """One request: mostly near something that is valid, each part now and then not."""
    odd = lambda chance: rng.random() < chance  # noqa: E731
    route = rng.choice(ROUTES)
    method = rng.choice(METHODS) if odd(0.2) else route.method
    path = re.sub(
        r"\{(\w+)(:path)?\}", lambda m: rng.choice([*IDS, junk(rng)]) if odd(0.25) else KNOWN[m[1]], route.path
    )
    query = "&".join(
        f"{rng.choice(['limit', 'cursor', 'after', 'since', junk(rng)])}={junk(rng)}" for _ in range(odd(0.25) * 2)
    )
    body = b"" if method in {"GET", "HEAD", "DELETE"} and not odd(0.1) else b"{}"
    if body and odd(0.6):
        filled = {rng.choice(FIELDS): scalar(rng) for _ in range(rng.randint(1, 4))}
        body = json.dumps(scalar(rng) if odd(0.2) else filled).encode()
    if body and odd(0.1):
        body = bytes(rng.randrange(256) for _ in range(rng.randint(1, 50)))
    lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += ["Content-Type: text/plain" if odd(0.1) else "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@pytest.mark.parametrize("with_token", [False, True], ids=["AD-18-without-token", "AD-18-with-token"])
def test_ad_18_a_thousand_generated_requests_give_no_server_error_and_no_success_without_a_token(
    running, token, with_token
):
    rng = random.Random(18)
    seen: dict[int, int] = {}
    calls = len(running.kernel.calls)
    for count in range(1000):
        sent = generated(rng, running.port, token if with_token else None)
        answer = ask(running, sent)
        seen[answer.status] = seen.get(answer.status, 0) + 1
        assert answer.status < 500, (count, sent, answer.body)
        if not with_token:
            health = b" /health" in sent.split(b"\r\n")[0]
            assert answer.status >= 400 or health, (count, sent)
    if with_token:
        assert seen.get(200, 0) > 200
        assert {400, 404, 405} <= set(seen)
    else:
        assert len(running.kernel.calls) == calls
