"""`event.subscribe`: have events of a topic handed to one of the caller's own interfaces.

Subscriptions of a manifest need the same permission; the kernel asks for it with these arguments at each delivery, so
that a grant taken back ends them.
"""

from __future__ import annotations

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form, Name, NameList, ScopedName, ScopedPatterns
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.handlers.ports import EventBus


class SubscribeTopicsConfig(Form):
    """Which topics."""

    topics: ScopedPatterns = Field(default_factory=list)


class EventSubscribeArgs(Form):
    """`interface` receives the events and belongs to the caller."""

    topic: ScopedName
    interface: Name


class EventSubscribeAnswer(Form):
    """The topic's full name."""

    topic: str


SPEC = PermissionSpec(
    id="event.subscribe",
    risk=Risk.LOW,
    sentence={"en": "Receives events of these topics: {topics}", "ja": "次のトピックのイベントを受け取る: {topics}"},
    config=SubscribeTopicsConfig,
    arguments=EventSubscribeArgs,
    answer=EventSubscribeAnswer,
    names=NameList("topics", "topic", scoped=True),
    subject=Subject.TOPIC,
    immediate=True,
)


def make(bus: EventBus) -> Handler:
    """The handler over this bus."""

    def event_subscribe(invocation: Invocation) -> object:
        args = invocation.arguments(EventSubscribeArgs)
        bus.subscribe(invocation.principal, invocation.name, args.interface)
        return {"topic": invocation.name}

    return event_subscribe
