"""Names stay with their holder: over restarts, failures and damage, until the owner lets the pack go (BX-11)."""

from __future__ import annotations

import pytest

from core_runtime.approval.model import PackState
from core_runtime.authority import HOST, CallContext
from core_runtime.errors import Conflict, StorageFull, ValidationFailed
from core_runtime.flows.book import FlowBook
from core_runtime.kernel.diagnostics import DiagnosticsBook
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.lifecycle import LifecycleParts, PackLifecycle
from core_runtime.kernel.router import Router
from core_runtime.packs import InterfaceDecl
from core_runtime.registry.interfaces import InterfaceRegistry

CONTEXT = CallContext("req_1", deadline=2000.0)
FLOW = b"flow_id: greet\nsteps:\n  - {id: a, set: {x: 1}}\n"


class Document:
    """The signed document, in memory."""

    def __init__(self) -> None:
        self.value: dict[str, object] = {}
        self.error: Exception | None = None
        self.saves = 0

    def load(self):
        if self.error:
            raise self.error
        return self.value

    def save(self, value):
        if self.error:
            raise self.error
        self.value, self.saves = value, self.saves + 1


class Files:
    def of_pack(self, sealed):
        return [("greet.flow.yaml", FLOW)]

    def pack_values(self, pack_id):
        return {}

    def variable(self, name):
        return None


class Life:
    """One life of a kernel over the same approvals and the same document."""

    def __init__(self, standings, runner, clock, document) -> None:
        self.registry, self.flows, self.diagnostics = InterfaceRegistry(), FlowBook(), DiagnosticsBook()
        self.router = Router(self.registry, runner, standings)
        events = KernelEvents(self.registry, runner, clock)
        self.lifecycle = PackLifecycle(
            LifecycleParts(
                standings, standings, self.registry, self.router, events, self.flows, Files(), Files(),
                self.diagnostics, document,
            ),
            runner,
        )  # fmt: skip

    def codes(self):
        return [entry.code for entry in self.diagnostics.all()]


@pytest.fixture
def document():
    return Document()


@pytest.fixture
def live(standings, runner, clock, document):
    return lambda: Life(standings, runner, clock, document)


@pytest.fixture
async def two(live, standings, pack):
    """`one` holds what `two` wants as well."""
    life = live()
    for name in ("one", "two"):
        standings.approve(pack(name, "service.x"))
        await life.lifecycle.converge(name)
    assert life.registry.find("service.x").pack_id == "one"
    return life


async def test_bx_11_whoever_comes_up_first_after_a_restart_the_holder_keeps_its_names(two, live, document):
    assert document.value == {"interfaces": {"service.x": "one"}, "flows": {"greet": "one"}}
    after = live()
    await after.lifecycle.expect(["two", "one"])
    await after.lifecycle.converge("two")
    await after.lifecycle.converge("one")
    assert after.registry.find("service.x").pack_id == "one"
    assert after.flows.active("greet").owner == "one"


@pytest.mark.parametrize("state", [PackState.MODIFIED, PackState.INVALID], ids=lambda state: f"BX-11-{state.value}")
async def test_a_pack_whose_folder_or_record_broke_keeps_its_names(two, standings, state):
    standings.set("one", state)
    await two.lifecycle.converge("one")
    await two.lifecycle.restart("two")
    assert two.registry.pins["service.x"] == "one"
    assert two.flows.pins["greet"] == "one"


async def test_a_pack_that_was_let_go_while_no_kernel_ran_holds_nothing_after_the_restart(
    two, live, standings, document
):
    standings.set("one", PackState.DISABLED)
    after = live()
    await after.lifecycle.expect(["two"])
    await after.lifecycle.converge("two")
    assert after.registry.find("service.x").pack_id == "two"
    assert after.flows.active("greet").owner == "two"
    assert document.value == {"interfaces": {"service.x": "two"}, "flows": {"greet": "two"}}


async def test_bx_11_the_rules_of_a_name_are_its_holders_alone(two, standings, pack, runner):
    """A pack that was refused a name must not decide what that name's holder is called with."""
    strict = InterfaceDecl("service.x", input_schema={"type": "object", "required": ["tribute"]})
    standings.approve(pack("two", strict), digest="b" * 64)
    await two.lifecycle.converge("two")
    assert "INTERFACE_TAKEN:service.x" in two.codes()
    two.router.call(HOST, "service.x", {}, CONTEXT).close()


async def test_a_refused_claimant_cannot_take_the_holders_rules_away(live, standings, pack):
    life = live()
    strict = InterfaceDecl("service.x", input_schema={"type": "object", "required": ["name"]})
    standings.approve(pack("one", strict))
    standings.approve(pack("two", InterfaceDecl("service.x")))
    standings.approve(pack("three", InterfaceDecl("service.x", input_schema={"$ref": "http://x/"})))
    for name in ("one", "two", "three"):
        await life.lifecycle.converge(name)
    with pytest.raises(ValidationFailed):
        life.router.call(HOST, "service.x", {}, CONTEXT)


async def test_what_did_not_change_is_not_written_again(two, document):
    before = document.saves
    await two.lifecycle.restart("one")
    assert document.saves == before


@pytest.mark.parametrize("error", [Conflict("signed by another"), StorageFull("no room")])
async def test_a_document_that_cannot_be_believed_or_written_is_told_and_stops_nobody(
    live, standings, pack, document, error
):
    document.error = error
    life = live()
    standings.approve(pack("one", "service.x"))
    await life.lifecycle.expect(["one"])
    await life.lifecycle.converge("one")
    assert life.registry.find("service.x").pack_id == "one"
    assert "NAMES_NOT_KEPT" in life.codes()
    document.error = None
    await life.lifecycle.restart("one")
    assert "NAMES_NOT_KEPT" not in life.codes()


@pytest.mark.parametrize(
    "value", [{"interfaces": []}, {"interfaces": {"service.x": 1, "service.y": "../x"}}, {"flows": 3}]
)
async def test_rubbish_in_the_document_pins_nothing(live, document, value):
    document.value = value
    life = live()
    await life.lifecycle.expect([])
    assert not life.registry.pins
    assert not life.flows.pins


async def test_bx_13_schemas_that_cost_too_much_together_turn_only_their_interfaces_off(live, standings, pack):
    costly = [
        InterfaceDecl(f"service.n{number}", input_schema={"pattern": f"(a{{900}}){{2}}{number}", "description": "x"})
        for number in range(80)
    ]
    life = live()
    standings.approve(pack("one", InterfaceDecl("service.first", input_schema={"type": "object"}), *costly))
    await life.lifecycle.converge("one")
    assert life.registry.knows("service.first")
    refused = [code for code in life.codes() if code.startswith("SCHEMA_REFUSED:")]
    assert 20 < len(refused) < 80
    assert not life.registry.knows("service.n79")
