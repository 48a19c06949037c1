"""One name, one provider, and no way to take a name over."""

import pytest

from core_runtime.errors import NotFound
from core_runtime.packs import InterfaceDecl
from core_runtime.registry.interfaces import Claim, InterfaceRegistry, Refused


def claims(*names: str) -> list[Claim]:
    return [Claim("main", InterfaceDecl(name)) for name in names]


def test_the_first_approved_claimant_is_pinned():
    registry = InterfaceRegistry()
    assert registry.claim("one", claims("service.x")) == ()
    assert registry.claim("two", claims("service.x", "service.y")) == (Refused("service.x", "main", "one"),)
    assert registry.find("service.x").pack_id == "one"
    assert registry.find("service.y").pack_id == "two"


def test_bx_11_a_crashed_holder_keeps_its_name():
    registry = InterfaceRegistry()
    registry.claim("one", claims("service.x"))
    registry.withdraw("one", ["service.x"])
    assert registry.claim("two", claims("service.x")) == (Refused("service.x", "main", "one"),)
    with pytest.raises(NotFound):
        registry.find("service.x")


def test_a_pin_of_an_earlier_run_holds_before_its_pack_is_up():
    registry = InterfaceRegistry({"service.x": "one"})
    assert registry.claim("two", claims("service.x"))
    assert registry.claim("one", claims("service.x")) == ()


def test_release_frees_all_names_of_a_pack():
    registry = InterfaceRegistry()
    registry.claim("one", claims("service.x", "service.y"))
    registry.release("one")
    assert registry.claim("two", claims("service.x")) == ()
    assert not registry.knows("service.y")


def test_an_unknown_name_says_what_to_do():
    with pytest.raises(NotFound, match=r"service\.z") as caught:
        InterfaceRegistry().find("service.z")
    assert "rumi pack" in caught.value.hint


def test_a_pack_cannot_withdraw_anothers_name():
    registry = InterfaceRegistry()
    registry.claim("one", claims("service.x"))
    registry.withdraw("two", ["service.x"])
    assert registry.knows("service.x")


def test_an_update_that_no_longer_provides_a_name_frees_it():
    registry = InterfaceRegistry()
    registry.claim("one", claims("service.x", "service.y"))
    registry.claim("one", claims("service.y"))
    assert registry.claim("two", claims("service.x")) == ()
    assert registry.find("service.y").pack_id == "one"
