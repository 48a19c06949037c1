"""Events reach those who subscribed, under topics that nobody can forge."""

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.packs import Subscription
from core_runtime.registry.events import Event, EventBus, Receiver, is_topic, topic_of


def test_subscribers_of_the_topic_get_the_event_and_others_do_not():
    seen: list[tuple[Receiver, Event]] = []
    bus = EventBus(lambda receiver, event: seen.append((receiver, event)))
    bus.subscribe("a", [Subscription("clock/tick", "a.on_tick")])
    bus.subscribe("b", [Subscription("clock/tock", "b.on_tock")])
    event = Event("clock/tick", {"n": 1}, None)
    assert bus.publish(event) == 1
    assert seen == [(Receiver("a", "a.on_tick"), event)]


def test_subscribing_again_replaces_and_a_gone_pack_hears_nothing():
    seen: list[Receiver] = []
    bus = EventBus(lambda receiver, _: seen.append(receiver))
    bus.subscribe("a", [Subscription("clock/tick", "a.one")])
    bus.subscribe("a", [Subscription("clock/tick", "a.two")])
    bus.publish(Event("clock/tick", None, None))
    bus.unsubscribe("a")
    bus.publish(Event("clock/tick", None, None))
    assert seen == [Receiver("a", "a.two")]


def test_a_listener_hears_everything_until_it_stops():
    seen: list[str] = []
    bus = EventBus(lambda *_: None)
    stop = bus.listen(lambda event: seen.append(event.topic))
    bus.publish(Event("x/y", None, None))
    stop()
    bus.publish(Event("x/z", None, None))
    assert seen == ["x/y"]


@pytest.mark.parametrize(
    ("name", "topic"), [("tick", "clock/tick"), ("clock/tick", "clock/tick"), ("a.b", "clock/a.b")]
)
def test_a_pack_publishes_under_its_own_id(name, topic):
    assert topic_of("clock", name) == topic


@pytest.mark.parametrize(
    "name", ["other/tick", "clock/tick/x", "", "/tick", "clock/", "Clock/tick", "clock/Tick", "tick\n"]
)
def test_bx_12_anothers_topic_is_refused(name):
    with pytest.raises(ValidationFailed):
        topic_of("clock", name)


@pytest.mark.parametrize(
    ("text", "good"), [("a/b", True), ("host/b", True), ("a", False), ("/b", False), ("a/b/c", False)]
)
def test_topics_have_a_grammar(text, good):
    assert is_topic(text) is good
