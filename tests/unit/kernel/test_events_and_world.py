"""Events are heard by those who may hear them; flows act with their own rights and the boot steps are the kernel's."""

import pytest

from core_runtime.authority import HOST, CallContext, Principal
from core_runtime.capability.model import Decision, Effect
from core_runtime.errors import NotFound, PolicyDenied, Unavailable, ValidationFailed
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.world import KERNEL, KernelWorld
from core_runtime.packs import Subscription
from core_runtime.registry.interfaces import Claim, InterfaceRegistry

CONTEXT = CallContext("req_1", deadline=2000.0)


class FakeAuthority:
    """Says yes to those in `allowed`, and remembers what was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = set(allowed)
        self.asked: list[tuple[str, str, object, object]] = []

    def decision(self, principal, permission, args, context):
        self.asked.append((principal.id, permission, dict(args), context))
        return Decision(Effect.ALLOW if principal.id in self.allowed else Effect.DENY)

    def ask(self, principal, permission, args, context):
        self.asked.append((principal.id, permission, dict(args), context))
        return "answer"


@pytest.fixture
def registry(pack):
    registry = InterfaceRegistry()
    for name in ("a", "b"):
        registry.claim(name, [Claim("main", decl) for decl in pack(name, f"{name}.on").interfaces()])
    return registry


def test_bx_12_only_those_with_the_right_hear_an_event(registry, runner, clock):
    events, authority = KernelEvents(registry, runner, clock), FakeAuthority("a")
    events.judge_by(authority)
    for name in ("a", "b"):
        events.declare(name, (Subscription("clock/tick", f"{name}.on"),))
    assert events.publish(HOST, "clock/tick", {"n": 1}, CONTEXT) == 2
    assert runner.events == [("a", "a.on", "clock/tick", {"n": 1})]
    assert {call[:3] for call in map(_without_context, authority.asked)} == {
        ("a", "event.subscribe", "clock/tick"),
        ("b", "event.subscribe", "clock/tick"),
    }


def test_bx_17_the_right_to_hear_is_asked_for_whoever_it_happened_for(registry, runner, clock):
    events, authority = KernelEvents(registry, runner, clock), FakeAuthority("a")
    events.judge_by(authority)
    events.declare("a", (Subscription("clock/tick", "a.on"),))
    events.publish(HOST, "clock/tick", None, CONTEXT)
    assert authority.asked[0][3] is CONTEXT


def test_a_receiver_in_trouble_does_not_trouble_the_publisher(registry, runner, clock):
    events = KernelEvents(registry, runner, clock)
    events.judge_by(FakeAuthority("a"))
    events.declare("a", (Subscription("clock/tick", "a.on"),))

    def fail(*_):
        raise Unavailable("slow")

    runner.event = fail
    assert events.publish(HOST, "clock/tick", None, None) == 1


def test_a_pack_subscribes_only_with_an_interface_of_its_own(registry, runner, clock):
    events = KernelEvents(registry, runner, clock)
    events.subscribe(Principal("a"), "clock/tick", "a.on")
    with pytest.raises(NotFound):
        events.subscribe(Principal("a"), "clock/tick", "b.on")
    with pytest.raises(NotFound):
        events.subscribe(Principal("a"), "clock/tick", "c.on")


def test_subscriptions_have_a_bound(registry, runner, clock):
    events = KernelEvents(registry, runner, clock)
    for number in range(64):
        events.subscribe(Principal("a"), f"clock/t{number}", "a.on")
    with pytest.raises(NotFound):
        events.subscribe(Principal("a"), "clock/more", "a.on")


@pytest.fixture
def world(registry, runner, clock):
    authority = FakeAuthority()
    world = KernelWorld(authority, router=None, events=KernelEvents(registry, runner, clock))
    return world, authority


def test_a_flow_calls_with_its_own_principal(world):
    made, authority = world
    assert made.call(Principal("a"), "b.on", {"x": 1}, CONTEXT) == "answer"
    assert authority.asked == [("a", "interface.call", {"name": "b.on", "args": {"x": 1}}, CONTEXT)]
    made.capability(Principal("a"), "store.get", {"key": "k"}, CONTEXT)
    assert authority.asked[1][:2] == ("a", "store.get")


def test_the_input_of_a_call_is_an_object(world):
    with pytest.raises(ValidationFailed):
        world[0].call(HOST, "b.on", [1], CONTEXT)


async def test_boot_steps_are_reached_by_the_kernels_own_flows_alone(world):
    made, authority = world

    async def step(args):
        return {"ran": dict(args)}

    made.boots_with({"boot.ready": step})
    assert await made.capability(KERNEL, "boot.ready", {"a": 1}, CONTEXT) == {"ran": {"a": 1}}
    assert made.capability(HOST, "boot.ready", {}, CONTEXT) == "answer", "to anybody else it is no more than a name"
    assert authority.asked[0][:2] == ("host", "boot.ready")
    with pytest.raises(PolicyDenied):
        made.capability(KERNEL, "store.get", {}, CONTEXT)
    with pytest.raises(PolicyDenied):
        made.call(KERNEL, "a.on", {}, CONTEXT)


def test_bx_12_a_flow_publishes_under_its_owners_name(world):
    made, authority = world
    made.publish(Principal("a"), "a/done", {"n": 1}, CONTEXT)
    assert authority.asked[0][:3] == ("a", "event.publish", {"topic": "a/done", "payload": {"n": 1}})
    assert made.publish(HOST, "done", None, CONTEXT) is None
    with pytest.raises(ValidationFailed):
        made.publish(HOST, "a/done", None, CONTEXT)


def _without_context(call):
    return (call[0], call[1], call[2]["topic"])
