"""The doctor looks at the profile, says what is wrong with it, and changes nothing."""

import os

import pytest

from core_runtime.diagnostics.model import Severity
from core_runtime.diagnostics.profile import profile_checks
from core_runtime.diagnostics.profile.audit_trail import AuditTrailWhole
from core_runtime.diagnostics.profile.disk_space import DiskSpace
from core_runtime.diagnostics.profile.folder_access import FolderAccess
from core_runtime.diagnostics.profile.security_mode import SecurityModeStrict


async def test_a_profile_in_order_has_no_findings(tmp_path):
    root = tmp_path / "private"
    root.mkdir(mode=0o700)
    checks = profile_checks(root, security_mode="strict", verify=lambda _: {"ok": True, "lines": 3})
    found = [await check.run() for check in checks]
    assert {item.severity for item in found} <= {Severity.OK, Severity.WARNING}
    assert len({item.code for item in found}) == len(checks)


async def test_a_profile_that_is_not_there_yet_is_in_order(tmp_path):
    assert (await FolderAccess(tmp_path / "none").run()).severity is Severity.OK
    assert (await DiskSpace(tmp_path / "none" / "deeper").run()).severity in {Severity.OK, Severity.WARNING}


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
async def test_a_profile_that_others_can_enter_is_a_problem(tmp_path, mode):
    root = tmp_path / "private"
    root.mkdir()
    root.chmod(mode)
    found = await FolderAccess(root).run()
    assert found.severity is Severity.PROBLEM
    assert "chmod 700" in found.hint


async def test_a_link_in_place_of_the_profile_is_a_problem(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    os.symlink(tmp_path / "real", tmp_path / "private")
    assert (await FolderAccess(tmp_path / "private").run()).severity is Severity.PROBLEM


async def test_permissive_mode_is_never_quiet():
    assert (await SecurityModeStrict("permissive").run()).severity is Severity.WARNING


async def test_a_broken_trail_names_its_first_bad_line(tmp_path):
    bad = {"file": "2026-01-02.jsonl", "line": 7, "reason": "changed"}
    found = await AuditTrailWhole(tmp_path, lambda _: {"ok": False, "first_bad": bad}).run()
    assert found.severity is Severity.PROBLEM
    assert "2026-01-02.jsonl" in found.message
    assert "7" in found.message
