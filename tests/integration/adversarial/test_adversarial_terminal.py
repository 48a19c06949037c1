"""Texts of a stranger on the owner's terminal, in the trail and in answers: they say what they say and do nothing."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.docker

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\u2066\r\x08 rm -rf"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
SETUP = f"""
EVIL = {EVIL!r}


def run(context):
    def speak(args, ctx):
        ctx.log("info", EVIL, **{{EVIL: EVIL}})
        print(EVIL, flush=True)
        if args.get("fail"):
            raise ValueError(EVIL)
        return {{EVIL: EVIL}}

    context["interface_registry"].register("evil.speak", speak)
"""


@pytest.fixture(scope="module")
def stage(den, until_true):
    """A pack whose every text is an attack on a terminal; approved half-way through the module."""
    root = den.folder / "aside-evil"
    backend = root / "backend"
    (backend / "components" / "mouth").mkdir(parents=True)
    (backend / "flows").mkdir()
    ecosystem = {
        "pack_id": "evil",
        "pack_identity": "local:rumi/evil",
        "version": "1.0.0",
        "description": {"en": EVIL, "ja": EVIL},
        "settings": [{"key": "mood", "type": "string", "default": EVIL, "description": EVIL}],
        "stores": [{"store_id": "s"}],
    }
    permissions = {"pack_id": "evil", "permissions": [{"type": "store.set", "stores": ["s"], "reason": EVIL}]}
    provides = [{"name": "evil.speak", "summary": EVIL}]
    manifest = {"type": "service", "id": "mouth", "version": "1.0.0", "connectivity": {"provides": provides}}
    (backend / "ecosystem.json").write_text(json.dumps(ecosystem))
    (backend / "permissions.json").write_text(json.dumps(permissions))
    (backend / "components" / "mouth" / "manifest.json").write_text(json.dumps(manifest))
    (backend / "components" / "mouth" / "setup.py").write_text(SETUP)
    (backend / "note\u202e.txt").write_text(EVIL)
    flow = f"flow_id: evil_flow\ndescription: {json.dumps(EVIL)}\nsteps:\n  - {{id: a, call: evil.speak, input: {{fail: true}}}}\n"
    (backend / "flows" / "e.flow.yaml").write_text(flow)
    (backend / "flows" / "f.flow.yaml").write_text(
        f"flow_id: evil_too\nsteps:\n  - {{id: a, call: {json.dumps(EVIL)}}}\n"
    )
    root.rename(den.packs / "evil")
    until_true(lambda: den.state("evil") == "pending", 4, "the pack being listed")
    yield den
    den.post("/api/packs/evil/disable")


def harmless(kernel, *command: str) -> None:
    for as_json in (False, True):
        answer = kernel.rumi(*command, as_json=as_json)
        text = (answer.out + answer.err).replace("\n", "").replace("\t", "")
        found = ACTS.search(text)
        assert found is None, (command, as_json, text[max(0, found.start() - 40) : found.start() + 40])


def test_se_10_what_waits_for_approval_is_shown_as_text(stage):
    harmless(stage, "pack", "list")
    harmless(stage, "pack", "show", "evil")
    harmless(stage, "pack", "plan", "evil")
    harmless(stage, "pack", "plan", "evil" + EVIL)
    assert "\\x1b[2J" in stage.rumi("pack", "plan", "evil", as_json=False).out, "it is shown, not hidden"


def test_se_10_what_an_approved_pack_says_is_shown_as_text(stage):
    stage.approve("evil")
    harmless(stage, "call", "evil.speak")
    harmless(stage, "call", "evil.speak", "--arg", "fail:=true")
    harmless(stage, "call", "evil.speak" + EVIL)
    harmless(stage, "pack", "logs", "evil")
    harmless(stage, "flow", "list")
    harmless(stage, "flow", "run", "evil_flow")
    harmless(stage, "status")
    harmless(stage, "audit", "tail")


def test_se_10_the_kernels_own_output_and_trail_hold_one_line_for_each_thing_said(stage):
    assert ACTS.search(stage.log.replace("\n", "").replace("\t", "")) is None
    for path in (stage.profile / "audit").glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            assert isinstance(json.loads(line), dict)
