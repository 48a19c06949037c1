"""Calls from the kernel to the pack: finds the handler, decides which thread runs it, sends what became of it.

Nothing that a handler does may end the agent: whatever it raises is a result.
"""

from __future__ import annotations

from time import monotonic

from rumi_agent.calls import Call, current_call
from rumi_agent.codec import BadValue, NotJson, encode_frame, encode_result
from rumi_agent.context import Context
from rumi_agent.errors import interface_error, wire_error
from rumi_agent.handlers import COROUTINE, GENERATOR, NO_HANDLER, PLAIN, Handler
from rumi_agent.limits import EVENT_TIMEOUT_SECONDS, LATE_FLUSH_SECONDS, MAX_QUEUED_CALLS, SLOW_SECONDS
from rumi_agent.streams import Inbound, Overrun, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.agent import Agent
    from rumi_agent.codec import Frame


_LONGEST = 2**40  # milliseconds


class CallJob:
    """A plain handler on a worker's thread."""

    __slots__ = ("_incoming", "call")

    def __init__(self, incoming: Incoming, call: Call) -> None:
        self._incoming = incoming
        self.call = call

    def run(self) -> None:
        """Run it, unless nobody waits for it any more; never raises."""
        call = self.call
        began = monotonic()
        if call.cancelled or began >= call.deadline:
            self._incoming.skip(call)
            return
        frame = self._incoming.invoke(call)
        if call.asked or monotonic() - began < SLOW_SECONDS:
            call.handler.was_quick()
        if frame is not None:
            self._incoming.answer(call, frame)
            self._incoming.agent.link.flush()


class Incoming:
    """The table of handlers and the calls that run. Frames are handled on the thread that holds the baton."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.handlers: dict[str, Handler] = {}
        self.calls: dict[int, Call] = {}
        self.max_streams = 0
        self.streams: set[int] = set()
        self.stopping = False
        self._batch_began = 0.0

    # -- frames

    def on_call(self, frame: Frame, inline: bool) -> bool:  # noqa: FBT001
        """Start one call. False once the baton is lost."""
        now = monotonic()
        agent = self.agent
        handler = self.handlers.get(frame["name"], NO_HANDLER)
        milliseconds = frame["deadline_ms"]
        call = Call(frame["id"], frame.get("args"), now + min(milliseconds, _LONGEST) / 1000, frame, handler)
        if (
            handler is NO_HANDLER
            or self.stopping
            or milliseconds <= 0
            or len(self.calls) >= MAX_QUEUED_CALLS
            or call.id in self.calls
        ):
            self._start_unusual(call, late=milliseconds <= 0)
            return True
        self.calls[call.id] = call
        if (
            inline
            and handler.inline
            and handler.kind == PLAIN
            and "in" not in frame
            and not agent.workers.queue
            and agent.workers.has_place()
        ):
            return self._run_inline(call, now)
        self.launch(call, handler)
        return True

    def _run_inline(self, call: Call, now: float) -> bool:
        agent = self.agent
        active = agent.workers.active
        active.add(call)
        agent.reading.step_aside()
        frame = self.invoke(call)
        if agent.link.foreign:
            agent.end(0)
        kept = agent.reading.resume()
        if frame is not None and self.calls.pop(call.id, None) is not None:
            agent.link.out.append(frame)
        agent.workers.leave(call)
        done = monotonic()
        if done - now > SLOW_SECONDS and not call.asked:
            call.handler.was_slow()
        if not kept:
            agent.link.flush()
            return False
        if not self._batch_began:
            self._batch_began = now
        elif done - self._batch_began > LATE_FLUSH_SECONDS:  # what is ready does not wait for the rest of a slow batch
            self._batch_began = done
            return not agent.link.flush(agent.reading.step_aside) or agent.reading.resume()
        return True

    def before_waiting(self) -> None:
        """The reader has handled all that came, and is about to wait."""
        self._batch_began = 0.0
        agent = self.agent
        if agent.loop_side is not None:
            agent.loop_side.kick()
        if agent.workers.queue:  # a thread that could not be had before may be there now
            agent.workers.schedule()

    def _start_unusual(self, call: Call, *, late: bool) -> None:
        """A call that does not simply run: a block, or one that is refused."""
        name = call.frame["name"]
        if call.id in self.calls:  # an answer would end the other one
            self.agent.log("error", f"The kernel used the id {call.id} twice.")
        elif self.stopping:
            self._refuse(
                call, "UNAVAILABLE", "The pack is stopping.", "Try again: it is started again when it is needed."
            )
        elif len(self.calls) >= MAX_QUEUED_CALLS:
            self._refuse(call, "RATE_LIMITED", f"{MAX_QUEUED_CALLS} calls wait already.", "Try again later.")
        elif late:
            self._refuse(call, "TIMEOUT", "The deadline had passed before the handler could start.", "Allow more time.")
        elif name.startswith("block:"):
            self.calls[call.id] = call
            self.agent.blocks.launch(call, name[6:])
        else:
            hint = "rumi pack show tells what this pack provides, and which of its components failed."
            self._refuse(call, "NOT_FOUND", f"No handler is registered for {name[:200]}.", hint)

    def launch(self, call: Call, handler: Handler) -> None:
        """Start a call of any kind, off this thread."""
        call.handler = handler
        agent = self.agent
        uploads = call.frame.get("in") is True
        if handler.kind in {PLAIN, COROUTINE} and not uploads:
            if handler.kind == PLAIN:
                agent.workers.enqueue(CallJob(self, call))
            else:
                agent.loop().start_call(call)
            return
        if len(self.streams) >= self.max_streams:
            self.fail(call, wire_error("RATE_LIMITED", f"{self.max_streams} streams are open.", "sandbox.max_streams"))
            return
        self.streams.add(call.id)
        if uploads:
            call.inbound = Inbound(call.id, agent)
        if handler.kind == PLAIN:
            agent.workers.enqueue(CallJob(self, call))
        elif handler.kind == COROUTINE:
            agent.loop().start_call(call)
        else:
            self.stream(call, None)

    def stream(self, call: Call, made: object) -> None:
        """Send what a generator yields; `made` is one that a plain handler has returned."""
        call.window = Window()
        self.streams.add(call.id)
        if call.handler.kind == GENERATOR or hasattr(made, "send"):
            from rumi_agent.generators import StreamJob

            job = StreamJob(self, call, made)
            call.on_cancel = call.window.close
            self.agent.workers.enqueue(job)
        else:
            self.agent.loop().start_stream(call, made)

    def on_event(self, frame: Frame) -> None:
        """Hand a subscribed event to its handler; nobody waits for an answer."""
        handler = self.handlers.get(frame["interface"], NO_HANDLER)
        args = {"topic": frame["topic"], "payload": frame.get("payload")}
        call = Call(0, args, monotonic() + EVENT_TIMEOUT_SECONDS, frame, handler)
        if handler is NO_HANDLER or self.stopping:
            return
        if len(self.agent.workers.queue) >= MAX_QUEUED_CALLS:
            self.agent.log("warning", f"An event of {frame['topic'][:200]} was dropped: too many calls wait.")
        elif handler.kind == PLAIN:
            self.agent.workers.enqueue(CallJob(self, call))
        elif handler.kind == COROUTINE:
            self.agent.loop().start_call(call)
        else:
            self.agent.log("error", f"{handler.name[:200]} is a generator: it cannot take events.")

    def on_cancel(self, call_id: int) -> None:
        """The caller gave up: no result leaves, and what can be stopped is."""
        call = self.calls.pop(call_id, None)
        if call is None:
            return
        call.cancelled = True
        self.streams.discard(call_id)
        if call.inbound is not None:
            call.inbound.end()
        self.agent.outgoing.fail_all_of(call)
        if call.on_cancel is not None:
            call.on_cancel()

    def on_element(self, frame: Frame) -> None:
        """An `item`, `data` or `end` of either side's call."""
        number = frame["id"]
        if number & 1:
            call = self.calls.get(number)
            inbound = None if call is None else call.inbound
        else:
            inbound = self.agent.outgoing.stream_of(number)
        if inbound is None:
            return
        if frame["k"] == "end":
            inbound.end()
            return
        try:
            inbound.push(frame)
        except Overrun:
            self.agent.malformed("more of a stream than was allowed")

    def on_credit(self, frame: Frame) -> None:
        """The receiver of one of our streams allows more."""
        number = frame["id"]
        call = self.calls.get(number)
        window = (None if call is None else call.window) if number & 1 else self.agent.outgoing.window_of(number)
        if window is not None:
            window.add(frame.get("items", 0), frame.get("bytes", 0))

    def on_bad_value(self, error: BadValue) -> None:
        """A good frame with a bad value: answer it if it can be a call of the kernel, and go on."""
        if error.frame_id is not None and error.frame_id & 1 and error.frame_id not in self.calls:
            call = Call(error.frame_id, None, 0.0, {}, NO_HANDLER)
            self._refuse(
                call, "VALIDATION_ERROR", f"The frame is not valid: {error.message}.", "This is a defect of the kernel."
            )
        self.agent.log("error", f"The kernel sent a bad frame: {error.message}.")

    # -- running

    def invoke(self, call: Call) -> bytes | None:
        """Run a plain handler now: the frame of its result, or None when it goes on elsewhere. Never raises."""
        token = current_call.set(call)
        handler = call.handler
        try:
            arity = handler.arity
            if arity == 2:
                value = handler.fn(call.args, Context(self.agent, call))
            elif arity == 1:
                value = handler.fn(call.args)
            else:
                value = handler.fn()
        except BaseException as error:
            return self.failure(call, error)
        finally:
            current_call.reset(token)
        try:
            return encode_result(call.id, value)
        except NotJson as error:
            try:
                return self.unusual(call, value, error)
            except BaseException as failure:
                return self.failure(call, failure)
        except BaseException as error:
            return self.failure(call, error)

    def unusual(self, call: Call, value: object, error: NotJson) -> bytes | None:
        """A value that is not JSON: a generator or coroutine that a plain function made, or a mistake."""
        kind = type(value).__name__
        if not call.cancelled and call.id:
            if kind in {"generator", "async_generator"}:
                self.stream(call, value)
                return None
            if kind == "coroutine":
                self.agent.loop().start_call(call, value)
                return None
        code = "TOO_LARGE" if error.too_large else "INTERFACE_ERROR"
        hint = (
            "Send it as a stream."
            if error.too_large
            else "A handler returns JSON: objects, lists, texts, numbers, true, false, null."
        )
        return self.error_frame(call, wire_error(code, error.told_of("The answer"), hint, {"type": kind}))

    def failure(self, call: Call, error: BaseException) -> bytes:
        """The frame for an exception; its traceback goes to the pack's log."""
        self.agent.log_exception(f"{call.handler.name} failed", error, call.run_id)
        return self.error_frame(call, interface_error(error))

    def error_frame(self, call: Call, error: dict[str, object]) -> bytes:
        """The frame of a bad result."""
        return encode_frame({"k": "result", "id": call.id, "ok": False, "error": error})

    def answer(self, call: Call, frame: bytes) -> None:
        """Let a result leave with the next flush, unless the call was cancelled."""
        if self.agent.link.foreign:
            self.agent.end(0)
        if self.calls.pop(call.id, None) is not None:
            self.streams.discard(call.id)
            self.agent.link.out.append(frame)

    def skip(self, call: Call) -> None:
        """A call whose turn came too late."""
        if not call.cancelled:
            self.fail(
                call,
                wire_error("TIMEOUT", "The deadline had passed before the handler could start.", "Allow more time."),
            )

    def fail(self, call: Call, error: dict[str, object]) -> None:
        """End a call with an error, at once."""
        self.answer(call, self.error_frame(call, error))
        self.agent.link.flush()

    def _refuse(self, call: Call, code: str, message: str, hint: str) -> None:
        self.agent.link.out.append(self.error_frame(call, wire_error(code, message, hint)))
