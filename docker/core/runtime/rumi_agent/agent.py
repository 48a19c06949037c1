"""The agent as a whole: builds its parts, says `hello`, and sees to its end."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic, sleep

from rumi_agent.answers import Answers
from rumi_agent.checks import TO_AGENT
from rumi_agent.codec import BadValue, FrameReader, encode_frame
from rumi_agent.incoming import Incoming
from rumi_agent.limits import AGENT_VERSION, EXIT_MALFORMED, PROTOCOL, TERM_GRACE_SECONDS
from rumi_agent.link import Link
from rumi_agent.outgoing import Outgoing
from rumi_agent.packlog import PackLog
from rumi_agent.reading import Reading
from rumi_agent.streams import Overrun
from rumi_agent.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rumi_agent.codec import Frame
    from rumi_agent.handlers import Handler
    from rumi_agent.link import Socket
    from rumi_agent.loop_side import LoopSide
    from rumi_agent.streams import Inbound

_PONG = encode_frame({"k": "pong"})


class Options:
    """Where things are. The defaults are those of the container; `back_off` scales the pauses of background work."""

    def __init__(self, *, socket: str, pack: str = "/pack", deps: str | None = "/deps", back_off: float = 1.0) -> None:
        self.socket = socket
        self.pack = pack
        self.deps = deps if deps is not None and os.path.isdir(deps) else None  # noqa: PTH112
        self.back_off = back_off

    @property
    def backend(self) -> str:
        """The folder that holds ecosystem.json."""
        return self.pack + "/backend"

    @property
    def blocks(self) -> str | None:
        """The folder of the pack's blocks, or None if it has none."""
        folder = self.backend + "/blocks"
        return folder if os.path.isdir(folder) else None  # noqa: PTH112


class Agent:
    """One pack, one connection. It builds the parts, gives each what it needs, and is the home of every context."""

    def __init__(self, options: Options, sock: Socket, end: Callable[[int], None]) -> None:
        self.options = options
        self.end = end
        self.pack_id = ""
        self.settings: dict[str, object] = {}
        self.background: list[tuple[str, object]] = []
        self.link = Link(sock, self._lost)
        self.reading = Reading(self.link, FrameReader(TO_AGENT), end)
        self.packlog = PackLog(self._send_log)
        self.workers: Workers
        self.outgoing: Outgoing
        self.answers = Answers(self.link, self.packlog, end)
        self.incoming: Incoming
        self.loop_side: LoopSide | None = None
        self._loop_lock = allocate_lock()
        self._stop_once = allocate_lock()
        self._end_at = float("inf")

    # -- the beginning

    def configure(self) -> None:
        """Wait for `config`, the kernel's first frame."""
        frame = self.reading.read_first()
        if frame["k"] != "config":
            self.malformed(f"the first frame is {frame['k']}, not config")
        self.pack_id = frame["pack_id"]
        self.settings = frame["settings"]
        self.workers = Workers(frame["concurrency"])
        self.outgoing = Outgoing(self.link, self.reading, self.workers)
        self.incoming = Incoming(
            self,
            self.answers,
            workers=self.workers,
            reading=self.reading,
            loop=self.loop,
            load_block=self._block_loader(),
        )
        self.incoming.max_streams = frame["max_streams"]
        self.reading.wire(self, self.workers.start)

    def _block_loader(self) -> Callable[[str], Handler | None] | None:
        folder = self.options.blocks
        if folder is None:
            return None
        from rumi_agent.blocks import Blocks

        return Blocks(folder).load

    def start(self, components: list[dict[str, object]]) -> None:
        """Say `hello`; from here on the pack answers."""
        hello = {"k": "hello", "protocol": PROTOCOL, "agent": AGENT_VERSION, "components": components}
        self.link.out.insert(0, encode_frame(hello))
        self.link.flush()
        self.outgoing.open()
        self.packlog.open()
        for name, fn in self.background:
            self._start_background(name, fn)
        self.reading.begin()

    def _start_background(self, name: str, fn: object) -> None:
        from rumi_agent.background import keep_running

        def begin() -> None:
            work = keep_running(self, name, fn, back_off=self.options.back_off, stopping=lambda: self.incoming.stopping)
            side.spawn_background(work)

        side = self.loop()
        side.post(begin)
        side.kick()

    def loop(self) -> LoopSide:
        """The asyncio side, made when it is first needed."""
        with self._loop_lock:
            if self.loop_side is None:
                from rumi_agent.loop_side import LoopSide

                self.loop_side = LoopSide(self, self.answers, unusual=self.incoming.unusual, reading=self.reading)
            return self.loop_side

    # -- frames, on the reader's thread

    def on_call(self, frame: Frame, inline: bool) -> bool:  # noqa: FBT001
        """A call of an interface or block."""
        return self.incoming.on_call(frame, inline)

    def on_frame(self, frame: Frame) -> None:
        """Any other frame."""
        kind = frame["k"]
        if kind == "result":
            self.outgoing.on_result(frame)
        elif kind == "ping":
            self.link.out.append(_PONG)
        elif kind in {"item", "data", "end"}:
            self._on_element(frame)
        elif kind == "credit":
            self._on_credit(frame)
        elif kind == "cancel":
            self.incoming.on_cancel(frame["id"])
        elif kind == "event":
            self.incoming.on_event(frame)
        elif kind == "stop":
            self.stop(max(0.0, min(frame["grace_ms"], 3_600_000)) / 1000)
        elif kind == "config":
            self.log("error", "The kernel sent config twice.")

    def _on_element(self, frame: Frame) -> None:
        inbound = self._inbound_of(frame["id"])
        if inbound is None:
            return
        if frame["k"] == "end":
            inbound.end()
            return
        try:
            inbound.push(frame)
        except Overrun:
            self.malformed("more of a stream than was allowed")

    def _inbound_of(self, number: int) -> Inbound | None:
        """Odd numbers are calls of the kernel, even ones our own."""
        if not number & 1:
            return self.outgoing.stream_of(number)
        call = self.answers.calls.get(number)
        return None if call is None else call.inbound

    def _on_credit(self, frame: Frame) -> None:
        """The receiver of one of our streams allows more."""
        number = frame["id"]
        call = self.answers.calls.get(number)
        window = (None if call is None else call.window) if number & 1 else self.outgoing.window_of(number)
        if window is not None:
            window.add(frame.get("items", 0), frame.get("bytes", 0))

    def on_bad_value(self, error: BadValue) -> None:
        """A good frame with a bad value."""
        self.incoming.on_bad_value(error)

    def before_waiting(self) -> None:
        """The reader has handled all that came."""
        if self.loop_side is not None:
            self.loop_side.kick()
        self.incoming.before_waiting()

    # -- what the parts ask for

    def log(self, level: str, text: object, **fields: object) -> None:
        """A line of the pack's log."""
        self.packlog.write(level, text, fields, None)

    def log_exception(self, what: str, error: BaseException, run_id: str | None) -> None:
        """A traceback in the pack's log; never raises."""
        self.packlog.write_exception(what, error, run_id)

    def _send_log(self, frame: bytes) -> None:
        if not self.link.foreign:
            self.link.send(frame)

    # -- the end

    def malformed(self, what: str) -> None:
        """The kernel broke the protocol: better no agent than one that guesses."""
        sys.stderr.write(f"rumi-agent: {what}; ending\n")
        self.end(EXIT_MALFORMED)

    def _lost(self) -> None:
        """The socket is gone, or belongs to the process that this one was forked from."""
        self.end(0)

    def stop(self, grace: float = TERM_GRACE_SECONDS) -> None:
        """Take no new calls, finish what runs within `grace` seconds, and end. Asked again, the shorter time counts."""
        self._end_at = min(self._end_at, monotonic() + grace)
        if not self._stop_once.acquire(blocking=False):
            return
        self.incoming.stopping = True
        if not self.workers.start(self._finish):
            self.end(0)

    def _finish(self) -> None:
        side = self.loop_side
        if side is not None:
            side.stop_background()
        while monotonic() < self._end_at and self.answers.calls:
            sleep(0.005)
        if side is not None:
            side.stop_all()
            while monotonic() < self._end_at and side.busy:
                sleep(0.005)
        self.link.flush()
        self.end(0)

    def in_forked_child(self) -> None:
        """A pack forked: the child may compute, but the connection and the calls are the parent's."""
        self.link.close_in_child()
        self.answers.calls.clear()
