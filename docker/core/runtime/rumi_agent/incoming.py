"""Calls from the kernel to the pack: finds the handler, decides which thread runs it, sends what became of it.

Nothing that a handler does may end the agent: whatever it raises is a result.
"""

from __future__ import annotations

from time import monotonic

from rumi_agent.calls import Call, current_call
from rumi_agent.codec import BadValue, NotJson, encode_result
from rumi_agent.context import Context
from rumi_agent.errors import wire_error
from rumi_agent.handlers import COROUTINE, GENERATOR, NO_HANDLER, PLAIN, Handler
from rumi_agent.limits import EVENT_TIMEOUT_SECONDS, LATE_FLUSH_SECONDS, MAX_QUEUED_CALLS, SLOW_SECONDS
from rumi_agent.streams import Inbound, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rumi_agent.answers import Answers
    from rumi_agent.codec import Frame
    from rumi_agent.ports import Coroutines, Home
    from rumi_agent.reading import Reading
    from rumi_agent.workers import Workers


_LONGEST = 2**40  # milliseconds


class CallJob:
    """A plain handler on a worker's thread."""

    __slots__ = ("_incoming", "call")

    def __init__(self, incoming: Incoming, call: Call) -> None:
        self._incoming = incoming
        self.call = call

    def run(self) -> None:
        """Run it, unless nobody waits for it any more; never raises."""
        call, answers = self.call, self._incoming.answers
        began = monotonic()
        if call.cancelled or began >= call.deadline:
            answers.skip(call)
            return
        frame = self._incoming.invoke(call)
        if call.asked or monotonic() - began < SLOW_SECONDS:
            call.handler.was_quick()
        if frame is not None:
            answers.answer(call, frame)
            answers.link.flush()

    def give_up(self) -> None:
        """Every place of the pack waits for calls like this one."""
        refuse_stalled(self._incoming.answers, self.call)


class BlockJob:
    """A call of a block, which a worker's thread has to load first."""

    __slots__ = ("_call", "_incoming", "_name")

    def __init__(self, incoming: Incoming, call: Call, name: str) -> None:
        self._incoming = incoming
        self._call = call
        self._name = name

    def run(self) -> None:
        """Load it, then start the call as any other; never raises."""
        self._incoming.run_block(self._call, self._name)

    def give_up(self) -> None:
        """See `CallJob`."""
        refuse_stalled(self._incoming.answers, self._call)


def refuse_stalled(answers: Answers, call: Call) -> None:
    """End a call that would have waited for a place that only its own end could have freed."""
    text = "Every place of this pack is taken by calls that wait for calls back into it."
    answers.fail(call, wire_error("RATE_LIMITED", text, "Make fewer such calls at once, or raise sandbox.concurrency."))
    answers.link.flush()


class Incoming:
    """The table of handlers. Frames are handled on the thread that holds the baton.

    `loop` answers, and makes if need be, what runs coroutines; `load_block` is None for packs without blocks.
    """

    def __init__(
        self,
        home: Home,
        answers: Answers,
        *,
        workers: Workers,
        reading: Reading,
        loop: Callable[[], Coroutines],
        load_block: Callable[[str], Handler | None] | None,
    ) -> None:
        self.answers = answers
        self.handlers: dict[str, Handler] = {}
        self.max_streams = 0
        self.stopping = False
        self._home = home
        self._link = answers.link
        self._calls = answers.calls
        self._workers = workers
        self._reading = reading
        self._loop = loop
        self._load_block = load_block
        self._batch_began = 0.0

    # -- frames

    def on_call(self, frame: Frame, inline: bool) -> bool:  # noqa: FBT001
        """Start one call. False once the baton is lost."""
        now = monotonic()
        workers, calls = self._workers, self._calls
        handler = self.handlers.get(frame["name"], NO_HANDLER)
        milliseconds = frame["deadline_ms"]
        call = Call(frame["id"], frame.get("args"), now + min(milliseconds, _LONGEST) / 1000, frame, handler)
        if (
            handler is NO_HANDLER
            or self.stopping
            or milliseconds <= 0
            or len(calls) >= MAX_QUEUED_CALLS
            or call.id in calls
        ):
            self._start_unusual(call, late=milliseconds <= 0)
            return True
        calls[call.id] = call
        if (
            inline
            and handler.inline
            and handler.kind == PLAIN
            and "in" not in frame
            and not workers.queue
            and workers.has_place()
        ):
            return self._run_inline(call, now)
        self.launch(call, handler)
        return True

    def _run_inline(self, call: Call, now: float) -> bool:
        link, reading = self._link, self._reading
        self._workers.active.add(call)
        reading.step_aside()
        frame = self.invoke(call)
        if link.foreign:
            self.answers.end_if_forked()
        kept = reading.resume()
        if frame is not None and self._calls.pop(call.id, None) is not None:
            link.out.append(frame)
        self._workers.leave(call)
        done = monotonic()
        if done - now > SLOW_SECONDS and not call.asked:
            call.handler.was_slow()
        if not kept:
            link.flush()
            return False
        if not self._batch_began:
            self._batch_began = now
        elif done - self._batch_began > LATE_FLUSH_SECONDS:  # what is ready does not wait for the rest of a slow batch
            self._batch_began = done
            return not link.flush(reading.step_aside) or reading.resume()
        return True

    def before_waiting(self) -> None:
        """The reader has handled all that came, and is about to wait."""
        self._batch_began = 0.0
        if self._workers.queue:  # a thread that could not be had before may be there now
            self._workers.schedule()

    def _start_unusual(self, call: Call, *, late: bool) -> None:
        """A call that does not simply run: a block, or one that is refused."""
        name = call.frame["name"]
        if call.id in self._calls:  # an answer would end the other one
            self._log("error", f"The kernel used the id {call.id} twice.")
        elif self.stopping:
            self.answers.refuse(
                call, "UNAVAILABLE", "The pack is stopping.", "Try again: it is started again when it is needed."
            )
        elif len(self._calls) >= MAX_QUEUED_CALLS:
            self.answers.refuse(call, "RATE_LIMITED", f"{MAX_QUEUED_CALLS} calls wait already.", "Try again later.")
        elif late:
            self.answers.refuse(
                call, "TIMEOUT", "The deadline had passed before the handler could start.", "Allow more time."
            )
        elif name.startswith("block:"):
            self._calls[call.id] = call
            self._workers.enqueue(BlockJob(self, call, name[6:]))
        else:
            hint = "rumi pack show tells what this pack provides, and which of its components failed."
            self.answers.refuse(call, "NOT_FOUND", f"No handler is registered for {name[:200]}.", hint)

    def launch(self, call: Call, handler: Handler) -> None:
        """Start a call of any kind, off this thread."""
        call.handler = handler
        workers = self._workers
        uploads = call.frame.get("in") is True
        if handler.kind in {PLAIN, COROUTINE} and not uploads:
            if handler.kind == PLAIN:
                workers.enqueue(CallJob(self, call))
            else:
                self._loop().start_call(call)
            return
        if len(self.answers.streams) >= self.max_streams:
            self.answers.fail(
                call, wire_error("RATE_LIMITED", f"{self.max_streams} streams are open.", "sandbox.max_streams")
            )
            return
        self.answers.streams.add(call.id)
        if uploads:
            call.inbound = Inbound(call.id, self._home.outgoing)
        if handler.kind == PLAIN:
            workers.enqueue(CallJob(self, call))
        elif handler.kind == COROUTINE:
            self._loop().start_call(call)
        else:
            self.stream(call, None)

    def run_block(self, call: Call, name: str) -> None:
        """On a worker: load the block, then start the call as any other. Never raises."""
        if call.cancelled or not call.seconds_left():
            self.answers.skip(call)
            return
        try:
            handler = None if self._load_block is None else self._load_block(name)
        except BaseException as error:
            self.answers.answer(call, self.answers.failure(call, error))
            self._link.flush()
            return
        if handler is None:
            hint = "A block is a .py file under backend/blocks/."
            self.answers.fail(call, wire_error("NOT_FOUND", f"There is no block {name[:200]}.", hint))
            return
        self.handlers["block:" + name] = handler
        self.launch(call, handler)

    def stream(self, call: Call, made: object) -> None:
        """Send what a generator yields; `made` is one that a plain handler has returned."""
        call.window = Window()
        self.answers.streams.add(call.id)
        if call.handler.kind == GENERATOR or hasattr(made, "send"):
            from rumi_agent.generators import StreamJob

            job = StreamJob(call, made, home=self._home, answers=self.answers, workers=self._workers)
            call.on_cancel = call.window.close
            self._workers.enqueue(job)
        else:
            self._loop().start_stream(call, made)

    def on_event(self, frame: Frame) -> None:
        """Hand a subscribed event to its handler; nobody waits for an answer."""
        handler = self.handlers.get(frame["interface"], NO_HANDLER)
        args = {"topic": frame["topic"], "payload": frame.get("payload")}
        call = Call(0, args, monotonic() + EVENT_TIMEOUT_SECONDS, frame, handler)
        if handler is NO_HANDLER or self.stopping:
            return
        if len(self._workers.queue) >= MAX_QUEUED_CALLS:
            self._log("warning", f"An event of {frame['topic'][:200]} was dropped: too many calls wait.")
        elif handler.kind == PLAIN:
            self._workers.enqueue(CallJob(self, call))
        elif handler.kind == COROUTINE:
            self._loop().start_call(call)
        else:
            self._log("error", f"{handler.name[:200]} is a generator: it cannot take events.")

    def on_cancel(self, call_id: int) -> None:
        """The caller gave up: no result leaves, and what can be stopped is."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        call.cancelled = True
        self.answers.streams.discard(call_id)
        if call.inbound is not None:
            call.inbound.end()
        self._home.outgoing.fail_all_of(call)
        if call.on_cancel is not None:
            call.on_cancel()

    def on_bad_value(self, error: BadValue) -> None:
        """A good frame with a bad value: answer it if it can be a call of the kernel, and go on."""
        if error.frame_id is not None and error.frame_id & 1 and error.frame_id not in self._calls:
            call = Call(error.frame_id, None, 0.0, {}, NO_HANDLER)
            self.answers.refuse(
                call, "VALIDATION_ERROR", f"The frame is not valid: {error.message}.", "This is a defect of the kernel."
            )
        self._log("error", f"The kernel sent a bad frame: {error.message}.")

    # -- running

    def invoke(self, call: Call) -> bytes | None:
        """Run a plain handler now: the frame of its result, or None when it goes on elsewhere. Never raises."""
        token = current_call.set(call)
        handler = call.handler
        try:
            arity = handler.arity
            if arity == 2:
                value = handler.fn(call.args, Context(self._home, call))
            elif arity == 1:
                value = handler.fn(call.args)
            else:
                value = handler.fn()
        except BaseException as error:
            return self.answers.failure(call, error)
        finally:
            current_call.reset(token)
        try:
            return encode_result(call.id, value)
        except NotJson as error:
            try:
                return self.unusual(call, value, error)
            except BaseException as failure:
                return self.answers.failure(call, failure)
        except BaseException as error:
            return self.answers.failure(call, error)

    def unusual(self, call: Call, value: object, error: NotJson) -> bytes | None:
        """A value that is not JSON: a generator or coroutine that a plain function made, or a mistake."""
        kind = type(value).__name__
        if not call.cancelled and call.id:
            if kind in {"generator", "async_generator"}:
                self.stream(call, value)
                return None
            if kind == "coroutine":
                self._loop().start_call(call, value)
                return None
        code = "TOO_LARGE" if error.too_large else "INTERFACE_ERROR"
        hint = (
            "Send it as a stream."
            if error.too_large
            else "A handler returns JSON: objects, lists, texts, numbers, true, false, null."
        )
        return self.answers.error_frame(call, wire_error(code, error.told_of("The answer"), hint, {"type": kind}))

    def _log(self, level: str, text: str) -> None:
        self._home.packlog.write(level, text, {}, None)
