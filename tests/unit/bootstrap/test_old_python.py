"""An old Python is told so: `bootstrap.py` itself must be readable by it."""

import ast
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[3] / "bootstrap.py"


def run_under(version: tuple[int, int], platform: str = "linux", *arguments: str) -> tuple[int, str]:
    """`main()` of the file under another `sys`."""
    names: dict[str, object] = {"__name__": "bootstrap"}
    exec(compile(BOOTSTRAP.read_text(), str(BOOTSTRAP), "exec"), names)
    stream = io.StringIO()
    names["sys"] = SimpleNamespace(
        version_info=version, argv=["bootstrap.py", *arguments], stderr=stream, platform=platform
    )
    return names["main"](), stream.getvalue()


def test_the_first_file_parses_on_python_3_6():
    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 6))


def test_the_first_file_imports_nothing_of_ours_before_it_knows_the_version():
    tree = ast.parse(BOOTSTRAP.read_text())
    assert [node.names[0].name for node in tree.body if isinstance(node, ast.Import)] == ["sys"]
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 10)])
def test_an_old_python_gets_one_sentence_and_a_command(version: tuple[int, int]):
    code, text = run_under(version, "linux", "setup")
    assert code == 1
    assert text.startswith(f"problem: Rumi needs Python 3.11 or newer; this one is 3.{version[1]}.\n   mend: ")
    assert "bootstrap.py setup" in text
    assert max(map(len, text.splitlines())) <= 80


def test_windows_is_told_of_wsl():
    code, text = run_under((3, 12), "win32")
    assert code == 1
    assert "WSL 2" in text
    assert "wsl --install" in text


def test_the_steps_need_nothing_but_the_standard_library():
    import sys

    for path in [BOOTSTRAP, *(BOOTSTRAP.parent / "bootstrap_steps").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in {"bootstrap_steps", *sys.stdlib_module_names}, (
                    f"{path.name} imports {name}"
                )
