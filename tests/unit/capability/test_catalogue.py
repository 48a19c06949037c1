"""The closed list of permissions, and what approval asks of it."""

from __future__ import annotations

import pytest
from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.capability.fields import Form, NameList
from core_runtime.errors import GrantDenied, ValidationFailed
from core_runtime.handlers.listing import SPECS, builtin_catalogue

EXPECTED = {
    "store.get": "low",
    "store.list": "low",
    "store.set": "medium",
    "store.delete": "medium",
    "interface.call": "low",
    "interface.list": "low",
    "flow.run": "medium",
    "event.publish": "low",
    "event.subscribe": "low",
}
WORDS = {"en": "x", "ja": "x"}


class Empty(Form):
    pass


class Wide(Form):
    names: list[str] = Field(default_factory=lambda: ["*"])


class Required(Form):
    limit: int


def test_the_catalogue_holds_exactly_this_versions_permissions() -> None:
    assert {spec.id: spec.risk.value for spec in builtin_catalogue().all()} == EXPECTED


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_every_entry_has_defaults_that_admit_nothing_and_sentences_in_two_languages(spec: PermissionSpec) -> None:
    config = spec.defaults({})
    assert spec.names is not None
    assert config[spec.names.key] == []
    assert spec.config.model_config["extra"] == "forbid"
    assert spec.arguments.model_config["extra"] == "forbid"
    assert spec.arguments.model_config["strict"]
    for language in ("en", "ja"):
        shown = builtin_catalogue().sentence(spec.id, {spec.names.key: ["*"]}, language)
        assert "*" in shown
        assert "{" not in shown
    assert (spec.timeout, spec.concurrency) == (120.0, 16)


def test_two_entries_of_one_name_are_refused_at_start() -> None:
    spec = PermissionSpec("a.b", Risk.LOW, WORDS, Empty, Empty)
    with pytest.raises(ValueError, match=r"a\.b is declared twice"):
        Catalogue([spec, spec])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: PermissionSpec("A.b", Risk.LOW, WORDS, Empty, Empty), "no permission name"),
        (lambda: PermissionSpec("a.b", Risk.LOW, {"en": "x"}, Empty, Empty), "must be in en, ja"),
        (lambda: PermissionSpec("a.b", Risk.LOW, WORDS, Required, Empty), "no default for limit"),
        (lambda: PermissionSpec("a.b", Risk.LOW, WORDS, Wide, Empty, names=NameList("names")), "allow-list is empty"),
    ],
)
def test_a_bad_entry_is_found_where_it_is_declared(make, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()


@pytest.mark.parametrize("name", ["store.get ", "STORE.GET", "store", "store.*", "", "store.get\n"])
def test_gr_11_approval_knows_only_exact_names(name: str) -> None:
    catalogue = builtin_catalogue()
    assert not catalogue.known(name)
    for ask in (lambda: catalogue.risk(name), lambda: catalogue.normalise(name, {})):
        with pytest.raises(GrantDenied):
            ask()


def test_a_configuration_gets_its_defaults() -> None:
    assert builtin_catalogue().normalise("store.set", {"stores": ["a"]}) == {
        "stores": ["a"],
        "max_value_bytes": 1_048_576,
    }


def test_every_mistake_of_a_configuration_is_reported_at_once_without_its_values() -> None:
    with pytest.raises(ValidationFailed) as caught:
        builtin_catalogue().normalise("store.set", {"stores": ["OK?", "fine"], "max_value_bytes": "9", "hosts": []})
    found = {item["pointer"] for item in caught.value.details["errors"]}
    assert found == {"/stores/0", "/max_value_bytes", "/hosts"}
    assert "OK?" not in str(caught.value.to_wire())


@pytest.mark.parametrize(
    "config",
    [
        {"stores": ["a"] * 257},
        {"stores": ["*" * 9]},
        {"stores": [""]},
        {"stores": ["a\n"]},
        {"stores": ["a/b/c"]},
        {"stores": ["x" * 129]},
        {"stores": "a"},
        {"stores": [1]},
        {"stores": ["A"]},
    ],
)
def test_a_pattern_list_is_bounded_and_well_formed(config: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed):
        builtin_catalogue().normalise("store.get", config)


@pytest.mark.parametrize(
    ("wanted", "ceiling", "inside"),
    [
        ({"stores": ["a"]}, {"stores": ["a", "b"]}, True),
        ({"stores": ["a", "c"]}, {"stores": ["a", "b"]}, False),
        ({"stores": ["*"]}, {"stores": ["a"]}, False),
        ({"stores": ["a"]}, {"stores": ["*"]}, True),
        ({}, {}, True),
        ({"stores": ["a"]}, {}, False),
        ({"stores": ["p/a"]}, {"stores": ["a"]}, True),
        ({"stores": ["q/a"]}, {"stores": ["a"]}, False),
        ({"stores": ["a"], "max_value_bytes": 5}, {"stores": ["a"]}, True),
        ({"stores": ["a"], "max_value_bytes": 2_000_000}, {"stores": ["a"]}, False),
        ({"stores": 1}, {"stores": ["*"]}, False),
        ({"stores": ["a"]}, {"stores": 1}, False),
    ],
)
def test_a_grant_wider_than_the_ceiling_is_noticed(wanted, ceiling, inside: bool) -> None:
    assert builtin_catalogue().within("store.set", wanted, ceiling, principal="p") is inside


def test_without_a_principal_names_are_compared_as_they_are_written() -> None:
    catalogue = builtin_catalogue()
    assert catalogue.within("store.get", {"stores": ["a"]}, {"stores": ["a"]})
    assert not catalogue.within("store.get", {"stores": ["p/a"]}, {"stores": ["a"]})


def test_sentences_name_what_is_allowed_in_the_readers_language() -> None:
    catalogue = builtin_catalogue()
    assert catalogue.sentence("store.get", {"stores": ["a", "b"]}, "en") == "Reads entries of these stores: a, b"
    assert catalogue.sentence("store.get", {}, "en") == "Reads entries of these stores: nothing"
    assert catalogue.sentence("store.get", {"stores": ["a"]}, "ja").startswith("次のストア")
    assert catalogue.sentence("store.get", {}, "fr") == catalogue.sentence("store.get", {}, "en")
