"""The signing key: made once, pinned, never silently replaced."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from core_runtime.adapters.files import StateFiles
from core_runtime.errors import Conflict
from core_runtime.signing import INSTANCE_FILE, KEY_FILE, KeyState, open_key_ring


@pytest.fixture
def files(tmp_path):
    made = StateFiles(tmp_path / "profile")
    yield made
    made.close()


def sign_something(files: StateFiles) -> str:
    ring = open_key_ring(files)
    files.write_atomic("permissions/x.json", b"{}")
    return ring.key_id


def _open(root: str, gate, answers) -> None:
    gate.wait()
    ring = open_key_ring(StateFiles(Path(root)))
    answers.put((ring.key_id, ring.instance_id))


def test_gr_08_processes_that_start_together_agree_on_one_key(tmp_path):
    context = multiprocessing.get_context("fork")
    gate, answers = context.Event(), context.Queue()
    (tmp_path / "p").mkdir()
    children = [context.Process(target=_open, args=(str(tmp_path / "p"), gate, answers)) for _ in range(6)]
    for child in children:
        child.start()
    gate.set()
    found = {answers.get(timeout=20) for _ in children}
    for child in children:
        child.join(20)
    assert len(found) == 1
    key = tmp_path / "p" / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.stat().st_size == 32
    assert open_key_ring(StateFiles(tmp_path / "p")).key_id == found.pop()[0]


def test_the_key_and_the_instance_are_the_same_after_a_restart(files):
    first, second = open_key_ring(files), open_key_ring(files)
    assert (first.key_id, first.instance_id) == (second.key_id, second.instance_id)
    assert not second.locked
    assert len(second.instance_id) == 32


def replace_key(files: StateFiles, content: bytes, mode: int = 0o600) -> None:
    path = files.root / KEY_FILE
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: (f.root / KEY_FILE).unlink(), id="GR-06-missing"),
        pytest.param(lambda f: replace_key(f, b""), id="GR-06-empty"),
        pytest.param(lambda f: replace_key(f, b"x"), id="GR-06-one-byte"),
        pytest.param(lambda f: replace_key(f, b"x" * 33), id="GR-06-33-bytes"),
        pytest.param(lambda f: (f.root / KEY_FILE).chmod(0o644), id="GR-06-world-readable"),
        pytest.param(
            lambda f: ((f.root / KEY_FILE).rename(f.root / "k"), os.symlink("../k", f.root / KEY_FILE)),
            id="GR-06-symlink",
        ),
        pytest.param(lambda f: replace_key(f, b"attacker's key, re-signed all..."), id="GR-06-replaced"),
        pytest.param(lambda f: (f.root / INSTANCE_FILE).unlink(), id="GR-06-no-instance"),
        pytest.param(lambda f: (f.root / INSTANCE_FILE).write_text("{"), id="GR-06-damaged-instance"),
    ],
)
def test_a_key_that_cannot_be_believed_locks_the_ring_and_is_never_made_anew(files, spoil):
    key_id = sign_something(files)
    spoil(files)
    before = {p: p.read_bytes() for p in files.root.rglob("*") if p.is_file()}
    ring = open_key_ring(files)
    assert ring.locked
    assert ring.key_id != key_id
    assert not ring.verify("p", "f", {}, "0" * 64)
    with pytest.raises(Conflict, match="locked"):
        ring.sign("p", "f", {})
    assert {p: p.read_bytes() for p in files.root.rglob("*") if p.is_file()} == before


def test_gr_06_the_owner_can_renew_a_locked_key_and_the_old_files_stay_as_evidence(files):
    sign_something(files)
    replace_key(files, b"x")
    ring = open_key_ring(files)
    assert ring.renew(files, stamp="1") == ("permissions/x.json",)
    assert not ring.locked
    assert not open_key_ring(files).locked
    kept = {p.name: p.read_bytes() for p in (files.root / "permissions/void-1").iterdir()}
    assert kept == {"x.json": b"{}", "secret_key": b"x"}


def test_a_key_in_order_cannot_be_renewed(files):
    sign_something(files)
    with pytest.raises(Conflict):
        open_key_ring(files).renew(files, stamp="1")


def test_renewing_mends_a_damaged_instance_file_too(files):
    sign_something(files)
    (files.root / INSTANCE_FILE).write_text("{")
    ring = open_key_ring(files)
    ring.renew(files, stamp="2")
    assert not open_key_ring(files).locked


@pytest.mark.parametrize(
    "mac",
    [
        pytest.param(None, id="GR-01-none"),
        pytest.param("", id="GR-01-empty"),
        pytest.param(7, id="GR-01-number"),
        pytest.param("é" * 64, id="GR-01-non-ascii"),
        pytest.param("\udcff" * 64, id="GR-01-surrogates"),
        pytest.param("0" * 64, id="GR-01-zeros"),
        pytest.param([], id="GR-01-list"),
    ],
)
def test_what_is_no_signature_does_not_verify_and_does_not_raise(files, mac):
    assert not open_key_ring(files).verify("p", "f", {}, mac)


@pytest.mark.parametrize("change", ["purpose", "file", "document", "case", "shorter", "longer", "instance"])
def test_a_signature_holds_for_its_purpose_file_content_and_installation_alone(files, tmp_path, change):
    ring = open_key_ring(files)
    mac = ring.sign("p", "f", {"a": 1})
    assert ring.verify("p", "f", {"a": 1}, mac)
    if change == "instance":
        key = (files.root / KEY_FILE).read_bytes()
        other = type(ring)(KeyState("0" * 32, key))
        assert not other.verify("p", "f", {"a": 1}, mac)
        return
    asked = {
        "purpose": ("p2", "f", {"a": 1}, mac),
        "file": ("p", "f2", {"a": 1}, mac),
        "document": ("p", "f", {"a": True}, mac),
        "case": ("p", "f", {"a": 1}, mac.upper()),
        "shorter": ("p", "f", {"a": 1}, mac[:-1]),
        "longer": ("p", "f", {"a": 1}, mac + "0"),
    }[change]
    assert not ring.verify(*asked)


def test_keys_of_purposes_differ_and_the_master_is_not_among_them(files):
    ring = open_key_ring(files)
    master = (files.root / KEY_FILE).read_bytes()
    assert len({ring.derive("a"), ring.derive("b"), master}) == 3
    assert master.hex() not in repr(ring)
    assert repr(master) not in repr(vars(ring))


def test_se_14_signatures_are_compared_in_constant_time():
    source = (Path(__file__).resolve().parents[3] / "core_runtime/signing.py").read_text()
    assert "hmac.compare_digest(wanted.encode()" in source
    assert "wanted ==" not in source
    assert "== wanted" not in source
