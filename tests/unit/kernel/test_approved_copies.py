"""Before each start the copy is looked at again, and it must be the one that the launch means."""

from dataclasses import replace
from pathlib import Path

import pytest

from core_runtime.approval.model import PackState
from core_runtime.errors import ApprovalDenied
from core_runtime.kernel.copies import ApprovedCopies
from core_runtime.sandbox.ports import PackLaunch

DIGEST = "a" * 64


async def test_a_launch_of_what_is_approved_now_may_go_on(standings, pack):
    standings.approve(pack("one", "service.x"))
    await ApprovedCopies(standings).whole(PackLaunch(pack("one", "service.x"), Path("/sealed"), DIGEST, {}))


async def test_a_launch_of_other_bytes_or_of_a_pack_that_may_not_run_is_refused(standings, pack):
    standings.approve(pack("one", "service.x"))
    launch = PackLaunch(pack("one", "service.x"), Path("/sealed"), DIGEST, {})
    for wrong in (replace(launch, digest="b" * 64), replace(launch, sealed_root=Path("/elsewhere"))):
        with pytest.raises(ApprovalDenied):
            await ApprovedCopies(standings).whole(wrong)
    standings.set("one", PackState.INVALID)
    with pytest.raises(ApprovalDenied):
        await ApprovedCopies(standings).whole(launch)
