"""How expressions fail: at load with a column, at run time with the name that was missing or the limit that was met."""

from __future__ import annotations

from core_runtime.errors import TooLarge, ValidationFailed


class ExpressionSyntaxError(Exception):
    """The text is no expression. `offset` counts characters from the start of the whole text."""

    def __init__(
        self, message: str, offset: int, expected: str = "", name: str = "", known: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.expected = expected
        self.name = name
        self.known = known


class ExpressionError(ValidationFailed):
    """The expression cannot be evaluated with these values."""


class MissingName(ExpressionError):
    """A name, key or index that is not there; `?` would make it null."""

    def __init__(self, what: str, where: str = "") -> None:
        place = f" in `{where}`" if where else ""
        super().__init__(
            f"`{what}` is missing{place}.", hint="Write `?` behind it if it may be missing: then it is null."
        )


def out_of_fuel() -> TooLarge:
    """The evaluation would cost more than it may."""
    return TooLarge(
        "The expression needs more operations than it may have: 10,000 in a flow, 1,000 in a risk rule.",
        hint="Work on less data, or do it in a block of a pack.",
    )
