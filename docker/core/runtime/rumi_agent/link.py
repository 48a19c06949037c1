"""The socket's outgoing side: any thread may put frames in, one at a time sends all that has gathered.

A thread that finds another one sending leaves its frame and goes on: the sender looks again before it stops. So frames
of one batch leave in one system call, and nobody waits for a socket unless far too much is unsent.
"""

from __future__ import annotations

from _thread import allocate_lock

from rumi_agent.limits import UNSENT_FRAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from _typeshed import ReadableBuffer

    class Socket(Protocol):
        """What is needed of a connected stream socket."""

        def send(self, data: ReadableBuffer, flags: int, /) -> int: ...
        def sendall(self, data: ReadableBuffer, /) -> None: ...
        def recv_into(self, buffer: memoryview, /) -> int: ...
        def close(self) -> None: ...


_DONT_WAIT = 0x40  # MSG_DONTWAIT of Linux


class Link:
    """Frames out. `ended` is called, and does not return, once the socket is gone."""

    def __init__(self, sock: Socket, ended: Callable[[], None]) -> None:
        self.sock = sock
        self.out: list[bytes] = []
        self._sending = allocate_lock()
        self._ended = ended
        self.foreign = False  # true in a process that a pack forked off: the connection is not its own

    def send(self, frame: bytes) -> None:
        """Put a frame in and see that it leaves."""
        self.out.append(frame)
        self.flush()

    def flush(self, step_aside: Callable[[], None] | None = None) -> bool:
        """Send what has gathered, or leave it to the thread that is sending.

        `step_aside` is called before a send that has to wait; True is answered when it was.
        """
        out = self.out
        stepped = False
        while out:
            if not self._sending.acquire(len(out) > UNSENT_FRAMES):
                return stepped
            try:
                count = len(out)
                data = out[0] if count == 1 else b"".join(out[:count])
                sent = self._send_now(data)
                if sent < len(data):
                    if step_aside is not None and not stepped:
                        stepped = True
                        step_aside()
                    self.sock.sendall(memoryview(data)[sent:])
                del out[:count]
            except OSError:
                self._ended()
                raise
            finally:
                self._sending.release()
        return stepped

    def _send_now(self, data: bytes) -> int:
        try:
            return self.sock.send(data, _DONT_WAIT)
        except BlockingIOError:
            return 0

    def close_in_child(self) -> None:
        """After a fork, in the child: let go of the socket, which belongs to the parent."""
        self.foreign = True
        self.out = []
        try:  # noqa: SIM105
            self.sock.close()
        except OSError:
            pass
