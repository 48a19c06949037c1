"""Background work of components: on the loop, on the pack's own account, started again with back-off when it fails."""

from __future__ import annotations

import asyncio

from rumi_agent.context import Context
from rumi_agent.errors import describe
from rumi_agent.handlers import arity_of
from rumi_agent.limits import BACKGROUND_FIRST_DELAY, BACKGROUND_LAST_DELAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.agent import Agent


async def keep_running(agent: Agent, name: str, fn: object) -> None:
    """Run `fn()` or `fn(ctx)` until it returns; after a failure again, in 1 s, 2 s, ... up to 60 s."""
    delay = BACKGROUND_FIRST_DELAY * agent.options.back_off
    longest = BACKGROUND_LAST_DELAY * agent.options.back_off
    loop = asyncio.get_running_loop()
    while not agent.incoming.stopping:
        began = loop.time()
        try:
            arguments = (Context(agent, None),) if arity_of(fn, most=1) else ()  # type: ignore[arg-type]
            await fn(*arguments)  # type: ignore[operator]
        except asyncio.CancelledError as error:
            if agent.incoming.stopping:
                raise
            failure: BaseException = error
        except BaseException as error:
            failure = error
        else:
            agent.log("info", f"background {name} has finished", background=name, state="finished")
            return
        if loop.time() - began > longest:
            delay = BACKGROUND_FIRST_DELAY * agent.options.back_off
        agent.log_exception(f"background {name} failed", failure, None)
        agent.log(
            "warning",
            f"background {name} failed: {describe(failure)}; again in {delay:g} s",
            background=name,
            state="failed",
            again_in=delay,
        )
        await asyncio.sleep(delay)
        delay = min(delay * 2, longest)
