"""The documents say what the code does: generated pages are fresh, nothing is left out, links and commands exist."""

import ast
import dataclasses
import importlib
import importlib.util
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

import core_runtime
from backend_core.ecosystem import models
from core_runtime.approval.model import PackState
from core_runtime.errors import ErrorCode
from core_runtime.flows.expressions.functions import FUNCTIONS
from core_runtime.flows.loading.kinds import KINDS
from core_runtime.flows.running.state import RunState
from core_runtime.handlers.listing import builtin_catalogue
from core_runtime.interfaces.admin.routes import ROUTES
from core_runtime.interfaces.cli.application import build_cli
from core_runtime.interfaces.cli.hooks import CliHooks
from core_runtime.interfaces.error_table import ExitCode
from core_runtime.sandbox.status import PackState as ContainerState
from core_runtime.settings import KernelSettings, variable_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
READMES = (ROOT / "README.md", ROOT / "README.ja.md")
PAGES = sorted(DOCS.rglob("*.md"))
WRITTEN = (*READMES, *PAGES, ROOT / "CHANGELOG.md")
GENERATED_MARK = "<!-- Made by docs/generate_reference.py"
# Absolute paths that a reader of any machine knows: of the container, of the API, of every Linux.
KNOWN_ROOTS = {"api", "deps", "dev", "etc", "health", "metrics", "opt", "pack", "proc", "run", "things", "files", "tmp"}
ABSOLUTE = re.compile(r"(?<![\w.:<>*/)\]}-])/([a-z][\w.-]*)((?:/[\w.{}:-]+)*)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def page(relative: str) -> str:
    return (DOCS / relative).read_text("utf-8")


def generator(module: str):
    """A module of the generator, which is a script beside the pages and no installed package."""
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    return importlib.import_module(module)


def command_line():
    """The `rumi` command as it is started; what is behind it is never called."""
    hooks = CliHooks(**{field.name: (lambda *_: None) for field in dataclasses.fields(CliHooks)})
    return typer.main.get_command(build_cli(hooks))


def leaf_commands(group=None, path=("rumi",)) -> Iterator[tuple[tuple[str, ...], object]]:
    for word, found in (group or command_line()).commands.items():
        if getattr(found, "commands", None) is not None:
            yield from leaf_commands(found, (*path, word))
        else:
            yield (*path, word), found


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    lines: tuple[str, ...]

    def commands(self) -> list[str]:
        return [line.removeprefix("$ ") for line in self.lines if line.startswith("$ ")]


def blocks(text: str) -> list[Block]:
    found, lines, language = [], [], None
    for line in text.splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines = line[3:].strip(), []
            else:
                found.append(Block(language, tuple(lines)))
                language = None
        elif language is not None:
            lines.append(line)
    assert language is None, "a fenced block is not closed"
    return found


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def pack_models() -> list[type[BaseModel]]:
    """The models of the three files, each with what lies in it."""
    found = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    return [model for model in found if model.__module__ == models.__name__ and model.model_fields]


# -- what the generator makes


def test_the_generated_files_are_what_the_code_gives_now():
    differing = generator("generate_reference").differing()
    assert differing == [], "run: python docs/generate_reference.py"


def test_the_generator_says_what_differs_and_writes_it(tmp_path):
    generate = generator("generate_reference")
    assert generate.write(tmp_path) == sorted(str(path) for path in generate.outputs())
    page_of_errors = tmp_path / "docs" / "reference" / "errors.md"
    page_of_errors.write_text(page_of_errors.read_text("utf-8").replace("CONFLICT", "CONFLICTS"), encoding="utf-8")
    assert generate.differing(tmp_path) == ["docs/reference/errors.md"]


def test_the_generator_refuses_a_limit_that_is_gone():
    limits, listed = generator("generator.limits_page"), generator("generator.limits_list")
    with pytest.raises(limits.MissingLimit, match="MAX_GONE"):
        limits.value_of(listed.Limit("ids:MAX_GONE", "", "what is not there"))
    with pytest.raises(limits.MissingLimit):
        limits.value_of(listed.Limit("sandbox.limits:Caps.gone", "", "nor this"))


def test_every_page_says_whether_it_is_generated():
    made = {str(path) for path in generator("generate_reference").outputs() if path.suffix == ".md"}
    assert {name(path) for path in PAGES if path.read_text("utf-8").startswith(GENERATED_MARK)} == made


# -- nothing is left out


@pytest.mark.parametrize("field", KernelSettings.model_fields)
def test_every_setting_is_documented(field):
    assert f"| `{variable_of(field)}` |" in page("reference/settings.md")
    assert KernelSettings.model_fields[field].description


@pytest.mark.parametrize("spec", builtin_catalogue().all(), ids=lambda spec: spec.id)
def test_every_permission_is_documented(spec):
    text = page("reference/permissions.md")
    assert f"\n## {spec.id}\n" in text
    for key in (*spec.config.model_fields, *spec.arguments.model_fields):
        assert f"| `{key}` |" in text


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_documented(code):
    assert f"| `{code.value}` |" in page("reference/errors.md")


@pytest.mark.parametrize("number", ExitCode)
def test_every_exit_code_is_documented(number):
    assert f"| {int(number)} |" in page("reference/errors.md").partition("## Exit codes")[2]


@pytest.mark.parametrize(("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in leaf_commands()])
def test_every_command_and_option_is_documented(path, command):
    text = page("reference/cli.md")
    section = text.partition(f"\n## {' '.join(path)}\n")[2].partition("\n## ")[0]
    common = text.partition("\n## ")[0]
    assert section, f"{' '.join(path)} has no section"
    for parameter in command.params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            assert f"`{parameter.opts[0]}" in section + common


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_documented_with_its_scope(route):
    scope = "none" if route.scope is None else f"`{route.scope.value}`"
    path = f"(?:`|\\[`){re.escape(route.path)}`"
    assert re.search(rf"^\| {route.method} \| {path}[^|]*\| {scope} \|", page("reference/admin-api.md"), re.MULTILINE)


@pytest.mark.parametrize("state", PackState)
def test_every_state_of_a_pack_is_in_the_table(state):
    assert f"\n| `{state.value}` | " in page("how-to/approve-a-pack.md")


@pytest.mark.parametrize("state", ContainerState)
def test_every_state_of_a_container_is_in_the_table(state):
    assert re.search(rf"^\| [^|]*`{state.value}`", page("how-to/mend-a-problem.md"), re.MULTILINE)


@pytest.mark.parametrize("state", RunState)
def test_every_state_of_a_run_is_named(state):
    assert f"`{state.value}`" in page("reference/flows.md")


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_kind_is_named(kind):
    assert f"`{kind}`" in page("reference/flows.md")


def members(path: str, name: str) -> list[str]:
    """The public names of a class of the container agent, which cannot be imported here."""
    tree = ast.parse((ROOT / "docker" / "core" / "runtime" / path).read_text("utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return [node.name for node in found.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


@pytest.mark.parametrize("member", members("rumi_agent/context.py", "Context"))
def test_everything_that_ctx_has_is_documented(member):
    assert f"`ctx.{member}" in page("reference/inside-the-container.md")


@pytest.mark.parametrize("model", pack_models(), ids=lambda model: model.__name__)
def test_every_key_of_a_packs_files_is_documented(model):
    text = page("reference/pack-format.md")
    for key in model.model_fields:
        assert re.search(rf"`[^`]*\b{key}\b[^`]*`|\"{key}\"", text), f"{model.__name__}.{key}"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_of_expressions_is_named(function):
    assert re.search(rf"functions `[^`]*\b{function}\b", page("reference/flows.md"))


def constants(module) -> Iterator[str]:
    tree_names = [key for key in vars(module) if key.startswith("MAX_") and key.isupper()]
    for key in tree_names:
        source = Path(str(module.__file__)).read_text("utf-8")
        if re.search(rf"^{key}\b.*=", source, re.MULTILINE) and isinstance(vars(module)[key], int | float | dict):
            yield key


def test_s9_every_maximum_of_the_kernel_is_on_the_page_of_limits():
    """Only a constant that is defined in a module counts for it, not one that is imported."""
    listed = generator("generator.limits_page").listed()
    missing = []
    packages = [core_runtime, importlib.import_module("backend_core")]
    for package in packages:
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            for key in constants(module):
                where = f"{found.name}:{key}"
                if not any(item == where or item.startswith(where + ".") for item in listed):
                    missing.append(where)
    assert missing == [], "add them to docs/generator/limits_list.py"


def test_the_agent_counts_as_the_kernel_does():
    """The page of limits names the numbers of the wire once; both ends have to have the same."""
    wire = importlib.import_module("core_runtime.wire.limits")
    path = ROOT / "docker" / "core" / "runtime" / "rumi_agent" / "limits.py"
    spec = importlib.util.spec_from_file_location("agent_limits_for_documents", path)
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    same = {"MAX_VALUE_BYTES": "MAX_VALUE_BYTES", "MAX_FRAME_BYTES": "MAX_FRAME_BYTES", "MAX_ID": "MAX_ID"}
    same |= {"MAX_DATA_BYTES": "MAX_CHUNK_BYTES", "WINDOW_ITEMS": "FIRST_ITEMS", "WINDOW_BYTES": "FIRST_BYTES"}
    for mine, theirs in same.items():
        assert getattr(agent, mine) == getattr(wire, theirs), mine


# -- links


def slug(heading: str) -> str:
    """The anchor of a heading, as the site and GitHub both make it for headings of plain letters."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text))


def anchors(path: Path) -> set[str]:
    lines = prose(path.read_text("utf-8")).splitlines()
    return {slug(line.lstrip("#")) for line in lines if re.match(r"#{1,6} ", line)}


@pytest.mark.parametrize("path", WRITTEN, ids=name)
def test_every_link_inside_the_project_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text("utf-8"))):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.is_file(), f"{target} is no file"
        assert found.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(found), f"{target}: no such heading"


def test_every_page_is_reached_from_the_index_or_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [name(path) for path in PAGES if str(path.relative_to(DOCS)) not in navigation] == []


def test_the_site_builds_without_a_warning(tmp_path):
    command = [str(Path(sys.executable).parent / "mkdocs"), "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    assert not list((tmp_path / "site").rglob("*.py"))


# -- commands


def parsed(command: str) -> None:
    """Parse a `rumi` command line as typer does, without running it. Raises what typer raises for wrong usage."""
    words = shlex.split(command, comments=True)
    assert words[0] == "rumi"
    context, found = None, command_line()
    while getattr(found, "commands", None) is not None and len(words) > 1 and words[1] in found.commands:
        context = found.context_class(found, info_name=words[0], parent=context)
        found, words = found.commands[words[1]], words[1:]
    assert getattr(found, "commands", None) is None, f"{command!r} names no command"
    found.make_context(words[0], words[1:], parent=context)


def shown_commands(path: Path) -> list[str]:
    found = []
    for block in blocks(path.read_text("utf-8")):
        for line in block.commands():
            found += re.findall(r"\$\((rumi [^|)]*)", line) if "$(" in line else []
            found += [line] if line.startswith("rumi ") else []
    return found


@pytest.mark.parametrize("path", [path for path in (*READMES, *PAGES) if shown_commands(path)], ids=name)
def test_every_command_that_is_shown_can_be_typed(path):
    for command in shown_commands(path):
        parsed(command)


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=name)
def test_every_command_in_a_sentence_exists(path):
    """Code spans such as `rumi pack logs ID`: groups, commands and options are real, words in capitals stand for values."""
    for span in re.findall(r"`([^`\n]*\brumi [^`\n]*)`", prose(path.read_text("utf-8"))):
        words = shlex.split(span[span.index("rumi ") :].replace("...", ""))
        found = command_line()
        while len(words) > 1 and getattr(found, "commands", None) is not None:
            assert words[1] in found.commands, f"`{span}` names no command"
            found, words = found.commands[words[1]], words[1:]
        options = {option for parameter in getattr(found, "params", []) for option in parameter.opts}
        for word in words[1:]:
            assert not word.startswith("--") or word in options, f"`{span}`: {word} is no option"


def test_the_check_of_commands_sees_mistakes():
    for wrong in (
        "rumi pack aprove x",
        "rumi pack approve",
        "rumi pack approve x --plam y",
        "rumi pack",
        "rumi call a b",
    ):
        with pytest.raises((AssertionError, typer.TyperException)):
            parsed(wrong)


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=name)
def test_every_bootstrap_command_exists(path):
    help_text = (ROOT / "bootstrap_steps" / "command.py").read_text("utf-8")
    for command in re.findall(r"bootstrap\.py ([a-z]+)", path.read_text("utf-8")):
        assert f'add_parser("{command}"' in help_text


# -- the two READMEs


def outline(path: Path) -> list[str]:
    return [line.partition(" ")[0] for line in prose(path.read_text("utf-8")).splitlines() if re.match(r"#+ ", line)]


def typed(block: Block) -> tuple[str, ...]:
    """A block without what depends on the language: comments, texts for people, outputs."""
    if block.language == "console":
        return tuple(command.split(" #")[0].rstrip() for command in block.commands())
    return tuple(re.sub(r'f"[^"]*(?:\{[^}]*\}[^"]*)*"', 'f""', line) for line in block.lines)


def test_both_readmes_have_the_same_structure():
    english, japanese = READMES
    assert outline(english) == outline(japanese)
    ours, theirs = (blocks(path.read_text("utf-8")) for path in READMES)
    assert [block.language for block in ours] == [block.language for block in theirs]
    assert [typed(block) for block in ours] == [typed(block) for block in theirs]
    rows = [sum(line.startswith("|") for line in path.read_text("utf-8").splitlines()) for path in READMES]
    assert rows[0] == rows[1]


def test_both_readmes_lead_to_the_same_pages():
    targets = [
        set(re.findall(r"\]\((docs/[^)]+|LICENSE|CHANGELOG\.md)\)", path.read_text("utf-8"))) for path in READMES
    ]
    assert targets[0] == targets[1]


# -- what must not stand in a document


@pytest.mark.parametrize(
    "path", [*WRITTEN, ROOT / "mkdocs.yml", *sorted((ROOT / "docker/core/schema").glob("*"))], ids=name
)
def test_a_document_names_no_path_of_one_machine(path):
    assert strange_paths(path.read_text("utf-8")) == []


def strange_paths(text: str) -> list[str]:
    """Absolute paths outside of the known places; below /tmp is somebody's own place too."""
    found = ABSOLUTE.findall(re.sub(r"https?://\S+", "", text))
    return [root + rest for root, rest in found if root not in KNOWN_ROOTS or (root == "tmp" and rest)]


def test_the_check_for_paths_sees_them():
    for text in ("see /root/project", "`/home/me/rumi`", "cd /srv/main", "/tmp/x"):
        assert strange_paths(text), text
    assert strange_paths("16 MiB of `/tmp`, /api/packs, user_data/private, http://127.0.0.1:8765/api/status") == []


def test_decisions_are_numbered_without_a_gap_and_have_their_three_parts():
    files = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for path in files:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {path.name[:4]} ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]
        assert f"({path.name})" in page("decisions/index.md")


def test_json_in_the_documents_is_json():
    for path in (*READMES, *PAGES):
        for block in blocks(path.read_text("utf-8")):
            if block.language == "json" and not any("..." in line for line in block.lines):
                json.loads("\n".join(block.lines))
