"""`event.publish`: hand an event to those who subscribed. A pack publishes only under its own name (BX-12)."""

from __future__ import annotations

import orjson
from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form, NameList, ScopedName, ScopedPatterns
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.errors import TooLarge, ValidationFailed
from core_runtime.handlers.ports import EventBus

MAX_PAYLOAD_BYTES = 1024 * 1024


class PublishTopicsConfig(Form):
    """Which topics."""

    topics: ScopedPatterns = Field(default_factory=list)


class EventPublishArgs(Form):
    """`payload` is any JSON, at most 1 MiB."""

    topic: ScopedName
    payload: object = None


class EventPublishAnswer(Form):
    """How many subscribers it was handed to; whether they act on it is theirs."""

    subscribers: int


SPEC = PermissionSpec(
    id="event.publish",
    risk=Risk.LOW,
    sentence={
        "en": "Publishes events under these topics: {topics}",
        "ja": "次のトピックでイベントを発行する: {topics}",
    },
    config=PublishTopicsConfig,
    arguments=EventPublishArgs,
    answer=EventPublishAnswer,
    names=NameList("topics", "topic", scoped=True),
    subject=Subject.TOPIC,
    immediate=True,
    own_only=True,
)


def make(bus: EventBus) -> Handler:
    """The handler over this bus."""

    def event_publish(invocation: Invocation) -> object:
        args = invocation.arguments(EventPublishArgs)
        try:
            size = len(orjson.dumps(args.payload))
        except (TypeError, ValueError):
            raise ValidationFailed("The payload is not JSON.") from None
        if size > MAX_PAYLOAD_BYTES:
            raise TooLarge(f"The payload has {size} bytes; at most {MAX_PAYLOAD_BYTES} are allowed.")
        receivers = bus.publish(invocation.principal, invocation.name, args.payload, invocation.context)
        return {"subscribers": receivers}

    return event_publish
