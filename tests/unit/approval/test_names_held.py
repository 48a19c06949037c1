"""Whether a pack still holds its names is the owner's doing, never that of damage or of a folder (BX-11)."""

from __future__ import annotations

from core_runtime.approval.approving import Order
from core_runtime.approval.model import PackState
from core_runtime.approval.rules import in_range


async def test_names_are_held_from_the_approval_until_the_owner_lets_go(world):
    root = world.pack()
    await world.service.start()
    assert not world.service.state("notes").holds_names
    await world.service.approve(Order("notes"))
    assert world.service.state("notes").holds_names
    (root / "backend/new.py").write_text("x")
    await world.service.scan()
    assert (world.service.state("notes").state, world.service.state("notes").holds_names) == (PackState.MODIFIED, True)
    (root / "backend/new.py").unlink()
    (root / "backend/link").symlink_to("/etc/passwd")
    await world.service.scan()
    assert (world.service.state("notes").state, world.service.state("notes").holds_names) == (PackState.INVALID, True)
    (root / "backend/link").unlink()
    await world.service.scan()
    await world.service.disable("notes", world.act)
    assert not world.service.state("notes").holds_names


async def test_a_damaged_record_frees_no_names(world):
    world.pack()
    await world.service.start()
    await world.service.approve(Order("notes"))
    world.record_file().write_text("{}")
    await world.service.recheck_records()
    assert (world.service.state("notes").state, world.service.state("notes").holds_names) == (PackState.INVALID, True)


async def test_a_rejected_pack_holds_nothing(world):
    world.pack()
    await world.service.start()
    await world.service.approve(Order("notes"))
    await world.service.reject("notes", "no", world.act)
    assert not world.service.state("notes").holds_names
    assert not world.service.state("nobody").holds_names


def test_a_range_or_version_that_packaging_chokes_on_matches_nothing():
    """A number of more than 4,300 digits is a `ValueError` of Python's, not one of packaging's (CVE-2020-10735)."""
    for version, wanted in (("1.0", "==" + "9" * 5000), ("9" * 5000, ">=1"), ("1.0", "nonsense"), ("nonsense", ">=1")):
        assert not in_range(version, wanted)
