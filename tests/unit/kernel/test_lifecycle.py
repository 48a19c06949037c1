"""What runs follows what is approved, whatever the order of changes and failures."""

import pytest

from core_runtime.approval.model import PackState
from core_runtime.errors import RumiError, Unavailable
from core_runtime.flows.book import FlowBook
from core_runtime.kernel.diagnostics import DiagnosticsBook
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.lifecycle import LifecycleParts, PackLifecycle
from core_runtime.kernel.router import Router
from core_runtime.packs import InterfaceDecl, RouteDecl, SettingDecl
from core_runtime.registry.interfaces import InterfaceRegistry
from core_runtime.sandbox.ports import ComponentReport

FLOW = b"flow_id: greet\nsteps:\n  - {id: a, set: {x: 1}}\n"


class Settings:
    """No variable and no file, unless a test says so."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, object]] = {}

    def pack_values(self, pack_id):
        return self.values.get(pack_id, {})

    def variable(self, name):
        return None


class Names:
    """The document of names, in memory; `broken` is what loading and saving raise."""

    def __init__(self, value: dict[str, object] | None = None) -> None:
        self.value = value or {}
        self.broken: RumiError | None = None

    def load(self):
        if self.broken:
            raise self.broken
        return self.value

    def save(self, value):
        if self.broken:
            raise self.broken
        self.value = value


class FlowFiles:
    """Every pack brings the same flow."""

    def of_pack(self, sealed):
        return [("greet.flow.yaml", FLOW)]


class World:
    """A lifecycle over fakes."""

    def __init__(self, standings, runner, clock, names=None) -> None:
        self.names = names or Names()
        self.registry = InterfaceRegistry()
        self.diagnostics = DiagnosticsBook()
        self.flows = FlowBook()
        self.settings = Settings()
        self.router = Router(self.registry, runner, standings)
        self.events = KernelEvents(self.registry, runner, clock)
        self.lifecycle = PackLifecycle(
            LifecycleParts(
                standings, standings, self.registry, self.router, self.events, self.flows, FlowFiles(),
                self.settings, self.diagnostics, self.names,
            ),
            runner,
        )  # fmt: skip

    def codes(self):
        return [(entry.subject, entry.code) for entry in self.diagnostics.all()]


@pytest.fixture
def world(standings, runner, clock):
    return World(standings, runner, clock)


async def test_an_approved_pack_is_registered_and_started(world, standings, runner, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    assert [launch.descriptor.pack_id for launch in runner.started] == ["one"]
    assert world.registry.find("service.x").pack_id == "one"
    assert world.flows.active("greet").owner == "one"


async def test_converging_again_changes_nothing(world, standings, runner, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    await world.lifecycle.converge("one")
    assert len(runner.started) == 1
    assert runner.stopped == []


async def test_other_bytes_replace_what_runs(world, standings, runner, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    standings.approve(pack("one", "service.y"), digest="b" * 64)
    await world.lifecycle.converge("one")
    assert runner.stopped == [("one", "approved")]
    assert [launch.digest[0] for launch in runner.started] == ["a", "b"]
    assert not world.registry.knows("service.x")
    assert world.registry.knows("service.y")


async def test_a_changed_pack_is_stopped_and_keeps_its_names(world, standings, runner, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    standings.set("one", PackState.MODIFIED)
    await world.lifecycle.converge("one")
    assert runner.stopped == [("one", "modified")]
    assert world.registry.pins["service.x"] == "one"
    assert world.flows.entry("greet") is None


@pytest.mark.parametrize("state", [PackState.DISABLED, PackState.REJECTED, PackState.BLOCKED])
async def test_a_pack_that_the_owner_turned_off_lets_go_of_its_names(world, standings, pack, state):
    for name in ("one", "two"):
        standings.approve(pack(name, "service.x"))
        await world.lifecycle.converge(name)
    assert ("pack:two", "INTERFACE_TAKEN:service.x") in world.codes()
    standings.set("one", state)
    await world.lifecycle.converge("one")
    assert world.registry.find("service.x").pack_id == "two"
    assert ("pack:two", "INTERFACE_TAKEN:service.x") not in world.codes()


async def test_a_component_that_did_not_come_up_is_taken_back_and_named(world, standings, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    world.lifecycle.pack_ready("one", [ComponentReport("main", (), "it registered nothing")])
    assert not world.registry.knows("service.x")
    assert world.codes() == [("pack:one", "COMPONENT_FAILED:main")]
    world.lifecycle.pack_ready("one", [ComponentReport("main", ("service.x",))])
    assert world.registry.knows("service.x")
    assert world.codes() == []


async def test_a_schema_that_is_not_accepted_turns_its_interface_off(world, standings, pack):
    bad = InterfaceDecl("service.bad", input_schema={"$ref": "http://elsewhere/schema"})
    standings.approve(pack("one", bad, "service.x"))
    await world.lifecycle.converge("one")
    assert not world.registry.knows("service.bad")
    assert world.registry.knows("service.x")
    assert world.codes() == [("pack:one", "SCHEMA_REFUSED:service.bad")]


async def test_ft_27_a_failing_start_is_a_diagnostic_and_nobody_elses_trouble(world, standings, runner, pack):
    runner.start_error = Unavailable("no room")
    standings.approve(pack("one", "service.x"))
    world.lifecycle.changed("one")
    await world.lifecycle.settle()
    assert world.codes() == [("pack:one", "START_FAILED")]


async def test_a_bad_setting_keeps_the_pack_off_and_names_it(world, standings, runner, pack):
    world.settings.values["one"] = {"size": "big"}
    standings.approve(pack("one", "service.x", settings=(SettingDecl("size", "integer", 1),)))
    world.lifecycle.changed("one")
    await world.lifecycle.settle()
    assert runner.started == []
    assert world.codes() == [("pack:one", "START_FAILED")]
    assert "size" in world.diagnostics.all()[0].message


async def test_an_interface_behind_a_route_is_called_by_the_gateway_alone(world, standings, pack):
    route = RouteDecl("/x", "http", "actor", ("GET",), interface="http.x")
    standings.approve(pack("one", "service.x", "http.x", ingress=(route,)))
    await world.lifecycle.converge("one")
    assert world.registry.knows("service.x")
    assert not world.registry.knows("http.x")


async def test_the_second_flow_of_an_id_is_named(world, standings, pack):
    for name in ("one", "two"):
        standings.approve(pack(name, f"{name}.x"))
        await world.lifecycle.converge(name)
    assert world.codes() == [("pack:two", "FLOW_OFF:greet.flow.yaml")]


async def test_settings_reach_the_launch_and_the_flows(world, standings, runner, pack):
    world.settings.values["one"] = {"size": 3}
    standings.approve(pack("one", "service.x", settings=(SettingDecl("size", "integer", 1),)))
    await world.lifecycle.converge("one")
    assert runner.started[0].settings == {"size": 3}
    assert world.lifecycle.settings_of("one") == {"size": 3}
    assert world.lifecycle.settings_of("host") == {}


async def test_restart_stops_and_starts(world, standings, runner, pack):
    standings.approve(pack("one", "service.x"))
    await world.lifecycle.converge("one")
    await world.lifecycle.restart("one")
    assert len(runner.started) == 2
    assert len(runner.stopped) == 1
