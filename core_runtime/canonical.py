"""Canonical JSON: the one byte form of a value that is hashed, signed or compared.

Sorted keys, compact, UTF-8, no NaN or infinity, strings only as keys. Everything that carries a signature or a
fingerprint goes through here, so that two spellings of one value can never be two values, nor one spelling of two.
"""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> bytes:
    """The canonical bytes of a JSON value. Raises `ValueError` for what has none (NaN, infinity, lone surrogates)."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"not a JSON value: {type(error).__name__}") from error


def sha256_hex(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: object) -> str:
    """SHA-256 over the canonical JSON of `value`, in hex."""
    return sha256_hex(canonical_json(value))
