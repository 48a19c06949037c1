"""Reading a stranger's folder: everything that is wrong is said at once, nothing of it runs, nothing hangs."""

import json
import os
import time
from pathlib import Path

import pytest

from backend_core.ecosystem.describe import read_pack
from backend_core.ecosystem.discovery import EcosystemCatalog
from core_runtime.packs import ScannedPack

SMALLEST = {"pack_id": "my_pack", "pack_identity": "github:author/my_pack", "version": "1.0.0"}
MANIFEST = {"type": "service", "id": "hello", "version": "1.0.0", "connectivity": {"provides": ["service.hello"]}}


def write(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def pack(tmp_path: Path, ecosystem: object = None, **files: object) -> ScannedPack:
    root = write(
        tmp_path / "my_pack", {"backend/ecosystem.json": SMALLEST if ecosystem is None else ecosystem, **files}
    )
    return read_pack(root, "my_pack")


def messages(scanned: ScannedPack) -> list[tuple[str, str]]:
    return [(problem.pointer, f"{problem.message} {problem.hint}") for problem in scanned.problems]


def test_the_smallest_pack_is_three_keys(tmp_path):
    scanned = pack(tmp_path)
    assert scanned.problems == ()
    assert scanned.descriptor.identity == "github:author/my_pack"
    assert scanned.descriptor.sandbox.memory == 256 * 1024 * 1024


def test_an_unknown_key_names_the_nearest_known_one(tmp_path):
    scanned = pack(tmp_path, {**SMALLEST, "sandbox": {"memry": "256m"}, "x_mine": 1})
    assert scanned.descriptor is None
    assert messages(scanned) == [("/sandbox/memry", "The key 'memry' is not known. Did you mean 'memory'?")]


def test_all_mistakes_of_all_files_come_at_once(tmp_path):
    scanned = pack(
        tmp_path,
        {"pack_id": "my_pack", "version": "one", "colour": 1, "stores": [{"store_id": "A"}]},
        **{
            "backend/permissions.json": {"pack_id": "other", "permissions": [{"type": "store.get"}]},
            "backend/components/hello/manifest.json": {**MANIFEST, "id": "bye"},
        },
    )
    places = {(problem.file, problem.pointer) for problem in scanned.problems}
    assert {
        ("backend/ecosystem.json", "/pack_identity"),
        ("backend/ecosystem.json", "/version"),
        ("backend/ecosystem.json", "/colour"),
        ("backend/ecosystem.json", "/stores/0/store_id"),
        ("backend/permissions.json", "/permissions/0/reason"),
        ("backend/components/hello/manifest.json", "/id"),
        ("backend/components/hello/setup.py", ""),
    } <= places


@pytest.mark.parametrize(
    "key", ["privileged", "network", "cap_add", "devices", "pid", "image", "entrypoint", "user", "mounts", "volumes"]
)
def test_ct_02_a_pack_cannot_ask_for_engine_settings(tmp_path, key):
    for ecosystem in ({**SMALLEST, key: "host"}, {**SMALLEST, "sandbox": {key: "host"}}):
        assert any("is not known" in text for _, text in messages(pack(tmp_path, ecosystem)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b'{"pack_id": "a", "pack_id": "b"}', "stands twice", id="duplicate-key"),
        pytest.param(b'{"x": NaN}', "NaN is not JSON", id="nan"),
        pytest.param("\ufeff{}".encode(), "not valid JSON", id="bom"),
        pytest.param(b"\xff\xfe{}", "not UTF-8", id="not-utf-8"),
        pytest.param(b"[" * 100_000, "nests too deeply", id="nested"),
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON", id="digits"),
    ],
)
def test_ap_22_a_hostile_json_file_is_a_problem_and_no_crash(tmp_path, content, says):
    root = write(tmp_path / "my_pack", {"backend/ecosystem.json": content})
    assert any(says in problem.message for problem in read_pack(root, "my_pack").problems)


def test_ap_22_a_huge_file_is_refused_by_size(tmp_path):
    root = write(tmp_path / "my_pack", {"backend/ecosystem.json": b""})
    with (root / "backend/ecosystem.json").open("r+b") as file:
        file.truncate(300 * 1024 * 1024)
    started = time.monotonic()
    assert "larger than" in read_pack(root, "my_pack").problems[0].message
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "place", ["backend/ecosystem.json", "backend/permissions.json", "backend/components/x/manifest.json"]
)
def test_ap_09_a_fifo_in_place_of_a_file_never_blocks(tmp_path, place):
    root = write(tmp_path / "my_pack", {"backend/ecosystem.json": SMALLEST})
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    started = time.monotonic()
    scanned = read_pack(root, "my_pack")
    assert scanned.descriptor is None
    assert any(problem.file == place for problem in scanned.problems)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("place", ["backend", "backend/ecosystem.json", "."])
def test_ap_09_a_link_is_never_followed(tmp_path, place):
    real = write(tmp_path / "elsewhere", {"backend/ecosystem.json": SMALLEST})
    target = tmp_path / "my_pack" / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if place == ".":
        target = tmp_path / "my_pack"
        target.parent.mkdir(exist_ok=True)
    target.symlink_to(real / place)
    assert read_pack(tmp_path / "my_pack", "my_pack").descriptor is None


def test_ap_20_an_unreadable_permissions_file_is_never_taken_for_none(tmp_path):
    root = write(tmp_path / "my_pack", {"backend/ecosystem.json": SMALLEST})
    (root / "backend/permissions.json").mkdir()
    assert read_pack(root, "my_pack").descriptor is None


def test_ap_13_the_folder_must_carry_the_packs_own_name(tmp_path):
    root = write(tmp_path / "other", {"backend/ecosystem.json": SMALLEST})
    assert any("its folder is 'other'" in text for _, text in messages(read_pack(root, "other")))


@pytest.mark.parametrize(
    "name", ["\u00e9", "e\u0301", "a b", "a__", "__a", "a____b", "a__b__c__d__e", "kernel", "Host", "x" * 65, "packs"]
)
def test_ap_13_only_ids_of_the_grammar_are_packs(tmp_path, name):
    assert read_pack(write(tmp_path / "p", {"backend/ecosystem.json": SMALLEST}), name).descriptor is None


def test_ap_13_twins_disable_each_other_and_name_both_places(tmp_path):
    for place, name in (
        ("packs/one", "one"),
        ("one", "one"),
        ("packs/Two", "Two"),
        ("packs/two", "two"),
        ("packs/good", "good"),
    ):
        write(tmp_path / place, {"backend/ecosystem.json": {**SMALLEST, "pack_id": name}})
    found = {item.pack_id: item for item in EcosystemCatalog(tmp_path).scan()}
    assert set(found) == {"one", "Two", "two", "good"}
    assert found["good"].descriptor is not None
    assert (
        "one and packs/one" in found["one"].problems[0].message
        or "packs/one and one" in found["one"].problems[0].message
    )
    assert "packs/Two and packs/two" in found["two"].problems[0].message


def test_bad_packs_do_not_hide_good_ones(tmp_path):
    write(tmp_path / "packs/good", {"backend/ecosystem.json": {**SMALLEST, "pack_id": "good"}})
    write(tmp_path / "packs/bad", {"backend/ecosystem.json": "{"})
    (tmp_path / "packs/empty").mkdir()
    (tmp_path / "packs/file").write_text("x")
    states = {item.pack_id: item.descriptor is not None for item in EcosystemCatalog(tmp_path).scan()}
    assert states == {"bad": False, "empty": False, "good": True}


def test_limits_are_inclusive(tmp_path):
    stores = [{"store_id": f"s{number}"} for number in range(11)]
    assert pack(tmp_path, {**SMALLEST, "stores": stores[:10]}).descriptor is not None
    assert pack(tmp_path, {**SMALLEST, "stores": stores}).descriptor is None
    route = {"methods": ["GET"], "interface": "http.hello", "auth": "actor"}
    routes = [{**route, "path": f"/r{number}"} for number in range(65)]
    assert pack(tmp_path, {**SMALLEST, "ingress": routes[:64]}).descriptor is not None
    assert pack(tmp_path, {**SMALLEST, "ingress": routes}).descriptor is None


@pytest.mark.parametrize(
    "route",
    [
        {"path": "/a", "auth": "actor"},
        {"path": "/a", "auth": "actor", "interface": "a.b", "flow": "c"},
        {"path": "a", "auth": "actor", "interface": "a.b"},
        {"path": "/../a", "auth": "actor", "interface": "a.b", "methods": ["TRACE"]},
        {"path": "/a", "auth": "everyone", "interface": "a.b"},
        {"path": "/a", "auth": "public", "kind": "static", "root": "../web"},
        {"path": "/a", "auth": "actor", "kind": "asgi", "app": "os.system('x')"},
    ],
)
def test_a_malformed_route_is_refused(tmp_path, route):
    assert pack(tmp_path, {**SMALLEST, "ingress": [route]}).descriptor is None


def test_background_defaults_to_true_only_for_traffic_through_the_loopback_proxy(tmp_path):
    lines = [
        {"type": "http.request", "domains": ["api.example.com"], "reason": "r"},
        {"type": "store.get", "stores": ["a"], "reason": "r"},
        {"type": "net.connect", "hosts": [], "background": False, "reason": "r"},
    ]
    scanned = pack(tmp_path, **{"backend/permissions.json": {"pack_id": "my_pack", "permissions": lines}})
    assert [item.background for item in scanned.descriptor.permissions] == [True, False, False]
    assert scanned.descriptor.permissions[0].config == {"domains": ["api.example.com"]}


def test_repeated_permissions_and_interfaces_are_named(tmp_path):
    twice = {"pack_id": "my_pack", "permissions": [{"type": "store.get", "reason": "r"}] * 2}
    other = {**MANIFEST, "id": "bye"}
    scanned = pack(
        tmp_path,
        **{
            "backend/permissions.json": twice,
            "backend/components/hello/manifest.json": MANIFEST,
            "backend/components/hello/setup.py": "",
            "backend/components/bye/manifest.json": other,
            "backend/components/bye/setup.py": "",
        },
    )
    assert {text for _, text in messages(scanned)} == {
        "The permission 'store.get' is declared 2 times. Keep one of them.",
        "The interface 'service.hello' is declared 2 times. Keep one of them.",
    }


def test_no_code_of_a_scanned_pack_runs(tmp_path):
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w')\n"
    pack(
        tmp_path,
        **{
            "backend/components/hello/manifest.json": MANIFEST,
            "backend/components/hello/setup.py": code,
            "backend/__init__.py": code,
            "setup.py": code,
            "conftest.py": code,
        },
    )
    assert not marker.exists()
