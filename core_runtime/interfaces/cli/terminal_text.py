"""Text from strangers on the owner's terminal: nothing in it may move the cursor, colour, retitle or reorder.

Pack names, descriptions, reasons, diffs and logs are written by people whom the owner does not trust yet, and are shown
at the very moment when he decides about them. Control characters (C0, C1: escape sequences, CWE-150), line separators
and the bidirectional controls (CVE-2021-42574) are therefore shown as what they are, in visible escapes.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

_BIDI = frozenset(range(0x202A, 0x202F)) | frozenset(range(0x2066, 0x206A)) | {0x061C, 0x200E, 0x200F}
_UNSEEN = _BIDI | {0x2028, 0x2029, 0x200B, 0x2060, 0xFEFF, 0x00AD}
_HOSTILE = frozenset(range(0x20)) | frozenset(range(0x7F, 0xA0)) | _UNSEEN
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HOSTILE}
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _HOSTILE if code >= 0x7F}


def clean(value: object) -> str:
    """One line of harmless text: whatever could act on a terminal is written as an escape."""
    return str(value).translate(_ESCAPES).encode("utf-8", "backslashreplace").decode("utf-8")


def clean_lines(value: object) -> list[str]:
    """Harmless lines of a text whose newlines are meant as such; tabs become four spaces."""
    return [clean(line.replace("\t", "    ")) for line in str(value).split("\n")]


def safe_json(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """JSON text that is harmless on a terminal too: JSON itself lets C1 and bidirectional controls stand."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    escaped = text.translate(_JSON_ESCAPES)
    try:
        escaped.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False)
    return escaped


def width_of(text: str) -> int:
    """Columns that a terminal takes for `text`: two for wide characters, none for combining ones."""
    return sum(_width(char) for char in text)


def pad(text: str, width: int) -> str:
    """`text` filled with spaces to `width` columns."""
    return text + " " * max(0, width - width_of(text))


def wrap(text: str, width: int) -> list[str]:
    """Break a line at spaces, and anywhere inside what is wide or longer than a line. At least one line."""
    lines, current = [], ""
    for piece in _pieces(text):
        if width_of(current) + width_of(piece.rstrip()) <= width or not current:
            current += piece
        else:
            lines.append(current.rstrip())
            current = piece.lstrip()
        while width_of(current.rstrip()) > width:
            cut = _cut(current, width)
            lines.append(current[:cut])
            current = current[cut:]
    return [*lines, current.rstrip()] if current.strip() or not lines else lines


def _pieces(text: str) -> Iterator[str]:
    word = ""
    for char in text:
        if _width(char) == 2:
            if word:
                yield word
                word = ""
            yield char
        else:
            word += char
            if char == " ":
                yield word
                word = ""
    if word:
        yield word


def _cut(text: str, width: int) -> int:
    taken = 0
    for index, char in enumerate(text):
        taken += _width(char)
        if taken > width:
            return max(1, index)
    return len(text)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
