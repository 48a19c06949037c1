"""CT-02: what a pack may not ask for is not a wish that is ignored, but an error of its manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend_core.ecosystem.describe import read_pack

WISHES = {
    "privileged": True, "network": "host", "network_mode": "host", "cap_add": ["SYS_ADMIN"], "devices": ["/dev/mem"], "pid": "host",
    "pid_mode": "host", "image": "evil", "entrypoint": ["sh"], "command": ["sh"], "user": "root", "mounts": ["/:/host"], "volumes": {"/": {}},
    "security_opt": ["seccomp=unconfined"], "ipc": "host", "env": {"A": "b"}, "environment": {}, "runtime": "runc", "read_only": False,
}  # fmt: skip


@pytest.mark.parametrize("place", ["sandbox", "top"])
@pytest.mark.parametrize("key", sorted(WISHES))
def test_ct_02_a_wish_for_more_than_limits_is_refused_with_its_name(tmp_path: Path, key, place):
    document: dict[str, object] = {"pack_id": "demo", "pack_identity": "local:demo", "version": "1.0.0", "sandbox": {}}
    target = document["sandbox"] if place == "sandbox" else document
    target[key] = WISHES[key]  # type: ignore[index]
    backend = tmp_path / "demo" / "backend"
    backend.mkdir(parents=True)
    (backend / "ecosystem.json").write_text(json.dumps(document))
    scanned = read_pack(tmp_path / "demo", "demo")
    assert scanned.descriptor is None
    assert any(key in problem.pointer or key in problem.message for problem in scanned.problems)
