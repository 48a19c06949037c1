"""The main path of approval: pending, planned, approved, modified, restored; grants given and taken."""

from __future__ import annotations

import pytest

from core_runtime.approval.approving import Order
from core_runtime.approval.model import GrantWish, PackState
from core_runtime.errors import ApprovalDenied, Conflict, NotFound, PolicyDenied, StorageFull, ValidationFailed

GET = {"type": "store.get", "names": ["a", "b"]}
READ = {"type": "fs.read", "names": ["x"], "optional": True}


async def test_a_new_folder_is_pending_and_nothing_of_it_is_sealed(world):
    world.pack()
    await world.service.start()
    assert world.service.state("notes").state is PackState.PENDING
    assert not world.service.state("notes").runnable
    with pytest.raises(ApprovalDenied):
        world.service.sealed("notes")
    assert list((world.profile / "sealed").iterdir()) == []


async def test_approving_by_plan_hash_makes_the_sealed_copy_runnable(world):
    world.pack(permissions=[GET])
    await world.service.start()
    plan = await world.service.plan("notes")
    view = await world.service.approve(Order("notes", plan.plan_hash, act=world.act))
    assert view.status.runnable
    sealed = world.service.sealed("notes")
    assert sealed.digest == plan.digest
    assert (sealed.root / "backend/ecosystem.json").exists()
    assert dict(world.service.grants_of("notes")["store.get"].config) == {"names": ["a", "b"]}
    assert [change.started for change in world.changes if change.new.state is PackState.APPROVED] == [True]
    assert "pack.approve" in world.audit.actions()


async def test_a_changed_byte_makes_it_modified_and_the_old_byte_restores_it(world):
    root = world.pack()
    await world.service.start()
    await world.service.approve(Order("notes"))
    setup = root / "backend/components/main/setup.py"
    old = setup.read_bytes()
    setup.write_bytes(old + b"#")
    changes = await world.service.scan({"notes"})
    assert [(c.pack_id, c.stopped, c.new.state) for c in changes] == [("notes", True, PackState.MODIFIED)]
    assert (await world.service.plan("notes")).content["files"][0]["change"] == "changed"
    setup.write_bytes(old)
    changes = await world.service.scan()
    assert [c.started for c in changes] == [True]


async def test_what_was_approved_survives_a_restart(world):
    world.pack(permissions=[GET])
    await world.service.start()
    await world.service.approve(Order("notes"))
    digest = world.service.sealed("notes").digest
    await world.restart()
    assert world.service.sealed("notes").digest == digest
    assert set(world.service.grants_of("notes")) == {"store.get"}


async def test_optional_permissions_are_left_out_unless_named(world):
    world.pack(permissions=[GET, READ])
    await world.service.start()
    await world.service.approve(Order("notes"))
    assert set(world.service.grants_of("notes")) == {"store.get"}
    await world.service.give("notes", GrantWish("fs.read"), world.act)
    assert world.service.grants_of("notes")["fs.read"].mode.value == "ask"


async def test_a_required_permission_left_out_leaves_the_pack_disabled_until_it_is_given(world):
    world.pack(permissions=[GET])
    await world.service.start()
    view = await world.service.approve(Order("notes", wishes=[]))
    assert view.status.state is PackState.DISABLED
    with pytest.raises(Conflict, match=r"requires store\.get"):
        await world.service.enable("notes", world.act)
    await world.service.give("notes", GrantWish("store.get"), world.act)
    assert world.service.state("notes").runnable


async def test_taking_a_grant_counts_at_once_and_after_a_restart(world):
    world.pack(permissions=[GET])
    await world.service.start()
    await world.service.approve(Order("notes"))
    await world.service.take("notes", "store.get", world.act)
    assert "store.get" not in world.service.grants_of("notes")
    assert world.grant_changes[-1].taken == ("store.get",)
    with pytest.raises(NotFound):
        await world.service.take("notes", "store.get", world.act)
    await world.restart()
    assert not world.service.grants_of("notes")


async def test_disable_and_enable(world):
    world.pack()
    await world.service.start()
    await world.service.approve(Order("notes"))
    assert (await world.service.disable("notes", world.act)).status.state is PackState.DISABLED
    await world.restart()
    assert world.service.state("notes").state is PackState.DISABLED
    assert (await world.service.enable("notes", world.act)).status.runnable


async def test_nothing_is_approved_when_the_audit_line_cannot_be_written(world):
    world.pack()
    await world.service.start()
    world.audit.full = True
    with pytest.raises(StorageFull):
        await world.service.approve(Order("notes"))
    assert world.service.state("notes").state is PackState.PENDING
    assert not world.record_file().exists()


async def test_stopping_and_revoking_work_when_the_audit_cannot_be_written(world):
    world.pack(permissions=[GET])
    await world.service.start()
    await world.service.approve(Order("notes"))
    world.audit.full = True
    await world.service.take("notes", "store.get", world.act)
    assert (await world.service.disable("notes", world.act)).status.state is PackState.DISABLED
    await world.service.reject("notes", "no", world.act)
    assert world.service.state("notes").state is PackState.REJECTED


async def test_high_grants_wait_until_their_line_is_durable(world):
    world.pack(permissions=[GET, {"type": "fs.read", "names": ["x"]}])
    await world.service.start()
    await world.service.approve(Order("notes"))
    assert world.audit.durable_up_to == 1 + world.audit.actions().index("pack.approve")


async def test_a_grant_wider_than_the_ceiling_is_refused_whoever_asks(world):
    world.pack(permissions=[GET])
    await world.service.start()
    with pytest.raises(PolicyDenied, match="wider"):
        await world.service.approve(Order("notes", wishes=[GrantWish("store.get", {"names": ["c"]})]))
    await world.service.approve(Order("notes"))
    with pytest.raises(PolicyDenied, match="wider"):
        await world.service.give("notes", GrantWish("store.get", {"names": ["a", "*"]}), world.act)
    with pytest.raises(PolicyDenied, match="does not declare"):
        await world.service.give("notes", GrantWish("store.set"), world.act)


async def test_a_pack_whose_required_pack_is_missing_is_disabled_until_it_is_there(world):
    world.pack("child", requires={"packs": {"base": ">=1.2"}})
    base = world.pack("base", version="1.0.0")
    await world.service.start()
    assert (await world.service.approve(Order("child"))).status.state is PackState.DISABLED
    await world.service.approve(Order("base"))
    assert "approved is 1.0.0" in world.service.state("child").reason
    world.pack("base", version="1.2.0")
    await world.service.scan()
    await world.service.approve(Order("base"))
    assert world.service.state("child").runnable
    assert base.exists()


async def test_bundled_packs_are_approved_by_exact_digest_and_up_to_medium(world):
    world.pack("plain", permissions=[GET])
    world.pack("wild", pack_identity="github:x/wild", permissions=[{"type": "fs.read", "names": ["x"]}])
    world.pack("other")
    await world.service.start()
    listed = [(name, world.service.state(name).digest) for name in ("plain", "wild")] + [("other", "0" * 64)]
    assert await world.service.approve_bundled(listed, world.act) == ("plain", "wild")
    assert world.service.state("plain").runnable
    assert world.service.state("wild").state is PackState.DISABLED
    assert not world.service.grants_of("wild")
    assert world.service.state("other").state is PackState.PENDING


async def test_bundled_approval_leaves_what_the_owner_rejected_or_disabled(world):
    world.pack("plain")
    await world.service.start()
    digest = world.service.state("plain").digest
    await world.service.reject("plain", "no", world.act)
    assert await world.service.approve_bundled([("plain", digest)], world.act) == ()
    assert world.service.state("plain").state is PackState.REJECTED


async def test_a_damaged_sealed_copy_is_not_started_and_is_mended_from_the_same_bytes(world):
    root = world.pack()
    await world.service.start()
    await world.service.approve(Order("notes"))
    sealed = world.service.sealed("notes").root / "backend/components/main/setup.py"
    sealed.chmod(0o644)
    sealed.write_text("evil")
    opened = await world.service.sealed_for_start("notes")
    assert (opened.root / "backend/components/main/setup.py").read_text().startswith("def run")
    assert world.audit.actions()[-1] == "sealed.damaged"
    sealed.chmod(0o644)
    sealed.write_text("evil")
    (root / "backend/new.py").write_text("x")
    with pytest.raises(ApprovalDenied):
        await world.service.sealed_for_start("notes")


async def test_unknown_packs_are_not_found(world):
    await world.service.start()
    for call in (
        world.service.plan("nobody"),
        world.service.approve(Order("nobody")),
        world.service.reject("nobody", "", world.act),
    ):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        world.service.get("nobody")


async def test_an_invalid_pack_names_its_problem_and_does_not_disturb_others(world):
    world.pack("good")
    bad = world.pack("bad")
    (bad / "backend/ecosystem.json").write_text("{")
    await world.service.start()
    assert world.service.state("bad").state is PackState.INVALID
    assert world.service.state("good").state is PackState.PENDING
    with pytest.raises(ValidationFailed):
        await world.service.approve(Order("bad"))
    assert [notice.code for notice in world.service.notices()] == ["PACK_INVALID"]
