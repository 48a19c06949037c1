"""Writes what the code itself knows best: the generated pages of docs/reference, and the JSON Schemas for editors.

    python docs/generate_reference.py           write them
    python docs/generate_reference.py --check   write nothing; say which differ, exit code 1

The same code gives the same bytes on every machine: no path, no time and no host name goes into a page.
"""  # noqa: INP001 - a script beside the pages, no package

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path[:0] = [str(path) for path in (PROJECT, DOCS) if str(path) not in sys.path]

from generator import (  # noqa: E402 - only findable once the path is set
    admin_api_page,
    cli_page,
    errors_page,
    limits_page,
    permissions_page,
    schema_files,
    settings_page,
)


def outputs() -> Mapping[Path, str]:
    """Every generated file with its content, relative to the project."""
    reference = Path("docs/reference")
    pages = {
        reference / "settings.md": settings_page.build(),
        reference / "errors.md": errors_page.build(),
        reference / "permissions.md": permissions_page.build(),
        reference / "cli.md": cli_page.build(),
        reference / "admin-api.md": admin_api_page.build(),
        reference / "limits.md": limits_page.build(),
    }
    return {**pages, **schema_files.build()}


def differing(root: Path = PROJECT) -> list[str]:
    """The generated files below `root` that are not what the code gives now."""
    return sorted(str(path) for path, text in outputs().items() if _read(root / path) != text)


def write(root: Path = PROJECT) -> list[str]:
    """Write those that differ; which they were."""
    changed = differing(root)
    for path, text in outputs().items():
        if str(path) in changed:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    return changed


def main(arguments: Sequence[str]) -> int:
    """The command; its exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate_reference.py [--check]\n")
        return 2
    check = bool(arguments)
    names = differing() if check else write()
    for name in names:
        sys.stdout.write(f"{'differs' if check else 'written'}: {name}\n")
    return 1 if check and names else 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
