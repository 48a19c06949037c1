"""Background work of components: on the loop, on the pack's own account, started again with back-off when it fails."""

from __future__ import annotations

import asyncio

from rumi_agent.context import Context
from rumi_agent.errors import describe
from rumi_agent.handlers import arity_of
from rumi_agent.limits import BACKGROUND_FIRST_DELAY, BACKGROUND_LAST_DELAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rumi_agent.ports import Home


async def keep_running(home: Home, name: str, fn: object, *, back_off: float, stopping: Callable[[], bool]) -> None:
    """Run `fn()` or `fn(ctx)` until it returns; after a failure again, in 1 s, 2 s, ... 60 s, times `back_off`."""
    delay = BACKGROUND_FIRST_DELAY * back_off
    longest = BACKGROUND_LAST_DELAY * back_off
    loop = asyncio.get_running_loop()
    while not stopping():
        began = loop.time()
        try:
            arguments = (Context(home, None),) if arity_of(fn, most=1) else ()  # type: ignore[arg-type]
            await fn(*arguments)  # type: ignore[operator]
        except asyncio.CancelledError as error:
            if stopping():
                raise
            failure: BaseException = error
        except BaseException as error:
            failure = error
        else:
            fields: dict[str, object] = {"background": name, "state": "finished"}
            home.packlog.write("info", f"background {name} has finished", fields, None)
            return
        if loop.time() - began > longest:
            delay = BACKGROUND_FIRST_DELAY * back_off
        home.packlog.write_exception(f"background {name} failed", failure, None)
        again = f"background {name} failed: {describe(failure)}; again in {delay:g} s"
        fields = {"background": name, "state": "failed", "again_in": delay}
        home.packlog.write("warning", again, fields, None)
        await asyncio.sleep(delay)
        delay = min(delay * 2, longest)
