"""How often: the request budget and the brake on guessing, on a clock of their own."""

from dataclasses import dataclass

from core_runtime.interfaces.admin.limits import MAX_ENTRIES, GuessBrake, RequestBudget


@dataclass
class HandClock:
    now: float = 1000.0

    def wall(self):
        return self.now

    def monotonic(self):
        return self.now


def test_exactly_the_limit_is_admitted_in_a_minute_and_then_again():
    clock = HandClock()
    budget = RequestBudget(clock, 3)
    assert [budget.take("a").admitted for _ in range(5)] == [True, True, True, False, False]
    clock.now += 59.9
    refused = budget.take("a")
    assert (refused.admitted, refused.headers()["retry-after"]) == (False, "1")
    clock.now += 0.1
    assert budget.take("a").remaining == 2


def test_tokens_do_not_share_a_budget_and_the_table_is_bounded():
    budget = RequestBudget(HandClock(), 1)
    assert budget.take("a").admitted
    assert budget.take("b").admitted
    for count in range(3 * MAX_ENTRIES):
        budget.take(str(count))
    assert len(budget._windows) == MAX_ENTRIES


def test_ad_11_a_burst_is_free_then_each_guess_waits_longer_up_to_two_seconds():
    brake = GuessBrake(HandClock())
    delays = [brake.delay("127.0.0.1") for _ in range(200)]
    assert delays[:50] == [0.0] * 50
    assert 0 < delays[50] < delays[51]
    assert max(delays) == delays[-1] == 2.0


def test_ad_11_sources_are_braked_apart_recover_and_are_bounded():
    clock = HandClock()
    brake = GuessBrake(clock)
    for _ in range(200):
        brake.delay("::1")
    assert brake.delay("127.0.0.1") == 0.0
    clock.now += 10
    assert brake.delay("::1") == 0.0
    for count in range(3 * MAX_ENTRIES):
        brake.delay(str(count))
    assert len(brake._levels) == MAX_ENTRIES
