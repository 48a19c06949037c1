"""Regular expressions of strangers, matched in linear time.

Patterns come from schemas that packs write and texts from anybody, so a backtracking engine would hand both the power
to stop the loop (CWE-1333: `(a+)+$`, but also plain `a+$` on a long text). Here a pattern becomes an NFA and is run as
a lazy DFA: one table look-up a character, whatever the pattern. Left out because no automaton has them: back-references
and look-around. What a search may build is bounded; one that would need more is given up with `PatternTooCostly`.

Meaning as in ECMA 262, which JSON Schema names: unanchored search, ASCII classes, `^` and `$` at the ends of the text
only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_PATTERN: Final = 1_000
MAX_STATES: Final = 2_000
MAX_REPEAT: Final = 1_000
MAX_GROUPS: Final = 20
MAX_WORK: Final = 25_000
MAX_CACHED: Final = 20_000

Ranges = tuple[tuple[str, str], ...]
_DIGIT: Final[Ranges] = (("0", "9"),)
_WORD: Final[Ranges] = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: Final[Ranges] = (("\t", "\r"), (" ", " "), ("\u00a0", "\u00a0"), ("\u2028", "\u2029"), ("\ufeff", "\ufeff"))
_NEWLINE: Final[Ranges] = (("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029"))
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PUNCTUATION: Final = frozenset("\\^$.*+?()[]{}|/-,:;!@#%&=<>~`'\"_ ")


class PatternRefused(ValueError):
    """The text is no pattern of this engine; the message says what it cannot have."""


class PatternTooCostly(Exception):
    """This text would make the engine build more than it may."""


@dataclass(frozen=True, slots=True)
class _Set:
    """Characters, or all but them."""

    ranges: Ranges
    negated: bool = False

    def has(self, character: str) -> bool:
        for low, high in self.ranges:
            if low <= character <= high:
                return not self.negated
        return self.negated


@dataclass(slots=True)
class _State:
    """`match` consumes a character; without it, `anchor` is `^`, `$`, `!` (match) or empty (a free step)."""

    match: _Set | None = None
    anchor: str = ""
    then: int = -1
    other: int = -1


_Fragment = tuple[int, list[tuple[int, bool]]]


class _Compiler:
    """Pattern text to NFA states (Thompson's construction)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.states: list[_State] = []

    def compile(self) -> int:
        fragment = self._alternatives()
        if self.at < len(self.text):
            raise PatternRefused("a `)` without its `(`")
        self._join(fragment[1], self._add(_State(anchor="!")))
        return fragment[0]

    def _add(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise PatternRefused(f"more than {MAX_STATES} states: repeat counts multiply")
        self.states.append(state)
        return len(self.states) - 1

    def _join(self, loose: Iterable[tuple[int, bool]], target: int) -> None:
        for index, is_other in loose:
            if is_other:
                self.states[index].other = target
            else:
                self.states[index].then = target

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise PatternRefused("it ends too early")
        self.at += 1
        return character

    def _alternatives(self) -> _Fragment:
        start, loose = self._sequence()
        while self._peek() == "|":
            self._take()
            second, more = self._sequence()
            start = self._add(_State(then=start, other=second))
            loose = [*loose, *more]
        return start, loose

    def _sequence(self) -> _Fragment:
        start = self._add(_State())
        loose: list[tuple[int, bool]] = [(start, False)]
        while self._peek() not in {"", "|", ")"}:
            before = self.at
            fragment = self._atom()
            fragment = self._quantified(fragment, before)
            self._join(loose, fragment[0])
            loose = fragment[1]
        return start, loose

    def _quantified(self, fragment: _Fragment, source: int) -> _Fragment:
        end = self.at
        bounds = self._bounds()
        if bounds is None:
            return fragment
        if self._peek() == "?":
            self._take()
        if (self._peek() and self._peek() in "*+?") or self._bounds() is not None:
            raise PatternRefused("two quantifiers in a row")
        resume = self.at
        fragment = self._repeat(fragment, bounds, (source, end))
        self.at = resume
        return fragment

    def _bounds(self) -> tuple[int, int | None] | None:
        character = self._peek()
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(character)
        if simple is not None:
            self.at += 1
            return simple
        if character != "{":
            return None
        closing = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : closing].partition(",")
        if closing < 0 or not low.isascii() or not low.isdigit() or (high and not (high.isascii() and high.isdigit())):
            raise PatternRefused("a `{` that is no repeat count (write \\{ for the character)")
        self.at = closing + 1
        least = int(low[:6])
        most = least if not comma else int(high[:6]) if high else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise PatternRefused(f"a repeat count over {MAX_REPEAT} or upside down")
        return least, most

    def _repeat(self, first: _Fragment, bounds: tuple[int, int | None], source: tuple[int, int]) -> _Fragment:
        least, most = bounds
        copies = [first]

        def again() -> _Fragment:
            if copies:
                return copies.pop()
            self.at = source[0]
            copy = self._atom()
            if self.at != source[1]:
                raise PatternRefused("an atom that cannot be repeated")
            return copy

        start = self._add(_State())
        loose: list[tuple[int, bool]] = [(start, False)]
        for _ in range(least):
            fragment = again()
            self._join(loose, fragment[0])
            loose = fragment[1]
        if most is None:
            fragment = again()
            split = self._add(_State(then=fragment[0]))
            self._join(loose, split)
            self._join(fragment[1], split)
            return start, [(split, True)]
        leaving: list[tuple[int, bool]] = []
        for _ in range(most - least):
            fragment = again()
            split = self._add(_State(then=fragment[0]))
            self._join(loose, split)
            leaving.append((split, True))
            loose = fragment[1]
        return start, [*loose, *leaving]

    def _atom(self) -> _Fragment:
        character = self._take()
        if character == "(":
            return self._group()
        if character in "*+?":
            raise PatternRefused("a quantifier with nothing before it")
        if character in "^$":
            index = self._add(_State(anchor=character))
            return index, [(index, False)]
        if character == "[":
            match = self._brackets()
        elif character == ".":
            match = _Set(_NEWLINE, negated=True)
        elif character == "\\":
            match = self._escape()
        else:
            match = _Set(((character, character),))
        index = self._add(_State(match=match))
        return index, [(index, False)]

    def _group(self) -> _Fragment:
        self.depth += 1
        if self.depth > MAX_GROUPS:
            raise PatternRefused(f"groups more than {MAX_GROUPS} deep")
        if self._peek() == "?":
            if self.text.startswith("?:", self.at):
                self.at += 2
            else:
                raise PatternRefused("look-around, flags or a named group; write (...) or (?:...)")
        fragment = self._alternatives()
        if self._peek() != ")":
            raise PatternRefused("a `(` without its `)`")
        self._take()
        self.depth -= 1
        return fragment

    def _escape(self) -> _Set:
        letter = self._take()
        if letter.lower() in _CLASSES:
            return _Set(_CLASSES[letter.lower()], negated=letter.isupper())
        character = self._escaped(letter)
        return _Set(((character, character),))

    def _escaped(self, letter: str) -> str:
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in "xu":
            width = 2 if letter == "x" else 4
            digits = self.text[self.at : self.at + width]
            if len(digits) != width or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                raise PatternRefused(f"\\{letter} without {width} hex digits")
            self.at += width
            return chr(int(digits, 16))
        if letter in _PUNCTUATION:
            return letter
        raise PatternRefused(f"\\{letter}: back-references, \\b and properties are not to be had")

    def _brackets(self) -> _Set:
        negated = self._peek() == "^"
        if negated:
            self._take()
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            low = self._member(ranges)
            if low is None:
                continue
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in {"]", ""}:
                self._take()
                high = self._member(ranges)
                if high is None or high < low:
                    raise PatternRefused("a character range that is upside down")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self._take()
        if not ranges:
            raise PatternRefused("an empty `[]`: engines disagree about it")
        return _Set(tuple(ranges), negated)

    def _member(self, ranges: list[tuple[str, str]]) -> str | None:
        character = self._take()
        if character != "\\":
            return character
        letter = self._take()
        if letter in _CLASSES:
            ranges.extend(_CLASSES[letter])
            return None
        if letter.lower() in _CLASSES:
            raise PatternRefused(f"\\{letter} inside brackets")
        return self._escaped(letter)


class _Node:
    """A state of the DFA: the NFA states that it stands for."""

    __slots__ = ("accepts", "accepts_at_end", "next", "states")

    def __init__(self, states: tuple[int, ...], *, accepts: bool, accepts_at_end: bool) -> None:
        self.states = states
        self.accepts = accepts
        self.accepts_at_end = accepts_at_end
        self.next: dict[str, _Node] = {}


class LinearPattern:
    """A compiled pattern. Raises `PatternRefused` when it cannot be one."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise PatternRefused(f"more than {MAX_PATTERN} characters")
        compiler = _Compiler(text)
        self._start = compiler.compile()
        self._states = compiler.states
        self._clear()

    @property
    def size(self) -> int:
        """States of the automaton: what keeping and building it costs."""
        return len(self._states)

    def search(self, text: str) -> bool:
        """True if the pattern matches somewhere in `text`. Raises `PatternTooCostly`."""
        work = MAX_WORK
        node = self._first
        if node.accepts:
            return True
        for character in text:
            following = node.next.get(character)
            if following is None:
                work -= 2 + len(node.states)
                if work < 0:
                    raise PatternTooCostly
                following = self._step(node, character)
            node = following
            if node.accepts:
                return True
            if not node.states:
                return False
        return node.accepts_at_end

    def _clear(self) -> None:
        self._cached = 0
        self._nodes: dict[frozenset[int], _Node] = {}
        self._first = self._node(self._closure([self._start], at_start=True))
        self._restart = self._closure([self._start], at_start=False)

    def _closure(self, seeds: Iterable[int], *, at_start: bool = False, at_end: bool = False) -> frozenset[int]:
        seen: set[int] = set()
        stack = list(seeds)
        while stack:
            index = stack.pop()
            if index < 0 or index in seen:
                continue
            seen.add(index)
            state = self._states[index]
            free = state.match is None and state.anchor == ""
            if free or (state.anchor == "^" and at_start) or (state.anchor == "$" and at_end):
                stack.extend((state.then, state.other))
        return frozenset(seen)

    def _node(self, closure: frozenset[int]) -> _Node:
        states = self._states
        kept = frozenset(
            index for index in closure if states[index].match is not None or states[index].anchor in {"$", "!"}
        )
        node = self._nodes.get(kept)
        if node is None:
            ends = self._closure(kept, at_end=True) if any(states[index].anchor == "$" for index in kept) else kept
            node = _Node(
                tuple(index for index in kept if states[index].anchor != "!"),
                accepts=any(states[index].anchor == "!" for index in kept),
                accepts_at_end=any(states[index].anchor == "!" for index in ends),
            )
            self._nodes[kept] = node
        return node

    def _step(self, node: _Node, character: str) -> _Node:
        if self._cached >= MAX_CACHED:
            self._clear()
        targets = set(self._restart)
        for index in node.states:
            state = self._states[index]
            if state.match is not None and state.match.has(character):
                targets.add(state.then)
        following = self._node(self._closure(targets))
        node.next[character] = following
        self._cached += 1
        return following
