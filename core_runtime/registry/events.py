"""Events: who published what, and who hears it.

Topics are `<pack_id>/<name>`; a pack publishes only under its own id (the caller established the id, no argument does).
Delivery is at most once, to the interfaces that approved packs subscribed and to listeners inside the kernel; nobody
waits for a receiver, and a receiver that is down misses the event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core_runtime.authority import CallContext
from core_runtime.errors import ValidationFailed
from core_runtime.ids import is_name, is_pack_id
from core_runtime.packs import Subscription


@dataclass(frozen=True, slots=True)
class Event:
    """One published event with the context it happened in; the context carries the actor to later decisions."""

    topic: str
    payload: object
    context: CallContext | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """An interface of a pack that wants a topic."""

    pack_id: str
    interface: str


Deliver = Callable[[Receiver, Event], None]
Listener = Callable[[Event], None]


def topic_of(publisher: str, name: str) -> str:
    """The full topic for a name or topic that `publisher` wants to publish. Raises `ValidationFailed`.

    `tick` and `clock/tick` are the same for the pack `clock`; `other/tick` is refused for it (BX-12).
    """
    owner, slash, rest = name.partition("/")
    if not slash:
        owner, rest = publisher, name
    if owner != publisher or not is_name(rest):
        raise ValidationFailed(
            f"{name[:128]!r} is not a topic of {publisher}.",
            hint=f"A pack publishes only under its own id: {publisher}/<name>, with a name such as note.added.",
        )
    return f"{publisher}/{rest}"


def is_topic(text: str) -> bool:
    """True for `<pack_id>/<name>`."""
    owner, slash, name = text.partition("/")
    return bool(slash) and (is_pack_id(owner) or owner in {"host", "kernel"}) and is_name(name)


class EventBus:
    """Subscriptions of packs and listeners of the kernel. Synchronous, on the kernel's loop."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._receivers: dict[str, list[Receiver]] = defaultdict(list)
        self._listeners: list[Listener] = []

    def subscribe(self, pack_id: str, subscriptions: Iterable[Subscription]) -> None:
        """Replace what a pack hears."""
        self.unsubscribe(pack_id)
        for item in subscriptions:
            self._receivers[item.topic].append(Receiver(pack_id, item.interface))

    def unsubscribe(self, pack_id: str) -> None:
        """A pack that is gone hears nothing."""
        for topic in list(self._receivers):
            kept = [receiver for receiver in self._receivers[topic] if receiver.pack_id != pack_id]
            if kept:
                self._receivers[topic] = kept
            else:
                del self._receivers[topic]

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear everything inside the kernel; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: Event) -> int:
        """Hand the event to all who want it and return how many packs that were."""
        for listener in tuple(self._listeners):
            listener(event)
        receivers = self._receivers.get(event.topic, [])
        for receiver in tuple(receivers):
            self._deliver(receiver, event)
        return len(receivers)
