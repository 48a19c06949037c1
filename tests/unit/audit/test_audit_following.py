"""Following the trail: whoever has seen a line gets the ones that come next, in order, without a gap."""

import pytest

from core_runtime.adapters.audit_log import AuditFiles, AuditLog
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.clock import SystemClock
from core_runtime.interfaces.ports import AuditQuery


@pytest.fixture
def files(tmp_path):
    log = AuditLog(tmp_path / "audit", SystemClock(), lambda _: "signed")
    for number in range(25):
        log.append(AuditEntry(AuditCategory.SYSTEM, f"act.{number}", Outcome.OK, "kernel"))
    yield AuditFiles(tmp_path / "audit", lambda _: "signed")
    log.close()


async def test_a_follower_far_behind_gets_the_next_lines_and_skips_none(files):
    seen, after = [], 1
    while True:
        page = await files.search(AuditQuery(after=after, limit=10), None)
        if not page:
            break
        seen += [line["seq"] for line in page]
        after = seen[-1]
    assert seen == list(range(2, 26))


async def test_pages_of_older_lines_go_back_without_repeating(files):
    first = await files.search(AuditQuery(limit=10), None)
    second = await files.search(AuditQuery(limit=10), first[-1]["seq"])
    assert [line["seq"] for line in first + second] == list(range(25, 5, -1))


async def test_the_trail_verifies(files):
    assert (await files.check())["ok"]
