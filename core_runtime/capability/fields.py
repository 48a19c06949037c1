"""The forms that configurations and arguments of permissions are built from.

Everything here comes from a pack or from a command line: strict types (a bool is no number), unknown keys refused,
bounded lengths, names by their grammar. Allow-lists hold patterns; an empty list admits nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core_runtime.capability.globs import EVERYTHING, any_covers
from core_runtime.ids import is_name, is_pack_id

MAX_PATTERNS = 256
MAX_STARS = 8
_PATTERN = re.compile(r"[a-z0-9_.*]{1,128}", re.ASCII)
_SCOPED_PATTERN = re.compile(r"(?:[A-Za-z0-9_*-]{1,64}/)?[a-z0-9_.*]{1,128}", re.ASCII)


class Form(BaseModel):
    """Base of every configuration, argument and answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("must be a name of lower-case letters, digits, _ and dots, at most 128 characters")
    return text


def _scoped_name(text: str) -> str:
    pack, slash, name = text.rpartition("/")
    if not is_name(name) or (slash and not is_pack_id(pack)):
        raise ValueError("must be `name`, or `<pack_id>/name` for one of another pack")
    return text


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text) or text.count(EVERYTHING) > MAX_STARS:
        raise ValueError(f"must be a name in which * (at most {MAX_STARS}) stands for any characters")
    return text


def _scoped_pattern(text: str) -> str:
    if not _SCOPED_PATTERN.fullmatch(text) or text.count(EVERYTHING) > MAX_STARS:
        raise ValueError(f"must be `name` or `<pack_id>/name`, where * (at most {MAX_STARS}) stands for any characters")
    return text


Name = Annotated[str, AfterValidator(_name)]
ScopedName = Annotated[str, AfterValidator(_scoped_name)]
NamePatterns = Annotated[list[Annotated[str, AfterValidator(_pattern)]], Field(max_length=MAX_PATTERNS)]
ScopedPatterns = Annotated[list[Annotated[str, AfterValidator(_scoped_pattern)]], Field(max_length=MAX_PATTERNS)]


def full_name(owner: str, name: str) -> str:
    """The name as it is written outside its pack: `<pack_id>/name`. The pattern `*` stays what it is."""
    return name if "/" in name or name == EVERYTHING else f"{owner}/{name}"


@dataclass(frozen=True, slots=True)
class NameList:
    """The allow-list of a permission: key in the configuration, attribute of the arguments, and whose names they are.

    `scoped` names belong to a pack: written `name` inside it, `<pack_id>/name` outside (stores, event topics). Without
    `argument` nothing is pointed at, and any entry admits the call: the handler filters by the list.
    """

    key: str
    argument: str = ""
    scoped: bool = False

    def asked(self, args: BaseModel, principal: str) -> str:
        """The full name that the arguments point at."""
        name = str(getattr(args, self.argument)) if self.argument else ""
        return full_name(principal, name) if self.scoped else name

    def admits(self, config: Mapping[str, object], name: str, principal: str) -> str | None:
        """None if the (qualified) list covers the full `name`, else why not."""
        listed = config.get(self.key)
        if not isinstance(listed, list) or not listed:
            return f"`{self.key}` is empty, and an empty list admits nothing"
        if name in listed or not self.argument or any_covers(listed, name):
            return None
        return f"{self.short(name, principal)} is not in `{self.key}`"

    def short(self, name: str, principal: str) -> str:
        """A full name as `principal` itself writes it."""
        return name.removeprefix(f"{principal}/") if self.scoped else name

    def qualify(self, config: Mapping[str, object], owner: str) -> dict[str, object]:
        """The configuration with the names of its list written in full, as seen from `owner`."""
        listed = config.get(self.key)
        if not self.scoped or not isinstance(listed, list):
            return dict(config)
        return {**config, self.key: [full_name(owner, item) for item in listed if isinstance(item, str)]}
