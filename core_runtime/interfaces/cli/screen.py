"""Where output goes: one JSON document on standard output with `--json`, otherwise text for a person.

On a terminal there are colours and tables; in a pipe the same lines come plain, in aligned columns, with nothing cut.
All text passes `clean` first and no markup language is interpreted, so that no stranger's text can act here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from core_runtime.interfaces.cli.terminal_text import clean, pad, safe_json, width_of
from core_runtime.interfaces.cli.words import translate

Line = Sequence[tuple[str, str]]
"""A line as parts of (text, style); a style is a name of `STYLES` or empty."""

STYLES: Mapping[str, str] = {
    "head": "bold",
    "dim": "dim",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
    "add": "green",
    "change": "yellow",
    "remove": "red",
    "low": "green",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
_STATE_STYLES = {
    **dict.fromkeys(("approved", "ready", "running", "ok", "allow", "finished"), "good"),
    **dict.fromkeys(("pending", "modified", "warning", "starting"), "warn"),
    **dict.fromkeys(("rejected", "blocked", "invalid", "problem", "deny", "error", "failed"), "bad"),
    "disabled": "dim",
    **{risk: risk for risk in ("low", "medium", "high", "critical")},
}


class Screen:
    """One command's output."""

    def __init__(self, *, as_json: bool, language: str, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self.language = language
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def words(self, text: str, **values: object) -> str:
        """A text of ours in the language of the screen; the values are cleaned."""
        return translate(text, self.language).format(**{key: clean(value) for key, value in values.items()})

    def result(self, value: object, human: Callable[[], None]) -> None:
        """The command's answer: `value` as the one JSON document, or what `human` writes."""
        if self.as_json:
            self.json(value)
        else:
            human()

    def json(self, value: object) -> None:
        """One JSON document."""
        utf8 = (getattr(self._out, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
        indent = 2 if self._out.isatty() else None
        self._out.write(safe_json(value, indent=indent, ascii_only=not utf8) + "\n")

    def line(self, text: str = "", style: str = "") -> None:
        """One line on standard output."""
        self.lines([[(text, style)]])

    def lines(self, lines: Sequence[Line], *, to_err: bool = False) -> None:
        """Lines of styled parts, as they are: no wrapping, no markup."""
        stream = self._err if to_err else self._out
        if not stream.isatty():
            for line in lines:
                stream.write("".join(text for text, _ in line).rstrip() + "\n")
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        for line in lines:
            styled = Text.assemble(*((text, STYLES.get(style, "")) for text, style in line))
            console.print(styled, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """One line beside the answer, on standard error."""
        self.lines([[(text, style)]], to_err=True)

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        """A table of these fields; a heading for each, in the language of the screen."""
        headings = [self.words(column.replace("_", " ")).upper() for column in columns]
        cells = [[_cell(row.get(column)) for column in columns] for row in rows]
        if not rows:
            self.note(self.words("Nothing here."), "dim")
        elif self._out.isatty():
            self._rich_table(headings, cells)
        else:
            widths = [max(width_of(line[index]) for line in [headings, *cells]) for index in range(len(columns))]
            for line in [headings, *cells]:
                self._out.write("  ".join(map(pad, line, widths)).rstrip() + "\n")

    def _rich_table(self, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(Text(heading), overflow="fold")
        for line in cells:
            table.add_row(*(Text(cell, STYLES.get(_STATE_STYLES.get(cell, ""), "")) for cell in line))
        Console(file=self._out, highlight=False, markup=False, emoji=False).print(table)

    def fields(self, value: Mapping[str, object]) -> None:
        """One object, a line for each field."""
        width = max((width_of(clean(key)) for key in value), default=0)
        for key, item in value.items():
            text = _cell(item)
            self.lines([[(pad(clean(key), width) + "  ", "dim"), (text, _STATE_STYLES.get(text, ""))]])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return clean(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(clean(item) for item in value) or "-"
    if isinstance(value, dict) and value and all(isinstance(item, int | float) for item in value.values()):
        return ", ".join(f"{clean(key)} {item}" for key, item in value.items())
    return safe_json(value)
