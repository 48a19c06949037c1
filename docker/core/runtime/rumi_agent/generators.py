"""A plain generator as a stream: it has a thread only while it makes something and there is credit to send it."""

from __future__ import annotations

from rumi_agent.calls import Call, current_call
from rumi_agent.codec import NotJson, encode_frame, encode_result
from rumi_agent.context import Context
from rumi_agent.errors import wire_error
from rumi_agent.streams import NOTHING, Window, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from rumi_agent.answers import Answers
    from rumi_agent.ports import Home
    from rumi_agent.workers import Workers


def end_of_stream(call_id: int, value: object) -> bytes:
    """`end`, so that an empty stream is one too, and the result, which ends the call. Raises `NotJson`."""
    return encode_frame({"k": "end", "id": call_id}) + encode_result(call_id, value)


class StreamJob:
    """Runs on a worker until the generator ends or the credit is used up; then parks until there is more."""

    __slots__ = ("_answers", "_call", "_generator", "_home", "_left", "_window", "_workers")

    def __init__(self, call: Call, made: object, *, home: Home, answers: Answers, workers: Workers) -> None:
        self._call = call
        self._generator: Generator[object, None, object] | None = made  # type: ignore[assignment]
        self._home = home
        self._answers = answers
        self._workers = workers
        self._left: object = NOTHING
        self._window = call.window or Window()

    def run(self) -> None:
        """Go on with the generator; never raises."""
        call = self._call
        token = current_call.set(call)
        try:
            self._advance()
        except NotJson as error:
            self._stop_early()
            code = "TOO_LARGE" if error.too_large else "INTERFACE_ERROR"
            self._answers.fail(call, wire_error(code, error.told_of("An element of the stream")))
        except BaseException as error:
            self._answers.answer(call, self._answers.failure(call, error))
        finally:
            current_call.reset(token)
            self._answers.link.flush()

    def _advance(self) -> None:
        call, window, outlet = self._call, self._window, self._home.outgoing
        if self._generator is None:
            self._generator = call.handler.call(call.args, Context(self._home, call))  # type: ignore[assignment]
        while not call.cancelled:
            if self._left is NOTHING:
                try:
                    self._left = next(self._generator)  # type: ignore[arg-type]
                except StopIteration as stop:
                    self._answers.answer(call, end_of_stream(call.id, stop.value))
                    return
                continue  # the caller may have given up while it was made
            self._left = put(outlet, call.id, window, self._left)
            if self._left is not NOTHING and window.park(self._left, self._resume):
                return
        self._stop_early()

    def _resume(self) -> None:
        self._workers.enqueue(self)

    def _stop_early(self) -> None:
        generator, self._generator = self._generator, None
        if generator is not None:
            try:
                generator.close()
            except BaseException as error:
                self._home.packlog.write_exception("a stream could not be closed", error, self._call.run_id)
