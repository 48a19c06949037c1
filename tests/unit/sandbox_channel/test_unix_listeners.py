"""The listening sockets: who may connect, what is found there at start, what happens to the file."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from core_runtime.adapters.unix_sockets import UnixListener, UnixListeners
from core_runtime.adapters.unix_sockets.access import one_user_acl
from core_runtime.adapters.unix_sockets.places import socket_address
from core_runtime.clock import SystemClock
from core_runtime.errors import Conflict, Unavailable

ME = os.geteuid()
root_only = pytest.mark.skipif(ME != 0, reason="changing uids needs root")
OTHER = 54321


class Peer(asyncio.Protocol):
    """The kernel's end; keeps what it read."""

    def __init__(self) -> None:
        self.got = b""
        self.transport: asyncio.Transport | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(b"config")

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.fixture
def listeners(tmp_path: Path) -> UnixListeners:
    return UnixListeners(tmp_path / "run", SystemClock())


@pytest.fixture
async def listen(listeners: UnixListeners) -> AsyncIterator[Callable[..., object]]:
    made: list[UnixListener] = []

    async def start(uid: int = ME, gid: int | None = None, factory: Callable[[], Peer] = Peer) -> UnixListener:
        made.append(await listeners.listen(peer_uid=uid, channel_factory=factory, peer_gid=gid))
        return made[-1]

    yield start
    for listener in made:
        await listener.close()


CLIENTS: list[socket.socket] = []


@pytest.fixture(autouse=True)
def no_client_is_left_open() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def connect(listener: UnixListener) -> socket.socket:
    """A blocking client; the address goes through a descriptor, so that any depth will do."""
    client = socket.socket(socket.AF_UNIX)
    CLIENTS.append(client)
    client.settimeout(5)
    client.connect(f"/proc/self/fd/{listener.directory}/kernel.sock")
    return client


async def closed(client: socket.socket) -> bool:
    """True once the other side has closed without having said anything."""
    return await asyncio.to_thread(client.recv, 100) == b""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_the_agent_connects_and_gets_the_channel(listen) -> None:
    listener = await listen()
    client = connect(listener)
    peer = await asyncio.wait_for(listener.channel(), 5)
    assert isinstance(peer, Peer)
    assert await asyncio.to_thread(client.recv, 100) == b"config"
    client.sendall(b"hello")
    await asyncio.sleep(0.05)
    assert peer.got == b"hello"


async def test_UD_14_the_socket_is_open_to_one_uid_and_there_is_no_way_to_ask_for_more(listen, tmp_path: Path) -> None:
    listener = await listen()
    path = listener.folder / "kernel.sock"
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert mode(path) == 0o600
    assert (mode(listener.folder), mode(listener.folder.parent), mode(tmp_path / "run")) == (0o711, 0o700, 0o700)


@root_only
async def test_UD_14_root_hands_the_socket_over_to_the_packs_uid(listen) -> None:
    listener = await listen(OTHER)
    found = (listener.folder / "kernel.sock").lstat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OTHER, OTHER, 0o600)


CLIENT = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(5)
try:
    client.connect(sys.argv[1])
    print(client.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


async def as_uid(uid: int, listener: UnixListener) -> str:
    """What a process of `uid` gets that has the folder (as a container has it mounted)."""
    command = [sys.executable, "-I", "-c", CLIENT, f"/proc/self/fd/{listener.directory}/kernel.sock", str(uid)]

    def run() -> str:
        done = subprocess.run(command, pass_fds=[listener.directory], capture_output=True, check=False, timeout=20)
        return (done.stdout or done.stderr).decode().strip()

    return await asyncio.to_thread(run)


@root_only
async def test_UD_12_only_the_right_uid_gets_an_answer(listen) -> None:
    listener = await listen(OTHER)
    assert await as_uid(OTHER + 1, listener) == "PermissionError"
    assert await as_uid(OTHER, listener) == "b'config'"


@root_only
async def test_UD_12_a_peer_of_another_uid_is_closed_unread_even_if_it_gets_in(listen) -> None:
    made: list[Peer] = []

    def factory() -> Peer:
        made.append(Peer())
        return made[-1]

    listener = await listen(OTHER, factory=factory)
    client = connect(listener)  # root may open any socket
    assert await closed(client)
    assert (made, listener.refused) == ([], 1)
    assert await as_uid(OTHER, listener) == "b'config'"


@root_only
async def test_UD_12_a_peer_of_another_gid_is_closed(listen) -> None:
    listener = await listen(ME, gid=os.getegid() + 1)
    assert await closed(connect(listener))


async def test_UD_02_only_the_first_connection_is_served(listen) -> None:
    listener = await listen()
    first = connect(listener)
    peer = await asyncio.wait_for(listener.channel(), 5)
    second = connect(listener)
    assert await closed(second)
    first.sendall(b"still here")
    await asyncio.sleep(0.05)
    assert peer.got == b"still here"
    first.close()
    await asyncio.sleep(0.05)
    third = connect(listener)
    assert await closed(third), "one connection for each container start, also after it has ended"


async def test_UD_02_a_thousand_silent_connections_hurt_nobody(listen) -> None:
    listener = await listen()
    agent = connect(listener)
    peer = await asyncio.wait_for(listener.channel(), 5)

    def flood() -> int:
        ends = 0
        for _ in range(1000):
            with connect(listener) as client:
                ends += client.recv(1) == b""
        return ends

    before = len(os.listdir("/proc/self/fd"))
    flooding = asyncio.create_task(asyncio.to_thread(flood))
    for number in range(20):
        agent.sendall(b"x")
        await asyncio.sleep(0.005)
        assert len(peer.got) >= number
    assert await asyncio.wait_for(flooding, 30) == 1000
    assert listener.refused == 1000
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_who_connects_without_end_is_closed_at_a_bounded_rate(tmp_path: Path) -> None:
    class Still(SystemClock):
        def monotonic(self) -> float:
            return 5.0

    listener = await UnixListeners(tmp_path / "run", Still()).listen(peer_uid=ME, channel_factory=Peer)
    listener._accepted = 999
    listener._second = 5.0
    connect(listener)
    await asyncio.wait_for(listener.channel(), 5)
    second = connect(listener)
    second.setblocking(False)
    await asyncio.sleep(0.05)
    with pytest.raises(BlockingIOError):
        second.recv(1)
    await listener.close()


async def test_UD_11_two_starts_never_share_a_folder(listen) -> None:
    folders = {(await listen()).folder for _ in range(20)}
    assert len(folders) == 20
    assert all(len(folder.name) == 8 for folder in folders)


async def test_UD_11_a_profile_as_deep_as_it_likes_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 64) / ("e" * 64) / "run"
    assert len(str(deep)) > 107
    deep.parent.mkdir(parents=True)
    listener = await UnixListeners(deep, SystemClock()).listen(peer_uid=ME, channel_factory=Peer)
    connect(listener)
    await asyncio.wait_for(listener.channel(), 5)
    assert listener.check()
    await listener.close()


def test_UD_11_without_proc_a_path_that_is_too_long_is_a_clear_error(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-proc"
    short = Path("/x")
    assert socket_address(short, "kernel.sock", 3, descriptors=nowhere) == "/x/kernel.sock"
    fits = Path("/" + "d" * (107 - len("/kernel.sock") - 1))
    assert len(socket_address(fits, "kernel.sock", 3, descriptors=nowhere)) == 107
    with pytest.raises(Unavailable, match="108 bytes") as caught:
        socket_address(Path(str(fits) + "d"), "kernel.sock", 3, descriptors=nowhere)
    assert "RUMI_USER_DATA" in caught.value.hint


async def test_FT_13_a_deleted_socket_is_noticed_and_made_again_in_the_same_folder(listen) -> None:
    listener = await listen()
    inode = listener.folder.stat().st_ino
    (listener.folder / "kernel.sock").unlink()
    assert not listener.check()
    listener.recreate()
    assert listener.check()
    assert listener.folder.stat().st_ino == inode
    connect(listener)
    await asyncio.wait_for(listener.channel(), 5)


async def test_FT_13_a_foreign_socket_is_noticed_replaced_and_never_answered(listen) -> None:
    listener = await listen()
    path = listener.folder / "kernel.sock"
    path.unlink()
    foreign = socket.socket(socket.AF_UNIX)
    foreign.bind(socket_address(listener.folder, "kernel.sock", listener.directory))
    foreign.listen(1)
    assert not listener.check()
    listener.recreate()
    assert listener.check()
    connect(listener)
    assert isinstance(await asyncio.wait_for(listener.channel(), 5), Peer)
    foreign.setblocking(False)
    with pytest.raises(BlockingIOError):
        foreign.accept()
    assert os.listdir(listener.folder) == ["kernel.sock"]
    foreign.close()


async def test_FT_13_the_connection_and_its_oneness_survive(listen) -> None:
    listener = await listen()
    client = connect(listener)
    peer = await asyncio.wait_for(listener.channel(), 5)
    (listener.folder / "kernel.sock").unlink()
    listener.recreate()
    client.sendall(b"on we go")
    await asyncio.sleep(0.05)
    assert peer.got == b"on we go"
    assert await closed(connect(listener))


@pytest.mark.parametrize("what", ["file", "symlink"])
async def test_FT_13_what_stands_in_the_sockets_place_is_replaced(listen, tmp_path: Path, what: str) -> None:
    listener = await listen()
    path = listener.folder / "kernel.sock"
    path.unlink()
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    path.write_text("x") if what == "file" else path.symlink_to(precious)
    assert not listener.check()
    listener.recreate()
    assert listener.check()
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize("what", ["folder in its place", "folder gone", "folder replaced"])
async def test_FT_13_what_cannot_be_mended_is_a_clear_error(listen, what: str) -> None:
    listener = await listen()
    path = listener.folder / "kernel.sock"
    path.unlink()
    if what == "folder in its place":
        path.mkdir()
    else:
        listener.folder.rmdir()
    if what == "folder replaced":
        listener.folder.mkdir()
        path.touch()
    assert not listener.check()
    with pytest.raises(Unavailable, match="cannot be made again"):
        listener.recreate()
    if what == "folder in its place":
        path.rmdir()
    elif what == "folder replaced":
        path.unlink()


async def test_closing_leaves_nothing_behind(listen, tmp_path: Path) -> None:
    listener = await listen()
    (listener.folder / "ca.pem").write_text("x")
    client = connect(listener)
    peer = await asyncio.wait_for(listener.channel(), 5)
    await listener.close()
    await listener.close()
    assert list((tmp_path / "run" / "s").iterdir()) == []
    assert await asyncio.to_thread(client.recv, 100) in {b"config", b""}
    await asyncio.sleep(0)
    assert peer.lost


async def test_who_waits_for_an_agent_is_told_when_the_listener_closes(listen) -> None:
    listener = await listen()
    waiting = asyncio.create_task(listener.channel())
    await asyncio.sleep(0)
    await listener.close()
    with pytest.raises(Unavailable):
        await waiting


# --- what is found at start


def leftover(tmp_path: Path, name: str = "0123abcd", *, answering: bool = False) -> tuple[Path, socket.socket]:
    """A folder as a kernel that died leaves it (or, answering, as one that lives has it)."""
    folder = tmp_path / "run" / "s" / name
    folder.mkdir(parents=True)
    old = socket.socket(socket.AF_UNIX)
    directory = os.open(folder, os.O_RDONLY)
    old.bind(f"/proc/self/fd/{directory}/kernel.sock")
    os.close(directory)
    if answering:
        old.listen(1)
    else:
        old.close()
    return folder, old


def test_FT_14_a_dead_socket_is_removed(listeners: UnixListeners, tmp_path: Path) -> None:
    folder, _ = leftover(tmp_path)
    (folder / "ca.pem").write_text("x")
    listeners.prepare()
    assert not folder.exists()


def test_FT_14_a_socket_that_answers_belongs_to_another_kernel(listeners: UnixListeners, tmp_path: Path) -> None:
    folder, other = leftover(tmp_path, answering=True)
    with pytest.raises(Conflict, match="in use"):
        listeners.prepare()
    assert (folder / "kernel.sock").exists()
    other.close()


@pytest.mark.parametrize("what", ["symlink", "file", "named folder", "folder with a link", "folder with a folder"])
def test_FT_14_what_is_not_ours_is_left_alone_and_named(listeners: UnixListeners, tmp_path: Path, what: str) -> None:
    place = tmp_path / "run" / "s"
    place.mkdir(parents=True)
    entry = place / "0123abcd"
    if what == "symlink":
        entry.symlink_to(tmp_path)
    elif what == "file":
        entry.write_text("x")
    elif what == "named folder":
        (place / "backup").mkdir()
    else:
        entry.mkdir()
        inner = entry / "kernel.sock"
        inner.symlink_to(tmp_path) if what == "folder with a link" else inner.mkdir()
    with pytest.raises(Unavailable) as caught:
        listeners.prepare()
    assert "run/s" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert caught.value.hint
    assert list(place.iterdir())


@pytest.mark.parametrize("which", ["run", "run/s"])
@pytest.mark.parametrize("what", ["symlink", "file"])
def test_FT_14_a_place_that_is_taken_is_a_clear_error(
    listeners: UnixListeners, tmp_path: Path, which: str, what: str
) -> None:
    place = tmp_path / which
    place.parent.mkdir(exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere") if what == "symlink" else place.write_text("x")
    with pytest.raises(Unavailable, match="needs this place"):
        listeners.prepare()


def test_a_folder_that_is_open_to_others_is_closed(listeners: UnixListeners, tmp_path: Path) -> None:
    (tmp_path / "run" / "s").mkdir(parents=True)
    (tmp_path / "run" / "s").chmod(0o777)
    listeners.prepare()
    assert mode(tmp_path / "run" / "s") == 0o700


@root_only
def test_a_folder_of_somebody_else_is_refused(listeners: UnixListeners, tmp_path: Path) -> None:
    (tmp_path / "run" / "s").mkdir(parents=True)
    os.chown(tmp_path / "run" / "s", OTHER, OTHER)
    with pytest.raises(Unavailable, match="somebody else"):
        listeners.prepare()


async def test_first_starts_side_by_side_do_not_take_each_others_sockets_for_leftovers(tmp_path: Path) -> None:
    for number in range(12):
        listeners = UnixListeners(tmp_path / f"run{number}", SystemClock())
        made = await asyncio.gather(*(listeners.listen(peer_uid=ME, channel_factory=Peer) for _ in range(8)))
        assert all(listener.check() for listener in made)
        for listener in made:
            await listener.close()


# --- a kernel that is not root

UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.clock import SystemClock
class Peer(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"config")
os.setgroups([]); os.setgid(int(sys.argv[4])); os.setuid(int(sys.argv[4]))
async def main():
    listener = await UnixListeners(Path(sys.argv[2]) / "run", SystemClock()).listen(
        peer_uid=int(sys.argv[3]), channel_factory=Peer)
    print(listener.folder, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await listener.close()
asyncio.run(main())
"""


@root_only
async def test_UD_14_a_kernel_that_is_not_root_lets_one_uid_in_by_an_acl(tmp_path: Path) -> None:
    kernel_uid = OTHER + 7
    home = Path("/tmp") / f"rumi-acl-{os.getpid()}"  # a place that other uids can walk to, as a mount is
    home.mkdir(mode=0o755)
    os.chown(home, kernel_uid, kernel_uid)
    project = Path(__file__).resolve().parents[3]
    kernel = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNPRIVILEGED, str(project), str(home), str(OTHER), str(kernel_uid),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
    )  # fmt: skip
    try:
        assert kernel.stdout is not None
        folder = Path((await asyncio.wait_for(kernel.stdout.readline(), 20)).decode().strip())
        directory = os.open(folder, os.O_RDONLY)
        listener = type("L", (), {"directory": directory})()
        assert os.getxattr(folder / "kernel.sock", "system.posix_acl_access") == one_user_acl(OTHER)
        assert await as_uid(OTHER + 1, listener) == "PermissionError"
        assert await as_uid(OTHER, listener) == "b'config'"
        os.close(directory)
    finally:
        kernel.stdin.close()
        await asyncio.wait_for(kernel.wait(), 20)
        subprocess.run(["rm", "-rf", str(home)], check=False)


def test_the_acl_is_the_one_that_setfacl_would_write() -> None:
    assert one_user_acl(1000).hex() == (
        "0200000001000600ffffffff02000600e803000004000000ffffffff10000600ffffffff20000000ffffffff"
    )
