"""Calls from the pack to the kernel: wishes, which the kernel may refuse.

Usable from every thread. On the reader's own thread the wait reads on; elsewhere it is a wait for a lock. The token of
the call that is being answered goes along, and by it alone the kernel knows on whose behalf this is.
"""

from __future__ import annotations

from _thread import get_ident
from itertools import count

from rumi_agent.calls import Call, Waiter
from rumi_agent.codec import NotJson, encode_frame, encode_value, framed
from rumi_agent.errors import CapabilityError, error_from_frame, wire_error
from rumi_agent.limits import BACKSTOP_SECONDS, DEFAULT_TIMEOUT_SECONDS, STALL_SECONDS
from rumi_agent.reading import stack_is_shallow
from rumi_agent.streams import Inbound, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Protocol

    from rumi_agent.codec import Frame
    from rumi_agent.link import Link
    from rumi_agent.reading import Reading
    from rumi_agent.workers import Workers

    class Pending(Protocol):
        """One outgoing call that has no result yet."""

        call: Call | None
        inbound: Inbound | None
        window: Window | None

        def deliver(self, frame: Frame) -> None: ...


_MAY_COME_BACK = frozenset({"interface.call", "flow.run"})
_KEPT_NAMES = 512


class Outgoing:
    """Numbers, sends and settles outgoing calls."""

    def __init__(self, link: Link, reading: Reading, workers: Workers) -> None:
        self._link = link
        self._reading = reading
        self._workers = workers
        self._numbers = count(2, 2)
        self._names: dict[str, bytes] = {}
        self.pending: dict[int, Pending] = {}
        self.ready = False
        self._setup_thread = get_ident()
        self._opened: list[Callable[[], None]] = []

    # -- what streams need (`streams.Outlet`), and whoever began a call

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        self._link.send(frame)

    def flush(self) -> None:
        """Send what has gathered."""
        self._link.flush()

    def wait(self, gate: LockType) -> None:
        """Wait in this thread for something that the reader brings; if this is the reader, another thread reads on."""
        if self._reading.take_up():
            self._reading.give_up()
        self._link.flush()
        gate.acquire(timeout=BACKSTOP_SECONDS)

    # -- calls

    def open(self) -> None:
        """`hello` is out: calls may leave from now on."""
        self.ready = True
        for release in self._opened:
            release()

    def request(self, name: str, args: object, call: Call | None, timeout: float | None = None) -> object:
        """The value of the answer. Raises `CapabilityError`."""
        shallow = stack_is_shallow()
        if call is not None:
            call.asked = True
        waiter = Waiter(call)
        number = self.begin(waiter, name, args, timeout)
        lends = name in _MAY_COME_BACK and call is not None
        if lends:
            self._workers.lend()
        try:
            self._await(waiter, shallow=shallow, lends=lends)
        finally:
            if lends:
                self._workers.take_back()
            if waiter.frame is None:
                self.give_up(number)
        return answer_of(waiter.frame)

    def _acquired_in_turns(self, gate: LockType) -> bool:
        """Wait, and look now and then whether this pack only waits for itself."""
        workers = self._workers
        for _ in range(int(BACKSTOP_SECONDS / STALL_SECONDS)):
            seen = workers.moved
            if gate.acquire(timeout=STALL_SECONDS):
                return True
            if workers.queue:
                workers.unstall(seen)
        return False

    def _await(self, waiter: Waiter, *, shallow: bool, lends: bool) -> None:
        reading = self._reading
        if shallow and reading.take_up() and reading.read_until(waiter.is_done, self._others_wait):
            return
        self._link.flush()
        if not (self._acquired_in_turns(waiter.gate) if lends else waiter.gate.acquire(timeout=BACKSTOP_SECONDS)):
            waiter.frame = {"ok": False, "error": wire_error("TIMEOUT", "The kernel gave no answer.")}

    def _others_wait(self) -> bool:
        return bool(self.pending) or bool(self._workers.queue) or len(self._workers.active) > 1

    def begin(self, waiter: Pending, name: str, args: object, timeout: float | None, *, upload: bool = False) -> int:
        """Let the call's frame leave with the next flush, and answer its id. Raises `CapabilityError`."""
        call = waiter.call
        self._check(call)
        try:
            body = encode_value({} if args is None else args)
        except NotJson as error:
            code = "TOO_LARGE" if error.too_large else "VALIDATION_ERROR"
            raise CapabilityError(code, f"The arguments of {name}: {error}") from None
        if timeout is None:
            timeout = DEFAULT_TIMEOUT_SECONDS if call is None else call.seconds_left()
        number = next(self._numbers)
        head = b'{"k":"call","id":%d,"name":%b,"deadline_ms":%d' % (number, self._name(name), _milliseconds(timeout))
        token = None if call is None else call.frame.get("token")
        if token is not None:
            head += b',"token":' + encode_value(token)
        if upload:
            head += b',"in":true'
        frame = framed(head + b',"args":%b}' % body)
        self.pending[number] = waiter
        self._link.out.append(frame)
        return number

    def _name(self, name: str) -> bytes:
        known = self._names.get(name)
        if known is None:
            if not isinstance(name, str):
                raise CapabilityError("VALIDATION_ERROR", "The name of a permission is a text.")
            known = encode_value(name)
            if len(self._names) < _KEPT_NAMES:
                self._names[name] = known
        return known

    def _check(self, call: Call | None) -> None:
        if self._link.foreign:
            raise CapabilityError("UNAVAILABLE", "A forked process has no connection to the kernel.")
        if call is not None and call.cancelled:
            raise CapabilityError("CANCELLED", "The caller gave up.", hint="Stop: nobody waits for this answer.")
        if not self.ready:
            self._wait_for_hello()

    def _wait_for_hello(self) -> None:
        if get_ident() == self._setup_thread:
            raise CapabilityError(
                "UNAVAILABLE",
                "setup.py cannot call anything yet: the pack is not ready before it has returned.",
                hint='Do it in a handler, or start it with context["background"](name, coroutine_function).',
            )
        from _thread import allocate_lock

        gate = allocate_lock()
        gate.acquire()
        self._opened.append(gate.release)
        if not self.ready and not gate.acquire(timeout=DEFAULT_TIMEOUT_SECONDS):
            raise CapabilityError("UNAVAILABLE", "The pack did not get ready.")

    # -- what comes back, on the reader's thread

    def on_result(self, frame: Frame) -> None:
        """The end of a call. A late one, of a call that was given up, is dropped."""
        waiter = self.pending.pop(frame["id"], None)
        if waiter is None:
            return
        if waiter.inbound is not None:
            waiter.inbound.finish(frame)
        if waiter.window is not None:
            waiter.window.close()
        waiter.deliver(frame)

    def stream_of(self, number: int) -> Inbound | None:
        """The stream that an element of the call `number` belongs to; a call that wanted none is given up."""
        waiter = self.pending.get(number)
        if waiter is None:
            return None
        if waiter.inbound is None:
            self.fail(
                number,
                wire_error("VALIDATION_ERROR", "The answer is a stream.", "Use ctx.open_stream and iterate over it."),
            )
        return waiter.inbound

    def window_of(self, number: int) -> Window | None:
        """What may be uploaded on the call `number`."""
        waiter = self.pending.get(number)
        return None if waiter is None else waiter.window

    def fail(self, number: int, error: Frame) -> None:
        """Settle a call from this side, and tell the kernel to stop."""
        if number in self.pending:
            self._link.out.append(encode_frame({"k": "cancel", "id": number}))
            self.on_result({"k": "result", "id": number, "ok": False, "error": error})

    def fail_all_of(self, call: Call) -> None:
        """The call was cancelled, so what it waits for is of no use."""
        error = wire_error("CANCELLED", "The caller gave up.", "Stop: nobody waits for this answer.")
        for number, waiter in list(self.pending.items()):
            if waiter.call is call:
                self.fail(number, error)

    def give_up(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        if self.pending.pop(number, None) is not None:
            self._link.send(encode_frame({"k": "cancel", "id": number}))


def _milliseconds(seconds: float) -> int:
    """Whole milliseconds of any number that a pack may say; the kernel clamps it again."""
    try:
        return int(min(max(float(seconds), 0.0), BACKSTOP_SECONDS) * 1000)
    except (TypeError, ValueError):
        raise CapabilityError("VALIDATION_ERROR", "A timeout is a number of seconds.") from None


def answer_of(frame: Frame | None) -> object:
    """The value of a result, or its error raised."""
    if frame is None:
        raise CapabilityError("CANCELLED", "The wait was broken off.")
    if frame["ok"]:
        return frame.get("value")
    raise error_from_frame(frame["error"])
