"""What parts of the agent need of one another, as small as they need it.

For the type checker alone: nothing here may be imported when the agent runs, because `typing` would have to be paid for
at every cold start. It knows only parts that lie below those that ask; who fulfils a need is decided in `agent.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from rumi_agent.calls import Call
    from rumi_agent.outgoing import Outgoing
    from rumi_agent.packlog import PackLog


class OwnLoop(Protocol):
    """The agent's own asyncio loop, for a coroutine that asks the kernel: it is answered, and sends, in batches."""

    @property
    def loop(self) -> AbstractEventLoop: ...
    def post(self, work: Callable[[], object]) -> None: ...
    def flush_soon(self) -> None: ...


class Asking(Protocol):
    """What it takes to ask the kernel; `loop_side` is None while the pack has no coroutines."""

    @property
    def outgoing(self) -> Outgoing: ...
    @property
    def loop_side(self) -> OwnLoop | None: ...


class Home(Asking, Protocol):
    """What a context shows of its pack, and acts through."""

    @property
    def pack_id(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def packlog(self) -> PackLog: ...


class Coroutines(Protocol):
    """Where calls go whose handlers are coroutines or asynchronous generators; what is `made` already is not called."""

    def start_call(self, call: Call, made: object = None) -> None: ...
    def start_stream(self, call: Call, made: object = None) -> None: ...
