"""`rumi serve`, `status`, `doctor`, `audit` and `bench`: starting the kernel and looking after it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from core_runtime.errors import RumiError
from core_runtime.interfaces.cli.command import CommandGroup, Invocation
from core_runtime.interfaces.cli.follow import follow
from core_runtime.interfaces.cli.hooks import ServeOptions
from core_runtime.interfaces.cli.screen import Line, Screen
from core_runtime.interfaces.cli.terminal_text import clean, pad
from core_runtime.interfaces.cli.values import parse_duration
from core_runtime.interfaces.ports import JsonList, JsonObject

Category = Annotated[str | None, typer.Option(metavar="CATEGORY", help="Only lines of this category.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many lines.")]

_COLUMNS = ("ts", "category", "action", "outcome", "principal", "actor", "rule")
_MARKS = {"ok": ("ok", "good"), "info": ("info", "dim"), "warning": ("warning", "warn"), "problem": ("problem", "bad")}


def add_watch_commands(top: CommandGroup, audit: CommandGroup, *, with_bench: bool) -> None:
    """Register all of them."""
    top.add("serve", serve)
    top.add("status", status)
    top.add("doctor", doctor)
    if with_bench:
        top.add("bench", bench)
    audit.add("tail", audit_tail)
    audit.add("query", audit_query)
    audit.add("verify", audit_verify)


def serve(
    run: Invocation,
    *,
    approve_bundled: Annotated[
        bool, typer.Option("--approve-bundled", help="Approve the packs that this version lists by digest.")
    ] = False,
) -> None:
    """Run the kernel until Ctrl-C."""
    _end(run.hooks.serve(ServeOptions(approve_bundled)))


def status(
    run: Invocation,
    *,
    settings: Annotated[bool, typer.Option("--settings", help="Show every setting and where it comes from.")] = False,
) -> None:
    """Show how the kernel is."""
    shown = run.client.record("/api/status")
    if settings:
        shown["settings"] = run.client.items("/api/settings")
    run.screen.result(shown, lambda: _status(run.screen, shown))


def doctor(run: Invocation) -> None:
    """Check everything and say how to mend what is wrong; works without a kernel."""
    checks = run.hooks.doctor()
    with suppress(RumiError):  # without a kernel there is nothing more to ask
        said = run.client.record("/api/status").get("diagnostics")
        checks += [dict(item) for item in said if isinstance(item, dict)] if isinstance(said, list) else []
    run.screen.result(checks, lambda: _findings(run.screen, checks))
    if any(check.get("severity") == "problem" for check in checks):
        raise typer.Exit(1)


def bench(
    run: Invocation,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Such as P1; else all.")] = None,
) -> None:
    """Measure the promises about speed on this computer."""
    if run.hooks.bench is not None:
        _end(run.hooks.bench(tuple(names or ())))


def audit_tail(
    run: Invocation,
    *,
    limit: Limit = 50,
    category: Category = None,
    watch: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the newest lines of the audit trail."""

    def fetch(after: int | None) -> JsonList:
        found = run.client.record("/api/audit", limit=limit, category=category, after=after).get("items")
        return found if isinstance(found, list) else []

    follow(run.screen, fetch, _COLUMNS, watch=watch)


def audit_query(
    run: Invocation,
    *,
    category: Category = None,
    principal: Annotated[str | None, typer.Option(metavar="PACK", help="Only lines about this pack.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action.")] = None,
    outcome: Annotated[str | None, typer.Option(metavar="allow|deny|ok|error", help="Only this outcome.")] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="Only this request.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="Only the last 15m, 12h, 7d, ...")] = None,
) -> None:
    """Search the audit trail."""
    begin = None if since is None else time.time() - parse_duration(since)
    rows = run.client.items(
        "/api/audit",
        category=category,
        principal=principal,
        action=action,
        outcome=outcome,
        request_id=request,
        since=begin,
    )
    rows.sort(key=lambda row: row["seq"] if isinstance(row.get("seq"), int) else 0)  # type: ignore[arg-type,return-value]
    follow(run.screen, lambda _: rows, _COLUMNS)


def audit_verify(run: Invocation) -> None:
    """Check that no line of the audit trail was changed or lost; works without a kernel."""
    report = run.hooks.audit_verify()
    run.screen.result(report, lambda: _verified(run.screen, report))
    if not report.get("ok"):
        raise typer.Exit(1)


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


def _status(screen: Screen, shown: JsonObject) -> None:
    known = shown.get("diagnostics")
    findings = known if isinstance(known, list) else []
    plain = {key: value for key, value in shown.items() if key not in {"diagnostics", "settings"}}
    screen.fields(plain)
    screen.line()
    _findings(screen, findings)
    settings = shown.get("settings")
    if isinstance(settings, list):
        screen.line()
        screen.table(settings, ("variable", "value", "source", "description"))


def _findings(screen: Screen, findings: Sequence[JsonObject]) -> None:
    if not findings:
        screen.line(screen.words("Nothing is wrong."), "good")
    for finding in findings:
        word, style = _MARKS.get(str(finding.get("severity")), ("problem", "bad"))
        subject = f"{clean(finding['subject'])}: " if finding.get("subject") else ""
        lines: list[Line] = [
            [(pad(screen.words(word), 9), style), (subject, "head"), (clean(finding.get("message")), "")]
        ]
        if finding.get("hint"):
            lines.append([(" " * 9, ""), (clean(finding["hint"]), "dim")])
        screen.lines(lines)


def _verified(screen: Screen, report: JsonObject) -> None:
    if report.get("ok"):
        words = screen.words("The trail is whole: {lines} lines in {files} files.", **_counts(report))
        screen.line(words, "good")
    else:
        screen.line(screen.words("The trail is broken at {place}.", place=report.get("first_bad")), "bad")


def _counts(report: JsonObject) -> JsonObject:
    return {"lines": report.get("lines", 0), "files": report.get("files", 0)}
