"""The house numbers and rules of the code, kept by measuring it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("core_runtime", "backend_core", "bootstrap_steps", "docker/core/runtime", "benchmarks")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 7
PRODUCT_WORDS = (
    "chat", "conversation", "prompt", "assistant", "invoice", "billing", "spell", "spells", "relay", "llm", "model provider",
)  # fmt: skip
# Technical uses of a product word. Each says why it is none.
ALLOWED_WORDS = {
    ("core_runtime/interfaces/cli", "prompt"): "the terminal's own question to a person, a term of typer and rich",
    ("core_runtime/interfaces/cli", "prompts"): "as above",
}


def modules() -> list[Path]:
    found = [ROOT / "app.py", ROOT / "bootstrap.py"]
    for folder in SOURCES:
        found += [path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts]
    return sorted(found)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_module_stays_small_and_says_what_it_is(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module begins with what it is for"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_function_stays_small(path):
    for node in functions(path):
        assert (node.end_lineno or 0) - node.lineno + 1 <= MAX_FUNCTION_LINES, f"{node.name} is too long"
        count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        bound = bool(node.args.args) and node.args.args[0].arg in {"self", "cls"}
        assert count - bound <= MAX_PARAMETERS, f"{node.name} takes too much"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_no_global_state_and_one_reader_of_the_environment(path):
    tree = ast.parse(path.read_text("utf-8"))
    free = (
        name(path).startswith(("bootstrap", "docker/core/runtime", "benchmarks"))
        or name(path) == "core_runtime/settings.py"
    )
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), "no module-level variable is rebound"
        if not free and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in {"environ", "getenv", "environb"}, "core_runtime.settings reads the environment"


def test_the_kernel_knows_no_product_word():
    words = re.compile(r"(?<![a-z])(" + "|".join(PRODUCT_WORDS) + r")s?(?![a-z])", re.IGNORECASE)
    found = []
    for folder in ("core_runtime", "backend_core", "flow/core", "docker/core"):
        for path in (ROOT / folder).rglob("*"):
            if not path.is_file() or path.suffix not in {".py", ".yaml", ".json", ".Dockerfile", ""}:
                continue
            if any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts):
                continue
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                for match in words.finditer(line):
                    excused = any(
                        name(path).startswith(place) and match[0].lower() == word for place, word in ALLOWED_WORDS
                    )
                    if not excused:
                        found.append(f"{name(path)}:{number}: {match[0]}")
    assert found == []


def test_the_docker_folder_shadows_nothing():
    top = ROOT / "docker"
    assert not list(top.glob("*.py"))
    assert not list(top.rglob("__init__.py")) or all("runtime" in str(path) for path in top.rglob("__init__.py"))


def test_only_the_safe_loader_of_yaml_exists():
    """YJ-01: no loader that builds Python objects is anywhere in the code."""
    for path in modules():
        text = path.read_text("utf-8")
        assert not re.search(r"yaml\.(unsafe_load|full_load|UnsafeLoader|FullLoader|Loader\b|load_all)", text), name(
            path
        )


def test_ct_25_nothing_is_ever_executed_in_a_running_pack():
    for path in modules():
        if name(path).startswith("benchmarks"):
            continue
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert not names & {
            "exec_run",
            "exec_create",
            "exec_start",
            "put_archive",
            "commit_container",
            "attach_socket",
        }, name(path)


def test_se_14_secrets_are_never_compared_by_equality():
    for place in ("core_runtime/signing.py", "core_runtime/adapters/token_store.py"):
        for node in ast.walk(ast.parse((ROOT / place).read_text("utf-8"))):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                if any(isinstance(part, ast.Call) and getattr(part.func, "id", "") == "len" for part in ast.walk(node)):
                    continue  # a length is no secret
                words = {part.id.lower() for part in ast.walk(node) if isinstance(part, ast.Name)}
                words |= {part.attr.lower() for part in ast.walk(node) if isinstance(part, ast.Attribute)}
                secret = [
                    word
                    for word in words
                    if any(key in word for key in ("hmac", "token", "secret", "mac", "signature"))
                ]
                assert not secret, f"{place}:{node.lineno} compares {secret}"
