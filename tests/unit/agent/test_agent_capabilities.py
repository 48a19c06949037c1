"""What a pack asks of the kernel: from handlers, threads, coroutines and background work, and on whose account."""

from __future__ import annotations

import time
from typing import Any

CONTEXT = """
import threading
import rumi, rumi_capability
from rumi_capability import CapabilityError

def everything(args, ctx):
    return {"pack_id": ctx.pack_id, "run_id": ctx.run_id, "actor": ctx.actor, "key": ctx.idempotency_key,
            "settings": ctx.settings, "trace": ctx.traceparent, "left": ctx.deadline > 1, "stream": ctx.stream}

def surface(args, ctx):
    notes = ctx.store("notes")
    return [
        ctx.call("service.hello", {"name": "Ada"}), ctx.capability("flow.run", {"flow": "a"}), ctx.emit("saved", {"n": 1}),
        ctx.approval("Really?", "high", {"n": 1}), notes.get("k"), notes.set("k", 1), notes.set("k", 1, ttl=5), notes.list("p", limit=5),
        notes.delete("k"), notes.cas("k", 3, 4), notes.batch_get(["a", "b"]), notes.search("text", fields=["title"]),
        notes.transact([{"op": "set"}]), notes.scoped().get("k"), notes.scoped().set("k", 2),
    ]

async def asurface(args, ctx):
    notes = ctx.aio.store("notes")
    return [await ctx.aio.call("a.b", 1), await ctx.aio.emit("t"), await ctx.aio.approval("T"), await notes.get("k"),
            await notes.scoped().set("k", 1), await rumi.aio().store("x").list()]

def refused(args, ctx):
    try:
        ctx.capability("secrets.get", {"key": "k"})
    except CapabilityError as error:
        return [error.code, error.hint, error.request_id, error.details, str(error)]

def leaked(args, ctx):
    ctx.capability("secrets.get", {"key": "k"})

def on_thread(args, ctx):
    found = []
    def work():
        found.append(rumi_capability.call("store.get", {"where": "thread"}))
        found.append(ctx.capability("store.get", {"where": "thread, by ctx"}))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return [rumi_capability.call("store.get", {"where": "handler"}, timeout_seconds=7), rumi.store("s").get("k"), *found]

def logs(args, ctx):
    ctx.log("warn", "careful", number=5, odd={1, 2})
    ctx.log("info", "long " + "é" * 20000, big="y" * 20000)
    rumi.log("error", "half \\ud800 pair")

def flood(args, ctx):
    for n in range(3000):
        ctx.log("info", f"line {n}")

def bad(args, ctx):
    codes = []
    for name, value in (("a", {1, 2}), ("a", "x" * (4 * 1024 * 1024)), (5, {})):
        try:
            ctx.capability(name, value)
        except CapabilityError as error:
            codes.append(error.code)
    try:
        rumi_capability.call("a", {}, timeout_seconds="soon")
    except CapabilityError as error:
        codes.append(error.code)
    for seconds in (float("nan"), float("inf"), -1, 1e9):
        try:
            rumi_capability.call("a", {}, timeout_seconds=seconds)
        except CapabilityError as error:
            codes.append(error.code)
    return codes

def secret(args):
    return rumi_capability.get_secret("api")

def run(context):
    register = context["interface_registry"].register
    register("everything", everything)
    register("surface", surface)
    register("asurface", asurface)
    register("refused", refused)
    register("leaked", leaked)
    register("on_thread", on_thread)
    register("logs", logs)
    register("flood", flood)
    register("bad", bad)
    register("secret", secret)
"""


def test_ctx_holds_what_came_with_the_call(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start(settings={"max_pending": 64})
    ctx = {"run_id": "run_1", "actor": {"id": "ada", "role": "guest", "groups": ["g"]}}
    value = kernel.value("everything", ctx=ctx, idempotency_key="k1", traceparent="00-a-b-01", token="tk")
    assert value == {
        "pack_id": "probe",
        "run_id": "run_1",
        "actor": {"id": "ada", "role": "guest", "groups": ["g"]},
        "key": "k1",
        "settings": {"max_pending": 64},
        "trace": "00-a-b-01",
        "left": True,
        "stream": None,
    }
    bare = kernel.value("everything")
    assert [bare[name] for name in ("run_id", "actor", "key", "trace")] == [None] * 4


def test_every_name_of_ctx_is_the_capability_that_the_catalogue_names(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.answer = lambda frame: [frame["name"], frame["args"]]
    assert kernel.value("surface") == [
        ["interface.call", {"name": "service.hello", "args": {"name": "Ada"}}],
        ["flow.run", {"flow": "a"}],
        ["event.publish", {"topic": "saved", "payload": {"n": 1}}],
        ["approval.request", {"title": "Really?", "risk": "high", "args": {"n": 1}}],
        ["store.get", {"store": "notes", "key": "k"}],
        ["store.set", {"store": "notes", "key": "k", "value": 1}],
        ["store.set", {"store": "notes", "key": "k", "value": 1, "ttl": 5}],
        ["store.list", {"store": "notes", "prefix": "p", "limit": 5, "values": False}],
        ["store.delete", {"store": "notes", "key": "k"}],
        ["store.cas", {"store": "notes", "key": "k", "expected": 3, "value": 4}],
        ["store.batch_get", {"store": "notes", "keys": ["a", "b"]}],
        ["store.search", {"store": "notes", "query": "text", "fields": ["title"]}],
        ["store.transact", {"store": "notes", "operations": [{"op": "set"}]}],
        ["store.get", {"store": "notes", "key": "k", "scoped": True}],
        ["store.set", {"store": "notes", "key": "k", "value": 2, "scoped": True}],
    ]
    assert kernel.value("asurface") == [
        ["interface.call", {"name": "a.b", "args": 1}],
        ["event.publish", {"topic": "t", "payload": None}],
        ["approval.request", {"title": "T", "risk": "high", "args": {}}],
        ["store.get", {"store": "notes", "key": "k"}],
        ["store.set", {"store": "notes", "key": "k", "value": 1, "scoped": True}],
        ["store.list", {"store": "x", "prefix": "", "limit": 100, "values": False}],
    ]
    ids = [frame["id"] for frame in kernel.asked]
    assert all(number % 2 == 0 for number in ids)
    assert len(set(ids)) == len(ids)


def test_a_refusal_is_an_exception_with_code_hint_and_request_id(kernel: Any, refusal: type[Exception]) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    error = {
        "code": "GRANT_DENIED",
        "message": "No.",
        "hint": "rumi grant give",
        "request_id": "req_1",
        "details": {"a": 1},
    }

    def refuse(frame: Any) -> object:
        raise refusal(error)

    kernel.answer = refuse
    assert kernel.value("refused") == ["GRANT_DENIED", "rumi grant give", "req_1", {"a": 1}, "GRANT_DENIED: No."]
    leaked = kernel.error("leaked")
    assert leaked["code"] == "INTERFACE_ERROR"  # the caller's caller was refused nothing
    assert leaked["hint"] == "rumi grant give"
    assert leaked["details"] == {"type": "CapabilityError", "code": "GRANT_DENIED", "request_id": "req_1"}


def test_bx_07_the_token_goes_along_inside_a_call_and_never_on_a_thread_of_the_packs_own(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.answer = lambda frame: frame.get("token")
    assert kernel.value("on_thread", token="tk_1") == ["tk_1", "tk_1", None, "tk_1"]
    assert kernel.value("on_thread", token="tk_2") == ["tk_2", "tk_2", None, "tk_2"]
    by_place = {frame["args"].get("where"): frame for frame in kernel.asked}
    assert by_place["handler"]["deadline_ms"] == 7000
    assert by_place["thread"]["deadline_ms"] == 30000
    assert not {"pack_id", "principal", "principal_id"} & {name for frame in kernel.asked for name in frame}


def test_bx_07_tokens_of_calls_that_run_side_by_side_on_the_loop_are_not_mixed_up(kernel: Any) -> None:
    kernel.component(
        """
        import asyncio, rumi
        async def mine(args):
            found = []
            for _ in range(3):
                found.append(await rumi.aio().capability("store.get", {}))
                await asyncio.sleep(0)
            found.append(await asyncio.to_thread(rumi.capability, "store.get", {}))
            return found
        def run(context):
            context["interface_registry"].register("mine", mine)
        """
    )
    kernel.start()
    kernel.answer = lambda frame: frame.get("token")
    numbers = [kernel.call("mine", token=f"tk_{n}") for n in range(20)]
    assert [kernel.result(number)["value"] for number in numbers] == [[f"tk_{n}"] * 4 for n in range(20)]


def test_ud_10_timeouts_of_any_kind_leave_as_whole_milliseconds(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.answer = lambda frame: None
    assert kernel.value("bad") == ["VALIDATION_ERROR", "TOO_LARGE", *["VALIDATION_ERROR"] * 3]
    sent = [frame["deadline_ms"] for frame in kernel.asked]
    assert all(type(milliseconds) is int and milliseconds >= 0 for milliseconds in sent)
    assert sent[1] == 0
    assert len(sent) == 3


def test_get_secret_returns_the_value(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.answer = lambda frame: {"value": "s3"} if frame["args"] == {"key": "api"} else None
    assert kernel.value("secret") == "s3"


def test_log_lines_are_cut_and_their_fields_made_safe(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.value("logs", ctx={"run_id": "run_7", "actor": None})
    careful = kernel.log_with("careful")
    assert (careful["level"], careful["run_id"]) == ("warning", "run_7")
    assert careful["fields"] == {"number": 5, "odd": "{1, 2}"}
    long = kernel.log_with("long ")
    assert len(long["text"].encode()) <= 16 * 1024
    assert long["text"].endswith("(cut)")
    assert long["fields"] == {"cut": True}
    assert kernel.log_with("half")["text"] == "half \\ud800 pair"


def test_a_flood_of_log_lines_is_thinned_and_counted(kernel: Any) -> None:
    kernel.component(CONTEXT)
    kernel.start()
    kernel.value("flood")
    time.sleep(0.02)
    kernel.value("logs")
    lines = [frame for frame in kernel.logs if frame["text"].startswith("line ")]
    assert 400 <= len(lines) < 1500
    assert sum(frame["fields"].get("dropped_before", 0) for frame in kernel.logs) >= 1000


NESTED = """
def chain(args, ctx):
    if args["depth"] == 0:
        return 0
    return 1 + ctx.call("chain", {"depth": args["depth"] - 1})

def work(args, ctx):
    total = 0
    for n in range(args["times"]):
        total += ctx.capability("store.get", {"n": n})
    return [args["n"], total]

async def awork(args, ctx):
    total = 0
    for n in range(args["times"]):
        total += await ctx.aio.capability("store.get", {"n": n})
    return [args["n"], total]

def deep(args, ctx):
    if args:
        return deep(args - 1, ctx)
    return ctx.capability("store.get", {"n": 3})

def run(context):
    register = context["interface_registry"].register
    register("chain", chain)
    register("work", work)
    register("awork", awork)
    register("deep", deep)
    register("quick", lambda args: args)
"""


def test_sixty_four_calls_that_ask_while_they_run_all_end_with_eight_places(kernel: Any) -> None:
    kernel.component(NESTED)
    kernel.start(concurrency=8)
    kernel.answer = lambda frame: frame["args"]["n"]
    for name in ("work", "awork", "work"):
        numbers = kernel.calls(name, [{"n": n, "times": 5} for n in range(64)])
        assert [kernel.result(number)["value"] for number in numbers] == [[n, 10] for n in range(64)]
    assert len(kernel.asked) == 3 * 64 * 5


def test_ud_15_a_pack_that_calls_itself_ends_at_any_depth_that_the_kernel_allows(kernel: Any) -> None:
    kernel.component(NESTED)
    kernel.start(concurrency=1)
    back: dict[int, int] = {}
    first = kernel.call("chain", {"depth": 10})
    while True:
        frame = kernel.read()
        if frame["k"] == "call":
            back[kernel.call(frame["args"]["name"], frame["args"]["args"])] = frame["id"]
        elif frame["k"] == "result" and frame["id"] == first:
            assert frame["value"] == 10
            break
        elif frame["k"] == "result":
            assert frame["ok"], frame
            kernel.send({"k": "result", "id": back[frame["id"]], "ok": True, "value": frame["value"]})


def test_ud_15_more_chains_than_there_are_places_end_and_never_wait_for_each_other(kernel: Any) -> None:
    kernel.component(NESTED)
    kernel.start(concurrency=1)
    back: dict[int, int] = {}
    firsts = {kernel.call("chain", {"depth": 10}) for _ in range(5)}
    ended: dict[int, dict[str, Any]] = {}
    while len(ended) < len(firsts):
        frame = kernel.read()
        if frame["k"] == "call":
            back[kernel.call(frame["args"]["name"], frame["args"]["args"])] = frame["id"]
        elif frame["k"] == "result" and frame["id"] in firsts:
            ended[frame["id"]] = frame
        elif frame["k"] == "result":
            kernel.send({**frame, "id": back[frame["id"]]})
    good = [frame for frame in ended.values() if frame["ok"]]
    refused = [frame["error"] for frame in ended.values() if not frame["ok"]]
    assert all(frame["value"] == 10 for frame in good)
    assert good, "the others are given up so that some can end"
    assert refused, "fifty places are more than a pack may take"
    assert all("Every place of this pack is taken" in error["message"] for error in refused)
    assert kernel.value("quick", 1) == 1


def test_a_handler_that_waits_for_the_kernel_holds_nobody_up(kernel: Any, no_answer: object) -> None:
    kernel.component(NESTED)
    kernel.start()
    kernel.answer = lambda frame: no_answer
    waiting = [kernel.call("work", {"n": n, "times": 1}) for n in range(3)]
    assert kernel.value("quick", 1) == 1
    kernel.send({"k": "ping"})
    assert kernel.next("pong")
    while len(kernel.asked) < 3:
        kernel.asked.append(kernel.next("call"))
    for frame in reversed(kernel.asked):
        kernel.send({"k": "result", "id": frame["id"], "ok": True, "value": 4})
    assert [kernel.result(number)["value"][1] for number in waiting] == [4, 4, 4]


def test_ud_08_a_late_answer_of_a_call_that_was_given_up_is_dropped(kernel: Any, no_answer: object) -> None:
    kernel.component(NESTED)
    kernel.start()
    kernel.answer = lambda frame: no_answer
    number = kernel.call("work", {"n": 1, "times": 1})
    asked = kernel.next("call")
    kernel.send({"k": "cancel", "id": number})
    assert kernel.next("cancel") == {"k": "cancel", "id": asked["id"]}
    kernel.send({"k": "result", "id": asked["id"], "ok": True, "value": 9})
    kernel.send({"k": "result", "id": 123456, "ok": True, "value": 9})
    kernel.answer = lambda frame: 2
    assert kernel.value("work", {"n": 5, "times": 2}) == [5, 4]
    assert not kernel.kept


def test_asking_from_deep_inside_a_recursion_works(kernel: Any) -> None:
    kernel.component(NESTED)
    kernel.start()
    kernel.answer = lambda frame: {"nested": [[[[frame["args"]["n"]]]]]}
    for depth in (200, 400, 550, 580, 600, 620, 800, 900):
        assert kernel.value("deep", depth) == {"nested": [[[[3]]]]}
    for depth in range(920, 1000, 3):  # close to the end of the stack it may fail, but only that call
        frame = kernel.result(kernel.call("deep", depth))
        assert frame["ok"] or frame["error"]["message"].startswith("RecursionError"), frame
    assert kernel.value("quick", 1) == 1


def test_setup_cannot_call_yet_but_its_threads_may_wait_for_hello(kernel: Any) -> None:
    kernel.component(
        """
        import threading, rumi_capability
        answers = []
        def work():
            answers.append(rumi_capability.call("store.get", {"late": True}))
        def run(context):
            try:
                rumi_capability.call("store.get", {})
            except rumi_capability.CapabilityError as error:
                answers.append(error.code)
            thread = threading.Thread(target=work)
            thread.start()
            context["log"]("info", "set up")
            def get():
                thread.join()
                return answers
            context["interface_registry"].register("get", get)
        """
    )
    kernel.start()
    kernel.answer = lambda frame: "here"
    assert kernel.value("get") == ["UNAVAILABLE", "here"]
    assert kernel.log_with("set up")["fields"] == {"component": "main"}


def test_events_reach_the_handler_that_subscribes_name_and_get_no_answer(kernel: Any) -> None:
    kernel.component(
        """
        import rumi
        seen = []
        def on_tick(args, ctx):
            seen.append([args, ctx.run_id, rumi.capability("who")])
            raise ValueError("events may fail")
        async def on_tock(args):
            seen.append(args)
        def run(context):
            register = context["interface_registry"].register
            register("on_tick", on_tick)
            register("on_tock", on_tock)
            register("seen", lambda: seen)
        """,
        provides=["seen"],
        subscribes=[{"topic": "clock/tick", "interface": "on_tick"}, {"topic": "clock/tock", "interface": "on_tock"}],
    )
    kernel.start()
    kernel.answer = lambda frame: frame.get("token")
    event = {"k": "event", "interface": "on_tick", "topic": "clock/tick", "payload": {"n": 1}}
    kernel.send({**event, "token": "tk", "ctx": {"run_id": "r", "actor": None}})
    kernel.send({**event, "interface": "nobody"})
    assert kernel.log_with("events may fail")
    kernel.send({**event, "interface": "on_tock"})
    time.sleep(0.05)
    assert kernel.value("seen") == [
        [{"topic": "clock/tick", "payload": {"n": 1}}, "r", "tk"],
        {"topic": "clock/tick", "payload": {"n": 1}},
    ]
    assert not kernel.kept


def test_background_work_runs_on_the_packs_own_account_and_is_started_again_when_it_fails(kernel: Any) -> None:
    kernel.component(
        """
        import asyncio
        times = []
        async def poll(ctx):
            times.append(1)
            await ctx.aio.capability("store.get", {"time": len(times)})
            if len(times) < 3:
                raise ValueError("not yet")
            if len(times) < 4:
                raise SystemExit(3)
        async def forever():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                print("told to stop", flush=True)
                raise
        def run(context):
            context["background"]("poll", poll)
            context["background"]("forever", forever)
            context["interface_registry"].register("times", lambda: len(times))
        """
    )
    kernel.start()
    failed = kernel.log_with("background poll failed: ValueError: not yet")
    assert failed["fields"]["background"] == "poll"
    assert kernel.log_with("background poll has finished")["fields"]["state"] == "finished"
    assert kernel.value("times") == 4
    assert [frame.get("token") for frame in kernel.asked] == [None] * 4
    kernel.send({"k": "stop", "grace_ms": 2000})
    assert kernel.exit_code() == 0
    assert b"told to stop" in kernel.process.stdout.read()
