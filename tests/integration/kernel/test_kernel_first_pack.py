"""A stranger's first pack on a running kernel: dropped in, looked at, approved, called, changed, put back, refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

# Word for word the file of the pack format: the first thing that an author tries.
SMALLEST = """\
def run(context):                      # setup(context) is accepted as well
    def hello(args, ctx):
        return {"message": f"Hello, {args.get('name', 'World')}!"}
    context["interface_registry"].register("service.hello", hello)
"""
GREETING_FLOW = """\
flow_id: greet_me
inputs: {type: object, properties: {name: {type: string}}, required: [name]}
steps:
  - {id: hello, call: service.hello, input: {name: "${inputs.name}"}, output: said}
outputs: {said: "${said.message}"}
"""


def write_pack(folder: Path, pack_id: str, *, interface: str = "service.hello", version: str = "1.0.0") -> Path:
    """The smallest pack, made aside and put in place at once; the path of its setup.py."""
    aside = folder.parent / f"aside-{pack_id}"
    component = aside / "backend" / "components" / "hello"
    component.mkdir(parents=True)
    who = {"pack_id": pack_id, "pack_identity": f"github:author/{pack_id}", "version": version}
    (aside / "backend" / "ecosystem.json").write_text(json.dumps(who))
    connectivity = {"provides": [interface]}
    manifest = {"type": "service", "id": "hello", "version": "1.0.0", "connectivity": connectivity}
    (component / "manifest.json").write_text(json.dumps(manifest))
    (component / "setup.py").write_text(SMALLEST.replace("service.hello", interface))
    aside.rename(folder / pack_id)
    return folder / pack_id / "backend" / "components" / "hello" / "setup.py"


@pytest.fixture(scope="module")
def fresh(make_kernel):
    """A kernel that has never seen a pack."""
    with make_kernel() as kernel:
        kernel.start()
        yield kernel


@pytest.fixture(scope="module")
def setup_file(fresh, until_true) -> Path:
    """The smallest pack, pasted into a new folder."""
    file = write_pack(fresh.packs, "my_pack")
    fresh.facts["noticed after"] = until_true(lambda: fresh.state("my_pack"), 5, "the new pack being listed")
    return file


def test_a_new_pack_is_pending_within_2_s_and_none_of_its_code_has_run(fresh, setup_file):
    assert fresh.facts["noticed after"] < 2
    listed = fresh.rumi("pack", "list").value
    assert [(item["pack_id"], item["state"], item["version"]) for item in listed] == [("my_pack", "pending", "1.0.0")]
    assert {"pack_id", "state", "digest", "version", "rating"} <= listed[0].keys()
    assert fresh.containers() == [], "a container exists for a pack that nobody approved"

    call = fresh.rumi("call", "service.hello", "--arg", "name=Ada")
    assert (call.code, call.error["code"]) == (5, "APPROVAL_DENIED")
    assert "rumi pack plan my_pack" in call.error["hint"]
    assert call.error["request_id"]


def test_the_plan_shows_what_the_pack_is_and_wants(fresh, setup_file):
    plan = fresh.rumi("pack", "plan", "my_pack").value
    digest = fresh.rumi("pack", "digest", str(setup_file.parents[3]), as_json=False).out.strip()
    assert (len(digest), plan["digest"]) == (64, digest)
    assert len(plan["plan_hash"]) == 64
    assert {item["path"]: item["change"] for item in plan["files"]} == {
        "backend/ecosystem.json": "added",
        "backend/components/hello/manifest.json": "added",
        "backend/components/hello/setup.py": "added",
    }
    assert plan["permissions"] == []
    assert 1 <= plan["rating"] <= 8

    text = fresh.rumi("pack", "plan", "my_pack", as_json=False).out
    assert "service.hello" in text
    pasted = " ".join(text.replace("\\\n", " ").split())
    assert f"rumi pack approve my_pack --plan {plan['plan_hash']}" in pasted


def test_approving_without_a_terminal_needs_a_plan_or_yes(fresh, setup_file):
    answer = fresh.rumi("pack", "approve", "my_pack")
    assert (answer.code, answer.error["code"]) == (2, "VALIDATION_ERROR")
    assert "--plan" in answer.error["hint"]
    assert fresh.state("my_pack") == "pending"


def test_bx_14_a_plan_that_changed_before_the_click_is_a_conflict_and_nothing_is_approved(fresh, setup_file):
    seen = fresh.rumi("pack", "plan", "my_pack").value["plan_hash"]
    extra = setup_file.parent / "extra.py"
    extra.write_text("x = 1\n")
    answer = fresh.rumi("pack", "approve", "my_pack", "--plan", seen)
    assert (answer.code, answer.error["code"]) == (1, "CONFLICT")
    assert fresh.state("my_pack") == "pending"
    extra.unlink()
    assert fresh.rumi("pack", "plan", "my_pack").value["plan_hash"] == seen


def test_an_approved_pack_answers_and_prints_exactly_its_value(fresh, setup_file):
    plan = fresh.rumi("pack", "plan", "my_pack").value["plan_hash"]
    approved = fresh.rumi("pack", "approve", "my_pack", "--plan", plan)
    assert (approved.code, approved.value["state"]) == (0, "approved")
    call = fresh.rumi("call", "service.hello", "--arg", "name=Ada")
    assert (call.code, call.out) == (0, '{"message": "Hello, Ada!"}\n')
    assert fresh.rumi("call", "service.hello").value == {"message": "Hello, World!"}
    assert len(fresh.containers()) == 1


def test_ap_01_one_changed_byte_stops_it_within_2_s_and_the_old_byte_brings_it_back(fresh, setup_file, until_true):
    approved = setup_file.read_bytes()
    before = fresh.container_of("my_pack")
    setup_file.write_bytes(approved.replace(b"Hello", b"Hallo"))
    noticed = until_true(lambda: fresh.state("my_pack") == "modified", 5, "the change being noticed")
    stopped = until_true(lambda: not fresh.containers(), 5, "the container's end")
    assert noticed < 2
    assert noticed + stopped < 2.5

    call = fresh.rumi("call", "service.hello", "--arg", "name=Ada")
    assert (call.code, call.error["code"]) == (5, "APPROVAL_DENIED")
    assert "rumi pack plan my_pack" in call.error["hint"]
    changed = {item["path"]: item for item in fresh.rumi("pack", "plan", "my_pack").value["files"]}
    assert list(changed) == ["backend/components/hello/setup.py"]
    assert "Hallo" in changed["backend/components/hello/setup.py"]["diff"]

    setup_file.write_bytes(approved)
    until_true(lambda: fresh.state("my_pack") == "approved", 2, "the old byte being noticed")
    call = fresh.rumi("call", "service.hello", "--arg", "name=Ada")  # waits for the pack that is just starting
    assert (call.code, call.value) == (0, {"message": "Hello, Ada!"})
    after = fresh.container_of("my_pack")
    assert len(after) == 1
    assert after != before


def test_yj_a_flow_of_the_owner_is_pending_until_its_bytes_are_approved_and_again_when_they_change(fresh, setup_file):
    file = fresh.profile / "flows" / "greet_me.flow.yaml"
    file.write_text(GREETING_FLOW)
    listed = {item["flow_id"]: (item["owner"], item["state"]) for item in fresh.get("/api/flows")["items"]}
    assert listed["greet_me"] == ("host", "pending")
    run = fresh.rumi("flow", "run", "greet_me", "--input", "name=Ada")
    assert (run.code, run.error["code"]) == (5, "APPROVAL_DENIED")
    assert run.error["hint"] == "rumi flow approve greet_me.flow.yaml"
    assert fresh.rumi(*shlex.split(run.error["hint"])[1:]).code == 0
    assert fresh.rumi("flow", "run", "greet_me", "--input", "name=Ada").value == {"said": "Hello, Ada!"}

    file.write_text(GREETING_FLOW + "# changed\n")
    order = {"inputs": {"name": "Ada"}}
    again = fresh.request("POST", "/api/flows/greet_me/run", order)
    assert again["error"]["code"] == "APPROVAL_DENIED"
    file.write_text(GREETING_FLOW)
    assert fresh.post("/api/flows/greet_me/run", order)["outputs"] == {"said": "Hello, Ada!"}
    file.unlink()


def test_a_disabled_pack_stays_off_until_it_is_enabled(fresh, setup_file):
    assert fresh.rumi("pack", "disable", "my_pack").value["state"] == "disabled"
    assert fresh.containers() == []
    call = fresh.rumi("call", "service.hello")
    assert (call.code, call.error["code"]) == (3, "APPROVAL_DENIED"), "approving would not help"
    assert call.error["hint"] == "rumi pack enable my_pack"
    assert fresh.rumi("pack", "enable", "my_pack").value["state"] == "approved"
    assert fresh.rumi("call", "service.hello").value == {"message": "Hello, World!"}


def test_ap_18_three_refusals_block_an_author_whatever_changes_until_the_owner_unblocks(fresh, setup_file, until_true):
    file = write_pack(fresh.packs, "pest", interface="pest.here")
    until_true(lambda: fresh.state("pest") == "pending", 2, "the new pack being listed")
    for number, state in enumerate(["rejected", "rejected", "blocked"]):
        assert fresh.post("/api/packs/pest/reject", {"reason": "no"})["state"] == state
        file.write_text(SMALLEST.replace("service.hello", "pest.here") + f"# {number}\n")
        expected = "blocked" if state == "blocked" else "pending"
        until_true(lambda wanted=expected: fresh.state("pest") == wanted, 2, "the changed bytes being noticed")
    answer = fresh.rumi("pack", "approve", "pest", "--yes")
    assert (answer.code, answer.error["code"]) == (3, "POLICY_DENIED")
    assert answer.error["hint"] == "rumi pack unblock pest"

    who = {"pack_id": "pest_again", "pack_identity": "github:author/pest", "version": "2.0.0"}
    write_pack(fresh.packs, "pest_again", interface="pest.there")
    (fresh.packs / "pest_again" / "backend" / "ecosystem.json").write_text(json.dumps(who))
    until_true(lambda: fresh.state("pest_again") == "blocked", 2, "the same author under another id being blocked")

    assert fresh.rumi(*shlex.split(answer.error["hint"])[1:]).value["state"] == "pending"
    assert len(fresh.containers()) == 1, "only the approved pack runs"


def test_an_update_is_approved_through_its_plan_and_then_answers_with_its_own_bytes(fresh, setup_file, until_true):
    manifest = setup_file.parents[2] / "ecosystem.json"
    setup_file.write_text(SMALLEST.replace("Hello", "Hallo"))
    manifest.write_text(manifest.read_text().replace("1.0.0", "1.1.0"))
    until_true(lambda: fresh.state("my_pack") == "modified", 2, "the change being noticed")
    plan = fresh.get("/api/packs/my_pack/plan")
    assert {item["path"]: item["change"] for item in plan["files"]} == {
        "backend/ecosystem.json": "changed",
        "backend/components/hello/setup.py": "changed",
    }
    assert fresh.post("/api/packs/my_pack/approve", {"plan_hash": plan["plan_hash"]})["version"] == "1.1.0"
    assert fresh.call("service.hello", {"name": "Ada"}) == {"message": "Hallo, Ada!"}
    assert len(fresh.containers()) == 1


def test_ap_15_an_update_under_another_identity_is_refused_and_the_old_bytes_bring_the_pack_back(
    fresh, setup_file, until_true
):
    manifest = setup_file.parents[2] / "ecosystem.json"
    approved = manifest.read_text()
    manifest.write_text(approved.replace("github:author/my_pack", "github:evil/my_pack").replace("1.1.0", "2.0.0"))
    until_true(lambda: fresh.state("my_pack") == "modified", 2, "the change being noticed")
    answer = fresh.rumi("pack", "approve", "my_pack", "--yes")
    assert (answer.code, answer.error["code"]) == (3, "POLICY_DENIED")
    assert "github:evil/my_pack" in answer.error["message"]
    fresh.post("/api/packs/my_pack/disable")
    manifest.write_text(approved)
    until_true(lambda: fresh.state("my_pack") == "disabled", 2, "the old bytes being noticed")


def test_a_failed_command_gives_one_json_document_and_the_documented_exit_code(fresh, setup_file, threads):
    rows = [
        (["pack", "show", "nobody"], 4, "NOT_FOUND"),
        (["flow", "run", "nothing"], 4, "NOT_FOUND"),
        (["call", "no.such"], 4, "NOT_FOUND"),
        (["grant", "give", "kernel", "store.get"], 2, "VALIDATION_ERROR"),
        (["pack", "frobnicate"], 2, "VALIDATION_ERROR"),
    ]
    answers = list(threads.map(lambda row: fresh.rumi(*row[0]), rows))
    assert [(answer.code, answer.error["code"]) for answer in answers] == [row[1:] for row in rows]
    assert all({"code", "message", "hint", "request_id"} == answer.error.keys() for answer in answers)
    assert all(answer.error["message"] for answer in answers)


def test_tokens_are_shown_once_and_end_when_they_are_revoked(fresh):
    made = fresh.rumi("token", "add", "script", "--scope", "read").value
    assert len(made["token"]) > 32
    listed = fresh.rumi("token", "list")
    assert made["token"] not in listed.out
    addresses = json.dumps(fresh.get("/api/status")["addresses"])
    port = addresses.split("127.0.0.1:")[1].split('"')[0].split("/")[0]
    over_tcp = {"RUMI_TOKEN": made["token"]}
    url = ["--url", f"http://127.0.0.1:{port}"]
    assert fresh.rumi("pack", "list", *url, **over_tcp).code == 0
    denied = fresh.rumi("pack", "disable", "my_pack", *url, **over_tcp)
    assert (denied.code, denied.error["code"]) == (3, "POLICY_DENIED")
    assert fresh.rumi("token", "revoke", "script").code == 0
    assert fresh.rumi("pack", "list", *url, **over_tcp).code != 0
