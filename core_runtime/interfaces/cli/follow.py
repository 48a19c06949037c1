"""Showing lines that go on: logs and the audit trail, once or until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from core_runtime.interfaces.cli.screen import Screen
from core_runtime.interfaces.cli.terminal_text import clean, safe_json
from core_runtime.interfaces.ports import JsonList, JsonObject

PAUSE_SECONDS = 1.0


def follow(
    screen: Screen, fetch: Callable[[int | None], JsonList], columns: Sequence[str], *, watch: bool = False
) -> None:
    """Show what `fetch(None)` gives; with `watch` go on with what comes after the highest `seq` shown.

    With `--json` it is one array, or, while watching, one object a line.
    """
    rows = fetch(None)
    if screen.as_json and not watch:
        screen.json(rows)
        return
    last = 0
    while True:
        for row in rows:
            _show(screen, row, columns)
            last = max(last, _seq(row))
        if not watch:
            return
        time.sleep(PAUSE_SECONDS)
        rows = fetch(last)


def _show(screen: Screen, row: JsonObject, columns: Sequence[str]) -> None:
    if screen.as_json:
        screen.line(safe_json(row))
        return
    level = str(row.get("level") or row.get("outcome") or "")
    style = {"error": "bad", "deny": "bad", "warning": "warn", "debug": "dim"}.get(level, "")
    cells = [clean(row.get(column) if row.get(column) is not None else "-") for column in columns]
    extra = row.get("fields") or row.get("details")
    screen.lines([[("  ".join(cells), style), (f"  {safe_json(extra)}" if extra else "", "dim")]])


def _seq(row: JsonObject) -> int:
    seq = row.get("seq")
    return seq if isinstance(seq, int) else 0
