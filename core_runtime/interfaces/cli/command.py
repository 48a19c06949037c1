"""How a command is made: a function over an `Invocation`, to which every command's common options are added.

So `--json`, `--url`, `--token-file` and `--lang` exist on every command by construction, every failure ends in the one
table of exit codes, and the client is imported and connected only by a command that uses it.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from typer.models import ParameterInfo

from core_runtime.errors import RumiError
from core_runtime.interfaces.cli.hooks import CliHooks
from core_runtime.interfaces.cli.screen import Screen
from core_runtime.interfaces.cli.words import choose_language, translate

if TYPE_CHECKING:
    from core_runtime.interfaces.cli.client import KernelClient

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="A kernel at this address instead of run/admin.sock.")]
TokenOption = Annotated[Path | None, typer.Option("--token-file", help="File with an API token (else RUMI_TOKEN).")]
LanguageOption = Annotated[str | None, typer.Option("--lang", help="en or ja; else by locale.")]

_COMMON: tuple[tuple[str, object, object], ...] = (
    ("as_json", JsonOption, False),
    ("url", UrlOption, None),
    ("token_file", TokenOption, None),
    ("lang", LanguageOption, None),
)


class Invocation:
    """One run of one command: its screen, its hooks and, once asked for, its connection."""

    def __init__(self, hooks: CliHooks, screen: Screen, url: str | None, token_file: Path | None) -> None:
        self.hooks = hooks
        self.screen = screen
        self._url = url
        self._token_file = token_file
        self._client: KernelClient | None = None

    @property
    def client(self) -> KernelClient:
        """The connection to the kernel."""
        if self._client is None:
            from core_runtime.interfaces.cli.client import KernelClient, Target, read_token_file
            from core_runtime.settings import environment_value

            token = read_token_file(self._token_file) if self._token_file else environment_value("RUMI_TOKEN") or None
            socket = None if self._url else self.hooks.admin_socket()
            self._client = KernelClient(Target(socket, self._url, token))
        return self._client

    def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.__exit__()


class CommandGroup:
    """Commands of one Typer application, with help in one language."""

    def __init__(self, app: typer.Typer, hooks: CliHooks, language: str) -> None:
        self._app = app
        self._hooks = hooks
        self._language = language

    def add(self, name: str, function: Callable[..., None]) -> None:
        """Add `function(run, ...)` under `name`; its docstring is the help."""
        help_text = translate(inspect.cleandoc(function.__doc__ or ""), self._language)
        self._app.command(name, help=help_text)(self._wrapped(function))

    def _wrapped(self, function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = [self._localised(parameter) for parameter in list(signature.parameters.values())[1:]]
        common = [
            self._localised(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            )
            for name, annotation, default in _COMMON
        ]

        def command(**values: object) -> None:
            as_json, url, token_file, lang = (values.pop(name) for name, _, _ in _COMMON)
            screen = Screen(as_json=bool(as_json), language=choose_language(lang) if lang else self._language)
            run = Invocation(
                self._hooks,
                screen,
                str(url) if url else None,
                token_file if isinstance(token_file, Path) else None,
            )
            _guarded(lambda: function(run, **values), run)

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *common]]
        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    def _localised(self, parameter: inspect.Parameter) -> inspect.Parameter:
        base, *metadata = get_args(parameter.annotation)
        told = []
        for info in metadata:
            mine = copy.copy(info)
            if isinstance(mine, ParameterInfo) and mine.help:
                mine.help = translate(mine.help, self._language)
            told.append(mine)
        return parameter.replace(annotation=Annotated[(base, *told)])


def _guarded(action: Callable[[], None], run: Invocation) -> None:
    try:
        action()
    except RumiError as error:
        raise typer.Exit(fail(run.screen, error)) from None
    finally:
        run.close()


def fail(screen: Screen, error: RumiError) -> int:
    """Say an error, as the JSON document or as two lines on standard error, and return the exit code."""
    from core_runtime.interfaces.cli.client import KernelUnreachable, as_json_error
    from core_runtime.interfaces.cli.terminal_text import clean
    from core_runtime.interfaces.error_table import ExitCode, exit_code

    if screen.as_json:
        screen.json(as_json_error(error))
    else:
        screen.note(clean(error.message), "bad")
        if error.hint:
            screen.note(f"  {clean(error.hint)}")
        if error.request_id and error.code.value == "INTERNAL":
            screen.note(f"  {clean(error.request_id)}", "dim")
    return int(ExitCode.UNREACHABLE if isinstance(error, KernelUnreachable) else exit_code(error))


def confirmed(question: str) -> bool:
    """Ask on standard error and wait for yes or no; anything but a clear yes is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes", "はい"}


def on_terminal() -> bool:
    """True when a person sits at both ends."""
    return sys.stdin.isatty() and sys.stderr.isatty()
