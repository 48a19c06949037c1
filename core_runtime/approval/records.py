"""Signed JSON documents that cannot be edited, copied, swapped or put back.

A store holds documents of one purpose in one folder. Each carries a sequence and a signature over its purpose, its
file name, this installation and all of its content; a signed index beside them holds the newest sequence of each
name, so that an older one put back, or one that was taken away, is noticed (AP-16, GR-02, GR-05). What cannot be
believed becomes a `TamperedRecord` with its reason; its file stays as evidence and is never replaced by a default.
Only a new write by the owner follows it, with a higher sequence.

Writing is two atomic steps, the document and then the index. A crash between the two leaves a document that is one
newer than the index says, which only the holder of the key can have made: it counts, and the index follows at the
next load.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from core_runtime.approval.ports import Files
from core_runtime.canonical import canonical_json
from core_runtime.errors import Conflict, RumiError, ValidationFailed
from core_runtime.signing import KeyRing

MAX_RECORD_BYTES = 4 * 1024 * 1024
MAX_RECORDS = 10_000
MAX_SEQUENCE = 2**53
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ENVELOPE = frozenset({"sequence", "instance", "key_id", "deleted", "hmac"})


class TamperReason(StrEnum):
    """Why a document is not believed."""

    LOCKED = "locked"
    UNSAFE_FILE = "unsafe_file"
    UNREADABLE = "unreadable"
    NOT_JSON = "not_json"
    BAD_SIGNATURE = "bad_signature"
    OTHER_KEY = "other_key"
    ROLLED_BACK = "rolled_back"
    MISSING = "missing"
    UNKNOWN_TO_INDEX = "unknown_to_index"
    BAD_INDEX = "bad_index"
    BAD_CONTENT = "bad_content"


@dataclass(frozen=True, slots=True)
class TamperedRecord:
    """A document that counts for nothing, and why."""

    name: str
    reason: TamperReason
    file: str
    explanation: str


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A document that was written by this installation and is the newest of its name.

    `deleted` marks the tombstone of a removal; it is never handed out.
    """

    name: str
    sequence: int
    body: Mapping[str, object]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class LoadedRecords:
    """Everything in a store: the good ones and the others, by name."""

    records: Mapping[str, SignedRecord] = field(default_factory=dict)
    tampered: Mapping[str, TamperedRecord] = field(default_factory=dict)


class SignedStore:
    """Documents of one purpose in `folder`, named `<name><suffix>`. Blocking; safe to use from several threads."""

    def __init__(self, files: Files, keys: KeyRing, *, purpose: str, folder: str, suffix: str = ".json") -> None:
        self._files = files
        self._keys = keys
        self._purpose = purpose
        self._folder = folder
        self._suffix = suffix
        self._index_path = f"{folder}/.{purpose}.index.json"
        self._lock = threading.Lock()
        self._index: dict[str, int] | None = None  # a negative number is the sequence of a removal
        self._index_problem = ""
        self._index_behind = False

    def load(self) -> LoadedRecords:
        """Read and judge every document. Mends the index after an interrupted write; changes nothing else."""
        with self._lock:
            self._read_index()
            records: dict[str, SignedRecord] = {}
            tampered: dict[str, TamperedRecord] = {}
            for name in self._names()[:MAX_RECORDS]:
                found = self._read(name)
                if isinstance(found, TamperedRecord):
                    tampered[name] = found
                elif found is not None:
                    records[name] = found
            self._mend_index(records.values())
            return LoadedRecords({name: item for name, item in records.items() if not item.deleted}, tampered)

    def read(self, name: str) -> SignedRecord | TamperedRecord | None:
        """Read and judge one document; None if there is none and never was, or if it was deleted."""
        with self._lock:
            if self._index is None:
                self._read_index()
            found = self._read(name)
            return None if isinstance(found, SignedRecord) and found.deleted else found

    def write(self, name: str, body: Mapping[str, object], *, urgent: bool = False) -> SignedRecord:
        """Replace a document, durably. Raises `Conflict` while locked, `StorageFull`, `Unavailable`.

        A tampered predecessor is kept beside it, as evidence. `urgent` may use the reserved space.
        """
        return self._write(name, body, deleted=False, urgent=urgent)

    def delete(self, name: str) -> None:
        """Remove a document so that putting an old one back is noticed."""
        self._write(name, {}, deleted=True, urgent=False)
        self._files.delete(self._path(name))

    def verdict(self, name: str, reason: TamperReason) -> TamperedRecord:
        """The verdict of a reader who knows more: the content makes no sense, or the document ought to be there."""
        return self._tampered(name, reason)

    def document(self, name: str) -> SignedDocument:
        """One document as a thing to load and save."""
        return SignedDocument(self, name)

    def _write(self, name: str, body: Mapping[str, object], *, deleted: bool, urgent: bool) -> SignedRecord:
        if not _NAME.fullmatch(name) or not _ENVELOPE.isdisjoint(body):
            raise ValidationFailed("Not a name or a content for a signed record.")
        with self._lock:
            self._keys.derive(self._purpose)  # locked: refused before anything is touched
            index = self._writable_index()
            found = self._read(name)
            sequence = max(abs(index.get(name, 0)), found.sequence if isinstance(found, SignedRecord) else 0) + 1
            data = self._encode(name, sequence, body, deleted=deleted)
            if isinstance(found, TamperedRecord) and found.reason is not TamperReason.MISSING:
                self._set_aside(name, sequence)
            self._files.write_atomic(self._path(name), data, urgent=urgent)
            self._follow({**index, name: -sequence if deleted else sequence})
            return SignedRecord(name, sequence, dict(body), deleted)

    def _encode(self, name: str, sequence: int, body: Mapping[str, object], *, deleted: bool) -> bytes:
        document = {
            **body,
            "sequence": sequence,
            "instance": self._keys.instance_id,
            "key_id": self._keys.key_id,
            **({"deleted": True} if deleted else {}),
        }
        try:
            signature = self._keys.sign(self._purpose, name + self._suffix, document)
        except ValueError as error:
            raise ValidationFailed(f"A record can hold JSON only: {error}") from None
        data = canonical_json({**document, "hmac": signature}) + b"\n"
        if len(data) > MAX_RECORD_BYTES:
            raise ValidationFailed(f"A record is larger than {MAX_RECORD_BYTES} bytes.")
        return data

    def _read(self, name: str) -> SignedRecord | TamperedRecord | None:
        known = (self._index or {}).get(name)
        document = self._verified(name + self._suffix, self._purpose, self._path(name))
        if isinstance(document, TamperedRecord):
            return document
        if document is None:
            return self._tampered(name, TamperReason.MISSING) if known is not None and known > 0 else None
        sequence = _sequence(document)
        if self._index is None:
            return self._tampered(name, TamperReason.BAD_INDEX, self._index_problem)
        if sequence is None or (known is None and sequence != 1):
            return self._tampered(name, TamperReason.UNKNOWN_TO_INDEX)
        if known is not None and sequence < abs(known):
            return self._tampered(name, TamperReason.ROLLED_BACK)
        body = {key: value for key, value in document.items() if key not in _ENVELOPE}
        return SignedRecord(name, sequence, body, deleted=document.get("deleted") is True)

    def _verified(self, file: str, purpose: str, path: str) -> dict[str, object] | TamperedRecord | None:
        """The document of a file if its signature holds; None if there is no file."""
        name = file.removesuffix(self._suffix)
        try:
            raw = self._files.read(path, MAX_RECORD_BYTES)
        except PermissionError as error:
            return self._tampered(name, TamperReason.UNSAFE_FILE, error.strerror or "")
        except RumiError as error:
            return self._tampered(name, TamperReason.UNREADABLE, error.message)
        if raw is None:
            return None
        if self._keys.locked:
            return self._tampered(name, TamperReason.LOCKED, self._keys.locked)
        document = _parse(raw)
        if document is None:
            return self._tampered(name, TamperReason.NOT_JSON)
        signature = document.pop("hmac", None)
        if not self._keys.verify(purpose, file, document, signature):
            other = document.get("key_id") != self._keys.key_id
            return self._tampered(name, TamperReason.OTHER_KEY if other else TamperReason.BAD_SIGNATURE)
        return document

    def _tampered(self, name: str, reason: TamperReason, explanation: str = "") -> TamperedRecord:
        return TamperedRecord(name, reason, self._path(name), explanation or _EXPLANATIONS[reason])

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}{self._suffix}"

    def _names(self) -> list[str]:
        names = {
            file.removesuffix(self._suffix)
            for file in self._files.list(self._folder)
            if file.endswith(self._suffix) and not file.startswith(".")
        }
        return sorted(name for name in names | set(self._index or {}) if _NAME.fullmatch(name))

    def _read_index(self) -> None:
        """Set `_index`, or leave it None with the problem: then nothing in this store counts."""
        if self._index is not None and self._index_behind:
            return
        known, self._index, self._index_problem = self._index, None, ""
        document = self._verified(self._index_path.rpartition("/")[2], f"{self._purpose}.index", self._index_path)
        if isinstance(document, TamperedRecord):
            self._index_problem = f"the index cannot be believed: {document.explanation}"
        elif document is not None:
            self._index = _newest(known, _sequences(document.get("sequences")))
            self._index_problem = "" if self._index is not None else "the index is malformed"
        elif self._keys.locked or known or self._names():
            self._index_problem = "the index is missing"
        else:
            # Made before the first record, so that a missing index always means that somebody took it away.
            self._save_index({})

    def _writable_index(self) -> dict[str, int]:
        if self._index is None:
            self._read_index()
        if self._index is not None:
            return self._index
        # The owner writes anew over an index that cannot be believed: all that lies there stays void, for good.
        voided = {name: self._claimed_sequence(name) + 1 for name in self._names()}
        stray = self._index_path.rpartition("/")[2]
        if stray in self._files.list(self._folder):
            self._files.move(self._index_path, f"{self._folder}/evidence/{stray.lstrip('.')}-{self._next_number()}")
        self._save_index(voided)
        return voided

    def _claimed_sequence(self, name: str) -> int:
        document = self._verified(name + self._suffix, self._purpose, self._path(name))
        return (_sequence(document) or 1) if isinstance(document, dict) else 1

    def _save_index(self, index: dict[str, int]) -> None:
        document: dict[str, object] = {"sequences": index, "instance": self._keys.instance_id}
        document["key_id"] = self._keys.key_id
        file = self._index_path.rpartition("/")[2]
        signature = self._keys.sign(f"{self._purpose}.index", file, document)
        self._files.write_atomic(self._index_path, canonical_json({**document, "hmac": signature}) + b"\n")
        self._index, self._index_problem = index, ""

    def _mend_index(self, found: Iterable[SignedRecord]) -> None:
        if self._index is None:
            return
        newest = {record.name: -record.sequence if record.deleted else record.sequence for record in found}
        if self._index_behind or any(self._index.get(name) != sequence for name, sequence in newest.items()):
            self._follow({**self._index, **newest})

    def _follow(self, index: dict[str, int]) -> None:
        """Let the index follow a document that is on disk: a disk that refuses makes it late, not the write undone."""
        try:
            self._save_index(index)
            self._index_behind = False
        except RumiError:
            self._index, self._index_behind = index, True

    def _set_aside(self, name: str, sequence: int) -> None:
        number = max(sequence, self._next_number())
        self._files.move(self._path(name), f"{self._folder}/evidence/{name}{self._suffix}-{number}")

    def _next_number(self) -> int:
        return len(self._files.list(f"{self._folder}/evidence")) + 1


class SignedDocument:
    """One signed document with a name of its own: API tokens, the digests of the owner's flows, and the like."""

    def __init__(self, store: SignedStore, name: str) -> None:
        self._store = store
        self._name = name

    def load(self) -> Mapping[str, object]:
        """Its content, `{}` while there is none yet. Raises `Conflict` for one that cannot be believed."""
        found = self._store.read(self._name)
        if isinstance(found, TamperedRecord):
            raise Conflict(
                f"{found.file} cannot be believed: {found.explanation}.",
                hint="It counts for nothing and stays as evidence. rumi doctor",
                details={"reason": found.reason.value},
            )
        return found.body if found else {}

    def save(self, value: Mapping[str, object]) -> None:
        """Replace it, durably. Raises `RumiError`; then the old one still stands."""
        self._store.write(self._name, value)


_EXPLANATIONS = {
    TamperReason.LOCKED: "the signing key is locked",
    TamperReason.UNSAFE_FILE: "others could have written or read it",
    TamperReason.UNREADABLE: "it cannot be read",
    TamperReason.NOT_JSON: "it is not one JSON object",
    TamperReason.BAD_SIGNATURE: "its signature is not ours",
    TamperReason.OTHER_KEY: "it was signed with another key",
    TamperReason.ROLLED_BACK: "an older one was put back",
    TamperReason.MISSING: "it was taken away",
    TamperReason.UNKNOWN_TO_INDEX: "the index does not know it",
    TamperReason.BAD_INDEX: "the index cannot be believed",
    TamperReason.BAD_CONTENT: "its content is not what a record of its kind holds",
}


def _parse(raw: bytes) -> dict[str, object] | None:
    """One JSON object without repeated keys, or None."""
    try:
        document = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("repeated key")
    return result


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _sequence(document: Mapping[str, object]) -> int | None:
    value = document.get("sequence")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_SEQUENCE else None


def _sequences(value: object) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    if any(not isinstance(number, int) or isinstance(number, bool) for number in value.values()):
        return None
    return {str(name): number for name, number in value.items()}


def _newest(known: dict[str, int] | None, found: dict[str, int] | None) -> dict[str, int] | None:
    """What is on disk, but never older than what this process knows: an index can be put back too."""
    if known is None or found is None:
        return found
    return {name: max(known.get(name, 0), found.get(name, 0), key=abs) for name in known.keys() | found.keys()}
