"""Names and rights that belong to somebody else: interfaces, flows, the kernel's own steps, places in the hierarchy."""

from __future__ import annotations

import json
import os
import shutil

import pytest

pytestmark = pytest.mark.docker


def run_flow(kernel, flow: str) -> dict:
    return kernel.request("POST", f"/api/flows/{flow}/run", {"inputs": {}})


def hello(kernel) -> object:
    """What the name `service.hello` answers, with all that any of its claimants might ask for."""
    answer = kernel.try_call("service.hello", {"name": "Ada", "tribute": 1}, 10.0)
    return answer["data"]["message"] if answer["success"] else answer["error"]["code"]


def test_bx_11_a_second_claimant_changes_neither_the_answer_nor_the_rules_of_a_name(den):
    assert den.call("service.hello", {"name": "Ada"}) == {"message": "Hello, Ada!"}
    assert den.request("POST", "/api/flows/hello/run", {"inputs": {"name": "Ada"}})["data"]["outputs"] == {
        "message": "Hello, Ada!"
    }
    told = {item["code"] for item in den.diagnostics() if item["subject"] == "pack:rival"}
    assert told == {"INTERFACE_TAKEN:service.hello", "FLOW_OFF:hello.flow.yaml"}


def test_bx_11_a_folder_that_broke_does_not_hand_its_names_to_the_next(den, until_true):
    link = den.packs / "hello" / "backend" / "link"
    os.symlink("/etc/passwd", link)
    try:
        until_true(lambda: den.state("hello") == "invalid", 3, "the link being seen")
        assert hello(den) == "APPROVAL_DENIED"
    finally:
        link.unlink()
    until_true(lambda: den.state("hello") == "approved", 3, "its return")
    until_true(lambda: hello(den) == "Hello, Ada!", 5, "its answer")


def test_a_packs_flow_borrows_no_rights_of_the_owner(den):
    """The owner runs a pack's flow, and a step of it names the owner's own flow."""
    entries = len(den.get("/api/stores/notes/notes", limit=1000)["items"])
    den.request("DELETE", "/api/grants/intruder/flow.run")
    try:
        answer = run_flow(den, "intrude_owner")
        assert answer["error"]["code"] == "GRANT_DENIED"
        assert len(den.get("/api/stores/notes/notes", limit=1000)["items"]) == entries
    finally:
        den.post("/api/grants", {"principal": "intruder", "permission": "flow.run"})
    assert run_flow(den, "intrude_owner")["success"], "with the owner's grant it is what he wanted"


def test_nobody_but_the_kernel_starts_the_kernel(den, attack):
    wish = "result = wish(ctx, 'flow.run', {'flow': 'kernel.startup', 'inputs': {}}, args['own'] and ctx._call.frame['token'] or None)"
    for own in (True, False):
        assert attack(den, wish, own=own)["data"]["code"] == "POLICY_DENIED"
    assert run_flow(den, "intrude_kernel")["error"]["code"] == "POLICY_DENIED"
    assert run_flow(den, "kernel.startup")["error"]["code"] == "POLICY_DENIED"
    states = {item["flow_id"]: item["state"] for item in den.get("/api/flows")["items"]}
    assert states["intrude_boot"] == "disabled"
    assert states["kernel.startup"] == "active"
    for step in ("boot.approvals", "boot.orphans", "boot.ready"):
        answer = attack(den, "result = wish(ctx, args['step'], {}, ctx._call.frame['token'])", step=step)
        assert answer["data"]["code"] == "GRANT_DENIED"


@pytest.mark.parametrize(
    ("name", "manifest", "state"),
    [
        pytest.param("core", {"sandbox": {"start": "lazy"}}, "pending", id="AP-13-core-is-a-name-like-any-other"),
        pytest.param("kernel", {}, "invalid", id="AP-13-reserved"),
        pytest.param("notes__spy", {"pack_identity": "github:evil/spy"}, "pending", id="GR-14-a-child-nobody-consented-to"),
        pytest.param("spy", {"children": {"notes__x": {"identity": "a:b/c", "permissions": []}}}, "invalid", id="GR-14-anothers-child"),
        pytest.param("spy", {"settings": [{"key": "../AWS_SECRET_ACCESS_KEY", "type": "string"}]}, "invalid", id="BX-01-a-setting-that-is-a-path"),
        pytest.param("spy", {"settings": [{"key": "x", "type": "string", "env": "AWS_SECRET_ACCESS_KEY"}]}, "invalid", id="BX-01-a-variable-of-the-host"),
        pytest.param("spy", {"requires": {"packs": {"spy": "=={}".format("9" * 5000)}}}, "invalid", id="BX-13-a-version-without-end"),
    ],
)  # fmt: skip
def test_a_manifest_that_claims_what_is_not_its_own_gets_nothing(den, until_true, name, manifest, state):
    root = den.folder / f"aside-{name}"
    (root / "backend" / "flows").mkdir(parents=True)
    text = {"pack_id": name, "pack_identity": f"local:evil/{name}", "version": "1.0.0", **manifest}
    (root / "backend" / "ecosystem.json").write_text(json.dumps(text))
    boot = "flow_id: evil_boot\nsteps: [{id: a, call: 'kernel:boot.approvals'}, {id: b, file: {pack: notes, file: x.py}}]\n"
    (root / "backend" / "flows" / "boot.flow.yaml").write_text(boot)
    place = den.packs / name
    root.rename(place)
    try:
        until_true(lambda: den.state(name) == state, 4, f"{name} being {state}")
        if name == "core":
            den.approve(name)
            assert run_flow(den, "evil_boot")["error"]["code"] == "UNAVAILABLE"
            assert "kernel's own start" in str(den.diagnostics())
            den.post(f"/api/packs/{name}/reject", {"reason": "a test"})
            assert run_flow(den, "kernel.startup")["error"]["code"] == "POLICY_DENIED", "its own flow is still there"
        elif state == "pending":
            plan = den.get(f"/api/packs/{name}/plan")
            answer = den.request("POST", f"/api/packs/{name}/approve", {"plan_hash": plan["plan_hash"], "grants": []})
            refused = not answer["success"] or den.state(name) == "disabled"
            assert refused, answer
    finally:
        place.rename(root)
        shutil.rmtree(root)
        until_true(lambda: den.state(name) in {None, "modified"}, 4, f"{name} being gone")
        if den.state(name) == "modified":
            den.post(f"/api/packs/{name}/disable")


def test_bx_11_a_restart_is_no_chance_to_take_a_name_over(make_kernel, until_true):
    """The holder was approved anew later than its rival, and the rival comes up first."""
    with make_kernel("hello", "rival") as kernel:
        kernel.start()
        kernel.approve("hello", "rival")
        manifest = kernel.packs / "hello" / "backend" / "ecosystem.json"
        manifest.write_text(manifest.read_text().replace('"version": "1.0.0"', '"version": "1.0.1"'))
        until_true(lambda: kernel.state("hello") == "modified", 3, "the update being seen")
        kernel.approve("hello")
        assert kernel.stop()[0] == 0
        kernel.start()
        assert hello(kernel) == "Hello, Ada!"
        assert kernel.request("POST", "/api/flows/hello/run", {"inputs": {"name": "Ada"}})["data"]["outputs"] == {
            "message": "Hello, Ada!"
        }
        kernel.post("/api/packs/hello/disable")
        assert hello(kernel) == "I am the rival", "the owner let the name go"
