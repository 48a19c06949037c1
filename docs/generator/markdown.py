"""Pieces of Markdown. Pure; whatever comes from the code is escaped where a table would break."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GENERATED = "<!-- Made by docs/generate_reference.py out of the code. Change the code, then run it again. -->"


def page(title: str, *parts: str) -> str:
    """A whole page: the mark that it is generated, the title, its parts with an empty line between."""
    return "\n\n".join([GENERATED, f"# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty cell stays empty."""
    lines = [_row(headings), "|" + "---|" * len(headings)]
    return "\n".join([*lines, *(_row([cell(text) for text in row]) for row in rows)])


def cell(text: str) -> str:
    """Text that does not end the cell it stands in."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """A code span, or nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
