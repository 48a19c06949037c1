"""The tree digest: what "these bytes" means, as a pure function over the files of a pack.

One SHA-256 over the compact JSON array of `[path, "x" or "-", size, sha256]`. JSON quotes every name and separates
every field, so no two trees can share an encoding by moving bytes across a boundary. This module reads no disk:
whoever walks a folder (`adapters.sealed_tree`) or an archive hands the entries in. It must never drop an entry in
silence; the only names that are left out are those of `EXCLUDED_NAMES`, which are never sealed either and so never
run.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from core_runtime.errors import ValidationFailed

EXCLUDED_NAMES = frozenset({".git", "__pycache__", ".DS_Store"})
"""Exact names of path components below the pack's root that are neither hashed nor sealed (AP-04)."""

MAX_FILES = 2_000
MAX_FOLDERS = 8_000
MAX_TREE_BYTES = 500 * 1024 * 1024
MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_DEPTH = 16
MAX_PATH_BYTES = 240

_NO_NAMES = frozenset({"", ".", ".."})


class FileEntry(NamedTuple):
    """One regular file: path with `/` relative to the pack's root, owner's execute bit, size in bytes, hex SHA-256."""

    path: str
    executable: bool
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """The digest (64 lower-case hex digits) and the entries, sorted by the UTF-8 bytes of their paths."""

    digest: str
    entries: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def by_path(self) -> dict[str, FileEntry]:
        """The entries by their paths."""
        return {entry.path: entry for entry in self.entries}


def tree_digest(entries: Iterable[FileEntry]) -> TreeDigest:
    """Digest a set of entries, in whatever order. Raises `ValidationFailed` for what no pack may hold."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.path.encode("utf-8", "surrogatepass")))
    rows: list[list[object]] = []
    total, before = 0, ""
    for path, executable, size, sha256 in ordered:
        check_path(path)
        if path == before:
            raise invalid(path, "twice", "named twice.")
        before = path
        total += size
        rows.append([path, "x" if executable else "-", size, sha256])
    check_twins(entry.path for entry in ordered)
    check_totals(len(ordered), total)
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return TreeDigest(hashlib.sha256(text.encode("utf-8")).hexdigest(), ordered)


def invalid(path: str, reason: str, message: str, hint: str = "") -> ValidationFailed:
    """The error for a tree that has no digest; `details` hold the path and a stable reason."""
    shown = printable(path) or "."
    return ValidationFailed(f"{shown}: {message}", hint=hint, details={"path": shown, "reason": reason})


def printable(path: str) -> str:
    """A path as it may be shown: what is not printable (escapes, bidi controls, lone surrogates) is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in path)


def check_name(name: str, path: str) -> None:
    """Refuse one component's name that is not NFC UTF-8. `path` is only for the message."""
    if name.isascii():
        return
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(path, "name", "the name is not UTF-8.", "Rename the file.") from None
    if not unicodedata.is_normalized("NFC", name):
        raise invalid(path, "name", "the name is not in Unicode form NFC.", "Rename the file in composed form (NFC).")


def check_path(path: str) -> None:
    """Refuse a file's path that is empty, climbs, is too long or too deep, or has a name that is not NFC UTF-8."""
    parts = path.split("/")
    if not _NO_NAMES.isdisjoint(parts) or "\0" in path:
        raise invalid(path, "path", "not a relative path of plain names.")
    check_name(path, path)
    if len(parts) > MAX_DEPTH:
        raise invalid(path, "depth", f"more than {MAX_DEPTH} levels deep.")
    check_length(path)


def check_length(path: str) -> None:
    """Refuse a path of too many bytes."""
    if len(path if path.isascii() else path.encode("utf-8")) > MAX_PATH_BYTES:
        raise invalid(path, "path_length", f"the path is longer than {MAX_PATH_BYTES} bytes.")


def check_size(path: str, size: int) -> None:
    """Refuse one file over the limit."""
    if size > MAX_FILE_BYTES:
        raise invalid(path, "file_size", f"larger than {MAX_FILE_BYTES // 1048576} MB.")


def check_totals(files: int, size: int) -> None:
    """Refuse a tree over the limits for the number of files and for all bytes."""
    if files > MAX_FILES:
        raise invalid("", "file_count", f"more than {MAX_FILES} files.")
    if size > MAX_TREE_BYTES:
        raise invalid("", "tree_size", f"more than {MAX_TREE_BYTES // 1048576} MB in all.")


def check_twins(paths: Iterable[str]) -> None:
    """Refuse two paths, or two folders on the way to files, that differ but are equal under case folding."""
    seen: dict[str, str] = {}
    folders: set[str] = set()
    for path in paths:
        _claim(seen, path)
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            _claim(seen, folder)
            folder = folder.rpartition("/")[0]


def _claim(seen: dict[str, str], path: str) -> None:
    folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
    other = seen.setdefault(folded, path)
    if other != path:
        raise invalid(path, "case_twin", f"equal to {printable(other)} but for case.", "Rename one of the two.")
