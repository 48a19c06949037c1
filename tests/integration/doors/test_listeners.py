"""The server's listeners: where they may be, who may reach them, and how they begin and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import httpx
import pytest

from core_runtime.errors import Conflict, RumiError, ValidationFailed
from core_runtime.interfaces.server import Address, bind_tcp, bind_unix, serving


async def answering(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(scope["state"]["peer_uid"]).encode()})


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "8.8.8.8", "192.168.0.1", "", "no-such-host.invalid", "::ffff:8.8.8.8"]
)
def test_ad_07_an_address_beyond_loopback_is_refused_with_the_command_that_mends_it(host):
    with pytest.raises(ValidationFailed) as refused:
        bind_tcp(Address(host, 0))
    assert refused.value.hint == "RUMI_API_BIND=127.0.0.1 rumi serve"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_addresses_are_bound(host):
    with bind_tcp(Address(host, 0)) as bound:
        assert bound.getsockname()[0].startswith("127.")


def test_ad_07_a_port_that_is_taken_is_one_sentence_and_a_command_that_works():
    with bind_tcp(Address("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(Conflict) as taken:
            bind_tcp(Address("127.0.0.1", port, "RUMI_API"))
        assert str(port) in taken.value.message
        suggested = int(taken.value.hint.removeprefix("RUMI_API_PORT=").removesuffix(" rumi serve"))
        bind_tcp(Address("127.0.0.1", suggested)).close()


def test_the_owners_socket_has_mode_0600_in_a_folder_of_0700(tmp_path):
    run = tmp_path / "run"
    run.mkdir(mode=0o755)
    run.chmod(0o755)
    with bind_unix(run / "admin.sock"):
        assert stat.S_IMODE((run / "admin.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(run.stat().st_mode) == 0o700


def test_a_socket_path_of_more_than_107_bytes_is_said_clearly(tmp_path):
    folder = tmp_path / ("x" * 107)
    with pytest.raises(ValidationFailed) as refused:
        bind_unix(folder / "admin.sock")
    assert "107" in refused.value.message
    assert "RUMI_USER_DATA" in refused.value.hint
    assert str(tmp_path) not in refused.value.message


def test_the_socket_of_a_dead_kernel_is_replaced_and_that_of_a_living_one_is_not(tmp_path):
    path = tmp_path / "admin.sock"
    bind_unix(path).close()
    assert path.exists()
    with bind_unix(path), pytest.raises(Conflict):
        bind_unix(path)


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_is_no_socket_is_neither_followed_nor_removed(tmp_path, what):
    path = tmp_path / "run" / "admin.sock"
    path.parent.mkdir(mode=0o700)
    target = tmp_path / "victim"
    target.write_text("kept")
    {"file": lambda: path.write_text("x"), "link": lambda: path.symlink_to(target), "folder": path.mkdir}[what]()
    with pytest.raises(RumiError):
        bind_unix(path)
    assert target.read_text() == "kept"
    assert path.is_symlink() or path.exists()


def test_a_run_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(RumiError):
        bind_unix(tmp_path / "run" / "admin.sock")


async def test_one_server_answers_on_both_and_knows_the_uid_of_a_socket_peer_alone(tmp_path):
    async with serving(answering, tcp=Address("127.0.0.1", 0), unix_path=tmp_path / "s") as listening:
        async with httpx.AsyncClient(trust_env=False) as client:
            over_tcp = await client.get(f"http://127.0.0.1:{listening.port}/")
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))) as client:
            over_socket = await client.get("http://localhost/")
    assert (over_tcp.text, over_socket.text) == ("None", str(os.geteuid()))
    assert not (tmp_path / "s").exists()


async def test_leaving_lets_a_request_in_flight_finish_and_takes_no_new_one(tmp_path):
    async with httpx.AsyncClient(trust_env=False) as client:
        async with serving(answering, tcp=Address("127.0.0.1", 0), unix_path=tmp_path / "s") as listening:
            address = f"http://127.0.0.1:{listening.port}"
            running = asyncio.create_task(client.get(f"{address}/slow"))
            await asyncio.sleep(0.2)
        assert (await running).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await client.get(address)


async def test_an_idle_connection_does_not_hold_up_the_end(tmp_path):
    async with serving(answering, tcp=Address("127.0.0.1", 0), unix_path=tmp_path / "s") as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()
    assert time.monotonic() - begun < 2.0
    writer.close()
    await writer.wait_closed()


async def test_signals_are_left_to_whoever_owns_the_process(tmp_path):
    assert threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with serving(answering, tcp=Address("127.0.0.1", 0), unix_path=tmp_path / "s"):
        assert {number: signal.getsignal(number) for number in before} == before


async def test_a_taken_port_leaves_no_socket_behind(tmp_path):
    with bind_tcp(Address("127.0.0.1", 0)) as first:
        address = Address("127.0.0.1", first.getsockname()[1])
        with pytest.raises(Conflict):
            async with serving(answering, tcp=address, unix_path=tmp_path / "s"):
                pass
    assert not (tmp_path / "s").exists()


async def test_more_connections_than_a_listener_takes_are_turned_away_and_the_socket_goes_on(tmp_path):
    from core_runtime.interfaces.http_protocol import MAX_CONNECTIONS
    from core_runtime.interfaces.ports import Channel

    async with serving(answering, tcp=Address("127.0.0.1", 0), unix_path=tmp_path / "s") as listening:
        kept = [await asyncio.open_connection("127.0.0.1", listening.port) for _ in range(MAX_CONNECTIONS[Channel.TCP])]
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))) as client:
            assert (await client.get("http://localhost/")).status_code == 200
        for _, opened in [*kept, (reader, writer)]:
            opened.close()


def test_the_peers_uid_is_that_of_the_other_process():
    from core_runtime.interfaces.http_protocol import peer_uid

    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert peer_uid(left) == os.geteuid()
    with socket.socket(socket.AF_INET) as other:
        assert peer_uid(other) in (None, 0xFFFFFFFF, -1)


def test_a_stale_socket_check_does_not_wait_for_ever_on_a_full_backlog(tmp_path: Path):
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket(socket.AF_UNIX)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(str(path))
            fillers.append(filler)
        begun = time.monotonic()
        with pytest.raises(RumiError):
            bind_unix(path)
        assert time.monotonic() - begun < 5
        for filler in fillers:
            filler.close()


def test_a_call_that_outlasts_the_stop_is_told_that_the_kernel_is_stopping(start):
    import concurrent.futures

    doors = start()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        transport = httpx.HTTPTransport(uds=str(doors.socket))
        with httpx.Client(transport=transport, base_url="http://localhost", trust_env=False, timeout=30) as client:
            waiting = pool.submit(client.post, "/api/interfaces/service.slow/call", json={})
            time.sleep(0.5)
            begun = time.monotonic()
            doors.stop()
            assert time.monotonic() - begun < 12
            answer = waiting.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert doors.kernel.cancelled == ["service.slow"]
