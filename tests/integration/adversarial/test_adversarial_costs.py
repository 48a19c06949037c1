"""What a stranger's files and floods cost everybody else: they are dear to their author alone."""

from __future__ import annotations

import json
import threading
import time

import pytest

pytestmark = pytest.mark.docker

FLOOD = """
import time
link, number, sent = current.agent.link, 1_000_000, 0
token = ctx._call.frame["token"]
until = time.monotonic() + args["lasting"]
with socket.socket(fileno=os.dup(kernel_fd())) as pipe:
    while time.monotonic() < until and sent < args["most"]:
        batch = []
        for _ in range(20):
            number += 2
            batch.append(frame({**args["wish"], "k": "call", "id": number, "deadline_ms": 5000, "token": token}))
        with link._sending:
            pipe.sendall(b"".join(batch))
        sent += len(batch)
result = {"sent": sent}
"""


def worst_beside(kernel, work) -> tuple[float, float]:
    """The median and the worst seconds of a neighbour's answer while `work()` is under way."""
    done, seen = threading.Event(), []

    def run() -> None:
        try:
            work()
        finally:
            done.set()

    worker = threading.Thread(target=run)
    worker.start()
    while not done.is_set() or not seen:
        began = time.monotonic()
        kernel.call("service.hello", {"name": "Ada"}, 20.0)
        seen.append(time.monotonic() - began)
    worker.join()
    return sorted(seen)[len(seen) // 2], max(seen)


@pytest.mark.parametrize(
    ("wish", "most"),
    [
        pytest.param({"name": "store.get", "args": {"store": "loot", "key": "x"}}, 100_000, id="UD-17-allowed-reads"),
        pytest.param(
            {"name": "event.publish", "args": {"topic": "noise", "payload": "x" * 500}}, 100_000, id="UD-17-events"
        ),
        pytest.param({"name": "flow.run", "args": {"flow": "hello", "inputs": {"name": "x"}}}, 400, id="UD-17-flows"),
    ],
)
def test_a_pack_that_floods_with_what_it_may_do_does_not_starve_the_others(den, attack, wish, most):
    before = den.memory_kib
    median, worst = worst_beside(den, lambda: attack(den, FLOOD, 60.0, wish=wish, most=most, lasting=1.0))
    assert median < 0.25
    assert worst < 2.0
    assert den.memory_kib - before < 60 * 1024
    assert den.pack("hello")["running"] == "ready"


def test_bx_13_loading_a_packs_large_flow_and_its_schemas_does_not_stop_the_loop(den, until_true):
    """Some thousand steps and the dearest patterns there are: seconds of work, while a neighbour is answered."""
    root = den.folder / "aside-dear"
    backend = root / "backend"
    (backend / "components" / "c").mkdir(parents=True)
    (backend / "flows").mkdir()
    text = {"pack_id": "dear", "pack_identity": "local:rumi/dear", "version": "1.0.0", "sandbox": {"start": "lazy"}}
    schemas = [
        {"name": f"dear.n{number}", "input_schema": {"pattern": f"((a|b|c){{0,300}}){number}"}} for number in range(100)
    ]
    manifest = {"type": "service", "id": "c", "version": "1.0.0", "connectivity": {"provides": schemas}}
    steps = "".join(f'  - {{id: s{number}, set: {{a: "${{1 + {number} * 2}}"}}}}\n' for number in range(4000))
    (backend / "ecosystem.json").write_text(json.dumps(text))
    (backend / "components" / "c" / "manifest.json").write_text(json.dumps(manifest))
    (backend / "components" / "c" / "setup.py").write_text("def run(context):\n    pass\n")
    (backend / "flows" / "dear.flow.yaml").write_text(f"flow_id: dear\nsteps:\n{steps}")
    root.rename(den.packs / "dear")
    until_true(lambda: den.state("dear") == "pending", 4, "the pack being listed")
    median, worst = worst_beside(den, lambda: den.approve("dear"))
    assert median < 0.25
    assert worst < 1.5
    assert any("cost too much together" in item["message"] for item in den.diagnostics())
    den.post("/api/packs/dear/disable")
