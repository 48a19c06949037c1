"""Text to tokens, one at a time and never backwards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from core_runtime.flows.expressions.errors import ExpressionSyntaxError

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>==|!=|<=|>=|&&|\|\||\*\*|//|[-+*/%<>=!|&.,:?()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
KEYWORDS: Final = frozenset({"and", "or", "not", "in", "if", "else", "true", "false", "null"})


@dataclass(slots=True)
class Token:
    """`kind` is number, name, keyword, text, operator or end; `text` is as written."""

    kind: str
    text: str
    offset: int
    end: int


def token_at(source: str, offset: int) -> Token:
    """The token at or after `offset`. Raises `ExpressionSyntaxError` for what is none."""
    match = _TOKEN.match(source, offset)
    if match is None:
        return _no_token(source, offset)
    kind = match.lastgroup or ""
    text = match[kind]
    start = match.start(kind)
    if kind == "name" and text in KEYWORDS:
        kind = "keyword"
    return Token(kind, text, start, match.end())


def _no_token(source: str, offset: int) -> Token:
    while offset < len(source) and source[offset].isspace():
        offset += 1
    if offset >= len(source):
        return Token("end", "", offset, offset)
    if source[offset] in "\"'":
        raise ExpressionSyntaxError("A text in the expression has no closing quote.", offset)
    raise ExpressionSyntaxError(f"{source[offset]!r} has no meaning in an expression.", offset)


def unquoted(token: Token) -> str:
    """The value of a text token. Escapes: backslash, quotes, slash, n, t, r, uXXXX."""
    body = token.text[1:-1]
    if "\\" not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5:
            character = chr(int(escape[1:], 16))
            if "\ud800" <= character <= "\udfff":
                raise ExpressionSyntaxError("Half of a surrogate pair is no character.", token.offset)
            return character
        if escape not in _ESCAPES:
            raise ExpressionSyntaxError(
                f"Unknown escape \\{escape}.", token.offset, expected="one of \\n \\t \\r \\\\ \\uXXXX"
            )
        return _ESCAPES[escape]

    return _ESCAPE.sub(replace, body)
