"""The `rumi` command: puts the groups together and makes every way of ending one exit code.

`build_cli` makes the Typer application; `main` runs it. Wrong usage, Ctrl-C and a closed pipe end here, each without a
traceback and, with `--json`, as one document. Nothing of the kernel is imported until a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.command import CommandGroup, fail
from core_runtime.interfaces.cli.hooks import CliHooks
from core_runtime.interfaces.cli.pack_commands import add_pack_commands
from core_runtime.interfaces.cli.right_commands import add_right_commands
from core_runtime.interfaces.cli.screen import Screen
from core_runtime.interfaces.cli.watch_commands import add_watch_commands
from core_runtime.interfaces.cli.words import choose_language, translate
from core_runtime.interfaces.cli.work_commands import add_work_commands
from core_runtime.interfaces.error_table import ExitCode

_GROUPS = {
    "pack": "Packs: what is there, what it wants, yes or no.",
    "grant": "Grants: which pack may use which permission.",
    "permission": "The permissions that there are.",
    "flow": "Flows: check, approve, run.",
    "store": "What packs keep.",
    "audit": "The audit trail.",
    "token": "API tokens.",
}


def build_cli(hooks: CliHooks, language: str = "en") -> typer.Typer:
    """The application, with its help in `language`."""
    app = typer.Typer(
        name="rumi",
        help=translate("Rumi: strangers' packs, approved by hash, in containers without a network.", language),
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    groups: dict[str, CommandGroup] = {}
    for name, text in _GROUPS.items():
        sub = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
        app.add_typer(sub, name=name, help=translate(text, language))
        groups[name] = CommandGroup(sub, hooks, language)
    top = CommandGroup(app, hooks, language)
    add_watch_commands(top, groups["audit"], with_bench=hooks.bench is not None)
    add_pack_commands(groups["pack"])
    add_right_commands(groups["grant"], groups["permission"], groups["token"])
    add_work_commands(top, groups["flow"], groups["store"])
    return app


def main(hooks: CliHooks, argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    language = choose_language(_language_option(arguments))
    try:
        code = build_cli(hooks, language)(args=arguments, prog_name="rumi", standalone_mode=False)
        sys.stdout.flush()
        if code == ExitCode.INTERRUPTED:
            sys.stderr.write("\n")
        return int(code or 0)
    except typer.TyperException as error:
        return _misused(error, arguments, language)
    except (KeyboardInterrupt, typer.Abort):
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # the reader has seen enough; without this the interpreter complains while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _misused(error: typer.TyperException, arguments: Sequence[str], language: str) -> int:
    text = error.format_message()
    if text.startswith("Usage:"):  # a group without a command: its help is the answer
        sys.stderr.write(text + "\n")
        return error.exit_code
    screen = Screen(as_json="--json" in arguments, language=language)
    return fail(screen, ValidationFailed(text, hint=translate("rumi --help lists what there is.", language)))


def _language_option(arguments: Sequence[str]) -> str | None:
    for index, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
        if argument == "--lang" and index + 1 < len(arguments):
            return arguments[index + 1]
    return None
