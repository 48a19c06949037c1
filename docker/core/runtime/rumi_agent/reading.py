"""Who reads the socket: one thread at a time holds the baton.

The reader runs quick handlers itself, because a hop to another thread costs more than most of them. While it is inside
a handler the baton lies free; a guard that ticks only while there is work takes it up when one handler lasts longer
than a tick, and gives it to another thread, so that pings, cancels and other calls never depend on a handler. The
thread that comes out of its handler and finds the baton gone is a worker from then on. (A handler that waits for the
kernel on the reader's thread goes on reading itself until its own answer is there.)
"""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident
from time import sleep

from rumi_agent.codec import BadValue, FrameReader, MalformedStream
from rumi_agent.limits import EXIT_MALFORMED, QUIET_TICKS, TICK_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from rumi_agent.codec import Frame
    from rumi_agent.link import Link

    class Receiver(Protocol):
        """What is done with frames, on the thread that holds the baton."""

        def on_call(self, frame: Frame, inline: bool) -> bool: ...  # noqa: FBT001
        def on_frame(self, frame: Frame) -> None: ...
        def on_bad_value(self, error: BadValue) -> None: ...
        def before_waiting(self) -> None: ...


_STACK_FOR_JSON = 400  # the kernel's JSON is nested 254 deep at most
_STACK_FOR_A_WISH = 50


class Reading:
    """The baton and its guard."""

    def __init__(self, link: Link, reader: FrameReader, end: Callable[[int], None]) -> None:
        self._link = link
        self._reader = reader
        self._end = end
        self._baton = allocate_lock()
        self._bell = allocate_lock()
        self._bell.acquire()
        self._dozing = False
        self._steps = 0
        self._leader = 0
        self._receiver: Receiver
        self._start: Callable[[Callable[[], None]], bool]

    def wire(self, receiver: Receiver, start: Callable[[Callable[[], None]], bool]) -> None:
        """Say who takes the frames, and how to get a thread."""
        self._receiver = receiver
        self._start = start

    def begin(self) -> None:
        """The first thread with the baton."""
        self._baton.acquire()
        if not self._start(self._lead):
            raise RuntimeError("no thread can be started")

    @property
    def buffered(self) -> bool:
        """True while frames, or parts of them, have been read and not looked at."""
        return self._reader.buffered

    # -- the reader's side

    def _lead(self) -> None:
        """Read until the baton is lost."""
        self._leader = get_ident()
        try:
            while self.step(True):  # noqa: FBT003
                pass
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        sys.stderr.write(f"rumi-agent: the reader failed: {type(error).__name__}: {error}\n")
        self._end(EXIT_MALFORMED)

    def step(self, inline: bool) -> bool:  # noqa: FBT001
        """Handle one frame, or wait for more bytes. False once the baton is lost."""
        try:
            frame = self._reader.next()
        except BadValue as error:
            self._receiver.on_bad_value(error)
            return True
        except MalformedStream as error:
            sys.stderr.write(f"rumi-agent: what the kernel sent is no frame ({error}); ending\n")
            self._end(EXIT_MALFORMED)
            return False
        if frame is None:
            return self._fill()
        if frame["k"] == "call":
            return self._receiver.on_call(frame, inline)
        self._receiver.on_frame(frame)
        return True

    def read_first(self) -> Frame:
        """The first frame, before there are threads. Anything but a good one ends the agent."""
        while True:
            try:
                frame = self._reader.next()
            except (MalformedStream, BadValue) as error:
                sys.stderr.write(f"rumi-agent: what the kernel sent first is no frame ({error}); ending\n")
                self._end(EXIT_MALFORMED)
                raise
            if frame is not None:
                return frame
            self._receive()

    def _fill(self) -> bool:
        self._receiver.before_waiting()
        link = self._link
        if link.out and link.flush(self.step_aside) and not self._baton.acquire(False):  # noqa: FBT003
            return False
        self._receive()
        return True

    def _receive(self) -> None:
        try:
            count = self._link.sock.recv_into(self._reader.writable())
        except OSError:
            count = 0
        if not count:
            self._end(0)
        self._reader.wrote(count)

    def step_aside(self) -> None:
        """Lay the baton down before something that may last; `resume` tries to take it up again."""
        self._steps += 1
        if self._dozing:
            self._wake_guard()
        self._baton.release()

    def _wake_guard(self) -> None:
        self._dozing = False
        try:  # noqa: SIM105
            self._bell.release()
        except RuntimeError:  # it has been rung already, and the guard has not come round to it
            pass

    def resume(self) -> bool:
        """Take the baton up again. False when another thread reads now."""
        return self._baton.acquire(False)  # noqa: FBT003

    # -- handlers that wait on the reader's own thread

    def is_reader(self) -> bool:
        """True on the thread that reads, or will read on when its handler has returned."""
        return self._leader == get_ident()

    def take_up(self) -> bool:
        """True when the caller is the reader, inside a handler, and holds the baton now."""
        return self._leader == get_ident() and self._baton.acquire(False)  # noqa: FBT003

    def read_until(self, done: Callable[[], bool], others_wait: Callable[[], bool]) -> bool:
        """Go on reading inside a handler until `done`. False when the baton went to another thread before that."""
        try:
            while not done():
                if not self.step(False):  # noqa: FBT003
                    return False
            self._receiver.before_waiting()
            if self._link.out:
                self._link.flush()
            if self._reader.buffered or others_wait():
                self.give_up()
            else:
                self.step_aside()
        except BaseException as error:  # the baton must not be lost with a handler
            self._fail(error)
        return True

    def give_up(self) -> None:
        """Give the baton to another thread, or lay it down if there is none."""
        self._leader = 0
        if not self._start(self._lead):
            self._leader = get_ident()
            self.step_aside()

    # -- the guard

    def guard(self) -> None:
        """Tick while there is work; never returns. Runs on the main thread, which so stays free for signals."""
        quiet = 0
        while True:
            seen = self._steps
            if quiet > QUIET_TICKS:
                self._dozing = True
                if self._steps == seen:
                    self._bell.acquire()
                self._dozing = False
                quiet = 0
                continue
            sleep(TICK_SECONDS)
            if self._steps != seen:
                quiet = 0
            elif self._baton.acquire(False):  # noqa: FBT003
                self._pass_on()
            else:
                quiet += 1

    def _pass_on(self) -> None:
        before = self._leader
        self._leader = 0
        if not self._start(self._lead):
            self._leader = before
            self._baton.release()


def stack_is_shallow() -> bool:
    """True where there is room to read frames. Raises `RecursionError` where there is none for anything.

    A handler may ask the kernel from deep inside a recursion; running out of stack in the middle of the agent's own
    affairs would leave a lock behind.
    """
    limit = sys.getrecursionlimit()
    try:
        sys._getframe(max(1, limit - _STACK_FOR_JSON))  # noqa: SLF001
    except ValueError:
        return True
    try:
        sys._getframe(max(1, limit - _STACK_FOR_A_WISH))  # noqa: SLF001
    except ValueError:
        return False
    raise RecursionError("maximum recursion depth exceeded while asking the kernel")
