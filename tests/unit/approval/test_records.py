"""Signed records: edited, copied, swapped, put back or taken away, they are no records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core_runtime.adapters.files import StateFiles
from core_runtime.approval.records import SignedStore, TamperedRecord, TamperReason
from core_runtime.errors import Conflict, StorageFull, ValidationFailed
from core_runtime.signing import KEY_FILE, open_key_ring


@pytest.fixture
def files(tmp_path):
    made = StateFiles(tmp_path / "profile")
    yield made
    made.close()


def store_of(files: StateFiles, purpose: str = "grants", suffix: str = ".grants.json") -> SignedStore:
    return SignedStore(files, open_key_ring(files), purpose=purpose, folder="permissions", suffix=suffix)


def path_of(files: StateFiles, name: str = "notes") -> Path:
    return files.root / f"permissions/{name}.grants.json"


def edit(path: Path, **values: object) -> None:
    document = json.loads(path.read_bytes())
    for key, value in values.items():
        if value is None:
            document.pop(key)
        else:
            document[key] = value
    path.write_text(json.dumps(document))


def verdict(files: StateFiles, name: str = "notes") -> TamperReason:
    found = store_of(files).load()
    assert name not in found.records
    return found.tampered[name].reason


def test_what_is_written_is_read_back_with_a_rising_sequence(files):
    store = store_of(files)
    assert [store.write("notes", {"n": n}).sequence for n in range(3)] == [1, 2, 3]
    assert store_of(files).load().records["notes"].body == {"n": 2}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"state": "approved2"}, id="GR-01-value"),
        pytest.param({"sequence": 9}, id="GR-01-sequence"),
        pytest.param({"instance": "0" * 32}, id="GR-01-instance"),
        pytest.param({"extra": 1}, id="GR-01-added-key"),
        pytest.param({"state": None}, id="GR-01-removed-key"),
        pytest.param({"hmac": None}, id="GR-01-no-signature"),
        pytest.param({"hmac": ""}, id="GR-01-empty-signature"),
        pytest.param({"hmac": "ab"}, id="GR-01-short-signature"),
        pytest.param({"hmac": "é" * 64}, id="GR-01-non-ascii-signature"),
        pytest.param({"hmac": 5}, id="GR-01-number-as-signature"),
        pytest.param({"deleted": True}, id="GR-01-made-a-tombstone"),
    ],
)
def test_an_edited_record_is_no_record(files, values):
    store_of(files).write("notes", {"state": "approved"})
    edit(path_of(files), **values)
    assert verdict(files) is TamperReason.BAD_SIGNATURE


def test_gr_01_a_signature_in_other_case_is_no_signature(files):
    store_of(files).write("notes", {"state": "approved"})
    document = json.loads(path_of(files).read_bytes())
    edit(path_of(files), hmac=document["hmac"].upper())
    assert verdict(files) is TamperReason.BAD_SIGNATURE


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b'{"a":1,"a":1}', b'{"a":NaN}', b"[" * 100_000])
def test_what_is_not_one_json_object_is_no_record(files, raw):
    store_of(files).write("notes", {})
    path_of(files).write_bytes(raw)
    assert verdict(files) is TamperReason.NOT_JSON


def test_gr_02_a_record_copied_or_renamed_to_another_name_is_no_record(files):
    store_of(files).write("good", {"pack_id": "good"})
    shutil.copy2(path_of(files, "good"), path_of(files, "evil"))
    assert verdict(files, "evil") is TamperReason.BAD_SIGNATURE
    path_of(files, "good").rename(path_of(files, "evil2"))
    assert verdict(files, "evil2") is TamperReason.BAD_SIGNATURE
    assert verdict(files, "good") is TamperReason.MISSING


def test_gr_02_a_record_of_another_installation_is_no_record(files, tmp_path):
    store_of(files).write("notes", {"a": 1})
    other = StateFiles(tmp_path / "other")
    store_of(other).write("notes", {"a": 1})
    shutil.copy2(path_of(other), path_of(files))
    assert verdict(files) is TamperReason.OTHER_KEY
    shutil.copy2(other.root / KEY_FILE, files.root / KEY_FILE)
    assert store_of(files).load().tampered["notes"].reason is TamperReason.LOCKED
    other.close()


def test_gr_05_a_file_of_another_kind_is_no_record(files):
    network = store_of(files, "network", ".network.json")
    store_of(files).write("notes", {"grants": []})
    network.write("notes", {"grants": ["*"]})
    shutil.copy2(files.root / "permissions/notes.network.json", path_of(files))
    assert verdict(files) is TamperReason.BAD_SIGNATURE


def test_gr_05_the_index_of_another_kind_is_no_index(files):
    store_of(files).write("notes", {})
    store_of(files, "network", ".network.json").write("notes", {})
    shutil.copy2(files.root / "permissions/.network.index.json", files.root / "permissions/.grants.index.json")
    assert verdict(files) is TamperReason.BAD_INDEX


def test_ap_16_an_older_record_put_back_is_noticed(files):
    store = store_of(files)
    store.write("notes", {"grants": ["all"]})
    old = path_of(files).read_bytes()
    store.write("notes", {"grants": []})
    path_of(files).write_bytes(old)
    assert verdict(files) is TamperReason.ROLLED_BACK
    assert isinstance(store.read("notes"), TamperedRecord)


def test_ap_16_an_older_record_and_index_put_back_are_noticed_while_we_run(files):
    store = store_of(files)
    store.write("notes", {"grants": ["all"]})
    index = files.root / "permissions/.grants.index.json"
    old = path_of(files).read_bytes(), index.read_bytes()
    store.write("notes", {"grants": []})
    path_of(files).write_bytes(old[0])
    index.write_bytes(old[1])
    assert store.load().tampered["notes"].reason is TamperReason.ROLLED_BACK


def test_a_record_that_was_taken_away_is_noticed(files):
    store_of(files).write("notes", {})
    path_of(files).unlink()
    assert verdict(files) is TamperReason.MISSING


@pytest.mark.parametrize("damage", ["missing", "edited", "not-json"])
def test_without_its_index_nothing_in_a_store_counts(files, damage):
    store_of(files).write("notes", {})
    store_of(files).write("other", {})
    index = files.root / "permissions/.grants.index.json"
    if damage == "missing":
        index.unlink()
    elif damage == "edited":
        edit(index, sequences={"notes": 1})
    else:
        index.write_bytes(b"{")
    assert store_of(files).load().records == {}
    assert verdict(files) is TamperReason.BAD_INDEX


def test_after_a_bad_index_only_what_the_owner_writes_anew_counts(files):
    store = store_of(files)
    store.write("notes", {"n": 1})
    store.write("notes", {"n": 2})
    store.write("other", {"n": 1})
    (files.root / "permissions/.grants.index.json").write_bytes(b"{")
    fresh = store_of(files)
    fresh.load()
    assert fresh.write("notes", {"n": 3}).sequence > 2
    found = store_of(files).load()
    assert found.records["notes"].body == {"n": 3}
    assert found.tampered["other"].reason is TamperReason.ROLLED_BACK


def test_a_tampered_record_stays_as_evidence_when_the_owner_decides_anew(files):
    store = store_of(files)
    store.write("notes", {"n": 1})
    path_of(files).write_bytes(b"evil")
    store.write("notes", {"n": 2})
    evidence = list((files.root / "permissions/evidence").iterdir())
    assert [p.read_bytes() for p in evidence] == [b"evil"]
    assert store_of(files).load().records["notes"].body == {"n": 2}


def test_a_deleted_record_is_gone_and_cannot_be_put_back(files):
    store = store_of(files)
    store.write("notes", {"n": 1})
    old = path_of(files).read_bytes()
    store.delete("notes")
    again = store_of(files)
    assert again.load().records == {}
    assert again.load().tampered == {}
    assert again.read("notes") is None
    path_of(files).write_bytes(old)
    path_of(files).chmod(0o600)
    assert verdict(files) is TamperReason.ROLLED_BACK


def test_a_record_that_others_could_read_or_write_is_no_record(files):
    store_of(files).write("notes", {})
    path_of(files).chmod(0o644)
    assert verdict(files) is TamperReason.UNSAFE_FILE


def test_gr_06_while_the_key_is_locked_nothing_counts_and_nothing_is_written(files):
    store_of(files).write("notes", {})
    (files.root / KEY_FILE).unlink()
    locked = store_of(files)
    assert locked.load().tampered["notes"].reason is TamperReason.LOCKED
    with pytest.raises(Conflict, match="locked"):
        locked.write("notes", {})


def test_names_and_contents_that_are_no_record_are_refused(files):
    store = store_of(files)
    for name, body in (
        ("../x", {}),
        ("", {}),
        (".hidden", {}),
        ("a" * 129, {}),
        ("a", {"hmac": 1}),
        ("a", {"x": float("nan")}),
        ("a", {"x": "\udcff"}),
    ):
        with pytest.raises(ValidationFailed):
            store.write(name, body)
    assert store_of(files).load().records == {}


def test_a_document_loads_saves_and_refuses_a_tampered_file(files):
    document = SignedStore(files, open_key_ring(files), purpose="tokens", folder="tokens").document("api")
    assert document.load() == {}
    document.save({"tokens": [1]})
    assert document.load() == {"tokens": [1]}
    (files.root / "tokens/api.json").write_text("{}")
    with pytest.raises(Conflict, match="cannot be believed"):
        document.load()


def test_ft_04_a_full_disk_keeps_the_old_record_or_has_the_new_one_whole(files, scripted, no_space):
    counting = scripted()
    store_of(files).write("notes", {"n": 1})
    counted = store_of(StateFiles(files.root, counting))
    counted.write("notes", {"n": 2})
    for at in range(1, counting.count + 1):
        failing = store_of(StateFiles(files.root, scripted(at, no_space)))
        before = store_of(files).load().records["notes"].body["n"]
        try:
            failing.write("notes", {"n": before + 1})
            written = before + 1
        except StorageFull:
            written = before
        now = store_of(files).load()
        assert now.tampered == {}
        assert now.records["notes"].body["n"] in {written, before + 1}


def test_ft_02_killed_at_any_operation_a_record_is_old_or_new_and_believed(files, scripted, killed):
    store_of(files).write("notes", {"n": 0})
    counting = scripted()
    store_of(StateFiles(files.root, counting)).write("notes", {"n": 0})
    for at in range(1, counting.count + 1):
        before = store_of(files).load().records["notes"]
        with pytest.raises(killed):
            store_of(StateFiles(files.root, scripted(at))).write("notes", {"n": at})
        files.remove_leftovers(("permissions",))
        found = store_of(files).load()
        assert found.tampered == {}
        assert found.records["notes"].body["n"] in {before.body["n"], at}
        assert store_of(files).write("notes", {"n": 0}).sequence > before.sequence


def test_ft_02_killed_while_making_the_first_record_or_deleting_it(files, scripted, killed):
    counting = scripted()
    whole = store_of(StateFiles(files.root, counting))
    whole.write("first", {"n": 1})
    whole.delete("first")
    for at in range(1, counting.count + 1):
        name = f"name{at}"
        try:
            store = store_of(StateFiles(files.root, scripted(at)))
            store.write(name, {"n": 1})
            store.delete(name)
        except killed:
            pass
        found = store_of(files).load()
        assert found.tampered == {}
        assert found.records.get(name) is None or found.records[name].body == {"n": 1}
