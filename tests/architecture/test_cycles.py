"""No circle of imports anywhere: those of types alone and those inside functions count as much as any other.

A circle that is hidden behind `TYPE_CHECKING` or moved into a function still means that no file of it can be read,
tested or changed without the others. So the source is read here, not what happens to run at start.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A folder that Python looks for modules in -> which of those there are ours ("." is all).
PLACES = {
    "": ("app.py", "rumi_command.py", "bootstrap.py", "core_runtime", "backend_core", "bootstrap_steps", "benchmarks"),
    "docker/core/base": (".",),
    "docker/core/runtime": (".",),
    "docs": (".",),
}

Lines = dict[str, set[int]]  # a module that is imported -> the lines that do it


def modules_of(root: Path, places: Mapping[str, tuple[str, ...]]) -> dict[str, Path]:
    """Every module by the name that it is imported by; a package's name stands for its `__init__`."""
    found: dict[str, Path] = {}
    for place, members in places.items():
        for member in members:
            top = root / place / member
            assert top.exists(), f"{top} is to be read, and is not there"
            for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
                parts = path.relative_to(root / place).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                assert name not in found, f"{name} is the name of two modules"
                found[name] = path
    return found


def wanted_by(tree: ast.Module, package: str) -> Iterator[tuple[int, str, str]]:
    """Each import as its line, the module named, and what is taken from that (nothing for `import module`)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "name")]
            if called in {"import_module", "__import__"} and given and isinstance(given[0], ast.Constant):
                yield node.lineno, absolute(str(given[0].value), package), ""


def absolute(name: str, package: str) -> str:
    """The full name of what `package` calls `name`; each dot after the first is one package further up."""
    bare = name.lstrip(".")
    level = len(name) - len(bare)
    if not level:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([bare] if bare else [])])


def imports_of(modules: Mapping[str, Path]) -> dict[str, Lines]:
    """Who imports whom, among these modules. What is taken from a package is its module of that name, if it has one."""
    edges: dict[str, Lines] = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        lines: Lines = {}
        for line, base, taken in wanted_by(ast.parse(path.read_bytes()), package):
            member = f"{base}.{taken}"
            target = member if member in modules else base
            if target in modules and target != name:
                lines.setdefault(target, set()).add(line)
        edges[name] = lines
    return edges


def circles(edges: Mapping[str, Lines]) -> list[set[str]]:
    """The strongly connected parts of more than one module."""
    left = {name: set(targets) for name, targets in edges.items()}
    while ends := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ends:  # it leans on nothing that is left, so no circle goes through it
            del left[name]
    reach = {name: reached_from(name, left) for name in left}
    parts = {frozenset(other for other in reach[name] if name in reach[other]) for name in left}
    return sorted((set(part) for part in parts if len(part) > 1), key=min)


def reached_from(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    """All that `start` leads to, by any number of steps."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for target in edges[ahead.pop()] & edges.keys() - seen:
            seen.add(target)
            ahead.append(target)
    return seen


def drawn(circle: set[str], edges: Mapping[str, Lines], where: Mapping[str, str]) -> str:
    """One circle for people: each import that is part of it, as file and line."""
    steps = [
        f"  {where[name]}:{line} imports {where[target]}"
        for name in sorted(circle)
        for target, lines in sorted(edges[name].items())
        if target in circle
        for line in sorted(lines)
    ]
    return "\n".join([f"a circle of {len(circle)} files:", *steps])


def found_circles(root: Path, places: Mapping[str, tuple[str, ...]]) -> list[str]:
    modules = modules_of(root, places)
    edges = imports_of(modules)
    where = {name: str(path.relative_to(root)) for name, path in modules.items()}
    return [drawn(circle, edges, where) for circle in circles(edges)]


def test_no_module_imports_itself_through_others():
    found = found_circles(ROOT, PLACES)
    assert not found, "\n" + "\n".join(found)


# -- and the reader itself


def written(root: Path, files: Mapping[str, str]) -> list[str]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return found_circles(root, {"": tuple(sorted({name.partition("/")[0] for name in files}))})


@pytest.mark.parametrize(
    ("line", "back"),
    [
        pytest.param(1, "import pkg.a", id="plain"),
        pytest.param(1, "import sys, pkg.a as x", id="one of several, renamed"),
        pytest.param(1, "from pkg.a import thing", id="a name of the module"),
        pytest.param(1, "from pkg import a", id="the module from its package"),
        pytest.param(1, "from . import a", id="relative"),
        pytest.param(1, "from .a import (\n    thing as other,\n    more,\n)", id="names, relative"),
        pytest.param(1, "from pkg.a import *", id="all"),
        pytest.param(3, "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from pkg.a import thing", id="for types alone"),
        pytest.param(2, "def late():\n    from pkg.a import thing\n    return thing", id="inside a function"),
        pytest.param(3, "class C:\n    async def late(self):\n        import pkg.a", id="in a method"),
        pytest.param(2, "import importlib\nimportlib.import_module('pkg.a')", id="by a text"),
        pytest.param(2, "from importlib import *\nimport_module('.a', __package__)", id="by a relative text"),
        pytest.param(1, "__import__('pkg.a')", id="by the built-in"),
        pytest.param(1, "__import__(name='pkg.a')", id="by the built-in, with a keyword"),
    ],
)
def test_a_way_back_of_any_kind_closes_a_circle(tmp_path, line, back):
    files = {"pkg/__init__.py": "", "pkg/a.py": "from pkg import b\nthing = b", "pkg/b.py": back}
    assert written(tmp_path, files) == [
        f"a circle of 2 files:\n  pkg/a.py:1 imports pkg/b.py\n  pkg/b.py:{line} imports pkg/a.py"
    ]


def test_a_name_out_of_a_package_is_an_import_of_its_init(tmp_path):
    files = {"pkg/__init__.py": "from pkg.a import thing", "pkg/a.py": "thing = 1", "pkg/b.py": "from pkg import thing"}
    assert written(tmp_path, files) == []
    files["pkg/a.py"] = "def late():\n    from pkg import __doc__ as thing\n    return thing"
    (circle,) = written(tmp_path, files)
    assert circle.splitlines()[1:] == ["  pkg/__init__.py:1 imports pkg/a.py", "  pkg/a.py:2 imports pkg/__init__.py"]


def test_dots_climb_out_of_packages(tmp_path):
    files = {
        "pkg/__init__.py": "",
        "pkg/top.py": "import pkg.deep.low",
        "pkg/deep/__init__.py": "from .low import x",
        "pkg/deep/low.py": "from .. import top\nx = top",
    }
    (circle,) = written(tmp_path, files)
    assert circle.splitlines()[1:] == [
        "  pkg/deep/low.py:1 imports pkg/top.py",
        "  pkg/top.py:1 imports pkg/deep/low.py",
    ]


def test_two_circles_are_two_and_what_only_leads_to_them_or_away_is_in_none(tmp_path):
    files = {
        "start.py": "import one, only_read",
        "one.py": "import two",
        "two.py": "import three, bridge",
        "three.py": "import one\nfrom one import x",
        "bridge.py": "import red",
        "red.py": "import blue",
        "blue.py": "import red, only_read",
        "only_read.py": "import sys",
    }
    first, second = written(tmp_path, files)
    assert first.splitlines() == ["a circle of 2 files:", "  blue.py:1 imports red.py", "  red.py:1 imports blue.py"]
    assert second.splitlines() == [
        "a circle of 3 files:",
        "  one.py:1 imports two.py",
        "  three.py:1 imports one.py",
        "  three.py:2 imports one.py",
        "  two.py:1 imports three.py",
    ]


def test_what_is_no_module_of_ours_or_cannot_be_known_is_no_edge(tmp_path):
    files = {
        "a.py": "import os, b\nfrom os import path",
        "b.py": "from importlib import import_module\nimport_module(a)",
    }
    assert written(tmp_path, files) == []
