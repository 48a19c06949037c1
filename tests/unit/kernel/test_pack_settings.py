"""A pack's settings come from its own variables and the owner, in that order, and from nowhere else."""

from pathlib import Path

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.kernel.pack_settings import resolve_settings
from core_runtime.packs import PackDescriptor, SettingDecl

SETTINGS = (
    SettingDecl("max_pending", "integer", 64, 1, 4096),
    SettingDecl("name", "string", "x"),
    SettingDecl("loud", "boolean", False),
    SettingDecl("ratio", "number", None, 0, 1),
    SettingDecl("mode", "string", "a", enum=("a", "b")),
)


def pack(*settings: SettingDecl) -> PackDescriptor:
    return PackDescriptor("my-pack", "github:a/b", "1.0.0", Path("/"), settings=settings or SETTINGS)


def resolve(environ: dict[str, str] | None = None, owner: dict[str, object] | None = None) -> dict[str, object]:
    return resolve_settings(pack(), (environ or {}).get, owner or {})


def test_defaults_hold_where_nobody_said_anything():
    assert resolve() == {"max_pending": 64, "name": "x", "loud": False, "ratio": None, "mode": "a"}


def test_the_environment_beats_the_owners_file_which_beats_the_default():
    owner = {"max_pending": 2, "loud": True}
    assert resolve({"RUMI_PACK_MY_PACK_MAX_PENDING": "7"}, owner)["max_pending"] == 7
    assert resolve({}, owner) == {"max_pending": 2, "name": "x", "loud": True, "ratio": None, "mode": "a"}


def test_bx_01_no_other_variable_of_the_host_can_be_named():
    asked = []
    resolve_settings(pack(SettingDecl("aws_secret_access_key", "string", "")), lambda name: asked.append(name), {})
    assert asked == ["RUMI_PACK_MY_PACK_AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize(
    ("environ", "owner"),
    [
        ({"RUMI_PACK_MY_PACK_MAX_PENDING": "0"}, {}),
        ({"RUMI_PACK_MY_PACK_MAX_PENDING": "4097"}, {}),
        ({"RUMI_PACK_MY_PACK_MAX_PENDING": "many"}, {}),
        ({"RUMI_PACK_MY_PACK_LOUD": "perhaps"}, {}),
        ({"RUMI_PACK_MY_PACK_RATIO": "nan"}, {}),
        ({"RUMI_PACK_MY_PACK_MODE": "c"}, {}),
        ({}, {"max_pending": True}),
        ({}, {"max_pending": "7"}),
        ({}, {"unknown": 1}),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_replaced_in_silence(environ, owner):
    with pytest.raises(ValidationFailed) as caught:
        resolve(environ, owner)
    assert (next(iter(environ), None) or f"my-pack.{next(iter(owner))}") in caught.value.message


def test_limits_are_inclusive():
    assert resolve({"RUMI_PACK_MY_PACK_MAX_PENDING": "1"})["max_pending"] == 1
    assert resolve({"RUMI_PACK_MY_PACK_MAX_PENDING": "4096"})["max_pending"] == 4096
