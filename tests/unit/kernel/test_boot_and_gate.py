"""Small parts of the kernel's glue: the bundled list, the flow runner's chain, the witness of refused wishes."""

import time

import pytest

from core_runtime.authority import HOST, CallContext
from core_runtime.errors import InternalError, NotFound, TooLarge
from core_runtime.flows.engine import RunResult
from core_runtime.flows.running.state import RunState
from core_runtime.kernel.boot import bundled_list
from core_runtime.kernel.flow_runner import KernelFlowRunner
from core_runtime.kernel.gate import BrokerGate
from core_runtime.kernel.risk_rules import RiskRules
from core_runtime.kernel.runner import LateRunner

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"packs": [{"pack_id": "hello", "digest": DIGEST}]}, [("hello", DIGEST)]),
        ({"packs": [{"pack_id": "hello"}, 3, {"digest": DIGEST}]}, []),
        ({"packs": "hello"}, []),
        ([], []),
        (None, []),
    ],
)
def test_what_is_malformed_in_the_bundled_list_approves_nothing(data, found):
    assert list(bundled_list(data)) == found


class FakeEngine:
    """Remembers the context of a run."""

    def __init__(self, error=None) -> None:
        self.contexts: list[CallContext] = []
        self.error = error

    async def run(self, flow, inputs, *, context):
        self.contexts.append(context)
        return RunResult("run_1", RunState.SUCCEEDED, {"flow": flow, **inputs}, self.error)

    async def start(self, flow, inputs, *, context):
        self.contexts.append(context)
        return "run_1"


async def test_a_flow_that_a_pack_asks_for_carries_the_chain_with_its_hop_once():
    runner, engine = KernelFlowRunner(), FakeEngine()
    runner.run_on(engine)
    context = CallContext("req", 1.0, chain=("interface:a.b", "flow:greet"))
    assert await runner.run(HOST, "greet", {"x": 1}, context, detach=False) == {"flow": "greet", "x": 1}
    assert await runner.run(HOST, "greet", {}, context, detach=True) == {"run_id": "run_1"}
    assert [item.chain for item in engine.contexts] == [("interface:a.b",), ("interface:a.b",)]


async def test_a_failed_run_is_its_error_for_the_caller():
    runner = KernelFlowRunner()
    runner.run_on(FakeEngine(NotFound("gone")))
    with pytest.raises(NotFound):
        await runner.run(HOST, "greet", {}, CallContext("req", 1.0), detach=False)


async def test_parts_that_were_not_put_together_say_so():
    with pytest.raises(InternalError):
        await LateRunner().stop("a", "b")


def test_bx_07_a_wish_with_a_foreign_token_leaves_a_line():
    class FakeBroker:
        def __init__(self) -> None:
            self.lines: list[object] = []

        def note_refusal(self, entry):
            self.lines.append(entry)

    broker = FakeBroker()
    BrokerGate(broker).refused(pack_id="one", name="store.get", reason="token_invalid", request_id="req_1")
    line = broker.lines[0]
    assert (line.principal, line.action, line.rule, line.request_id) == (
        "one",
        "store.get",
        "channel:token_invalid",
        "req_1",
    )


def test_risk_rules_see_the_arguments_and_nothing_else(clock):
    rules = RiskRules(clock)
    assert rules("${args.all? == true}", {"all": True})
    assert not rules("${args.all? == true}", {})
    for condition in ("${settings.x}", "${args.__class__}", "${", "__import__('os')"):
        with pytest.raises(Exception, match=r".+"):
            rules(condition, {})


def test_bx_13_the_dearest_rules_of_an_interface_cost_a_call_little_and_raise_its_risk(clock):
    rules, args = RiskRules(clock), {"text": "a" * 900_000, "items": [{"k": number} for number in range(9000)]}
    began = time.monotonic()
    for number in range(8):
        dear = " or ".join(f"hash(args) == '{number}{part}'" for part in range(60))
        with pytest.raises(TooLarge, match="more operations"):
            rules(f"${{{dear}}}", args)
    assert time.monotonic() - began < 0.5
