"""The guards as pure functions; the same rows go over real sockets in the integration tests."""

import pytest

from core_runtime.interfaces.admin.envelope import DoorRefused
from core_runtime.interfaces.admin.guards import Head, allowed_hosts, bearer_token, check_body, check_head
from core_runtime.interfaces.ports import Channel


def head(**changes):
    values = {
        "method": "GET",
        "target": b"/api/packs",
        "query": b"",
        "headers": [(b"host", b"127.0.0.1:8765")],
        "channel": Channel.TCP,
        "port": 8765,
    } | changes
    extra = values.pop("extra", [])
    return Head(**{**values, "headers": [*values["headers"], *extra]})


def status_of(check, *arguments):
    with pytest.raises(DoorRefused) as refused:
        check(*arguments)
    return refused.value.status


def test_a_plain_request_passes():
    check_head(head())
    assert bearer_token(head(extra=[(b"authorization", b"Bearer abc")])) == b"abc"
    assert bearer_token(head()) is None


def test_ad_03_bare_names_are_ours_on_port_80_alone():
    assert b"localhost" in allowed_hosts(Channel.TCP, 80)
    assert b"localhost" not in allowed_hosts(Channel.TCP, 8765)
    assert allowed_hosts(Channel.SOCKET, 0) == {b"localhost"}


@pytest.mark.parametrize("host", [b"evil.test", b"127.0.0.1", b"127.0.0.1:8766", b"127.0.0.1:8765 ", b"", b"\xff"])
def test_ad_03_other_hosts_are_421(host):
    assert status_of(check_head, head(headers=[(b"host", host)])) == 421


def test_ad_04_an_origin_never_comes_over_the_socket():
    over = {"headers": [(b"host", b"localhost")], "channel": Channel.SOCKET, "port": 0}
    check_head(head(**over))
    assert status_of(check_head, head(**over, extra=[(b"origin", b"http://localhost")])) == 403


@pytest.mark.parametrize("length", [b"-1", b"1_0", b"+1", b"\xb2", b"1" * 19])
def test_ad_08_lengths_that_are_none_are_400(length):
    assert status_of(check_head, head(extra=[(b"content-length", length)])) == 400


def test_ad_08_the_limit_of_a_body_and_one_over_it():
    check_head(head(extra=[(b"content-length", b"1048576")]))
    assert status_of(check_head, head(extra=[(b"content-length", b"1048577")])) == 413


def test_the_host_is_judged_before_everything_else():
    bad = head(headers=[(b"host", b"evil"), (b"origin", b"http://evil"), (b"content-length", b"-1")], target=b"/%00")
    assert status_of(check_head, bad) == 421


def test_a_body_belongs_to_a_write_and_is_json():
    json = [(b"content-type", b"application/json")]
    check_body(head(method="POST", extra=json), b"{}")
    check_body(head(), b"")
    assert status_of(check_body, head(extra=json), b"{}") == 400
    assert status_of(check_body, head(method="POST"), b"{}") == 415


def test_the_401_is_the_same_object_of_words_for_all_and_names_no_request():
    from core_runtime.interfaces.admin.envelope import unauthorized

    assert unauthorized().reply("req_1") == unauthorized().reply("req_2")


class CountingTokens:
    def __init__(self):
        self.asked = 0

    def verify(self, presented):
        self.asked += 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer "],
        [b"bearer x"],
        [b"Basic x"],
        [b"Bearer x"],
        [b"Bearer x", b"Bearer x"],
        [b"Bearer " + b"x" * 600],
    ],
    ids=repr,
)
def test_ad_01_every_way_to_the_401_compares_once_so_that_none_is_faster(headers):
    from core_runtime.interfaces.admin.auth import Authenticator

    tokens = CountingTokens()
    asked = head(extra=[(b"authorization", value) for value in headers])
    authenticator = Authenticator(tokens, kernel_uid=1000, trust_peer_uid=True)
    assert status_of(authenticator.identify, asked, {"peer_uid": 0}, "req_1") == 401
    assert tokens.asked == 1


@pytest.mark.parametrize(
    ("uid", "trusted", "admitted"),
    [(1000, True, True), (0, True, True), (1001, True, False), (None, True, False), (0, False, False)],
)
def test_the_peers_uid_gives_every_scope_to_the_kernels_own_and_to_root_alone(uid, trusted, admitted):
    from core_runtime.interfaces.admin.auth import Authenticator

    over = head(headers=[(b"host", b"localhost")], channel=Channel.SOCKET)
    authenticator = Authenticator(CountingTokens(), kernel_uid=1000, trust_peer_uid=trusted)
    if admitted:
        assert len(authenticator.identify(over, {"peer_uid": uid}, "req_1").caller.scopes) == 3
    else:
        assert status_of(authenticator.identify, over, {"peer_uid": uid}, "req_1") == 401


def test_a_uid_over_tcp_counts_for_nothing():
    from core_runtime.interfaces.admin.auth import Authenticator

    authenticator = Authenticator(CountingTokens(), kernel_uid=0, trust_peer_uid=True)
    assert status_of(authenticator.identify, head(), {"peer_uid": 0}, "req_1") == 401
