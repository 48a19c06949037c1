"""The other ways to start: `bootstrap.py run` as in the README, permissive mode, and commands that need no kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
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


def test_permissive_mode_runs_packs_as_child_processes_says_so_and_takes_approval_from_a_token_alone(make_kernel):
    with make_kernel("hello", RUMI_SECURITY_MODE="permissive", DOCKER_HOST="unix:///nonexistent/x.sock") as kernel:
        kernel.start()
        assert "PERMISSIVE" in kernel.log
        token = kernel.log.split("RUMI_TOKEN=")[1].split()[0]
        refused = kernel.rumi("pack", "approve", "hello", "--yes")
        assert (refused.code, refused.error["code"]) == (3, "POLICY_DENIED"), "the uid of a peer gave authority"
        approved = kernel.rumi("pack", "approve", "hello", "--yes", RUMI_TOKEN=token)
        assert (approved.code, approved.value["state"]) == (0, "approved"), approved.out
        call = kernel.rumi("call", "service.hello", "--arg", "name=Ada")
        assert call.value == {"message": "Hello, Ada!"}
        again = kernel.rumi("pack", "disable", "hello", RUMI_TOKEN=token)
        assert again.code != 0, "the token is good for one use"
        status = kernel.get("/api/status")
        assert status["security_mode"] == "permissive"
        children = Path(f"/proc/{kernel.process.pid}/task/{kernel.process.pid}/children").read_text().split()
        assert len(children) == 1
        assert kernel.containers() == []
        kernel.stop()
        assert not Path(f"/proc/{children[0]}").exists(), "the child outlived its kernel"


def test_permissive_mode_is_refused_in_the_shared_profile(make_kernel):
    with make_kernel(RUMI_SECURITY_MODE="permissive", RUMI_PROFILE="shared") as kernel:
        answer = kernel.rumi("serve", as_json=False)
        assert answer.code != 0
        assert "RUMI_SECURITY_MODE=permissive is refused" in answer.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("flow_id: a\nsteps: [{id: x, cal: service.hello}]\n", [(2, "cal"), "call"], id="unknown-key"),
        pytest.param("flow_id: a\nsteps:\n  - {id: x, set: {y: '${inputs.q}'}, when: \"${zz}\"}\n", [(3, "zz")], id="unknown-name"),
        pytest.param("flow_id: a\nsteps: !!python/object/apply:os.system [id]\n", [(2, "tag")], id="YJ-01-tag"),
        pytest.param("flow_id: a\nflow_id: b\nsteps: [{id: x, set: {y: 1}}]\n", [(2, "flow_id")], id="duplicate-key"),
    ],
)
def test_flow_validate_names_place_and_mistake_without_a_kernel(make_kernel, tmp_path, text, expected):
    file = tmp_path / "a.flow.yaml"
    file.write_text(text)
    done = subprocess.run(
        [str(Path(sys.executable).parent / "rumi"), "flow", "validate", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "RUMI_USER_DATA": str(tmp_path / "u")},
    )
    import json

    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (2, False)
    line, word = expected[0]
    assert any(item["line"] == line and word in item["message"] + item["hint"] for item in report["problems"])


def test_an_unknown_setting_value_is_one_sentence_that_names_the_variable(make_kernel):
    with make_kernel(RUMI_SECURITY_MODE="lax") as kernel:
        began = time.monotonic()
        answer = kernel.rumi("serve", as_json=False)
        assert answer.code == 1
        assert "RUMI_SECURITY_MODE" in answer.err
        assert time.monotonic() - began < 10
