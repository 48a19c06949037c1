"""Rows of group GR about giving grants, and the rules for expiry, modes and batches."""

from __future__ import annotations

import math

import pytest

from core_runtime.approval.approving import Order
from core_runtime.approval.codec import grant_from_json, record_from_json, record_to_json
from core_runtime.approval.expiry import parse_duration, parse_expiry
from core_runtime.approval.grants import parse_wish
from core_runtime.approval.model import DisabledBy, GrantWish, PackRecord
from core_runtime.authority import GrantMode
from core_runtime.errors import Conflict, NotFound, PolicyDenied, ValidationFailed

GET = {"type": "store.get", "names": ["a", "b"]}
SET = {"type": "store.set", "names": ["a"], "optional": True}
READ = {"type": "fs.read", "names": ["x"], "optional": True}
RUN = {"type": "process.run", "names": ["x"], "optional": True}
NOW = 1_800_000_000.0


@pytest.fixture
async def ready(world):
    world.pack(permissions=[GET, SET, READ, RUN])
    await world.service.start()
    await world.service.approve(Order("notes"))
    return world


@pytest.mark.parametrize(
    "principal", ["kernel", "Kernel", "system", "host", "admin", "*", "", "a b", "../x", "notes ", "nötes"]
)
async def test_gr_18_no_grant_for_what_is_no_pack(ready, principal):
    with pytest.raises(ValidationFailed):
        await ready.service.give(principal, GrantWish("store.get"), ready.act)


async def test_gr_18_no_grant_for_a_pack_that_is_not_there_or_not_approved(ready):
    with pytest.raises(NotFound):
        await ready.service.give("uninstalled", GrantWish("store.get"), ready.act)
    ready.pack("waiting", pack_identity="github:x/w", permissions=[GET])
    await ready.service.scan()
    with pytest.raises(Conflict, match="not approved"):
        await ready.service.give("waiting", GrantWish("store.get"), ready.act)


@pytest.mark.parametrize("permission", ["store.get ", "store.get.admin", "store", "STORE.GET", "store.*", "", "*"])
async def test_gr_11_names_of_permissions_match_exactly(ready, permission):
    with pytest.raises(NotFound):
        await ready.service.give("notes", GrantWish(permission), ready.act)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="GR-15-null"),
        pytest.param("", id="GR-15-empty"),
        pytest.param(0, id="GR-15-zero"),
        pytest.param(-1, id="GR-15-negative"),
        pytest.param("9999", id="GR-15-bare-number-text"),
        pytest.param("2099-01-01T00:00:00", id="GR-15-no-zone"),
        pytest.param("2099-01-01", id="GR-15-day-alone"),
        pytest.param("2099-13-01T00:00:00Z", id="GR-15-month-13"),
        pytest.param(NOW, id="GR-15-exactly-now"),
        pytest.param(NOW - 1, id="GR-15-past"),
        pytest.param(True, id="GR-15-true"),
        pytest.param(math.inf, id="GR-15-infinity"),
        pytest.param(math.nan, id="GR-15-nan"),
        pytest.param(10**400, id="GR-15-huge"),
        pytest.param([], id="GR-15-list"),
        pytest.param("2099-01-01T00:00:00+99:99", id="GR-15-bad-zone"),
    ],
)
def test_a_bad_expiry_is_refused_and_never_becomes_no_expiry(value):
    with pytest.raises(ValidationFailed):
        parse_wish({"permission": "store.get", "expires_at": value}, NOW)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(NOW + 0.5, NOW + 0.5), ("2027-01-15T08:00:01Z", NOW + 1), ("2027-01-15t10:00:01.5+02:00", NOW + 1.5)],
)
def test_good_expiries(value, wanted):
    assert parse_expiry(value, NOW) == wanted


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1h", "1", "1y", "1.5h", "١h", "1h ", "999999999w"])
def test_bad_durations(text):
    with pytest.raises(ValidationFailed):
        parse_duration(text)


@pytest.mark.parametrize(
    "wish",
    [
        "store.get",
        {},
        {"permission": 1},
        {"permission": "store.get", "config": []},
        {"permission": "store.get", "mode": 1},
        {"permission": "store.get", "max_count": None},
        {"permission": "store.get", "max_count": True},
        {"permission": "store.get", "max_count": 1.5},
        {"permission": "store.get", "expires": 1},
    ],
)
def test_wishes_that_are_not_understood_are_refused(wish):
    with pytest.raises(ValidationFailed):
        parse_wish(wish, NOW)


@pytest.mark.parametrize("count", [0, -1, 10**12])
async def test_counts_out_of_range_are_refused(ready, count):
    with pytest.raises(ValidationFailed):
        await ready.service.give("notes", GrantWish("store.get", max_count=count), ready.act)


async def test_gr_15_an_expired_wish_is_refused_by_the_service_too(ready):
    with pytest.raises(ValidationFailed):
        await ready.service.give("notes", GrantWish("store.get", expires_at=ready.clock.now), ready.act)
    grant = await ready.service.give("notes", GrantWish("store.get", expires_at=ready.clock.now + 5), ready.act)
    await ready.restart()
    assert ready.service.grants_of("notes")["store.get"].expires_at == grant.expires_at


@pytest.mark.parametrize(
    ("permission", "mode", "wanted"),
    [
        ("store.get", None, GrantMode.ALWAYS),
        ("store.set", None, GrantMode.ALWAYS),
        ("fs.read", None, GrantMode.ASK),
        ("fs.read", "always", GrantMode.ALWAYS),
        ("process.run", None, GrantMode.ASK),
        ("store.get", "never", GrantMode.NEVER),
    ],
)
async def test_modes_follow_the_risk_unless_the_owner_says_otherwise(ready, permission, mode, wanted):
    assert (await ready.service.give("notes", GrantWish(permission, mode=mode), ready.act)).mode is wanted


async def test_critical_is_never_granted_for_always(ready):
    with pytest.raises(PolicyDenied):
        await ready.service.give("notes", GrantWish("process.run", mode="always"), ready.act)
    with pytest.raises(ValidationFailed):
        await ready.service.give("notes", GrantWish("store.get", mode="sometimes"), ready.act)


async def test_gr_16_a_batch_of_51_is_refused_as_a_whole(ready):
    with pytest.raises(ValidationFailed, match="at most 50"):
        await ready.service.batch([("notes", GrantWish("store.set"), False)] * 51, ready.act)
    assert "store.set" not in ready.service.grants_of("notes")


async def test_gr_16_one_bad_item_among_good_ones_is_answered_for_itself(ready):
    items = [("notes", GrantWish("store.set"), False)] * 25
    items += [("notes", GrantWish("store.set", {"names": ["wide"]}), False)]
    items += [("notes", GrantWish("fs.read"), False)] * 24
    results = await ready.service.batch(items, ready.act)
    assert [result.error is not None for result in results] == [index == 25 for index in range(50)]
    assert isinstance(results[25].error, PolicyDenied)
    assert set(ready.service.grants_of("notes")) == {"store.get", "store.set", "fs.read"}


async def test_gr_16_the_same_grant_twice_is_one_write(ready):
    first = await ready.service.give("notes", GrantWish("store.set"), ready.act)
    before = ready.record_file().read_bytes()
    ready.clock.pass_time(60)
    assert await ready.service.give("notes", GrantWish("store.set"), ready.act) == first
    assert ready.record_file().read_bytes() == before


async def test_a_batch_can_take_too(ready):
    results = await ready.service.batch(
        [("notes", GrantWish("store.get"), True), ("notes", GrantWish("store.get"), True)], ready.act
    )
    assert results[0].grant is not None
    assert isinstance(results[1].error, NotFound)


async def test_a_grant_that_gets_narrower_is_told_as_taken(ready):
    await ready.service.give("notes", GrantWish("store.get", {"names": ["a"]}), ready.act)
    assert ready.grant_changes[-1].taken == ("store.get",)
    await ready.service.give("notes", GrantWish("store.get", {"names": ["a", "b"]}), ready.act)
    assert ready.grant_changes[-1].taken == ()


async def test_what_the_owner_narrowed_stays_narrow_over_an_update(ready):
    await ready.service.give("notes", GrantWish("store.get", {"names": ["a"]}, mode="ask"), ready.act)
    await ready.service.give("notes", GrantWish("fs.read"), ready.act)
    ready.pack(permissions=[{"type": "store.get", "names": ["a", "b", "c"]}, SET, READ], version="1.1.0")
    await ready.service.scan()
    await ready.service.approve(Order("notes"))
    grants = ready.service.grants_of("notes")
    assert dict(grants["store.get"].config) == {"names": ["a"]}
    assert grants["store.get"].mode is GrantMode.ASK
    assert set(grants) == {"store.get", "fs.read"}


async def test_what_followed_the_declaration_follows_it_over_an_update(ready):
    ready.pack(permissions=[{"type": "store.get", "names": ["a", "b", "c"]}], version="1.1.0")
    await ready.service.scan()
    await ready.service.approve(Order("notes"))
    assert dict(ready.service.grants_of("notes")["store.get"].config) == {"names": ["a", "b", "c"]}


async def test_an_expired_grant_does_not_stand_in_the_way_of_an_update(ready):
    await ready.service.give("notes", GrantWish("store.get", expires_at=ready.clock.now + 5), ready.act)
    ready.clock.pass_time(10)
    ready.pack(permissions=[GET], version="1.1.0")
    await ready.service.scan()
    assert (await ready.service.approve(Order("notes"))).status.runnable
    assert ready.service.grants_of("notes")["store.get"].expires_at is None


async def test_a_permission_named_twice_in_an_approval_is_refused(ready):
    with pytest.raises(ValidationFailed, match="twice"):
        await ready.service.approve(Order("notes", wishes=[GrantWish("store.get"), GrantWish("store.get")]))


async def test_every_grant_leaves_one_audit_line_with_who_and_what(ready):
    ready.audit.entries.clear()
    await ready.service.give("notes", GrantWish("fs.read"), ready.act)
    await ready.service.take("notes", "fs.read", ready.act)
    lines = [(e.action, e.principal, e.actor, e.request_id, e.rule) for e in ready.audit.entries]
    rule = "grant:notes:fs.read"
    assert lines == [("grant.give", "notes", "owner", "req_1", rule), ("grant.take", "notes", "owner", "req_1", rule)]


GOOD = record_to_json(PackRecord("notes", "github:ada/notes", "1.0.0", "1.0.0", "a" * 64, "owner", NOW))
GRANT = {"permission": "store.get", "config": {}, "mode": "ask", "granted_by": "owner", "granted_at": 1.0, "note": ""}


def test_records_read_back_as_they_were_written():
    for disabled in DisabledBy:
        record = PackRecord(
            "notes",
            "i",
            "1",
            "2",
            "a" * 64,
            "owner",
            NOW,
            signer="k",
            grants=(grant_from_json(GRANT),),
            disabled=disabled,
        )
        assert record_from_json("notes", record_to_json(record)) == record


@pytest.mark.parametrize(
    "change",
    [
        {"pack_id": "other"},
        {"pack_id": None},
        {"digest": "A" * 64},
        {"digest": "sha256:" + "a" * 57},
        {"digest": "", "state": "approved"},
        {"state": "approved!"},
        {"state": "disabled:because"},
        {"when": "now"},
        {"when": True},
        {"when": math.inf},
        {"grants": {}},
        {"grants": [GRANT, GRANT]},
        {"grants": [{**GRANT, "expires_at": None}]},
        {"grants": [{**GRANT, "expires_at": "never"}]},
        {"grants": [{**GRANT, "max_count": 0}]},
        {"grants": [{**GRANT, "mode": "sure"}]},
        {"grants": [{**GRANT, "permission": "store.*"}]},
        {"signer": 5},
    ],
)
def test_a_record_that_does_not_fit_exactly_is_refused_as_a_whole(change):
    with pytest.raises(ValueError):
        record_from_json("notes", {**GOOD, **change})
