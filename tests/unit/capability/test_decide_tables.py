"""`decide` and `narrow` against their tables, and the rules that hold for every line of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core_runtime.authority import Actor, Grant, GrantMode, Principal, Risk
from core_runtime.capability.catalogue import Catalogue
from core_runtime.capability.decide import Request, decide
from core_runtime.capability.globs import any_covers, covers, intersect
from core_runtime.capability.model import Decision, Effect, GrantLevel, Reason
from core_runtime.capability.narrow import NarrowingRefused, narrow, within
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget, OwnerApprovals, Preset
from core_runtime.capability.ports import PrincipalFacts
from core_runtime.capability.standing import Standing, stand
from core_runtime.errors import ValidationFailed
from core_runtime.packs import DeclaredPermission, RiskRule, Text

TABLES = Path(__file__).parents[2] / "tables"
NOW = 2_000_000_000.0
OWN_STORE = {"stores": ["s"]}
Case = Mapping[str, object]


def load(pattern: str) -> list[object]:
    cases: list[object] = []
    for path in sorted(TABLES.glob(pattern)):
        for case in yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader):
            cases.append(pytest.param(case, id=f"{path.stem.partition('_')[2]}-{case['id']}"))
    return cases


DECIDE = load("decide_*.yaml")
NARROW = load("narrow_*.yaml")


def make_grant(permission: str, case: Case | None) -> Grant | None:
    if case is None:
        return None
    expires = NOW + float(str(case["expires_in"])) if "expires_in" in case else case.get("expires_at")
    return Grant(
        permission,
        case.get("config", OWN_STORE),  # type: ignore[arg-type]
        GrantMode(case.get("mode", "always")),
        expires,  # type: ignore[arg-type]
        case.get("max_count"),  # type: ignore[arg-type]
    )


def make_facts(case: Case, pack: str, permission: str) -> PrincipalFacts:
    declared = case.get("declared", OWN_STORE)
    host = case.get("host", "unlimited")
    first = GrantLevel("host", admits_all=True)
    if host != "unlimited":
        first = GrantLevel("host", config=None if host == "absent" else host)  # type: ignore[arg-type]
    levels = [first]
    for level in case.get("levels", []):  # type: ignore[attr-defined]
        levels.append(GrantLevel(level["owner"], make_grant(permission, level.get("grant")), level.get("config")))
    if pack != "host":
        levels.append(GrantLevel(pack, make_grant(permission, case.get("grant", {}))))  # type: ignore[arg-type]
    return PrincipalFacts(
        approved=bool(case.get("approved", True)),
        reason=str(case.get("state", "approved")),
        parents=tuple((name, ok) for name, ok in case.get("parents", [])),  # type: ignore[attr-defined]
        declared=None
        if declared is None
        else DeclaredPermission(permission, declared, Text(), background=bool(case.get("background"))),  # type: ignore[arg-type]
        levels=tuple(levels),
        trusted=bool(case.get("trusted", True)),
    )


def make_policy(case: Case) -> ActorPolicy:
    raw = dict(case.get("policy", {}))  # type: ignore[call-overload]
    return ActorPolicy(
        Preset(raw.get("preset", "private")),
        OwnerApprovals(raw.get("owner_approvals", "all")),
        tuple(raw.get("sub_admin_allow", ())),
        tuple(raw.get("guest_allow", ())),
        bool(raw.get("shared_allow_critical")),
    )


def evaluate(condition: str, args: Mapping[str, object]) -> bool:
    if condition == "boom":
        raise RuntimeError("no such name")
    return bool(args.get(condition))


def make_request(case: Case, catalogue: Catalogue, permission: str, pack: str) -> Request:
    role = case.get("actor", "owner")
    request = Request(actor=None if role is None else Actor("someone", str(role)))
    spec = catalogue.find(permission)
    if spec is not None:
        usual = {"store": "s"} if permission == "store.list" else {"store": "s", "key": "k"}
        try:
            request.args = spec.parse(case.get("args", usual))  # type: ignore[arg-type]
        except ValidationFailed:
            request.args = None
        else:
            request.name = spec.asked(request.args, pack)
    target = case.get("interface")
    if target is not None:
        rules = tuple(RiskRule(when, Risk(risk)) for when, risk in target.get("rules", []))  # type: ignore[attr-defined]
        risk = target.get("risk")  # type: ignore[attr-defined]
        request.interface = InterfaceTarget(target["owner"], Risk(risk) if risk else None, rules)  # type: ignore[index]
    request.chain = tuple(case.get("chain", ()))  # type: ignore[arg-type]
    request.hop = str(case.get("hop", ""))
    request.foreign_store = bool(case.get("foreign"))
    request.retry_after = float(str(case.get("retry_after", 0)))
    uses = {level["owner"]: level.get("grant", {}).get("used", 0) for level in case.get("levels", [])}  # type: ignore[attr-defined]
    grant = case.get("grant") or {}
    request.uses = {**uses, pack: grant.get("used", 0)}  # type: ignore[attr-defined]
    return request


def judge(case: Case, world) -> tuple[Decision, Standing, Request]:
    catalogue = Catalogue(world.specs)
    pack = str(case.get("pack", "p"))
    permission = str(case.get("permission", "store.get"))
    facts = make_facts(case, pack, permission)
    spec = catalogue.find(permission)
    standing = stand(Principal(pack), permission, spec, facts, policy=make_policy(case), evaluate=evaluate)
    request = make_request(case, catalogue, permission, pack)
    return decide(request, standing, NOW), standing, request


@pytest.mark.parametrize("case", DECIDE)
def test_decide_answers_as_its_table_says(case: Case, world) -> None:
    decision, _, _ = judge(case, world)
    assert [decision.effect.value, decision.reason.value, decision.rule] == case["expect"]


def test_the_table_has_every_reason_and_enough_lines(world) -> None:
    cases = [param.values[0] for param in DECIDE]  # type: ignore[attr-defined]
    assert len(cases) >= 120
    assert {case["expect"][1] for case in cases} == {reason.value for reason in Reason}


OF_PACKS = [param for param in DECIDE if param.values[0].get("pack") != "host"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", OF_PACKS)
def test_no_case_is_allowed_once_its_pack_is_no_longer_approved(case: Case, world) -> None:
    decision, _, _ = judge({**case, "approved": False}, world)
    assert decision.reason is Reason.NOT_APPROVED
    assert decision.effect is Effect.DENY


def test_the_default_of_a_decision_is_no() -> None:
    assert Decision().effect is Effect.DENY
    assert not Decision().allowed


@pytest.mark.parametrize("case", NARROW)
def test_narrow_answers_as_its_table_says(case: Case) -> None:
    upper, lower = case["upper"], case["lower"]
    assert isinstance(upper, dict)
    assert isinstance(lower, dict)
    if "refuse" in case:
        with pytest.raises(NarrowingRefused) as caught:
            narrow(upper, lower)
        assert caught.value.pointer == case["refuse"]
        assert not within(lower, upper)
    else:
        assert narrow(upper, lower) == case["meet"]
        assert within(case["meet"], upper)
        assert within(case["meet"], lower)


NAMES = st.text("ab.", min_size=0, max_size=6)
PATTERNS = st.text("ab.*", min_size=0, max_size=6)
SHAPES = st.fixed_dictionaries(
    {
        "list": st.lists(PATTERNS, max_size=5),
        "ports": st.lists(st.one_of(st.integers(0, 3), st.just("*")), max_size=4),
        "number": st.one_of(st.integers(-5, 5), st.floats(-5, 5)),
        "flag": st.booleans(),
        "text": st.sampled_from(["x", "y"]),
        "inner": st.fixed_dictionaries({"list": st.lists(PATTERNS, max_size=3), "number": st.integers(0, 9)}),
    }
)


@given(SHAPES, SHAPES, NAMES)
def test_narrowing_never_widens(upper: dict[str, object], lower: dict[str, object], name: str) -> None:
    try:
        met = narrow(upper, lower)
    except NarrowingRefused:
        assert upper["text"] != lower["text"]
        return
    for side in (upper, lower):
        assert within(met, side)
        assert not any_covers(met["list"], name) or any_covers(side["list"], name)  # type: ignore[arg-type]
        assert not met["flag"] or side["flag"]
        assert float(str(met["number"])) <= float(str(side["number"]))


@given(SHAPES)
def test_narrowing_with_itself_changes_nothing_that_it_admits(config: dict[str, object]) -> None:
    met = narrow(config, config)
    assert within(config, met)
    assert within(met, config)


@given(PATTERNS, NAMES)
def test_a_pattern_covers_what_a_plain_matcher_says(pattern: str, text: str) -> None:
    assert covers(pattern, text) == slow_match(pattern, text)


@given(PATTERNS, PATTERNS, NAMES)
def test_a_pattern_that_covers_another_covers_all_its_names(wide: str, small: str, text: str) -> None:
    if covers(wide, small) and covers(small, text):
        assert covers(wide, text)


@given(st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=4), NAMES)
def test_an_intersection_of_patterns_admits_only_what_both_do(first: list[str], second: list[str], text: str) -> None:
    if any_covers(intersect(first, second), text):
        assert any_covers(first, text)
        assert any_covers(second, text)


def slow_match(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slow_match(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and slow_match(pattern[1:], text[1:])


def test_yj_16_a_hostile_pattern_costs_nothing() -> None:
    assert not covers("a*" * 8 + "b", "a" * 100_000)
