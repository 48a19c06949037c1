"""The kernel's own signature over what it keeps on disk: one master key, a derived key for each purpose.

A signature binds a document to its purpose, its file name and this installation, so a record that is edited, copied to
another name, taken from another kernel or from another kind of file is no record (GR-01, GR-02, GR-05). The key is made
once. It is never made anew while anything signed exists: without the key that signed it, everything signed is void, the
ring is *locked* and says why, until the owner decides (`KeyRing.renew`). Which key is the right one is pinned in
`instance.json`, so a key put in place of ours with all records signed again is noticed too (GR-06).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core_runtime.canonical import canonical_json
from core_runtime.errors import Conflict, RumiError

KEY_FILE = "permissions/.secret_key"
INSTANCE_FILE = "instance.json"
KEY_BYTES = 32
MAX_INSTANCE_BYTES = 4_096
SIGNED_FOLDERS = ("permissions", "trust")


class KeyFiles(Protocol):
    """What the key ring needs of the file layer; see `approval.ports.Files`."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """The file, None if absent, `PermissionError` if it cannot be believed."""

    def create(self, path: str, data: bytes) -> bool:
        """Make it whole unless it exists."""

    def write_atomic(self, path: str, data: bytes) -> None:
        """Replace it."""

    def move(self, path: str, target: str) -> None:
        """Rename it."""

    def list(self, folder: str) -> tuple[str, ...]:
        """Names of the files in a folder."""


@dataclass(frozen=True, slots=True)
class _Instance:
    instance_id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class KeyState:
    """What was found at opening: the key, or why there is none to be believed. Never printed: it holds the key."""

    instance_id: str
    master: bytes | None = field(default=None, repr=False)
    locked: str = ""


class KeyRing:
    """Signs and verifies. Locked (without a key) it signs nothing and believes nothing."""

    def __init__(self, state: KeyState) -> None:
        self._state = state
        self._derived: dict[str, bytes] = {}  # one per purpose; purposes are constants of the code

    @property
    def instance_id(self) -> str:
        """32 hex digits that name this profile's installation; a throw-away one while `instance.json` is not there."""
        return self._state.instance_id

    @property
    def locked(self) -> str:
        """Why nothing signed can be believed, or empty."""
        return self._state.locked

    @property
    def key_id(self) -> str:
        """Names the master key without telling it: 16 hex digits; empty while locked."""
        return "" if self._state.master is None else key_id_of(self._state.master)

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key for one purpose (HKDF-SHA-256, RFC 5869). Raises `Conflict` while locked."""
        if self._state.master is None:
            raise Conflict(f"The signing key is locked: {self._state.locked}.", hint="rumi doctor says how to go on.")
        if purpose not in self._derived:
            kdf = HKDF(hashes.SHA256(), KEY_BYTES, salt=self.instance_id.encode(), info=b"rumi/1/" + purpose.encode())
            self._derived[purpose] = kdf.derive(self._state.master)
        return self._derived[purpose]

    def sign(self, purpose: str, file: str, document: object) -> str:
        """HMAC-SHA-256, 64 hex digits, over purpose, file name, instance and the canonical JSON of `document`."""
        signed = {"purpose": purpose, "file": file, "instance": self.instance_id, "document": document}
        return hmac.new(self.derive(purpose), canonical_json(signed), hashlib.sha256).hexdigest()

    def verify(self, purpose: str, file: str, document: object, mac: object) -> bool:
        """True for exactly the signature of `sign`. Whatever else `mac` is, is False; compared in constant time."""
        if self._state.master is None or not isinstance(mac, str):
            return False
        try:
            wanted = self.sign(purpose, file, document)
        except ValueError:
            return False
        # On bytes: compare_digest raises TypeError for a str that is not ASCII, which an attacker can write (GR-01).
        return hmac.compare_digest(wanted.encode(), mac.encode("utf-8", "surrogatepass"))

    def renew(self, files: KeyFiles, *, stamp: str, folders: Sequence[str] = SIGNED_FOLDERS) -> tuple[str, ...]:
        """The owner's way out of a lock: keep everything signed as evidence in `void-<stamp>/`, make a new key.

        Returns the files that were put aside. Raises `Conflict` if the ring is not locked. The key moves last: until
        then a restart finds the ring locked still.
        """
        if self._state.master is not None:
            raise Conflict("The signing key is in order; there is nothing to renew.")
        moved = []
        for folder in folders:
            for name in _signed(files, folder):
                files.move(f"{folder}/{name}", f"{folder}/void-{stamp}/{name}")
                moved.append(f"{folder}/{name}")
        key_folder, _, key_name = KEY_FILE.rpartition("/")
        if key_name in files.list(key_folder):
            files.move(KEY_FILE, f"{key_folder}/void-{stamp}/{key_name.lstrip('.')}")
        try:
            _read_instance(files)
        except _BadKeyError:
            files.move(INSTANCE_FILE, f"{key_folder}/void-{stamp}/{INSTANCE_FILE}")
        fresh = _open(files, folders)
        if fresh.locked:
            raise Conflict(f"The new signing key cannot be used: {fresh.locked}.")
        self._state, self._derived = fresh, {}
        return tuple(moved)


def open_key_ring(files: KeyFiles, *, folders: Sequence[str] = SIGNED_FOLDERS) -> KeyRing:
    """Open, or on the very first start make, the key and the instance id. Never raises for a bad key: it locks.

    `folders` are those whose `.json` files are signed. Raises `StorageFull` or `Unavailable` if a first key cannot be
    written.
    """
    return KeyRing(_open(files, folders))


def key_id_of(master: bytes) -> str:
    """The public name of a key."""
    return hashlib.sha256(b"rumi key id\0" + master).hexdigest()[:16]


class _BadKeyError(Exception):
    """The key or the instance file is there and cannot be believed."""


def _open(files: KeyFiles, folders: Sequence[str]) -> KeyState:
    try:
        if any(_signed(files, folder) for folder in folders):
            return _open_existing(_read_instance(files), _read_key(files))
        master = _read_key(files)
        if master is None:
            files.create(KEY_FILE, secrets.token_bytes(KEY_BYTES))  # of two processes one wins, both read it (GR-08)
            master = _read_key(files)
        if master is None:
            return KeyState(secrets.token_hex(16), locked=f"{KEY_FILE} vanished")
        return KeyState(_pin(files, key_id_of(master)).instance_id, master)
    except _BadKeyError as problem:
        return KeyState(secrets.token_hex(16), locked=str(problem))


def _pin(files: KeyFiles, key_id: str) -> _Instance:
    """Make `instance.json`, or, nothing being signed yet, let it name the key that there is."""
    instance = _read_instance(files)
    if instance is None:
        files.create(INSTANCE_FILE, _encode(_Instance(secrets.token_hex(16), key_id)))
        instance = _read_instance(files)
    elif instance.key_id != key_id:
        instance = _Instance(instance.instance_id, key_id)
        files.write_atomic(INSTANCE_FILE, _encode(instance))
    if instance is None:
        raise _BadKeyError(f"{INSTANCE_FILE} vanished")
    return instance


def _open_existing(instance: _Instance | None, master: bytes | None) -> KeyState:
    locked = ""
    if instance is None:
        locked = f"{INSTANCE_FILE} is missing, but signed files exist"
    elif master is None:
        locked = f"{KEY_FILE} is missing, but signed files exist"
    elif key_id_of(master) != instance.key_id:
        locked = f"{KEY_FILE} is not the key that this installation was made with"
    instance_id = instance.instance_id if instance else secrets.token_hex(16)
    return KeyState(instance_id, None if locked else master, locked)


def _signed(files: KeyFiles, folder: str) -> tuple[str, ...]:
    return tuple(name for name in files.list(folder) if name.endswith(".json"))


def _read_key(files: KeyFiles) -> bytes | None:
    try:
        master = files.read(KEY_FILE, KEY_BYTES)
    except PermissionError as error:
        raise _BadKeyError(error.strerror) from None
    except RumiError as error:
        raise _BadKeyError(error.message) from None
    if master is not None and len(master) != KEY_BYTES:
        raise _BadKeyError(f"{KEY_FILE} has {len(master)} bytes where {KEY_BYTES} are wanted")
    return master


def _read_instance(files: KeyFiles) -> _Instance | None:
    try:
        raw = files.read(INSTANCE_FILE, MAX_INSTANCE_BYTES)
        if raw is None:
            return None
        data = json.loads(raw)
        instance = _Instance(data["instance_id"], data["key_id"])
    except PermissionError as error:
        raise _BadKeyError(error.strerror) from None
    except RumiError as error:
        raise _BadKeyError(error.message) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _BadKeyError(f"{INSTANCE_FILE} is damaged") from None
    if not (_is_hex(instance.instance_id, 32) and _is_hex(instance.key_id, 16)):
        raise _BadKeyError(f"{INSTANCE_FILE} is damaged")
    return instance


def _is_hex(value: object, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and set(value) <= set("0123456789abcdef")


def _encode(instance: _Instance) -> bytes:
    return canonical_json({"instance_id": instance.instance_id, "key_id": instance.key_id}) + b"\n"
