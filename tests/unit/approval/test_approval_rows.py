"""Rows of group AP, and of BX and GR where they concern approving, against the whole service."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import pytest

from core_runtime.approval.approving import Order
from core_runtime.approval.model import GrantWish, PackState
from core_runtime.approval.plan import PlanEnvironment
from core_runtime.errors import ApprovalDenied, Conflict, PolicyDenied, RumiError, StorageFull, ValidationFailed
from core_runtime.signing import KEY_FILE

GET = {"type": "store.get", "names": ["a"]}


async def approved(world, pack_id="notes", **fields):
    root = world.pack(pack_id, **fields)
    await world.service.start()
    await world.service.approve(Order(pack_id))
    assert world.service.state(pack_id).runnable
    return root


async def test_ap_02_a_file_added_after_approval_makes_it_modified(world):
    root = await approved(world)
    (root / "backend/components/main/extra.py").write_text("")
    await world.service.scan()
    assert world.service.state("notes").state is PackState.MODIFIED
    with pytest.raises(ApprovalDenied):
        world.service.sealed("notes")


async def test_ap_03_empty_folders_have_no_effect(world):
    root = await approved(world)
    (root / "empty").mkdir()
    assert await world.service.scan() == ()
    assert world.service.state("notes").runnable


async def test_ap_04_caches_beside_the_code_are_never_sealed(world):
    root = world.pack()
    (root / "backend/components/main/__pycache__").mkdir()
    (root / "backend/components/main/__pycache__/setup.cpython-311.pyc").write_bytes(b"evil")
    await world.service.start()
    await world.service.approve(Order("notes"))
    assert not list(world.service.sealed("notes").root.rglob("__pycache__"))


async def test_ap_09_a_link_put_into_an_approved_pack_stops_it_and_its_removal_restores_it(world):
    root = await approved(world)
    os.symlink("/etc/passwd", root / "backend/x")
    await world.service.scan()
    assert world.service.state("notes").state is PackState.INVALID
    (root / "backend/x").unlink()
    await world.service.scan()
    assert world.service.state("notes").runnable


async def test_ap_10_a_set_id_bit_stops_it_and_an_execute_bit_modifies_it(world):
    root = await approved(world)
    setup = root / "backend/components/main/setup.py"
    setup.chmod(0o4755)
    await world.service.scan()
    assert world.service.state("notes").state is PackState.INVALID
    setup.chmod(0o755)
    await world.service.scan()
    assert world.service.state("notes").state is PackState.MODIFIED


async def test_ap_12_a_file_changed_between_plan_and_yes_is_a_conflict(world):
    root = world.pack()
    await world.service.start()
    plan = await world.service.plan("notes")
    (root / "backend/components/main/setup.py").write_text("evil")
    with pytest.raises(Conflict, match="plan"):
        await world.service.approve(Order("notes", plan.plan_hash))
    assert world.service.state("notes").state is PackState.PENDING
    assert not world.record_file().exists()


async def test_ap_12_what_runs_is_the_sealed_copy_until_the_change_is_noticed_and_afterwards_nothing(world):
    root = await approved(world)
    (root / "backend/components/main/setup.py").write_text("evil")
    assert "evil" not in (world.service.sealed("notes").root / "backend/components/main/setup.py").read_text()
    await world.service.scan()
    with pytest.raises(ApprovalDenied):
        await world.service.sealed_for_start("notes")


async def test_ap_13_a_copy_under_another_id_is_not_approved(world):
    root = await approved(world)
    shutil.copytree(root, world.ecosystem / "other")
    await world.service.scan()
    assert world.service.state("other").state is PackState.INVALID
    assert "pack_id is notes" in world.service.state("other").reason
    assert world.service.state("notes").runnable


async def test_ap_13_a_renamed_folder_loses_its_approval(world):
    root = await approved(world)
    root.rename(world.ecosystem / "renamed")
    await world.service.scan()
    assert world.service.state("notes").state is PackState.MODIFIED
    assert world.service.state("renamed").state is PackState.INVALID


async def test_ap_13_the_same_id_in_two_folders_disables_both(world):
    root = await approved(world)
    shutil.copytree(root, world.ecosystem / "packs/notes")
    await world.service.scan()
    assert world.service.state("notes").state is PackState.INVALID
    assert "two folders" in world.service.state("notes").reason
    shutil.rmtree(world.ecosystem / "packs")
    await world.service.scan()
    assert world.service.state("notes").runnable


async def test_ap_13_ids_that_differ_in_case_disable_each_other(world):
    await approved(world)
    world.pack("Notes")
    await world.service.scan()
    assert world.service.state("notes").state is world.service.state("Notes").state is PackState.INVALID


@pytest.mark.parametrize("identity", ["github:evil/x", "GitHub:Ada/Notes", "github:ada/notes "])
async def test_ap_15_an_update_with_another_identity_is_refused_and_the_old_bytes_stay_approved(world, identity):
    root = await approved(world)
    old = (root / "backend/ecosystem.json").read_bytes()
    world.pack(pack_identity=identity, version="2.0.0")
    await world.service.scan()
    plan = await world.service.plan("notes")
    assert any("identity" in warning["en"] for warning in plan.content["warnings"])
    for order in (Order("notes"), Order("notes", plan.plan_hash), Order("notes", version="2.0.0")):
        with pytest.raises(PolicyDenied, match=r"github:ada/notes|GitHub|evil"):
            await world.service.approve(order)
    assert [notice.code for notice in world.service.notices()] == ["PACK_IDENTITY"]
    (root / "backend/ecosystem.json").write_bytes(old)
    await world.service.scan()
    assert world.service.state("notes").runnable


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param("key:one", "key:two", id="BX-15-another-key"), pytest.param("key:one", None, id="BX-15-unsigned")],
)
async def test_an_update_that_is_signed_otherwise_is_refused(world, before, after):
    await approved(world, x_signer=before)
    world.pack(version="2.0.0", **({"x_signer": after} if after else {}))
    await world.service.scan()
    with pytest.raises(PolicyDenied):
        await world.service.approve(Order("notes"))


async def test_ap_16_a_lower_version_needs_to_be_named(world):
    await approved(world, version="1.10.0")
    world.pack(version="1.9.0")
    await world.service.scan()
    plan = await world.service.plan("notes")
    for order in (Order("notes"), Order("notes", plan.plan_hash), Order("notes", version="1.10.0")):
        with pytest.raises(Conflict, match="older"):
            await world.service.approve(order)
    assert (await world.service.approve(Order("notes", version="1.9.0"))).status.runnable


async def test_ap_16_the_highest_version_stays_pinned_after_going_back(world):
    await approved(world, version="2.0.0")
    world.pack(version="1.0.0")
    await world.service.scan()
    await world.service.approve(Order("notes", version="1.0.0"))
    world.pack(version="1.5.0")
    await world.service.scan()
    with pytest.raises(Conflict, match=r"older than 2\.0\.0"):
        await world.service.approve(Order("notes"))


async def test_ap_16_an_equal_version_with_other_bytes_needs_its_plan(world):
    root = await approved(world)
    (root / "backend/components/main/setup.py").write_text("new")
    await world.service.scan()
    with pytest.raises(Conflict, match="other bytes"):
        await world.service.approve(Order("notes"))
    plan = await world.service.plan("notes")
    assert (await world.service.approve(Order("notes", plan.plan_hash))).status.runnable


async def test_ap_16_an_older_approval_put_back_from_a_backup_is_no_approval(world):
    await approved(world, permissions=[GET])
    backup = world.record_file().read_bytes()
    await world.service.take("notes", "store.get", world.act)
    world.record_file().write_bytes(backup)
    await world.restart()
    assert world.service.state("notes").state is PackState.INVALID
    assert not world.service.grants_of("notes")
    entries = [e for e in world.audit.entries if e.action == "record.tampered"]
    assert [e.rule for e in entries] == ["rolled_back"]


async def test_gr_01_a_record_edited_while_we_run_switches_the_pack_off_and_is_audited_once(world):
    await approved(world, permissions=[GET])
    document = json.loads(world.record_file().read_bytes())
    document["grants"][0]["config"]["names"] = ["*"]
    world.record_file().write_text(json.dumps(document))
    assert [change.stopped for change in await world.service.recheck_records()] == [True]
    await world.service.recheck_records()
    assert world.audit.actions().count("record.tampered") == 1
    assert not world.service.grants_of("notes")
    assert world.record_file().read_text() == json.dumps(document)
    assert [notice.code for notice in world.service.notices()] == ["RECORD_TAMPERED"]


async def test_a_record_taken_away_while_we_run_switches_the_pack_off_and_its_return_restores_it(world):
    await approved(world)
    kept = world.record_file().read_bytes()
    world.record_file().unlink()
    await world.service.recheck_records()
    assert not world.service.state("notes").runnable
    world.record_file().write_bytes(kept)
    world.record_file().chmod(0o600)
    await world.service.recheck_records()
    assert world.service.state("notes").runnable


async def test_all_records_wiped_while_we_run_switch_every_pack_off(world):
    await approved(world)
    shutil.rmtree(world.profile / "permissions")
    await world.service.recheck_records()
    assert not world.service.state("notes").runnable


async def test_gr_02_a_record_copied_to_another_pack_gives_it_nothing(world):
    await approved(world, permissions=[GET])
    world.pack("evil", pack_identity="github:evil/x", permissions=[GET])
    shutil.copy2(world.record_file(), world.record_file("evil"))
    await world.restart()
    assert not world.service.grants_of("evil")
    assert not world.service.state("evil").runnable
    assert world.service.state("notes").runnable


async def test_a_tampered_pack_can_be_approved_anew_and_the_old_file_is_kept(world):
    await approved(world)
    world.record_file().write_text("{}")
    await world.restart()
    plan = await world.service.plan("notes")
    assert any("cannot be believed" in warning["en"] for warning in plan.content["warnings"])
    assert (await world.service.approve(Order("notes", plan.plan_hash))).status.runnable
    assert [p.read_text() for p in (world.profile / "permissions/evidence").iterdir()] == ["{}"]


async def test_gr_06_without_the_key_everything_is_void_until_the_owner_approves_a_plan_that_says_so(world):
    await approved(world, permissions=[GET])
    (world.profile / KEY_FILE).unlink()
    await world.restart()
    assert not world.service.state("notes").runnable
    assert not world.service.grants_of("notes")
    assert "SIGNING_KEY_LOCKED" in [notice.code for notice in world.service.notices()]
    with pytest.raises(Conflict, match="signing key"):
        await world.service.approve(Order("notes"))
    plan = await world.service.plan("notes")
    assert any("signing key" in warning["en"] for warning in plan.content["warnings"])
    assert (await world.service.approve(Order("notes", plan.plan_hash))).status.runnable
    assert "signing_key.renew" in world.audit.actions()
    await world.restart()
    assert world.service.state("notes").runnable


async def test_gr_06_a_key_that_is_put_back_brings_everything_back_and_the_sealed_copies_are_still_there(world):
    root = await approved(world, permissions=[GET])
    key = (world.profile / KEY_FILE).read_bytes()
    (world.profile / KEY_FILE).unlink()
    setup = root / "backend/components/main/setup.py"
    old = setup.read_bytes()
    setup.write_text("changed meanwhile")
    await world.restart()
    (world.profile / KEY_FILE).write_bytes(key)
    (world.profile / KEY_FILE).chmod(0o600)
    await world.restart()
    assert world.service.state("notes").state is PackState.MODIFIED
    assert world.service.ceiling("notes") is not None
    setup.write_bytes(old)
    await world.service.scan()
    assert world.service.state("notes").runnable
    assert set(world.service.grants_of("notes")) == {"store.get"}


async def test_ft_04_an_approval_that_cannot_be_written_changes_nothing_and_says_so_in_the_audit(
    world, scripted, no_space
):
    world.pack()
    operations = scripted(only=frozenset({"rename"}))
    world.operations = operations
    await world.restart()
    operations.error = no_space
    operations.at = operations.count + 2  # the first rename puts the sealed copy in place, the second is the record's
    with pytest.raises(StorageFull):
        await world.service.approve(Order("notes"))
    assert world.service.state("notes").state is PackState.PENDING
    last = [entry for entry in world.audit.entries if entry.action == "pack.approve"][-1]
    assert last.outcome.value == "error"
    await world.restart()
    assert world.service.state("notes").state is PackState.PENDING
    assert (await world.service.approve(Order("notes"))).status.runnable


async def test_ap_18_the_third_rejection_blocks_the_identity_whatever_else_changes(world):
    root = world.pack()
    await world.service.start()
    for text in ("1", "2", "3"):
        (root / "README").write_text(text)
        await world.service.scan()
        await world.service.reject("notes", "no", world.act)
    assert world.service.state("notes").state is PackState.BLOCKED
    (root / "README").write_text("one byte more")
    world.pack(version="9.0.0")
    world.pack("renamed", pack_identity="GitHub:ada/Notes")
    world.clock.pass_time(7_200)
    await world.service.scan()
    for pack_id in ("notes", "renamed"):
        assert world.service.state(pack_id).state is PackState.BLOCKED
        with pytest.raises(PolicyDenied, match="blocked"):
            await world.service.approve(Order(pack_id))
    await world.restart()
    assert world.service.state("notes").state is PackState.BLOCKED
    assert (await world.service.unblock("notes", world.act)).status.state is PackState.PENDING
    assert (await world.service.approve(Order("notes"))).status.runnable


async def test_ap_18_a_block_that_was_tampered_with_stays_a_block(world):
    world.pack()
    await world.service.start()
    for _ in range(3):
        await world.service.reject("notes", "no", world.act)
    record = next((world.profile / "permissions").glob("*.rejections.json"))
    record.write_bytes(b"{}")
    await world.restart()
    assert world.service.state("notes").state is PackState.BLOCKED
    record.unlink()
    await world.restart()
    assert world.service.state("notes").state is PackState.BLOCKED


async def test_ap_18_a_rejected_digest_waits_an_hour_on_the_monotonic_clock(world):
    world.pack()
    await world.service.start()
    await world.service.reject("notes", "no", world.act)
    world.clock.now += 86_400  # FT-15: the wall clock jumps, the hour does not
    with pytest.raises(Conflict, match=r"6[01] minutes"):
        await world.service.approve(Order("notes"))
    world.clock.mono += 3_599
    assert world.service.get("notes").status.state is PackState.REJECTED
    world.clock.mono += 1
    assert world.service.get("notes").status.state is PackState.PENDING
    assert (await world.service.approve(Order("notes"))).status.runnable


async def test_ft_15_a_wall_clock_set_back_across_a_restart_does_not_end_a_cooldown(world):
    world.pack()
    await world.service.start()
    await world.service.reject("notes", "no", world.act)
    world.clock.now -= 365 * 86_400
    world.clock.highest = 0.0
    await world.restart()
    assert world.service.state("notes").state is PackState.REJECTED


async def test_other_bytes_of_a_rejected_pack_may_ask_at_once(world):
    root = world.pack()
    await world.service.start()
    await world.service.reject("notes", "no", world.act)
    (root / "README").write_text("better")
    await world.service.scan()
    assert world.service.state("notes").state is PackState.PENDING


async def test_rejecting_an_update_leaves_the_approval_of_the_old_bytes(world):
    root = await approved(world)
    setup = root / "backend/components/main/setup.py"
    old = setup.read_bytes()
    setup.write_text("update")
    await world.service.scan()
    assert (await world.service.reject("notes", "no", world.act)).status.state is PackState.REJECTED
    setup.write_bytes(old)
    await world.service.scan()
    assert world.service.state("notes").runnable


async def test_rejecting_approved_bytes_withdraws_approval_and_grants(world):
    await approved(world, permissions=[GET])
    await world.service.reject("notes", "no", world.act)
    assert not world.service.state("notes").runnable
    assert not world.service.grants_of("notes")
    await world.restart()
    assert not world.service.state("notes").runnable
    assert not world.service.grants_of("notes")


async def test_ap_20_a_manifest_that_vanishes_makes_one_pack_modified_and_others_go_on(world):
    root = await approved(world)
    world.pack("other", pack_identity="github:x/other")
    (root / "backend/ecosystem.json").unlink()
    await world.service.scan()
    assert not world.service.state("notes").runnable
    assert world.service.state("other").state is PackState.PENDING


async def test_ap_20_a_permission_file_that_vanishes_is_not_approved_without_it(world):
    root = world.pack(permissions=[GET])
    await world.service.start()
    plan = await world.service.plan("notes")
    (root / "backend/permissions.json").unlink()
    with pytest.raises(Conflict):
        await world.service.approve(Order("notes", plan.plan_hash))


async def test_ap_22_a_manifest_of_300_mb_is_refused_without_being_read(world):
    root = world.pack()
    with (root / "backend/ecosystem.json").open("r+b") as file:
        file.truncate(300 * 1024 * 1024)
    await world.service.start()
    assert world.service.state("notes").state is PackState.INVALID


@pytest.mark.parametrize("change", ["byte", "grant", "image", "catalogue", "provider", "provider-grant"])
async def test_bx_14_a_plan_whose_meaning_changed_is_a_conflict(world, change):
    calls = {"type": "interface.call", "interfaces": ["clock.*"]}
    world.pack("clock", pack_identity="github:x/clock", x_provides=["clock.now"], permissions=[GET])
    root = await approved(world, permissions=[GET, calls])
    if change == "provider-grant":
        await world.service.approve(Order("clock"))
    plan = await world.service.plan("notes")
    if change == "byte":
        (root / "README").write_text("x")
    elif change == "grant":
        await world.service.take("notes", "store.get", world.act)
    elif change == "image":
        world.environment = PlanEnvironment("1.0.0", "1", "image-b")
    elif change == "catalogue":
        world.environment = PlanEnvironment("1.0.0", "2", "image-a")
    elif change == "provider":
        await world.service.approve(Order("clock"))
    else:
        await world.service.take("clock", "store.get", world.act)
    with pytest.raises(Conflict):
        await world.service.approve(Order("notes", plan.plan_hash))


async def test_bx_14_an_unchanged_plan_has_the_same_hash_each_time(world):
    await approved(world, permissions=[GET])
    hashes = {(await world.service.plan("notes")).plan_hash for _ in range(3)}
    assert len(hashes) == 1


async def family(world, *, consent="github:x/kid"):
    world.pack("trusted", pack_identity="github:x/parent", children={"trusted__kid": {"identity": consent}})
    world.pack("trusted__kid", pack_identity="github:x/kid")
    await world.service.start()


async def test_gr_14_a_child_needs_its_parent_approved_first(world):
    await family(world)
    with pytest.raises(ApprovalDenied, match="trusted"):
        await world.service.approve(Order("trusted__kid"))
    await world.service.approve(Order("trusted"))
    assert (await world.service.approve(Order("trusted__kid"))).status.runnable


async def test_gr_14_a_child_whose_identity_the_parent_did_not_name_is_refused(world):
    await family(world, consent="github:other/kid")
    await world.service.approve(Order("trusted"))
    with pytest.raises(ApprovalDenied, match="children"):
        await world.service.approve(Order("trusted__kid"))


async def test_gr_14_a_forged_child_of_a_pack_that_knows_nothing_of_it_is_refused(world):
    world.pack("trusted", pack_identity="github:x/parent")
    world.pack("trusted__evil", pack_identity="github:evil/x")
    await world.service.start()
    await world.service.approve(Order("trusted"))
    with pytest.raises(ApprovalDenied):
        await world.service.approve(Order("trusted__evil"))


async def test_gr_14_a_parent_that_stops_takes_its_children_with_it_and_brings_them_back(world):
    await family(world)
    await world.service.approve(Order("trusted"))
    await world.service.approve(Order("trusted__kid"))
    world.changes.clear()
    await world.service.disable("trusted", world.act)
    assert {change.pack_id for change in world.changes if change.stopped} == {"trusted", "trusted__kid"}
    status = world.service.state("trusted__kid")
    assert (status.state, status.parent, status.runnable) == (PackState.APPROVED, "trusted", False)
    with pytest.raises(ApprovalDenied, match="trusted"):
        world.service.sealed("trusted__kid")
    await world.service.enable("trusted", world.act)
    assert world.service.state("trusted__kid").runnable


async def test_gr_14_four_levels_each_need_the_one_above(world):
    names = ["a", "a__b", "a__b__c", "a__b__c__d"]
    for name, child in zip(names, [*names[1:], None], strict=True):
        world.pack(name, pack_identity=f"id:{name}", children={child: {"identity": f"id:{child}"}} if child else {})
    await world.service.start()
    for name in names:
        await world.service.approve(Order(name))
    assert world.service.state("a__b__c__d").runnable
    await world.service.disable("a__b", world.act)
    assert [world.service.state(name).runnable for name in names] == [True, False, False, False]
    assert world.service.state("a__b__c__d").parent == "a__b"


async def test_ft_02_killed_at_any_operation_of_approving_the_state_is_whole_and_never_wider(world, scripted, killed):
    world.pack(permissions=[GET])
    await world.service.start()
    counting = scripted()
    world.operations = counting
    await world.restart()
    before = counting.count
    await world.service.approve(Order("notes"))
    needed = counting.count - before
    await world.service.reject("notes", "", world.act)
    await world.service.unblock("notes", world.act)
    kills, states = 0, set()
    for at in range(1, needed + 1):
        operations = scripted()
        world.operations = operations
        await world.restart()
        operations.at = operations.count + at
        try:
            await world.service.approve(Order("notes"))
        except killed:
            kills += 1
        world.operations = scripted()
        await world.restart()
        status = world.service.state("notes")
        assert status.state in {PackState.PENDING, PackState.APPROVED}, at
        states.add(status.state)
        assert set(world.service.grants_of("notes")) == ({"store.get"} if status.runnable else set())
        if status.runnable:
            await world.service.reject("notes", "", world.act)
            await world.service.unblock("notes", world.act)
    assert kills >= 15
    assert states == {PackState.PENDING, PackState.APPROVED}


@pytest.mark.parametrize("act", ["give", "take"])
async def test_ft_02_killed_at_any_operation_of_a_grant_the_old_or_the_new_one_stands(world, scripted, killed, act):
    await approved(world, permissions=[GET, {"type": "store.set", "names": ["b"], "optional": True}])
    kills = 0
    for at in range(1, 40):
        if act == "take":
            await world.service.give("notes", GrantWish("store.set"), world.act)
        operations = scripted()
        world.operations = operations
        await world.restart()
        operations.at = operations.count + at
        try:
            await getattr(world.service, act)(
                "notes", GrantWish("store.set") if act == "give" else "store.set", world.act
            )
            done = True
        except killed:
            kills, done = kills + 1, False
        world.operations = scripted()
        await world.restart()
        assert world.service.state("notes").runnable
        held = set(world.service.grants_of("notes"))
        assert held in ({"store.get"}, {"store.get", "store.set"})
        if done:
            assert ("store.set" in held) == (act == "give")
            break
        if act == "give" and "store.set" in held:
            await world.service.take("notes", "store.set", world.act)
    assert done
    assert kills >= 10


async def test_a_decision_is_finished_even_if_the_one_who_asked_goes_away(world):
    world.pack()
    await world.service.start()
    task = asyncio.create_task(world.service.approve(Order("notes")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while not world.service.state("notes").runnable:
            await asyncio.sleep(0.01)


async def test_many_decisions_at_once_leave_one_whole_state(world):
    world.pack(permissions=[GET])
    await world.service.start()
    plan = await world.service.plan("notes")

    async def tolerant(work):
        try:
            return await work
        except RumiError as error:
            return error

    results = await asyncio.gather(
        *(tolerant(world.service.approve(Order("notes", plan.plan_hash))) for _ in range(3)),
        tolerant(world.service.disable("notes", world.act)),
        *(tolerant(world.service.scan()) for _ in range(3)),
        tolerant(world.service.give("notes", GrantWish("store.get"), world.act)),
    )
    assert len(results) == 8
    before = world.service.state("notes"), dict(world.service.grants_of("notes"))
    await world.restart()
    assert (world.service.state("notes"), dict(world.service.grants_of("notes"))) == before


async def test_a_permission_that_does_not_exist_makes_the_pack_invalid_with_its_pointer(world):
    world.pack(permissions=[GET, {"type": "store.gett", "names": []}])
    await world.service.start()
    view = world.service.get("notes")
    assert view.status.state is PackState.INVALID
    assert view.problems[0].pointer == "/permissions/1/type"
    with pytest.raises(ValidationFailed):
        await world.service.plan("notes")


async def test_leftovers_of_interrupted_work_are_removed_at_start(world):
    root = await approved(world, permissions=[GET])
    digest = world.service.sealed("notes").digest
    (world.profile / "sealed/.tmp-0123456789abcdef").mkdir()
    (root / "README").write_text("x")
    await world.service.scan()
    plan = await world.service.plan("notes")
    with pytest.raises(PolicyDenied):
        await world.service.approve(Order("notes", plan.plan_hash, wishes=[GrantWish("store.set")]))
    await world.restart()
    assert [p.name for p in (world.profile / "sealed").iterdir()] == [digest]
