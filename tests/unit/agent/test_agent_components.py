"""Loading a pack: components for themselves, held to their manifests, from source alone; and blocks."""

from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD = """
def run(context):
    context["interface_registry"].register("good", lambda args: ["good", args])
"""
REGISTER = """
def run(context):
    for name in {names!r}:
        context["interface_registry"].register(name, lambda args: args)
"""


def reports(kernel: Any) -> dict[str, Any]:
    """What hello said of each component."""
    return {report["id"]: report for report in kernel.hello["components"]}


def test_a_component_that_fails_is_left_out_with_its_reason_and_the_others_run(kernel: Any) -> None:
    kernel.component(GOOD, ["good"], name="a_good")
    kernel.component("raise ValueError('at import')", ["x1"], name="b_import")
    kernel.component("def run(context):\n    raise KeyError('in run')", ["x2"], name="c_run")
    kernel.component("import sys\nsys.exit(3)", ["x3"], name="d_exit")
    kernel.component("def run(context:", ["x4"], name="e_syntax")
    kernel.component("x = 1", ["x5"], name="f_nothing")
    kernel.component(REGISTER.format(names=["good"]), ["good"], name="g_taken")
    kernel.component(GOOD, ["good"], name="h_manifest")
    (kernel.backend / "components/h_manifest/manifest.json").write_text('{"connectivity": {"provides": [5]}}')
    kernel.component(GOOD, ["good"], name="i_json")
    (kernel.backend / "components/i_json/manifest.json").write_text('{"a": 1, "a": 2}')
    kernel.component(GOOD, ["good"], name="j_missing")
    (kernel.backend / "components/j_missing/manifest.json").unlink()
    kernel.component(
        "def run(context):\n    while True:\n        context = [context]\n        raise RecursionError",
        ["x6"],
        name="k_rec",
    )
    kernel.component("def run(context):\n    context['background']('b', lambda: 1)", [], name="l_background")
    kernel.component(
        "def run(context):\n    context['interface_registry'].register('x7', 5)", ["x7"], name="m_callable"
    )
    kernel.component(
        "def run(context):\n    context['interface_registry'].register('x8', lambda a, b, c: 1)", ["x8"], name="n_args"
    )
    kernel.file("components/not_a_component.txt", "")
    kernel.start()
    found = reports(kernel)
    errors = {name: report.get("error", "") for name, report in found.items()}
    assert found["a_good"] == {"id": "a_good", "provides": ["good"]}
    assert errors["b_import"] == "ValueError: at import"
    assert errors["c_run"] == "KeyError: 'in run'"
    assert errors["d_exit"] == "SystemExit: 3"
    assert errors["e_syntax"].startswith("SyntaxError")
    assert "neither run(context) nor setup(context)" in errors["f_nothing"]
    assert "['good'] already" in errors["g_taken"]
    assert "cannot be understood" in errors["h_manifest"]
    assert "names a key twice" in errors["i_json"]
    assert errors["j_missing"] == "manifest.json is missing"
    assert errors["k_rec"].startswith("RecursionError")
    assert "needs a coroutine function" in errors["l_background"]
    assert "cannot be called" in errors["m_callable"]
    assert "needs 3 arguments" in errors["n_args"]
    assert len(found) == 14
    assert kernel.value("good", 1) == ["good", 1]
    assert "setup.py" in kernel.log_with("at import")["text"]


@pytest.mark.parametrize(
    ("registered", "provides", "subscribes", "ingress", "fine"),
    [
        (["a"], ["a"], [], [], True),
        (["a"], [{"name": "a", "risk": "high"}], [], [], True),
        (["a", "b"], ["a"], ["b"], [], True),
        (["a", "b"], ["a"], [], ["b"], True),
        (["a"], ["a"], [], ["elsewhere"], True),
        ([], [], [], [], True),
        (["a", "b"], ["a"], [], [], False),
        (["a"], ["a", "b"], [], [], False),
        ([], ["a"], [], [], False),
        (["b"], ["a"], [], ["b"], False),
        (["a"], ["a"], ["b"], [], False),
    ],
)
def test_what_is_registered_must_be_what_the_manifest_and_the_routes_name(
    kernel: Any, registered: list[str], provides: list[Any], subscribes: list[str], ingress: list[str], fine: bool
) -> None:
    topics = [{"topic": "p/t", "interface": name} for name in subscribes]
    kernel.component(REGISTER.format(names=registered), provides, subscribes=topics)
    routes = ", ".join(f'{{"path": "/x", "interface": "{name}"}}' for name in ingress)
    (kernel.backend / "ecosystem.json").write_text(
        f'{{"ingress": [{routes}, {{"path": "/s", "kind": "static"}}]}}'.replace("[, ", "[")
    )
    kernel.start()
    report = reports(kernel)["main"]
    assert ("error" not in report) is fine, report
    if not fine:
        assert str(sorted(registered)) in report["error"]
        names = [part if isinstance(part, str) else part["name"] for part in provides]
        assert str(sorted({*names, *subscribes})) in report["error"]
        assert kernel.error(registered[0] if registered else "a")["code"] == "NOT_FOUND"


def test_modules_of_the_pack_and_of_the_component_can_be_imported(kernel: Any) -> None:
    kernel.component(
        """
        import shared_part
        from library import deep
        from . import beside
        from .beside import name
        import only_in_deps
        def run(context):
            context["interface_registry"].register("names", lambda: [shared_part.name, deep.name, beside.name, name, only_in_deps.name])
        """,
        ["names"],
    )
    kernel.file("shared_part.py", "name = 'shared'")
    kernel.file("library/deep.py", "name = 'deep'")
    kernel.file("components/main/beside.py", "name = 'beside'")
    kernel.deps.mkdir()
    (kernel.deps / "only_in_deps.py").write_text("name = 'deps'")
    (kernel.deps / "json.py").write_text("raise ValueError('a dependency shadows the library')")
    kernel.start()
    assert kernel.value("names") == ["shared", "deep", "beside", "beside", "deps"]


def lying_byte_code(source: Path) -> bytes:
    """An unchecked-hash pyc for `source` whose code is another one."""
    code = compile("raise SystemExit('byte code ran')", str(source), "exec")
    return (
        importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(b"x") + marshal.dumps(code)
    )


def test_ap_04_byte_code_in_the_pack_is_never_run(kernel: Any) -> None:
    kernel.component(
        """
        import helper
        found = []
        try:
            import sourceless
        except ImportError:
            found.append("no sourceless")
        def run(context):
            context["interface_registry"].register("found", lambda: [helper.name, *found])
        """,
        ["found"],
    )
    kernel.file("helper.py", "name = 'source'")
    for name in ("setup.py", "helper.py"):
        source = kernel.backend / ("components/main" if name == "setup.py" else ".") / name
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        cached.parent.mkdir()
        cached.write_bytes(lying_byte_code(source))
    (kernel.backend / "sourceless.pyc").write_bytes(lying_byte_code(kernel.backend / "sourceless.py"))
    (kernel.backend / "helper.pyc").write_bytes(lying_byte_code(kernel.backend / "helper.py"))
    kernel.start()
    assert kernel.value("found") == ["source", "no sourceless"]


def test_ap_04_not_even_byte_code_under_the_agents_own_prefix_is_used_for_the_pack(kernel: Any, pycache: Path) -> None:
    kernel.component(GOOD, ["good"])
    setup = kernel.backend / "components/main/setup.py"
    lying = pycache / setup.parent.relative_to("/") / f"setup.{sys.implementation.cache_tag}.pyc"
    lying.parent.mkdir(parents=True)
    lying.write_bytes(lying_byte_code(setup))
    kernel.start()
    assert kernel.value("good", 1) == ["good", 1]


def test_ap_04_the_entry_point_names_a_prefix_outside_the_pack_before_it_imports_anything(tmp_path: Path) -> None:
    runtime = Path(__file__).parents[3] / "docker" / "core" / "runtime"
    lines = [
        line for line in (runtime / "container_agent.py").read_text().splitlines() if line and not line.startswith("#")
    ]
    first = lines.index("import sys")
    assert lines[first + 1].startswith('sys.pycache_prefix = "/opt/rumi/pycache"')
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(runtime / "container_agent.py")],
        env={"RUMI_SOCK": str(tmp_path / "none.sock")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no connection" in done.stderr
    assert "Traceback" not in done.stderr


def test_blocks_are_loaded_when_first_called_and_kept(kernel: Any) -> None:
    kernel.component(GOOD, ["good"])
    kernel.file(
        "blocks/greet.py",
        "import good_words\nloads = []\nloads.append(1)\ndef run(input, context):\n    return [input, context.pack_id, len(loads), good_words.word]",
    )
    kernel.file("good_words.py", "word = 'hi'")
    kernel.file("blocks/inner/later.py", "async def run(input):\n    return ['later', input]")
    kernel.file("blocks/many.py", "def run(input):\n    yield from range(input)")
    kernel.file("blocks/broken.py", "raise ValueError('no')")
    kernel.file("blocks/empty.py", "")
    kernel.start()
    for _ in range(2):
        assert kernel.value("block:greet.py", {"a": 1}) == [{"a": 1}, "probe", 1, "hi"]
    assert kernel.value("block:inner/later.py", 2) == ["later", 2]
    number = kernel.call("block:many.py", 2)
    assert [kernel.next("item")["value"] for _ in range(2)] == [0, 1]
    assert kernel.result(number)["ok"]
    assert kernel.error("block:broken.py")["message"] == "ValueError: no"
    assert kernel.error("block:empty.py")["message"].startswith("AttributeError")
    assert kernel.value("good", 1) == ["good", 1]


OUTSIDE = ["../components/main/setup.py", "/etc/passwd", "", "none.py", ".py", "a/../greet.py", "./greet.py", "greet", "link.py",
           "inner", "greet.pyc", "greet.py\0", "inner//later.py", "..\\greet.py", "greet.py/", "x" * 5000 + ".py"]  # fmt: skip


def test_a_block_outside_blocks_is_not_found(kernel: Any) -> None:
    kernel.component(GOOD, ["good"])
    kernel.file("blocks/greet.py", "def run(input):\n    return 1")
    (kernel.backend / "blocks" / "link.py").symlink_to(kernel.backend / "components/main/setup.py")
    kernel.start()
    for name in OUTSIDE:
        assert kernel.error("block:" + name)["code"] == "NOT_FOUND", name
    assert kernel.value("block:greet.py") == 1


def test_a_pack_without_blocks_answers_that_there_is_no_such_block(kernel: Any) -> None:
    kernel.component(GOOD, ["good"])
    kernel.start()
    error = kernel.error("block:greet.py")
    assert error["code"] == "NOT_FOUND"
    assert error["message"] == "There is no block greet.py."
    assert "blocks/" in error["hint"]
    assert kernel.value("good", 1) == ["good", 1]


def test_an_empty_pack_says_hello_with_no_components(kernel: Any) -> None:
    kernel.start()
    assert kernel.hello["components"] == []


def test_asyncio_is_imported_only_for_packs_that_have_coroutines(kernel: Any) -> None:
    kernel.component(
        """
        import sys
        heavy = {"asyncio", "json", "re", "typing", "dataclasses", "inspect", "logging", "enum", "traceback", "socket", "threading",
                 "collections", "selectors", "functools", "contextlib", "signal"}
        def run(context):
            context["interface_registry"].register("loaded", lambda: sorted(heavy & set(sys.modules)))
        """,
        ["loaded"],
    )
    kernel.start()
    assert kernel.value("loaded") == []


def test_a_pack_pays_only_for_the_parts_of_the_agent_that_it_uses(kernel: Any) -> None:
    kernel.component(
        """
        import sys
        def loaded():
            return sorted(name[11:] for name in sys.modules if name.startswith("rumi_agent."))
        def run(context):
            context["interface_registry"].register("loaded", loaded)
        """,
        ["loaded"],
    )
    kernel.start()
    unused = {"aio", "background", "blocks", "client_stream", "explain", "generators", "loop_side", "trace"}
    for_types_alone = {"ports"}
    assert not set(kernel.value("loaded")) & (unused | for_types_alone)


def test_no_part_that_is_for_the_type_checker_is_ever_loaded(kernel: Any) -> None:
    kernel.component(
        """
        import rumi, sys
        def run(context):
            register = context["interface_registry"].register
            async def everything(args, ctx):
                await ctx.aio.capability("x.y")
                ctx.open_stream("x.z").close()
                return "rumi_agent.ports" in sys.modules, "rumi_agent.aio" in sys.modules
            register("everything", everything)
        """,
        ["everything"],
    )
    kernel.file("blocks/greet.py", "def run(input):\n    return 1")
    kernel.start()
    assert kernel.value("block:greet.py") == 1
    assert kernel.value("everything") == [False, True]


def test_the_client_outside_a_container_says_so() -> None:
    import rumi_capability

    with pytest.raises(rumi_capability.CapabilityError, match="outside a pack's container"):
        rumi_capability.call("store.get")
