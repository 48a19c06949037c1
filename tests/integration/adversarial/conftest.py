"""The kernel as attackers see it: a real one, with real containers, on the harness of the black-box product tests.

`den` is shared by everything here that leaves it as it was: two bundled packs, `intruder` (whose one interface runs the
code that a test hands it, inside its container) and `rival` (who wants the names of `hello`).
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HARNESS = Path(__file__).resolve().parents[1] / "kernel" / "conftest.py"


def _load():
    """The harness lives beside the product tests; a conftest is no module that could be imported by name."""
    spec = importlib.util.spec_from_file_location("rumi_kernel_harness", _HARNESS)
    module = importlib.util.module_from_spec(spec)
    sys.modules["rumi_kernel_harness"] = module
    spec.loader.exec_module(module)
    return module


_harness = _load()
engine = _harness.engine
make_kernel = _harness.make_kernel
until_true = _harness.until_true
threads = _harness.threads

OWNERS_FLOW = """\
flow_id: owners_secret
steps:
  - {id: a, call: notes.add, input: {title: borrowed, text: by a flow of a pack}}
outputs: {key: "${steps.a}"}
"""


@pytest.fixture(scope="session")
def den(make_kernel) -> Iterator[object]:
    with make_kernel("hello", "notes", "intruder", "rival") as kernel:
        kernel.start()
        kernel.approve("hello", "notes", "intruder", "rival")
        (kernel.profile / "flows" / "owners.flow.yaml").write_text(OWNERS_FLOW)
        kernel.post("/api/flows/approve", {"file": "owners.flow.yaml"})
        kernel.facts["memory"] = kernel.memory_kib
        yield kernel


@pytest.fixture(scope="session")
def attack() -> Callable[..., dict]:
    """Runs code inside the intruder's container; the envelope of its answer."""

    def run(kernel, code: str, seconds: float = 20.0, **args: object) -> dict:
        return kernel.try_call("intruder.attack", {"code": code, **args}, seconds)

    return run


@pytest.fixture(scope="session")
def latency() -> Callable[..., float]:
    """Median seconds of a neighbour's answer."""

    def measure(kernel, count: int = 20) -> float:
        seen = []
        for _ in range(count):
            began = time.monotonic()
            assert kernel.call("service.hello", {"name": "Ada"}, 10.0) == {"message": "Hello, Ada!"}
            seen.append(time.monotonic() - began)
        return statistics.median(seen)

    return measure
