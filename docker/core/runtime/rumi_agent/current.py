"""The one agent of this process, for the modules that packs import. None in an author's own tests."""

from __future__ import annotations

from rumi_agent.calls import current_call
from rumi_agent.errors import CapabilityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.agent import Agent
    from rumi_agent.context import Context

agent: Agent | None = None


def context() -> Context:
    """The `ctx` of the call that this thread or coroutine answers; outside of any, the pack's own account."""
    from rumi_agent.context import Context

    if agent is None:
        raise CapabilityError("UNAVAILABLE", "This runs outside a pack's container.", hint="Test it with a fake ctx.")
    return Context(agent, current_call.get())
