"""Refusals in the audit trail: a line each, counted when there are many, and nothing lost."""

from core_runtime.errors import StorageFull
from core_runtime.interfaces.admin.refusals import LINES_PER_MINUTE, MAX_KEYS, RefusalLog


class Trail:
    def __init__(self, full=False):
        self.entries, self.full = [], full

    def append(self, entry):
        if self.full:
            raise StorageFull("full")
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq):
        return


def total(trail):
    return sum(int(entry.details.get("more_like_this", 1)) for entry in trail.entries)


async def test_s10_each_refusal_has_its_line_until_the_budget_and_is_counted_after_it():
    trail = Trail()
    log = RefusalLog(trail)
    for count in range(100):
        log.note("127.0.0.1", "unauthorized", request_id=f"req_{count}")
    assert len(trail.entries) == LINES_PER_MINUTE
    log.close()
    assert len(trail.entries) == LINES_PER_MINUTE + 1
    assert total(trail) == 100


async def test_another_reason_or_caller_has_a_budget_of_its_own():
    trail = Trail()
    log = RefusalLog(trail)
    for _ in range(50):
        log.note("a", "unauthorized", request_id="r")
    log.note("a", "scope", request_id="r", by="token:x")
    assert (trail.entries[-1].rule, trail.entries[-1].actor) == ("door:scope", "token:x")
    log.close()


async def test_the_number_of_sources_is_bounded_and_no_count_is_lost():
    trail = Trail()
    log = RefusalLog(trail)
    for source in range(2 * MAX_KEYS):
        for _ in range(LINES_PER_MINUTE + 5):
            log.note(str(source), "host", request_id="r")
    assert len(log._tallies) == MAX_KEYS
    log.close()
    assert total(trail) == 2 * MAX_KEYS * (LINES_PER_MINUTE + 5)


async def test_a_trail_that_cannot_be_written_does_not_let_anybody_in():
    log = RefusalLog(Trail(full=True))
    log.note("a", "host", request_id="r")
    log.close()
