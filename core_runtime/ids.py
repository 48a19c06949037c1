"""Names and numbers: the grammars of the design as full matches, and the making of random ids.

Every id that comes from outside passes one of these functions before it is used as a key, a path or a label.
"""

from __future__ import annotations

import re
import secrets

_PACK_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", re.ASCII)
_PART = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

MAX_NAME_LENGTH = 128
MAX_LEVELS = 4
RESERVED_IDS = frozenset({"kernel", "host", "admin", "system"})
FOLDER_NAMES = frozenset({"packs", "inbox", "flows", "docker"})
HOST_PRINCIPAL = "host"


def is_pack_id(text: str) -> bool:
    """True for a pack id whose `__` stand only between valid parts, with at most four levels."""
    if not _PACK_ID.fullmatch(text) or text.lower() in RESERVED_IDS or text.lower() in FOLDER_NAMES:
        return False
    parts = text.split("__")
    return len(parts) <= MAX_LEVELS and all(parts) and not any(p.startswith("_") or p.endswith("_") for p in parts[1:])


def is_name(text: str) -> bool:
    """True for an interface, event, permission, store, flow or setting name (dots allowed)."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_variable(text: str) -> bool:
    """True for a name without dots, as flow outputs and loop variables have."""
    return len(text) <= MAX_NAME_LENGTH and _PART.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """True for 64 lower-case hex digits: no prefix, no upper case, no shortening."""
    return _DIGEST.fullmatch(text) is not None


def ancestors(pack_id: str) -> tuple[str, ...]:
    """The parents of a pack id, the outermost first: `a__b__c` gives `("a", "a__b")`."""
    parts = pack_id.split("__")
    return tuple("__".join(parts[:count]) for count in range(1, len(parts)))


def request_id() -> str:
    """A fresh request id: `req_` and 96 random bits in hex."""
    return "req_" + secrets.token_hex(12)


def run_id() -> str:
    """A fresh id of a flow run."""
    return "run_" + secrets.token_hex(12)


def random_hex(octets: int) -> str:
    """`octets` random bytes in hex, for container names and folders that nothing a pack says may shape."""
    return secrets.token_hex(octets)
