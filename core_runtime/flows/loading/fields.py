"""Reading single values out of nodes: right type or a finding, never an exception."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from core_runtime.flows.expressions.errors import ExpressionSyntaxError
from core_runtime.flows.expressions.template import Template, compile_text, mapping_of, sequence_of, weighed
from core_runtime.flows.limits import EXPRESSION_OPERATIONS
from core_runtime.flows.problems import Findings, Place, shown
from core_runtime.flows.source import Node

_NAMES: Final = {str: "a text", int: "a whole number", dict: "a mapping", list: "a list", bool: "true or false"}


def type_of(node: Node) -> str:
    """The type of a node's value in words."""
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return "a number"
    return _NAMES.get(type(value), "a value")


class Reader:
    """Field by field out of the nodes of one file."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._templates: dict[str, Template] = {}

    def wrong(self, node: Node, key: str, expected: str) -> None:
        """`key` has a value of the wrong type."""
        self.findings.add(node.place, f"`{key}` is {type_of(node)}.", expected=expected)

    def unknown_keys(self, node: Node, allowed: Collection[str], where: str) -> None:
        """Note every key that is not allowed."""
        fields = node.value
        if isinstance(fields, dict):
            for key, item in fields.items():
                if key not in allowed:
                    self.findings.add(
                        item.key_place,
                        f"Unknown key {shown(key)} in {where}.",
                        expected="one of " + ", ".join(sorted(allowed)),
                        name=key,
                        known=sorted(allowed),
                    )

    def mapping(self, node: Node | None, key: str) -> dict[str, Node] | None:
        """The fields of a mapping."""
        if node is None:
            return None
        if isinstance(node.value, dict):
            return node.value
        self.wrong(node, key, "a mapping")
        return None

    def sequence(self, node: Node | None, key: str) -> list[Node]:
        """The elements of a list."""
        if node is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self.wrong(node, key, "a list")
        return []

    def text(self, node: Node | None, key: str) -> str | None:
        """A text without expressions."""
        if node is None:
            return None
        if not isinstance(node.value, str):
            self.wrong(node, key, "a text")
            return None
        if "${" in node.value:
            self.findings.add(
                node.place,
                f"`{key}` cannot be an expression: it is checked before the flow runs.",
                expected="a fixed text",
            )
            return None
        return node.value

    def whole(self, node: Node | None, key: str, least: int, most: int) -> int | None:
        """A whole number within bounds."""
        if node is None:
            return None
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            found = shown(value) if isinstance(value, int) else type_of(node)
            self.findings.add(node.place, f"`{key}` is {found}.", expected=f"a whole number from {least} to {most}")
            return None
        return value

    def seconds(self, node: Node | None, key: str, most: float) -> float | None:
        """A positive number of seconds."""
        if node is None:
            return None
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            self.findings.add(
                node.place,
                f"`{key}` is {shown(value) if not isinstance(value, dict | list) else type_of(node)}.",
                expected=f"seconds, more than 0 and at most {most:g}",
            )
            return None
        return float(value)

    def choice(self, node: Node | None, key: str, allowed: Iterable[str]) -> str | None:
        """One of a few words."""
        text = self.text(node, key)
        words = list(allowed)
        if text is None or node is None or text in words:
            return text
        self.findings.add(
            node.place, f"`{key}` is {shown(text)}.", expected="one of " + ", ".join(words), name=text, known=words
        )
        return None

    def template(self, node: Node | None) -> Template:
        """Any value, with its `${...}` compiled, as the whole value of a step."""
        if node is None:
            return Template()
        template = weighed(self._compile(node))
        if template.operations > EXPRESSION_OPERATIONS:
            self.findings.add(node.place, "The value has too many expressions.", expected="at most 10,000 operations")
        return template

    def condition(self, node: Node | None, key: str) -> Template:
        """`${...}` as a whole, or true or false: a bare text would always be true."""
        if node is None:
            return Template(value=True)
        if isinstance(node.value, bool):
            return Template(node.value)
        if isinstance(node.value, str):
            template = self._compile(node)
            if template.whole:
                return template
        self.findings.add(node.place, f"`{key}` is no expression.", expected="${...} as a whole, or true or false")
        return Template(value=False)

    def _compile(self, node: Node) -> Template:
        value = node.value
        if isinstance(value, str):
            return self._text_template(value, node)
        if isinstance(value, dict):
            for key, item in value.items():
                if "${" in key:
                    self.findings.add(item.key_place, "Keys are not evaluated.", expected="a fixed key")
            return mapping_of({key: self._compile(item) for key, item in value.items()})
        if isinstance(value, list):
            return sequence_of([self._compile(item) for item in value])
        return Template(value)

    def _text_template(self, text: str, node: Node) -> Template:
        known = self._templates.get(text)
        if known is not None:
            return known
        if "{{" in text and "{{secret:" not in text:
            self.findings.warn(node.place, "`{{ }}` is plain text here.", expected="${name} for an expression")
        try:
            template = compile_text(text)
        except ExpressionSyntaxError as error:
            self.findings.add(
                offset_place(node, error.offset),
                f"In the expression: {error.message}",
                expected=error.expected,
                name=error.name,
                known=error.known,
            )
            return Template(whole=True)
        self._templates[text] = template
        return template


def offset_place(node: Node, offset: int) -> Place:
    """The place of a character inside a scalar, as far as its style lets one count."""
    place = node.place
    text = node.value
    if not isinstance(text, str) or "\n" in text or "\\" in text or node.style in {"|", ">"}:
        return place
    return Place(place.line, place.column + offset + (1 if node.style else 0))
