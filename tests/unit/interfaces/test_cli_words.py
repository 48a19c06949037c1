"""Every text of the command line has its Japanese."""

import ast
import string
from pathlib import Path

from core_runtime.interfaces.cli import application
from core_runtime.interfaces.cli.words import _JAPANESE, choose_language, translate
from core_runtime.interfaces.cli.words_help import JAPANESE_HELP

FOLDER = Path(application.__file__).parent


def spoken() -> set[str]:
    """Literals handed to `words`, `_t` and `translate`, and the help of options and arguments."""
    found = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"words", "_t", "translate"}:
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
            if name in {"Option", "Argument"}:
                found |= {key.value.value for key in node.keywords if key.arg == "help"}
    return found


def test_every_text_and_every_help_is_there_in_japanese():
    missing = {text for text in spoken() if translate(text, "ja") == text}
    assert not missing


def test_every_command_is_described_in_japanese():
    missing = set()
    for file in FOLDER.glob("*_commands.py"):
        for node in ast.parse(file.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef)
                and node.args.args
                and node.args.args[0].arg == "run"
                and not node.name.startswith("_")
            ):
                told = ast.get_docstring(node) or ""
                missing |= {told} if told not in JAPANESE_HELP else set()
    assert not missing


def test_both_languages_take_the_same_values():
    for english, japanese in {**_JAPANESE, **JAPANESE_HELP}.items():
        fields = lambda text: sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)  # noqa: E731
        assert fields(english) == fields(japanese), english


def test_an_unknown_language_is_english():
    assert choose_language("fr") == "en"
    assert choose_language("ja") == "ja"
    assert translate("Files", "fr") == "Files"
