"""Whose rights a step has: a pack's flow borrows neither the owner's nor the kernel's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core_runtime.errors import GrantDenied, PolicyDenied
from core_runtime.flows.book import FlowBook, FlowState
from core_runtime.flows.model import CORE_OWNER
from core_runtime.flows.running.state import principal_of
from core_runtime.ids import RESERVED_IDS, is_pack_id

CORE = Path(__file__).parents[3] / "flow" / "core" / "00_startup.flow.yaml"
OWNERS = "flow_id: secret\nsteps: [{id: a, call: safe.open}]\noutputs: {v: '${steps.a}'}"
BORROWS = "flow_id: borrow\nsteps: [{id: a, flow: secret, input: {k: 1}}]\noutputs: {v: '${steps.a}'}"


async def test_a_packs_flow_reaches_the_owners_flow_only_by_its_own_grant(bench) -> None:
    bench.add(OWNERS, file="secret.flow.yaml")
    bench.world.answers["safe.open"] = "gold"
    bench.world.answers["flow.run"] = GrantDenied("intruder may not run secret")
    result = await bench.run(BORROWS, owner="intruder")
    assert result.error is not None
    assert result.error.code == "GRANT_DENIED"
    asked = [(item.kind, item.principal, item.name, item.args) for item in bench.world.asked]
    assert asked == [("capability", "intruder", "flow.run", {"flow": "secret", "inputs": {"k": 1}})]


async def test_a_packs_flow_that_was_granted_another_flow_gets_its_outputs(bench) -> None:
    bench.add(OWNERS, file="secret.flow.yaml")
    bench.world.answers["flow.run"] = {"v": "granted"}
    result = await bench.run(BORROWS, owner="intruder")
    assert result.outputs == {"v": {"v": "granted"}}


async def test_the_flow_of_another_pack_is_asked_for_as_well(bench) -> None:
    bench.add(OWNERS, owner="notes")
    bench.world.answers["flow.run"] = GrantDenied("no")
    result = await bench.run(BORROWS, owner="intruder")
    assert result.error is not None
    assert result.error.code == "GRANT_DENIED"


async def test_its_own_flows_and_the_owners_reach_need_no_grant(bench) -> None:
    bench.world.answers["safe.open"] = 1
    bench.book.register_pack("notes", [("a.flow.yaml", OWNERS.encode()), ("b.flow.yaml", BORROWS.encode())])
    assert (await bench.engine.run("borrow", {})).outputs == {"v": {"v": 1}}
    bench.add(BORROWS.replace("borrow", "mine"), file="mine.flow.yaml")
    assert (await bench.engine.run("mine", {})).outputs == {"v": {"v": 1}}
    assert {item.principal for item in bench.world.asked} == {"notes"}


@pytest.mark.parametrize("owner", ["", "intruder"], ids=["owner", "pack"])
async def test_nobody_makes_the_kernel_start_anew(owner, bench) -> None:
    bench.book.register_core(CORE.name, CORE.read_bytes())
    with pytest.raises(PolicyDenied, match="only the kernel runs it"):
        await bench.engine.run("kernel.startup", {})
    result = await bench.run("flow_id: again\nsteps: [{id: a, flow: kernel.startup}]", owner=owner)
    assert isinstance(result.error, PolicyDenied)
    assert bench.world.asked == []


async def test_the_kernel_itself_runs_its_own_flow(bench) -> None:
    bench.book.register_core(CORE.name, CORE.read_bytes())
    for step in ("security", "engine", "scan", "approvals", "orphans", "flows", "ready"):
        bench.world.answers[f"boot.{step}"] = {}
    bench.world.answers["boot.plan"] = {"packs": []}
    assert (await bench.engine.run_core("kernel.startup")).state == "succeeded"
    assert {item.principal for item in bench.world.asked} == {"kernel"}


def test_no_pack_can_be_called_as_the_owner_of_the_kernels_flows() -> None:
    assert CORE_OWNER in RESERVED_IDS
    assert not is_pack_id(CORE_OWNER)
    boot = b"flow_id: boot\nsteps: [{id: a, call: 'kernel:boot.approvals'}]"
    for name in ("core", "Kernel_", "host2"):
        assert principal_of(name).id == name
        book = FlowBook()
        assert book.register_pack(name, [("x.flow.yaml", boot)])
        assert book.entries()[0].state is FlowState.DISABLED


def test_a_pack_called_core_does_not_take_the_kernels_flows_away() -> None:
    book = FlowBook()
    book.register_core(CORE.name, CORE.read_bytes())
    assert hashlib.sha256(CORE.read_bytes()).hexdigest() == book.active("kernel.startup").digest
    book.register_pack("core", [])
    book.unregister_pack("core")
    assert book.active("kernel.startup").owner == CORE_OWNER
