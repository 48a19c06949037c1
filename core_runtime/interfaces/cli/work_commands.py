"""`rumi flow`, `rumi call` and `rumi store`: making it work and looking at what it keeps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.command import CommandGroup, Invocation
from core_runtime.interfaces.cli.screen import Screen
from core_runtime.interfaces.cli.terminal_text import clean, safe_json
from core_runtime.interfaces.cli.values import parse_duration, parse_pairs, segment
from core_runtime.interfaces.ports import JsonObject

MAX_FLOW_BYTES = 1_048_576
Timeout = Annotated[str | None, typer.Option(metavar="DURATION", help="Give up after 30s, 15m, ...")]
FlowName = Annotated[str, typer.Argument(metavar="NAME", help="The flow's id.")]


def add_work_commands(top: CommandGroup, flow: CommandGroup, store: CommandGroup) -> None:
    """Register all of them."""
    flow.add("list", flow_list)
    flow.add("validate", flow_validate)
    flow.add("approve", flow_approve)
    flow.add("run", flow_run)
    flow.add("explain", flow_explain)
    top.add("call", call)
    store.add("list", store_list)
    store.add("get", store_get)


def flow_list(run: Invocation) -> None:
    """List every flow."""
    rows = run.client.items("/api/flows")
    run.screen.result(rows, lambda: run.screen.table(rows, ("flow_id", "owner", "state", "description")))


def flow_validate(run: Invocation, file: Annotated[Path, typer.Argument(metavar="FILE", help="A flow file.")]) -> None:
    """Check a flow file and list all its mistakes; works without a kernel."""
    report = run.hooks.flow_validate(file)
    run.screen.result(report, lambda: _problems(run.screen, file, report))
    if not report.get("ok"):
        raise typer.Exit(2)


def flow_approve(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A flow file in the flows folder of the profile.")],
) -> None:
    """Approve a flow of your own, exactly as the file is now."""
    path = Path(file)
    body: JsonObject = {"file": path.name}
    if path.is_file():
        with path.open("rb") as opened:
            raw = opened.read(MAX_FLOW_BYTES + 1)
        body["digest"] = hashlib.sha256(raw).hexdigest()
    elif path.name != file:
        raise ValidationFailed("There is no such file.", hint="rumi flow list shows what waits.")
    done = run.client.post("/api/flows/approve", body)
    run.screen.result(done, lambda: run.screen.fields(done if isinstance(done, dict) else {}))


def flow_run(
    run: Invocation,
    name: FlowName,
    *,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="k=v", help="k=text, k:=JSON or @FILE.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    timeout: Timeout = None,
) -> None:
    """Run a flow and print its outputs."""
    body: JsonObject = {"inputs": parse_pairs(inputs or [], "--input"), "detach": detach}
    if timeout is not None:
        body["timeout"] = parse_duration(timeout)
    done = run.client.post(f"/api/flows/{segment(name)}/run", body, long=True)
    answer = done if isinstance(done, dict) else {}
    value = answer if detach else answer.get("outputs")
    run.screen.result(value, lambda: run.screen.line(safe_json(value, indent=2)))


def flow_explain(run: Invocation, name: FlowName) -> None:
    """Show a flow as it runs, with the author of every step."""
    shown = run.client.record(f"/api/flows/{segment(name)}")
    run.screen.result(shown, lambda: _explained(run.screen, shown))


def call(
    run: Invocation,
    interface: Annotated[str, typer.Argument(metavar="INTERFACE", help="Such as service.hello.")],
    *,
    arg: Annotated[list[str] | None, typer.Option("--arg", metavar="k=v", help="k=text, k:=JSON or @FILE.")] = None,
    timeout: Timeout = None,
) -> None:
    """Call an interface and print what it returns."""
    body: JsonObject = {"args": parse_pairs(arg or [], "--arg")}
    if timeout is not None:
        body["timeout"] = parse_duration(timeout)
    value = run.client.post(f"/api/interfaces/{segment(interface)}/call", body, long=True)
    run.screen.result(value, lambda: run.screen.line(safe_json(value, indent=2)))


def store_list(
    run: Invocation,
    store: Annotated[str | None, typer.Argument(metavar="[PACK/STORE]", help="List the keys of this store.")] = None,
    *,
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
) -> None:
    """List stores, or the keys of one."""
    if store is None:
        rows = run.client.items("/api/stores")
        columns: tuple[str, ...] = ("pack_id", "store", "keys", "bytes", "quota_bytes")
    else:
        rows = run.client.items(_store_path(store), prefix=prefix or None)
        columns = ("key", "version")
    run.screen.result(rows, lambda: run.screen.table(rows, columns))


def store_get(
    run: Invocation,
    store: Annotated[str, typer.Argument(metavar="PACK/STORE", help="Which store.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Which key.")],
) -> None:
    """Print one value of a store."""
    found = run.client.record(f"{_store_path(store)}/{segment(key)}")
    run.screen.result(found, lambda: run.screen.line(safe_json(found.get("value"), indent=2)))


def _store_path(text: str) -> str:
    pack_id, slash, store = text.partition("/")
    if not slash or not pack_id or not store:
        raise ValidationFailed(f"{text!r} is not PACK/STORE.", hint="rumi store list")
    return f"/api/stores/{segment(pack_id)}/{segment(store)}"


def _problems(screen: Screen, file: Path, report: JsonObject) -> None:
    problems = report.get("problems")
    for problem in problems if isinstance(problems, list) else []:
        place = ":".join(str(problem[key]) for key in ("line", "column") if problem.get(key) is not None)
        help_ = [str(problem["hint"])] if problem.get("hint") else []
        if problem.get("expected"):
            help_.append(screen.words("Expected {what}.", what=clean(problem["expected"])))
        if problem.get("nearest"):
            help_.append(screen.words("Did you mean {name}?", name=clean(problem["nearest"])))
        where = f"{clean(file)}:{place}: ".replace(":: ", ": ")
        told = (clean(problem.get("message")), "bad")
        screen.lines([[(where, "dim"), told, (" " + " ".join(help_) if help_ else "", "")]])
    if report.get("ok"):
        screen.line(screen.words("{file} is a flow without mistakes.", file=file), "good")


def _explained(screen: Screen, shown: JsonObject) -> None:
    steps = shown.get("steps")
    screen.fields({key: value for key, value in shown.items() if key != "steps"})
    screen.line()
    screen.table(steps if isinstance(steps, list) else [], ("id", "kind", "phase", "author"))
