"""What approval needs of the world: small files, trees of files, and the words of the permission catalogue.

Each is a Protocol of its consumer; adapters implement the first three, the capability side the last. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from core_runtime.approval.digest import TreeDigest
from core_runtime.authority import Risk


class Files(Protocol):
    """The small file layer of one profile. Paths are relative, with `/`; nothing is reached through a link.

    `read` gives None for what is not there and raises `PermissionError` for what cannot be believed (a link, another
    owner, readable by others), `TooLarge` over `max_bytes`. Writes are atomic and durable when they return; they raise
    `StorageFull` or `Unavailable` and then nothing has changed.
    """

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """The whole file, or None."""

    def write_atomic(self, path: str, data: bytes, *, urgent: bool = False) -> None:
        """Replace (or make) the file: after a crash at any instant it holds the old bytes or the new ones.

        `urgent` (a stop, a revocation) may use the reserved space of a full disk.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Make the file, whole, if it is not there. False if it was: then nothing was written."""

    def delete(self, path: str) -> bool:
        """Remove the file. False if it was not there."""

    def move(self, path: str, target: str) -> None:
        """Rename within the profile, replacing nothing. Raises `Conflict` if `target` exists."""

    def list(self, folder: str) -> tuple[str, ...]:
        """Names of the regular files of a folder, sorted, without temporary ones; empty if there is no such folder."""


class FileOperations(Protocol):
    """The system calls that change a disk, one by one: tests make the n-th of them fail, or end the process there."""

    def open(self, name: str, flags: int, mode: int, dir_fd: int) -> int:
        """`openat` for writing."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """`write`; may write less than asked."""

    def chmod(self, fd: int, mode: int) -> None:
        """`fchmod`."""

    def fsync(self, fd: int) -> None:
        """`fsync` of a file or a folder."""

    def mkdir(self, name: str, mode: int, dir_fd: int) -> None:
        """`mkdirat`."""

    def rename(self, name: str, target: str, dir_fd: int, target_dir_fd: int) -> None:
        """`renameat`."""

    def link(self, name: str, target: str, dir_fd: int) -> None:
        """`linkat` within one folder; fails if `target` exists."""

    def unlink(self, name: str, dir_fd: int) -> None:
        """`unlinkat`."""

    def rmdir(self, name: str, dir_fd: int) -> None:
        """`unlinkat` for a folder."""


class TreeReader(Protocol):
    """Reads folders that nobody vouches for. Both raise `ValidationFailed` with the path and a reason."""

    def digest(self, root: Path) -> TreeDigest:
        """Hash every file of a pack's folder, or refuse the whole of it. Blocking."""

    def read_file(self, root: Path, path: str, max_bytes: int) -> bytes:
        """The first `max_bytes` of one regular file below `root`. Blocking; never waits for a FIFO."""


class SealedTrees(Protocol):
    """The sealed copies, by digest."""

    def seal(self, root: Path, expected: str) -> TreeDigest:
        """Copy while hashing; `Conflict` if the bytes copied are not `expected`. Durable on return. Idempotent."""

    def verify(self, digest: str) -> TreeDigest:
        """Hash a sealed copy again. `NotFound` if there is none, `Conflict` if it is damaged."""

    def path(self, digest: str) -> Path:
        """Where the sealed copy of `digest` is (or would be)."""

    def collect(self, keep: Collection[str]) -> int:
        """Remove the copies that are not in `keep`, and what interrupted seals left behind; how many were removed."""


class PermissionBook(Protocol):
    """What approval must know of permissions; `capability` has the catalogue."""

    def known(self, permission: str) -> bool:
        """Exact names only: no prefix, no pattern, no other case."""

    def risk(self, permission: str) -> Risk:
        """The risk of a known permission."""

    def normalise(self, permission: str, config: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with its defaults. Raises `ValidationFailed` for what its schema refuses."""

    def within(
        self, permission: str, wanted: Mapping[str, object], ceiling: Mapping[str, object], *, principal: str = ""
    ) -> bool:
        """True if `wanted` admits nothing that `ceiling` does not, names read as `principal` would mean them."""

    def sentence(self, permission: str, config: Mapping[str, object], language: str) -> str:
        """What it lets a pack do, for a person, in `en` or `ja`."""
