"""Calls into a pack: handlers of every kind, errors, deadlines, threads, liveness."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

SMALLEST = """
def run(context):                      # setup(context) is accepted as well
    def hello(args, ctx):
        return {"message": f"Hello, {args.get('name', 'World')}!"}
    context["interface_registry"].register("service.hello", hello)
"""


def test_the_smallest_pack_of_the_pack_format_works_unchanged(kernel: Any) -> None:
    kernel.component(SMALLEST, ["service.hello"], name="hello")
    kernel.start()
    assert kernel.hello["components"] == [{"id": "hello", "provides": ["service.hello"]}]
    assert kernel.hello["protocol"] == 1
    assert kernel.value("service.hello", {"name": "Ada"}) == {"message": "Hello, Ada!"}
    assert kernel.value("service.hello") == {"message": "Hello, World!"}


def test_setup_is_accepted_as_well_as_run(kernel: Any) -> None:
    kernel.component(SMALLEST.replace("def run", "def setup"), ["service.hello"])
    assert kernel.start().value("service.hello", {"name": "Bob"}) == {"message": "Hello, Bob!"}


KINDS = """
import functools

class Callable:
    def __call__(self, args):
        return ["object", args]

class Methods:
    def two(self, args, ctx):
        return ["method", args, ctx.pack_id]
    @staticmethod
    def one(args):
        return ["static", args]
    @classmethod
    async def none(cls):
        return ["class"]

def spread(*args, **kw):
    return ["spread", len(args)]

def passes(fn):
    @functools.wraps(fn)
    def inner(*a, **k):
        return fn(*a, **k)
    return inner

@passes
def wrapped(args):
    return ["wrapped", args]

async def late(args):
    return ["late", args]

def run(context):
    register = context["interface_registry"].register
    register("none", lambda: ["none"])
    register("one", lambda args: ["one", args])
    register("two", lambda args, ctx: ["two", args, ctx.pack_id])
    register("optional", lambda args, ctx=None, more=3: ["optional", ctx is not None, more])
    register("object", Callable())
    register("method", Methods().two)
    register("static", Methods.one)
    register("class", Methods.none)
    register("spread", spread)
    register("wrapped", wrapped)
    register("partial", functools.partial(lambda first, args: [first, args], "partial"))
    register("coroutine", late)
    register("returns_coroutine", lambda args: late(args))
    register("builtin", dict)
"""


def test_every_kind_of_callable_gets_as_many_arguments_as_it_takes(kernel: Any) -> None:
    kernel.component(KINDS)
    kernel.start()
    assert "error" not in kernel.hello["components"][0], kernel.hello
    expected = {
        "none": ["none"],
        "one": ["one", 7],
        "two": ["two", 7, "probe"],
        "optional": ["optional", True, 3],
        "object": ["object", 7],
        "method": ["method", 7, "probe"],
        "static": ["static", 7],
        "class": ["class"],
        "spread": ["spread", 2],
        "wrapped": ["wrapped", 7],
        "partial": ["partial", 7],
        "coroutine": ["late", 7],
        "returns_coroutine": ["late", 7],
    }
    assert {name: kernel.value(name, 7) for name in expected} == expected


FAILING = """
import sys, threading

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("not even my text")

def deep(n):
    return deep(n + 1)

def nest():
    made = []
    for _ in range(100000):
        made = [made]
    return made

def fail(args):
    kind = args["kind"]
    if kind == "value": raise ValueError("no such note \\ud800")
    if kind == "exit": sys.exit(3)
    if kind == "interrupt": raise KeyboardInterrupt
    if kind == "recursion": return deep(0)
    if kind == "memory": raise MemoryError
    if kind == "memory2": return bytearray(1 << 62)
    if kind == "odd": raise Odd
    if kind == "long": raise ValueError("x" * 10000)
    if kind == "stop": raise StopIteration(4)
    if kind == "generator_exit": raise GeneratorExit
    if kind == "thread_exit": threading.Thread(target=sys.exit, args=(1,)).start(); return "alive"
    if kind == "set": return {"a": [1, {"b": {2}}]}
    if kind == "bytes": return {"a": b"x"}
    if kind == "nan": return {"a": float("nan")}
    if kind == "surrogate": return {"a": "\\udc80"}
    if kind == "key": return {("a",): 1}
    if kind == "circle": made = {}; made["self"] = made; return made
    if kind == "deep": return nest()
    if kind == "number": return {"n": 2 ** 64}
    if kind == "digits": return {"n": 10 ** 400}
    if kind == "most": return {"n": 2 ** 64 - 1, "text": "9" * 50, "least": -(2 ** 63)}
    if kind == "large": return "x" * (4 * 1024 * 1024 - 2)
    if kind == "too_large": return "x" * (4 * 1024 * 1024 - 1)
    if kind == "print": print('{"k":"result","id":1,"ok":true}'); sys.stdout.buffer.write(b"\\x00\\x00\\x00\\x02{}"); return "printed"
    if kind == "double": return {1: "a", "1": "b"}

def run(context):
    context["interface_registry"].register("fail", fail)
    context["interface_registry"].register("afail", afail)

async def afail(args):
    return fail(args)
"""


@pytest.mark.parametrize("name", ["fail", "afail"])
def test_whatever_a_handler_raises_or_returns_is_a_result_and_the_agent_lives(kernel: Any, name: str) -> None:
    kernel.component(FAILING)
    kernel.start()
    expected = {
        "value": "ValueError: no such note",
        "exit": "SystemExit: 3",
        "interrupt": "KeyboardInterrupt",
        "recursion": "RecursionError: ",
        "memory": "MemoryError",
        "memory2": "",
        "odd": "Odd: (its text could not be made: RuntimeError)",
        "generator_exit": "GeneratorExit",
        "set": "value.a[1].b is a set",
        "bytes": "value.a is a bytes",
        "nan": "value.a is nan",
        "surrogate": "half a surrogate pair",
        "key": "has a key that is a tuple",
        "circle": "contains itself",
        "deep": "nested too deeply",
        "number": "value.n is a whole number over 64 bits",
        "digits": "value.n is a whole number over 64 bits",
    }
    for kind, message in expected.items():
        error = kernel.error(name, {"kind": kind})
        assert error["code"] == "INTERFACE_ERROR", (kind, error)
        assert message in error["message"], (kind, error)
        assert "Traceback" not in str(error)
        assert len(error["message"]) <= 2000
    assert kernel.error(name, {"kind": "long"})["message"].startswith("ValueError: xxx")
    assert kernel.error(name, {"kind": "stop"})["code"] == "INTERFACE_ERROR"
    assert kernel.error(name, {"kind": "too_large"})["code"] == "TOO_LARGE"
    assert len(kernel.value(name, {"kind": "large"})) == 4 * 1024 * 1024 - 2
    assert kernel.value(name, {"kind": "most"})["n"] == 2**64 - 1
    assert kernel.value(name, {"kind": "thread_exit"}) == "alive"
    assert kernel.value(name, {"kind": "print"}) == "printed"
    assert kernel.value(name, {"kind": "double"}) == {"1": "b"}
    assert "setup.py" in kernel.log_with("no such note")["text"]


def test_calls_that_nobody_provides_and_that_come_too_late_are_refused_without_running(kernel: Any) -> None:
    kernel.component(SMALLEST, ["service.hello"])
    kernel.start()
    assert kernel.error("nobody")["code"] == "NOT_FOUND"
    assert kernel.error("service.hello", deadline_ms=0)["code"] == "TIMEOUT"
    assert kernel.error("service.hello", deadline_ms=-5)["code"] == "TIMEOUT"
    assert kernel.value("service.hello", deadline_ms=10**30)["message"]


WAITING = """
import time, threading
running = 0
most = 0
lock = threading.Lock()
ran = []

def nap(args, ctx):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    time.sleep(args["seconds"])
    with lock:
        running -= 1
    ran.append(args.get("n"))
    return args.get("n")

def spin(args):
    until = time.monotonic() + args["seconds"]
    while time.monotonic() < until:
        pass
    return "spun"

def watch(args, ctx):
    until = time.monotonic() + 5
    while not ctx.cancelled and time.monotonic() < until:
        time.sleep(0.001)
    ran.append("cancelled" if ctx.cancelled else "late")

def run(context):
    register = context["interface_registry"].register
    register("nap", nap)
    register("spin", spin)
    register("watch", watch)
    register("quick", lambda args: args)
    register("most", lambda: most)
    register("ran", lambda: ran)
    register("left", lambda args, ctx: ctx.deadline)
"""


def test_a_handler_that_sleeps_delays_neither_pings_nor_other_calls(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    slow = kernel.call("nap", {"seconds": 0.5})
    began = time.monotonic()
    kernel.send({"k": "ping"})
    assert kernel.next("pong") == {"k": "pong"}
    assert kernel.value("quick", 5) == 5
    assert time.monotonic() - began < 0.4
    assert kernel.result(slow)["ok"]


def test_pings_are_answered_while_every_place_is_taken_by_handlers_that_compute(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start(concurrency=2)
    numbers = kernel.calls("spin", [{"seconds": 0.4}] * 2)
    began = time.monotonic()
    for _ in range(5):
        kernel.send({"k": "ping"})
        kernel.next("pong")
    assert time.monotonic() - began < 0.35
    assert [kernel.result(number)["value"] for number in numbers] == ["spun", "spun"]


def test_no_more_handlers_than_concurrency_run_at_once_and_the_rest_wait_their_turn(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start(concurrency=3)
    numbers = kernel.calls("nap", [{"seconds": 0.02, "n": n} for n in range(20)])
    assert [kernel.result(number)["value"] for number in numbers] == list(range(20))
    assert kernel.value("most") == 3


def test_a_call_whose_deadline_passes_while_it_waits_for_a_place_is_not_run(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start(concurrency=1)
    first = kernel.call("nap", {"seconds": 0.15, "n": "first"})
    second = kernel.call("nap", {"seconds": 0, "n": "second"}, deadline_ms=50)
    assert kernel.result(second)["error"]["code"] == "TIMEOUT"
    assert kernel.result(first)["ok"]
    assert kernel.value("ran") == ["first"]


def test_a_cancelled_call_sends_no_result_and_its_handler_can_see_it(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start(concurrency=1)
    running = kernel.call("watch")
    queued = kernel.call("nap", {"seconds": 0, "n": "queued"})
    kernel.send({"k": "cancel", "id": queued})
    kernel.send({"k": "cancel", "id": running})
    kernel.send({"k": "cancel", "id": 99999})
    assert kernel.value("ran") == ["cancelled"]
    assert not kernel.kept


def test_ctx_knows_the_seconds_that_are_left(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    assert 0.5 < kernel.value("left", deadline_ms=1000) <= 1.0


def test_a_slow_handler_gets_its_own_thread_and_a_quick_one_the_readers(kernel: Any) -> None:
    kernel.component(
        """
        import threading, time
        def where(args):
            time.sleep(args["seconds"])
            return threading.get_ident()
        def run(context):
            context["interface_registry"].register("where", where)
            context["interface_registry"].register("reader", lambda: threading.get_ident())
        """
    )
    kernel.start()
    assert kernel.value("where", {"seconds": 0}) == kernel.value("reader")
    kernel.value("where", {"seconds": 0.05})  # it costs the baton once
    assert kernel.value("where", {"seconds": 0}) != kernel.value("reader")


def test_twenty_thousand_calls_get_their_own_answers(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    seen = 0
    for start in range(0, 20000, 500):
        numbers = kernel.calls("quick", list(range(start, start + 500)))
        for n, number in enumerate(numbers):
            frame = kernel.result(number)
            assert frame["value"] == start + n
            seen += 1
    assert seen == 20000
    assert not kernel.kept


def test_ud_08_an_id_that_is_used_again_while_its_call_runs_gets_no_second_answer(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    slow = kernel.call("nap", {"seconds": 0.1, "n": "first"})
    kernel.send(kernel.call_frame(slow, "quick", "second"))
    assert kernel.result(slow)["value"] == "first"
    assert [frame for frame in kernel.quiet() if frame["k"] != "log"] == []


def test_stop_lets_a_running_call_finish_refuses_new_ones_and_ends_with_0(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    running = kernel.call("nap", {"seconds": 0.15, "n": 1})
    kernel.send({"k": "stop", "grace_ms": 3000})
    assert kernel.error("quick")["code"] == "UNAVAILABLE"
    assert kernel.result(running)["value"] == 1
    assert kernel.exit_code() == 0


def test_ct_08_stop_does_not_wait_longer_than_the_grace(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    kernel.call("nap", {"seconds": 30})
    began = time.monotonic()
    kernel.send({"k": "stop", "grace_ms": 100})
    assert kernel.exit_code() == 0
    assert time.monotonic() - began < 2


def test_a_second_stop_can_only_shorten_the_first(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    kernel.call("nap", {"seconds": 30})
    began = time.monotonic()
    kernel.send({"k": "stop", "grace_ms": 20000})
    kernel.send({"k": "stop", "grace_ms": 50})
    kernel.send({"k": "stop", "grace_ms": 20000})
    assert kernel.exit_code() == 0
    assert time.monotonic() - began < 2


def test_sigterm_ends_it_as_stop_does(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    running = kernel.call("nap", {"seconds": 0.1, "n": 1})
    kernel.value("quick", 1)
    os.kill(kernel.process.pid, signal.SIGTERM)
    assert kernel.result(running)["value"] == 1
    assert kernel.exit_code() == 0


def test_it_ends_at_once_when_the_socket_closes_whatever_runs(kernel: Any) -> None:
    kernel.component(WAITING)
    kernel.start()
    kernel.call("nap", {"seconds": 30})
    kernel.call("spin", {"seconds": 30})
    time.sleep(0.02)
    began = time.monotonic()
    kernel.sock.close()
    assert kernel.exit_code() == 0
    assert time.monotonic() - began < 2


def test_a_pack_that_forks_leaves_the_connection_to_the_parent(kernel: Any) -> None:
    kernel.component(
        """
        import os, subprocess, rumi_capability
        def fork(args, ctx):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read)
                try:
                    rumi_capability.call("store.get", {})
                except rumi_capability.CapabilityError as error:
                    os.write(write, error.code.encode())
                ctx.log("info", "from the child")
                return "child"
            os.close(write)
            os.waitpid(pid, 0)
            return [os.read(read, 100).decode(), ctx.capability("store.get", {})]
        def child(args):
            return subprocess.run(["/bin/echo", "hi"], capture_output=True, text=True).stdout
        def run(context):
            context["interface_registry"].register("fork", fork)
            context["interface_registry"].register("child", child)
        """
    )
    kernel.start()
    kernel.answer = lambda frame: 5
    for _ in range(2):
        assert kernel.value("fork") == ["UNAVAILABLE", 5]
    assert kernel.value("child") == "hi\n"
    assert len(kernel.asked) == 2
    assert not kernel.kept
    assert not kernel.logs


def test_a_cancelled_coroutine_is_told_so_and_sends_no_result(kernel: Any) -> None:
    kernel.component(
        """
        import asyncio
        told = []
        async def wait(args, ctx):
            told.append("began")
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                told.append(ctx.cancelled)
                raise
        async def ask(args, ctx):
            try:
                await ctx.aio.capability("never", {})
            finally:
                told.append("asked")
        def run(context):
            register = context["interface_registry"].register
            register("wait", wait)
            register("ask", ask)
            register("told", lambda: told)
        """
    )
    kernel.start()
    waiting, asking = kernel.call("wait"), kernel.call("ask")
    asked = kernel.next("call")["id"]
    kernel.send({"k": "cancel", "id": waiting})
    kernel.send({"k": "cancel", "id": asking})
    assert kernel.next("cancel")["id"] == asked
    deadline = time.monotonic() + 5
    while len(kernel.value("told")) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sorted(map(str, kernel.value("told"))) == ["True", "asked", "began"]
    assert not kernel.kept


def test_a_plain_wish_inside_a_coroutine_waits_and_works(kernel: Any) -> None:
    kernel.component(
        """
        import rumi_capability
        async def ask(args, ctx):
            return [rumi_capability.call("a", {"n": 1}), ctx.capability("b", {"n": 2})]
        def run(context):
            context["interface_registry"].register("ask", ask)
        """
    )
    kernel.start()
    kernel.answer = lambda frame: frame["args"]["n"]
    numbers = [kernel.call("ask") for _ in range(10)]
    assert [kernel.result(number)["value"] for number in numbers] == [[1, 2]] * 10
