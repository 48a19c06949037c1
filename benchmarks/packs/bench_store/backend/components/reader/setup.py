"""Measures `store.get` where it is used: inside the container, by the pack's own clock."""

import threading
import time
from typing import Any

VALUE = {"title": "a note", "text": "x" * 150}


def run(context: dict[str, Any]) -> None:
    context["interface_registry"].register("bench.store_get", measure)


def measure(args: dict[str, int], ctx: Any) -> dict[str, float]:
    """`{calls, threads}`: the middle one of single calls in microseconds, and calls a second of all threads."""
    store = ctx.store("notes")
    store.set("a", VALUE)
    times: list[int] = []
    for _ in range(args["calls"]):
        began = time.perf_counter_ns()
        found = store.get("a")
        times.append(time.perf_counter_ns() - began)
        if found["value"] != VALUE:
            raise ValueError("the store gave back something else")
    return {"p50_us": sorted(times)[len(times) // 2] / 1000, "per_second": together(store, args)}


def together(store: Any, args: dict[str, int]) -> float:
    def some() -> None:
        for _ in range(args["calls"] // args["threads"]):
            store.get("a")

    threads = [threading.Thread(target=some) for _ in range(args["threads"])]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return args["calls"] // args["threads"] * args["threads"] / (time.perf_counter() - began)
