"""`rumi pack ...`: what is there, what it wants, and the owner's yes or no."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.command import CommandGroup, Invocation, confirmed, on_terminal
from core_runtime.interfaces.cli.follow import follow
from core_runtime.interfaces.cli.values import segment
from core_runtime.interfaces.ports import JsonList, JsonObject

PackId = Annotated[str, typer.Argument(metavar="ID", help="The pack's id.")]


def add_pack_commands(group: CommandGroup) -> None:
    """Register all of them."""
    for name, function in (
        ("list", pack_list),
        ("show", pack_show),
        ("plan", pack_plan),
        ("approve", pack_approve),
        ("reject", pack_reject),
        ("unblock", pack_unblock),
        ("disable", pack_disable),
        ("enable", pack_enable),
        ("logs", pack_logs),
        ("digest", pack_digest),
    ):
        group.add(name, function)


def pack_list(run: Invocation) -> None:
    """List every pack with its state."""
    packs = run.client.items("/api/packs")
    columns = ("pack_id", "state", "version", "rating", "digest")
    short = [{**pack, "digest": str(pack.get("digest") or "-")[:12]} for pack in packs]
    run.screen.result(packs, lambda: run.screen.table(short, columns))


def pack_show(run: Invocation, pack_id: PackId) -> None:
    """Show one pack."""
    shown = run.client.record(f"/api/packs/{segment(pack_id)}")
    run.screen.result(shown, lambda: run.screen.fields(shown))


def pack_plan(
    run: Invocation,
    pack_id: PackId,
    *,
    full: Annotated[bool, typer.Option("--full", help="Show text differences whole.")] = False,
) -> None:
    """Show what approving a pack would mean: files, permissions, rating."""
    plan = _plan(run, pack_id)
    run.screen.result(plan, lambda: _show_plan(run, plan, full=full, with_command=True))


def pack_approve(
    run: Invocation,
    pack_id: PackId,
    *,
    plan: Annotated[
        str | None, typer.Option(metavar="HASH", help="Approve only if the plan still has this hash.")
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(metavar="all|none|PERMISSION", help="What to grant; else every required permission as declared."),
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Name a version older than one approved before.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Approve exactly these bytes of a pack, and grant what it needs."""
    shown: JsonObject | None = None
    if plan is None and not yes:
        if not on_terminal():
            raise ValidationFailed(
                "Approving asks first, and there is no terminal to ask on.",
                hint=f"rumi pack plan {pack_id}, then rumi pack approve {pack_id} --plan HASH (or --yes)",
            )
        shown = _plan(run, pack_id)
        _show_plan(run, shown, full=False, with_command=False, to_err=True)
        if not confirmed(run.screen.words("Approve exactly this?")):
            run.screen.note(run.screen.words("Nothing was approved."))
            raise typer.Exit(1)
        plan = str(shown.get("plan_hash"))
    body: JsonObject = {"plan_hash": plan, "version": version}
    if grant:
        body["grants"] = _grants(run, pack_id, grant, shown)
    done = _object(run.client.post(f"/api/packs/{segment(pack_id)}/approve", body))
    run.screen.result(done, lambda: _say_state(run, pack_id, done))


def pack_reject(
    run: Invocation,
    pack_id: PackId,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
) -> None:
    """Say no to these bytes of a pack; the third time blocks it."""
    done = _object(run.client.post(f"/api/packs/{segment(pack_id)}/reject", {"reason": reason}))
    run.screen.result(done, lambda: _say_state(run, pack_id, done))


def pack_unblock(run: Invocation, pack_id: PackId) -> None:
    """Let a blocked pack ask again."""
    _switch(run, pack_id, "unblock")


def pack_disable(run: Invocation, pack_id: PackId) -> None:
    """Stop a pack and keep it stopped."""
    _switch(run, pack_id, "disable")


def pack_enable(run: Invocation, pack_id: PackId) -> None:
    """Undo disable."""
    _switch(run, pack_id, "enable")


def pack_logs(
    run: Invocation,
    pack_id: PackId,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many lines.")] = 200,
    watch: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show what a pack wrote into its log."""
    address = f"/api/packs/{segment(pack_id)}/logs"

    def fetch(after: int | None) -> JsonList:
        found = run.client.record(address, limit=limit, after=after).get("items")
        if not found and after is None:
            run.screen.note(run.screen.words("Nothing here."))
        return found if isinstance(found, list) else []

    follow(run.screen, fetch, ("ts", "level", "text"), watch=watch)


def pack_digest(
    run: Invocation, path: Annotated[Path, typer.Argument(metavar="PATH", help="The pack's folder.")]
) -> None:
    """Print the digest of a pack folder; works without a kernel."""
    digest = run.hooks.pack_digest(path)
    run.screen.result({"digest": digest}, lambda: run.screen.line(digest))


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {"result": value}


def _plan(run: Invocation, pack_id: str) -> JsonObject:
    return run.client.record(f"/api/packs/{segment(pack_id)}/plan")


def _show_plan(run: Invocation, plan: JsonObject, *, full: bool, with_command: bool, to_err: bool = False) -> None:
    from core_runtime.interfaces.cli.plan_view import PlanView

    columns = min(100, max(60, shutil.get_terminal_size((80, 24)).columns))
    view = PlanView(run.screen.language, columns, full)
    run.screen.lines(view.render(plan), to_err=to_err)
    if with_command:
        run.screen.lines(view.approve_command(plan))


def _grants(run: Invocation, pack_id: str, wanted: list[str], shown: JsonObject | None) -> JsonList:
    named = [name for name in wanted if name not in {"all", "none"}]
    if len(named) != len(wanted):
        if len(wanted) != 1:
            raise ValidationFailed("--grant all and --grant none stand alone.")
        if wanted == ["none"]:
            return []
        plan = shown or _plan(run, pack_id)
        rows = plan.get("permissions")
        named = [
            str(row.get("permission") or row.get("type"))
            for row in (rows if isinstance(rows, list) else [])
            if row.get("change") != "gone"
        ]
    return [{"permission": name} for name in named]


def _switch(run: Invocation, pack_id: str, action: str) -> None:
    done = _object(run.client.post(f"/api/packs/{segment(pack_id)}/{action}"))
    run.screen.result(done, lambda: _say_state(run, pack_id, done))


def _say_state(run: Invocation, pack_id: str, done: JsonObject) -> None:
    run.screen.line(run.screen.words("{pack} is now {state}.", pack=pack_id, state=done.get("state", "?")))
