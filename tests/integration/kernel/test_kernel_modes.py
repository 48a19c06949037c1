"""The other ways to start: `bootstrap.py run` as in the README, permissive mode, and commands that need no kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[3]


def test_the_readmes_command_prints_only_the_answer_of_a_flow_out_of_a_container():
    folder = Path(tempfile.mkdtemp(prefix="rk-", dir="/tmp"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RUMI_")}
    command = ["python3", "bootstrap.py", "run", "--approve-bundled", "--flow", "hello", "--input", "name=World"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**kept, "RUMI_USER_DATA": str(folder), "RUMI_API_PORT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b'{"message": "Hello, World!"}\n'
    assert b"Traceback" not in done.stderr


def test_permissive_mode_runs_packs_as_child_processes_says_so_and_takes_orders_with_a_token_alone(
    make_kernel, until_true
):
    with make_kernel("hello", RUMI_SECURITY_MODE="permissive", DOCKER_HOST="unix:///nonexistent/x.sock") as kernel:
        kernel.launch()
        until_true(lambda: "Rumi is ready" in kernel.log, 15, "the kernel getting ready")
        assert "PERMISSIVE MODE" in kernel.log
        without = kernel.rumi("pack", "approve", "hello", "--yes")
        assert without.code != 0, "the uid of a peer gave authority"
        assert without.error["code"] == "POLICY_DENIED"

        once = kernel.log.split("RUMI_TOKEN=")[1].split()[0]
        scopes = [item for scope in ("read", "operate", "approve") for item in ("--scope", scope)]
        token = kernel.rumi("token", "add", "me", *scopes, RUMI_TOKEN=once).value
        assert kernel.rumi("token", "list", RUMI_TOKEN=once).code != 0, "it is good for one use"
        kernel.connect(token["token"])
        status = kernel.get("/api/status")
        kernel.instance = status["instance_id"]
        kernel.instances.add(kernel.instance)
        assert status["security_mode"] == "permissive"
        kernel.approve("hello")
        assert kernel.call("service.hello", {"name": "Ada"}) == {"message": "Hello, Ada!"}
        children = kernel.children()
        assert len(children) == 1
        assert kernel.containers() == []
        code, seconds = kernel.stop()
        assert (code, seconds < 15) == (0, True)
        assert not Path(f"/proc/{children[0]}").exists(), "the child outlived its kernel"


def test_permissive_mode_is_refused_in_the_shared_profile(make_kernel):
    with make_kernel(RUMI_SECURITY_MODE="permissive", RUMI_PROFILE="shared") as kernel:
        answer = kernel.rumi("serve", as_json=False)
        assert answer.code == 1
        assert "RUMI_SECURITY_MODE=permissive is refused" in answer.err


def test_a_setting_that_cannot_be_is_one_sentence_that_names_its_variable(make_kernel):
    with make_kernel(RUMI_SECURITY_MODE="lax") as kernel:
        answer = kernel.rumi("serve", as_json=False)
        assert answer.code == 1
        assert "RUMI_SECURITY_MODE" in answer.err
        assert len(answer.err.splitlines()) <= 2


MISTAKES = """\
flow_id: a
steps:
  - {id: x, cal: service.hello}
  - {id: y, set: {z: "${zz}"}}
"""


def test_flow_validate_names_the_place_the_mistake_and_the_nearest_name_without_a_kernel(make_kernel, tmp_path):
    file = tmp_path / "a.flow.yaml"
    with make_kernel() as kernel:
        file.write_text(MISTAKES)
        answer = kernel.rumi("flow", "validate", str(file))
        assert (answer.code, answer.value["ok"]) == (2, False)
        found = {(item["line"], item["column"]): item for item in answer.value["problems"]}
        assert "Unknown key 'cal'" in found[3, 13]["message"]
        assert found[3, 13]["nearest"] == "call"
        assert any(line == 4 and "`zz`" in item["message"] for (line, _), item in found.items())

        text = kernel.rumi("flow", "validate", str(file), as_json=False)
        assert f"{file}:3:13: " in text.out
        assert "call" in text.out.split(":3:13: ")[1].splitlines()[0], "what was expected, for a person too"

        file.write_text("flow_id: a\nsteps: !!python/object/apply:os.system [id]\n")
        tagged = kernel.rumi("flow", "validate", str(file))
        assert (tagged.code, tagged.value["problems"][0]["line"]) == (2, 2), "YJ-01"

        file.write_text("flow_id: a\nsteps:\n  - {id: x, set: {y: 1}}\n")
        assert kernel.rumi("flow", "validate", str(file)).code == 0
