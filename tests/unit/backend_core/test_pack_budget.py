"""What a pack says of itself is read again at every change and before any approval, so all of it together is bounded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from backend_core.ecosystem.describe import MAX_FLOW_BYTES, read_pack
from backend_core.ecosystem.pack_files import MAX_JSON_TOGETHER


def make(tmp_path: Path, *, components: int, padding: int) -> Path:
    root = tmp_path / "big"
    (root / "backend").mkdir(parents=True)
    manifest = {"pack_id": "big", "pack_identity": "github:a/big", "version": "1.0.0"}
    (root / "backend/ecosystem.json").write_text(json.dumps(manifest))
    for number in range(components):
        folder = root / f"backend/components/c{number}"
        folder.mkdir(parents=True)
        text = {"type": "service", "id": f"c{number}", "version": "1.0.0", "x_padding": "x" * padding}
        (folder / "manifest.json").write_text(json.dumps(text))
        (folder / "setup.py").write_text("")
    return root


def test_ap_22_manifests_are_bounded_together(tmp_path):
    root = make(tmp_path, components=300, padding=1_000_000)
    began = time.monotonic()
    scanned = read_pack(root, "big")
    assert time.monotonic() - began < 2
    assert scanned.descriptor is None
    assert f"{MAX_JSON_TOGETHER:,} bytes together" in scanned.problems[0].message
    assert len(scanned.problems) <= 100


def test_many_small_manifests_are_in_order(tmp_path):
    assert read_pack(make(tmp_path, components=50, padding=10_000), "big").descriptor is not None


def test_bx_13_flows_are_bounded_together(tmp_path):
    root = make(tmp_path, components=0, padding=0)
    flows = root / "backend/flows"
    flows.mkdir()
    for number in range(4):
        (flows / f"f{number}.flow.yaml").write_text("#" + "x" * (MAX_FLOW_BYTES // 4 - 1))
    assert read_pack(root, "big").descriptor is not None
    (flows / "more.flow.yaml").write_text("#")
    scanned = read_pack(root, "big")
    assert scanned.descriptor is None
    assert [problem.file for problem in scanned.problems] == ["backend/flows"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("version", "9" * 5000, id="BX-13-version"),
        pytest.param("version", "1." * 400 + "0", id="BX-13-version-of-many-parts"),
        pytest.param("requires", {"kernel": ">=" + "9" * 5000}, id="BX-13-kernel"),
        pytest.param("requires", {"packs": {"notes": "==" + "9" * 5000}}, id="BX-13-pack"),
        pytest.param("requires", {"packs": {"notes": ",".join(["!=1.0"] * 100)}}, id="BX-13-many-ranges"),
    ],
)
def test_versions_without_end_are_a_mistake_of_the_manifest(tmp_path, field, value):
    root = tmp_path / "big"
    (root / "backend").mkdir(parents=True)
    text = {"pack_id": "big", "pack_identity": "github:a/big", "version": "1.0.0", field: value}
    (root / "backend/ecosystem.json").write_text(json.dumps(text))
    scanned = read_pack(root, "big")
    assert scanned.descriptor is None
    assert "characters" in scanned.problems[0].message
