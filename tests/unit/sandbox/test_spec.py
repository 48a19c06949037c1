"""The container's settings are exactly the table's, and nothing of a pack but capped limits reaches them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from core_runtime.errors import ValidationFailed
from core_runtime.sandbox.limits import MIB, Caps
from core_runtime.sandbox.spec import ContainerSpec, Placement, build_spec

GOLDEN = Path(__file__).parent / "golden"
PLACE = Placement(
    name="rumi-0123456789abcdef",
    uid=1_048_579,
    socket_folder=Path("/state/run/sockets/x"),
    image_id="sha256:" + "c" * 64,
    instance_id="ab" * 8,
)


@pytest.fixture
def build(launch_of):
    def make(place: Placement = PLACE, *, pack_id: str = "demo", **options: object) -> ContainerSpec:
        launch = launch_of(pack_id, **options)
        return build_spec(dataclasses.replace(launch, sealed_root=Path("/state/sealed/d")), place, Caps())

    return make


def as_document(spec: ContainerSpec) -> object:
    return json.loads(json.dumps(dataclasses.asdict(spec), default=str))


@pytest.mark.parametrize("name", ["sealed", "loopback"])
def test_the_whole_description_is_the_golden_one(build, name):
    """A change here is a change of the sandbox: look at every line of it before the golden file follows."""
    options = {"network": True, "shm": True} if name == "loopback" else {}
    place = dataclasses.replace(PLACE, runtime="runsc", apparmor=True, extra_ca=Path("/x.pem")) if options else PLACE
    assert as_document(build(place, **options)) == json.loads((GOLDEN / f"spec-{name}.json").read_text())


def test_ct_02_wishes_are_capped_and_nothing_else_passes(build):
    greedy = build(memory=1 << 60, cpus=1e9, pids=10**9, concurrency=10**9, max_streams=10**9, shm=True, start="eager")
    modest = build()
    assert greedy.memory_bytes == 2048 * MIB
    assert greedy.nano_cpus == 2_000_000_000
    assert greedy.pids_limit == 256
    may_differ = {"memory_bytes", "nano_cpus", "pids_limit", "ipc_mode", "shm_bytes"}
    for field in dataclasses.fields(ContainerSpec):
        if field.name not in may_differ:
            assert getattr(greedy, field.name) == getattr(modest, field.name), field.name


def test_swap_is_always_equal_to_memory(build):
    assert build(memory=64 * MIB).memory_and_swap_bytes == 64 * MIB


@pytest.mark.parametrize(
    "pack_id",
    ["a b", "a=b", "a\nb", "x:ro:rw", "../up", "a" * 10_000, "\u00e9", "", "a\x00", "host", "a__b__c__d__e"],
)
def test_ct_15_a_pack_id_that_is_none_never_reaches_the_engine(build, pack_id):
    with pytest.raises(ValidationFailed):
        build(pack_id=pack_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "rumi-../../x"), ("name", "demo"), ("name", "rumi-0123456789abcdef\n"), ("image_id", "evil:latest"),
        ("instance_id", "x y"), ("runtime", "runc --x"), ("uid", 0), ("uid", 999), ("socket_folder", Path("relative")),
        ("socket_folder", Path("/a/../etc")),
    ],
)  # fmt: skip
def test_ct_15_the_kernels_own_values_are_checked_again_at_the_last_door(build, field, value):
    with pytest.raises(ValidationFailed):
        build(dataclasses.replace(PLACE, **{field: value}))


@pytest.mark.parametrize("pack_id", ["demo", "--privileged"])
def test_ct_15_a_pack_id_is_the_value_of_one_label_and_nothing_else(build, pack_id):
    spec = build(pack_id=pack_id)
    assert spec.name == PLACE.name
    assert set(spec.labels.values()) == {"ab" * 8, pack_id, "d" * 64}
    assert json.dumps(as_document(dataclasses.replace(spec, labels={}))).count(f'"{pack_id}"') == 0


def test_ud_12_only_its_own_socket_folder_is_mounted_and_everything_read_only(build):
    spec = build()
    assert [(str(mount.source), mount.target) for mount in spec.mounts] == [
        ("/state/sealed/d", "/pack"),
        ("/state/run/sockets/x", "/run/rumi"),
    ]


def test_dependencies_are_mounted_when_there_are_any(build, launch_of):
    launch = dataclasses.replace(launch_of(), dependencies_root=Path("/state/deps/1"))
    assert build_spec(launch, PLACE, Caps()).mounts[2].target == "/deps"


def test_the_environment_never_holds_anything_of_the_host(build, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    for spec in (build(), build(network=True)):
        assert "canary" not in json.dumps(as_document(spec))
    assert set(build(network=True).environment) - set(build().environment) == {"HTTP_PROXY", "HTTPS_PROXY"}
