"""YAML bytes to a tree of nodes that know their place; the only door through which flow files come in.

YAML 1.2 core types and nothing else: tags of any kind are refused, so no constructor of any library ever runs on the
bytes; only libyaml's event stream is used. Bombs end early: size before parsing, depth, nodes (aliases counted as often
as they stand for something) and aliases while parsing, cycles where an alias names a node that is still open. The
builder is a loop with a stack of its own, so that no nesting can exhaust ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, Protocol

import yaml

from core_runtime.flows.limits import MAX_ALIASES, MAX_DEPTH, MAX_INTEGER, MAX_NODES, MAX_SOURCE_BYTES, MIN_INTEGER
from core_runtime.flows.problems import Findings, Place, shown

_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_JSON: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, object]] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAY_BE_SPECIAL: Final = frozenset("0123456789+-.~nNtTfF")
_NUMERIC: Final = frozenset("0123456789+-.")
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"\xef\xbb\xbf")


class Mark(Protocol):
    """A place as libyaml counts it, from 0."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class _Event(Protocol):
    """What is read of libyaml's events; which of it exists depends on the kind."""

    start_mark: Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None


class Node:
    """A value with its place: a scalar, a `dict` of nodes or a `list` of nodes.

    `key_mark` is where its key stands if it is in a mapping; `style` is None for a plain scalar; `size` counts nodes
    with every alias expanded.
    """

    __slots__ = ("key_mark", "mark", "size", "style", "value")

    def __init__(self, value: object, mark: Mark, style: str | None = None) -> None:
        self.value = value
        self.mark = mark
        self.key_mark: Mark | None = None
        self.style = style
        self.size = 1

    @property
    def place(self) -> Place:
        """Where the value starts."""
        return Place(self.mark.line + 1, self.mark.column + 1)

    @property
    def key_place(self) -> Place:
        """Where its key starts, or the value if it has none."""
        mark = self.key_mark or self.mark
        return Place(mark.line + 1, mark.column + 1)

    def plain(self) -> object:
        """The bare JSON value (shared parts stay shared)."""
        value = self.value
        if isinstance(value, dict):
            return {key: node.plain() for key, node in value.items()}
        if isinstance(value, list):
            return [node.plain() for node in value]
        return value

    def alias(self, mark: Mark) -> Node:
        """The same content at the place of an alias."""
        node = Node(self.value, mark, self.style)
        node.size = self.size
        return node


class _Refused(Exception):
    """Parsing cannot go on; the finding is already noted."""


class _Open:
    """A collection that is still being read: `fields` of a mapping, else `items` of a sequence."""

    __slots__ = ("fields", "items", "key", "key_mark", "node")

    def __init__(self, node: Node, fields: dict[str, Node] | None) -> None:
        self.node = node
        self.fields = fields
        self.items: list[Node] = node.value if isinstance(node.value, list) else []
        self.key: str | None = None
        self.key_mark: Mark | None = None


def read_yaml(data: bytes, findings: Findings) -> Node | None:
    """The root node of the one document in `data`; None with a finding if there is none that can be read."""
    text = _decoded(data, findings)
    if text is None:
        return None
    try:
        return _Builder(text, findings).document()
    except _Refused:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        context = f"{error.context}: " if error.context else ""
        findings.add(place, f"Not YAML: {context}{error.problem}.")
    except yaml.YAMLError as error:
        findings.add(Place(), f"Not YAML: {str(error).splitlines()[0][:200]}.")
    return None


def _decoded(data: bytes, findings: Findings) -> str | None:
    if len(data) > MAX_SOURCE_BYTES:
        findings.add(Place(), f"The file has {len(data)} bytes.", expected="at most 1 MiB")
        return None
    if data.startswith(_BYTE_ORDER_MARKS):
        findings.add(Place(), "The file begins with a byte order mark.", expected="UTF-8 without one")
        return None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        findings.add(Place(line), "The file holds a NUL byte.", expected="UTF-8 text")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.add(Place(line), "The file is not UTF-8.", expected="UTF-8 text")
        return None


class _Builder:
    """Folds libyaml's events into nodes."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._parser = yaml.CSafeLoader(text)
        self._findings = findings
        self._anchors: dict[str, Node] = {}
        self._stack: list[_Open] = []
        self._aliases = 0
        self._nodes = 0
        self._root: Node | None = None
        self._handlers: dict[type, Callable[..., None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open_mapping,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def document(self) -> Node | None:
        """Read all events of the one document."""
        next_event, handlers = self._parser.get_event, self._handlers
        while True:
            event = next_event()
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
            elif type(event) is yaml.StreamEndEvent:
                break
        if self._root is None:
            self._findings.add(Place(), "The file is empty.", expected="a mapping with `flow_id` and `steps`")
        return self._root

    def _refuse(self, mark: Mark, message: str, expected: str) -> _Refused:
        self._findings.add(_place_of(mark), message, expected=expected)
        return _Refused()

    def _document(self, event: _Event) -> None:
        if self._root is not None:
            raise self._refuse(event.start_mark, "A second document begins here.", "one document in a file")

    def _scalar(self, event: _Event) -> None:
        value: object = event.value
        plain = not event.style
        self._nodes += 1
        if event.tag is not None:
            self._tag(event)
        elif plain and (not value or event.value[0] in _MAY_BE_SPECIAL):
            value = self._typed(event)
        top = self._stack[-1] if self._stack and event.anchor is None and type(value) is str else None
        if top is not None and top.key_mark is None and top.fields is not None and value not in top.fields:
            top.key, top.key_mark = event.value, event.start_mark
            top.node.size += 1
            return
        self._count(0, event.start_mark)
        node = Node(value, event.start_mark, None if plain else event.style)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._place(node)

    def _count(self, size: int, mark: Mark) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise self._refuse(mark, f"More than {MAX_NODES} values.", "fewer, with aliases counted in full")

    def _tag(self, event: _Event) -> None:
        self._findings.add(
            _place_of(event.start_mark),
            f"The tag {shown(event.tag)} is refused: flows have no tags.",
            expected="a plain value (quote it to make it a text)",
        )

    def _typed(self, event: _Event) -> object:
        text = event.value
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _NUMERIC:
            return text
        place = _place_of(event.start_mark)
        if _INTEGER.fullmatch(text):
            number = None if len(text) > 30 else int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
            if number is None or not MIN_INTEGER <= number <= MAX_INTEGER:
                self._findings.add(place, "The number needs more than 64 bits.", expected="a smaller one, or a text")
                return 0
            return number
        if _FLOAT.fullmatch(text):
            value = float(text)
            if math.isfinite(value):
                return value
        elif not _NOT_JSON.fullmatch(text):
            return text
        self._findings.add(place, f"{shown(text)} is not a JSON number.", expected="a finite number, or a text")
        return 0

    def _open_mapping(self, event: _Event) -> None:
        self._open(event, {})

    def _open(self, event: _Event, fields: dict[str, Node] | None = None) -> None:
        mark = event.start_mark
        if len(self._stack) >= MAX_DEPTH:
            raise self._refuse(mark, f"Nested more than {MAX_DEPTH} deep.", f"at most {MAX_DEPTH} levels")
        self._count(1, mark)
        if event.tag is not None:
            self._tag(event)
        node = Node([] if fields is None else fields, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._stack.append(_Open(node, fields))

    def _close(self, _event: _Event) -> None:
        self._place(self._stack.pop().node)

    def _alias(self, event: _Event) -> None:
        mark = event.start_mark
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._refuse(mark, f"More than {MAX_ALIASES} aliases.", f"at most {MAX_ALIASES} in a file")
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise self._refuse(mark, f"The alias {shown(event.anchor)} has no anchor.", "an anchor before it")
        if any(entry.node is target for entry in self._stack):
            raise self._refuse(mark, f"The alias {shown(event.anchor)} contains itself.", "a value without cycles")
        self._count(target.size, mark)
        self._place(target.alias(mark))

    def _place(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        top.node.size += node.size
        if top.fields is None:
            top.items.append(node)
        elif top.key_mark is None:
            top.key, top.key_mark = self._key(node, top.fields), node.mark
        else:
            if top.key is not None:
                node.key_mark = top.key_mark
                top.fields[top.key] = node
            top.key, top.key_mark = None, None

    def _key(self, node: Node, fields: dict[str, Node]) -> str | None:
        key = node.value
        if isinstance(key, dict):
            self._findings.add(
                node.place, "Unquoted `{{ }}`.", expected="an expression written ${name}, or the text in quotes"
            )
        elif not isinstance(key, str):
            what = "a list" if isinstance(key, list) else shown(key)
            self._findings.add(node.place, f"A key is {what}.", expected="a text; quote it to make it one")
        elif key in fields:
            first = fields[key].key_place.line
            self._findings.add(
                node.place, f"The key {shown(key)} stands twice.", expected=f"it once (first in line {first})"
            )
        else:
            return key
        return None


def _place_of(mark: Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)
