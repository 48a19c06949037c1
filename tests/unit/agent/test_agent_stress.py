"""Everything at once, at random: no answer is lost, crossed or stuck, whoever holds the baton when."""

from __future__ import annotations

import random
import select
import time
from typing import Any

import pytest

PACK = """
import asyncio, threading, time
import rumi_capability

def nap(args):
    time.sleep(args["s"])
    return args["n"]

def spin(args):
    until = time.monotonic() + args["s"]
    while time.monotonic() < until:
        pass
    return args["n"]

def ask(args, ctx):
    for turn in range(args["t"]):
        if turn % 2:
            time.sleep(args["s"])
        assert ctx.capability("x", {"v": args["n"]}) == args["n"]
    return args["n"]

async def aask(args, ctx):
    for turn in range(args["t"]):
        await asyncio.sleep(args["s"])
        assert await ctx.aio.capability("x", {"v": args["n"]}) == args["n"]
    return args["n"]

def back(args, ctx):
    return ctx.call("nap", {"s": args["s"], "n": args["n"]})

def gen(args):
    for turn in range(args["t"] * 30):
        yield turn
    return args["n"]

async def agen(args):
    for turn in range(args["t"] * 30):
        yield turn

def threads(args):
    found = []
    def work():
        found.append(rumi_capability.call("x", {"v": args["n"]}))
    all_of_them = [threading.Thread(target=work) for _ in range(3)]
    for each in all_of_them:
        each.start()
    for each in all_of_them:
        each.join()
    assert found == [args["n"]] * 3
    return args["n"]

def run(context):
    for name in ("nap", "spin", "ask", "aask", "back", "gen", "agen", "threads"):
        context["interface_registry"].register(name, globals()[name])
"""
NAMES = ["nap", "spin", "ask", "aask", "back", "gen", "agen", "threads"]


class Storm:
    """Keeps up to 40 calls of all kinds in flight, and answers what they ask, now or a little later."""

    def __init__(self, kernel: Any, seed: int) -> None:
        self.kernel = kernel
        self.chooser = random.Random(seed)
        self.running: dict[int, tuple[str, int]] = {}
        self.turned_back: dict[int, int] = {}
        self.later: list[tuple[float, dict[str, Any]]] = []
        self.done = 0
        self.pinged = False

    def start_some(self) -> None:
        """A few more calls, and sometimes a ping."""
        choose = self.chooser
        while len(self.running) < choose.choice([1, 4, 16, 40]):
            name = choose.choice([*NAMES, "nap", "ask"])
            n = self.done + len(self.running) * 100_000
            args = {"s": choose.choice([0, 0, 0, 0.0005, 0.002, 0.004]), "n": n, "t": choose.randrange(1, 5)}
            self.running[self.kernel.call(name, args)] = (name, n)
        if not self.pinged and choose.random() < 0.05:
            self.kernel.send({"k": "ping"})
            self.pinged = True

    def turn(self) -> None:
        """One frame, or a moment of waiting."""
        now = time.monotonic()
        for due in [each for each in self.later if each[0] <= now]:
            self.later.remove(due)
            self.kernel.send(due[1])
        if not self.kernel._raw and not select.select([self.kernel.sock], [], [], 0.001)[0]:
            return
        self.take(self.kernel.read())

    def take(self, frame: dict[str, Any]) -> None:
        """Do what the kernel would."""
        kind = frame["k"]
        assert kind != "log", frame
        if kind == "call" and frame["name"] == "interface.call":
            self.turned_back[self.kernel.call(frame["args"]["name"], frame["args"]["args"])] = frame["id"]
        elif kind == "call":
            answer = {"k": "result", "id": frame["id"], "ok": True, "value": frame["args"]["v"]}
            self.later.append((time.monotonic() + self.chooser.choice([0, 0, 0.001, 0.005]), answer))
        elif kind == "item":
            self.kernel.send({"k": "credit", "id": frame["id"], "items": 1})
        elif kind == "pong":
            self.pinged = False
        elif kind == "result" and frame["id"] in self.turned_back:
            outer = self.turned_back.pop(frame["id"])
            self.kernel.send({"k": "result", "id": outer, "ok": True, "value": frame["value"]})
        elif kind == "result":
            name, n = self.running.pop(frame["id"])
            assert frame["ok"], frame
            assert frame["value"] == (None if name == "agen" else n)
            self.done += 1


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_storm_of_all_kinds_of_calls_comes_to_an_end(kernel: Any, concurrency: int) -> None:
    kernel.component(PACK, NAMES)
    kernel.start(concurrency=concurrency)
    assert "error" not in kernel.hello["components"][0], kernel.hello
    storm = Storm(kernel, seed=concurrency)
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        storm.start_some()
        storm.turn()
    while storm.running and time.monotonic() < until + 10:
        storm.turn()
    assert not storm.running
    assert storm.done > 50
