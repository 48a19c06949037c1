"""Who may open a socket file: one uid, by ownership or by a POSIX ACL (acl(5)); nobody else, no setting opens it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

_ACL = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_NOBODY = 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_READ_WRITE = 6
ONLY_OWNER = 0o600


def give_to(path: str, *, uid: int, gid: int) -> None:
    """Make the socket at `path`, which nobody else can reach yet, usable by `uid`. Raises `OSError`.

    `path` is one of ours in a folder of ours. Root hands the file over; who is not root keeps it and adds an ACL entry.
    """
    Path(path).chmod(ONLY_OWNER)
    me = os.geteuid()
    if uid == me:
        return
    if me == 0:
        os.chown(path, uid, gid)
    else:
        os.setxattr(path, _ACL, one_user_acl(uid))


def one_user_acl(uid: int) -> bytes:
    """The ACL `u::rw-,u:<uid>:rw-,g::---,m::rw-,o::---` as the file systems store it (version 2, little-endian)."""
    entries = (
        (_OWNER, _READ_WRITE, _NOBODY),
        (_USER, _READ_WRITE, uid),
        (_GROUP, 0, _NOBODY),
        (_MASK, _READ_WRITE, _NOBODY),
        (_OTHER, 0, _NOBODY),
    )
    return _VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries)
