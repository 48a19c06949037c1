"""The page of the `rumi` command, out of the very application that the command runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

import typer

from core_runtime.interfaces.cli.application import build_cli
from core_runtime.interfaces.cli.hooks import CliHooks
from generator.markdown import code, page, table

_INTRODUCTION = """
`rumi` is a client of the running kernel: it talks to `run/admin.sock` of the profile, or with `--url` and a token to
another address. The commands that say so work without a kernel. Results go to standard output, everything else to
standard error. Exit codes are on the page of [errors](errors.md).

These options stand on every command:
"""

_VALUES = """
A value `k=v` is text, `k:=JSON` is JSON, `@FILE` is a file with one JSON object (`@-` reads it from standard input). A
duration is a number with `s`, `m`, `h`, `d` or `w`, such as `15m`.
"""

_COMMON = ("--json", "--url", "--token-file", "--lang")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument as the command line knows it."""

    usage: str
    names: tuple[str, ...]
    help: str
    default: str
    is_option: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its full name, such as `rumi pack list`."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]


def application() -> object:
    """The command line as it is started; what would stand behind it is never called here."""
    return typer.main.get_command(build_cli(CliHooks(**{field.name: _never for field in fields(CliHooks)})))


def _never(*_: object) -> NoReturn:
    raise NotImplementedError("the reference pages run no command")


def commands(group: object | None = None, path: Sequence[str] = ("rumi",)) -> Iterator[Command]:
    """Every command, in the order of its group."""
    top = application() if group is None else group
    for name, found in dict(getattr(top, "commands", {})).items():
        if getattr(found, "commands", None) is not None:
            yield from commands(found, (*path, name))
        else:
            told = " ".join((getattr(found, "help", "") or "").split())
            yield Command(" ".join((*path, name)), told, tuple(_parameter(item) for item in _params(found)))


def build() -> str:
    """The page."""
    found = list(commands())
    common = [item for item in found[0].parameters if item.names[0] in _COMMON]
    rows = [(f"[`{item.name}`](#{item.name.replace(' ', '-')})", item.help) for item in found]
    return page(
        "The rumi command",
        _INTRODUCTION,
        _parameters(common),
        _VALUES,
        table(("command", "does"), rows),
        *(_section(item) for item in found),
    )


def _section(command: Command) -> str:
    own = [item for item in command.parameters if item.names[0] not in _COMMON]
    usage = " ".join([command.name, *(item.usage for item in own)])
    lines = [f"## {command.name}", command.help, f"```text\n{usage}\n```"]
    if own:
        lines.append(_parameters(own))
    return "\n\n".join(lines)


def _parameters(items: Sequence[Parameter]) -> str:
    return table(
        ("option", "default", "for"),
        [(", ".join(code(name) for name in item.names), item.default, item.help) for item in items],
    )


def _params(found: object) -> list[object]:
    return [item for item in getattr(found, "params", []) if "--help" not in getattr(item, "opts", [])]


def _parameter(item: object) -> Parameter:
    option = getattr(item, "param_type_name", "") == "option"
    opts = tuple(getattr(item, "opts", ()))
    repeats = bool(getattr(item, "multiple", False))
    metavar = str(getattr(item, "metavar", None) or str(getattr(item, "name", "")).upper())
    value = "" if getattr(item, "is_flag", False) else f" {metavar}"
    if option:
        usage = f"{opts[0]}{value}" + (" ..." if repeats else "")
        names = (f"{opts[0]}{value}" if opts[0] not in _COMMON else opts[0], *opts[1:])
    else:
        usage, names = metavar, (metavar,)
    required = bool(getattr(item, "required", False))
    bracketed = usage if required or usage.startswith("[") else f"[{usage}]"
    default = getattr(item, "default", None)
    shown = "required" if required else "" if default in (None, False, "", [], ()) else code(default)
    return Parameter(bracketed, names, str(getattr(item, "help", "") or ""), shown, option)
