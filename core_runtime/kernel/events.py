"""Events between packs: the bus of the registry, with the right to hear asked for at each delivery.

A subscription (of a manifest or made by a call) is a wish; whether the pack may hear the topic is decided when there is
something to hear, on behalf of whoever the event happened for. So a grant that was taken back ends it at once.
"""

from __future__ import annotations

from contextlib import suppress

from core_runtime.authority import CallContext, Principal
from core_runtime.clock import Clock
from core_runtime.errors import NotFound, RumiError
from core_runtime.ids import request_id
from core_runtime.kernel.ports import Authority, PackRunner
from core_runtime.packs import Subscription
from core_runtime.registry.events import Event, EventBus, Receiver
from core_runtime.registry.interfaces import InterfaceRegistry

EVENT_SECONDS = 60.0
MAX_SUBSCRIPTIONS = 64


class KernelEvents:
    """The event port of the handlers, and the delivery to packs."""

    def __init__(self, registry: InterfaceRegistry, runner: PackRunner, clock: Clock) -> None:
        self._registry = registry
        self._runner = runner
        self._clock = clock
        self._authority: Authority | None = None
        self._subscriptions: dict[str, list[Subscription]] = {}
        self.bus = EventBus(self._deliver)

    def judge_by(self, authority: Authority) -> None:
        """Hand in the broker, which is made after this (it needs handlers, and they need events)."""
        self._authority = authority

    def declare(self, pack_id: str, subscriptions: tuple[Subscription, ...]) -> None:
        """What a pack's manifests subscribe to; replaces what it heard before."""
        self._subscriptions[pack_id] = list(subscriptions)
        self.bus.subscribe(pack_id, subscriptions)

    def forget(self, pack_id: str) -> None:
        """A pack that stopped hears nothing."""
        self._subscriptions.pop(pack_id, None)
        self.bus.unsubscribe(pack_id)

    def publish(self, caller: Principal, topic: str, payload: object, context: CallContext | None) -> int:
        """Hand an event to its subscribers; how many packs there are. The topic was judged before."""
        del caller
        return self.bus.publish(Event(topic, payload, context))

    def subscribe(self, caller: Principal, topic: str, interface: str) -> None:
        """Have events of `topic` handed to an interface of the caller. Raises `NotFound` if it is not the caller's."""
        mine = self._subscriptions.setdefault(caller.id, [])
        wanted = Subscription(topic, interface)
        if self._registry.find(interface).pack_id != caller.id or len(mine) >= MAX_SUBSCRIPTIONS:
            raise NotFound(
                f"{interface} is no interface of {caller.id} that could receive events.",
                hint=f"Name an interface of the pack itself; a pack has at most {MAX_SUBSCRIPTIONS} subscriptions.",
            )
        if wanted not in mine:
            mine.append(wanted)
            self.bus.subscribe(caller.id, mine)

    def _deliver(self, receiver: Receiver, event: Event) -> None:
        if self._authority is None:
            return
        context = event.context or CallContext(request_id(), self._clock.monotonic() + EVENT_SECONDS)
        wish = {"topic": event.topic, "interface": receiver.interface}
        if self._authority.decision(Principal(receiver.pack_id), "event.subscribe", wish, context).allowed:
            with suppress(RumiError):  # a receiver that is down or slow is no trouble of the publisher
                self._runner.event(receiver.pack_id, receiver.interface, event.topic, event.payload, event.context)
