"""The page of limits: the numbers out of the code, the words out of `limits_list`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from core_runtime.sandbox.spec import ContainerSpec
from core_runtime.settings import PROJECT_ROOT
from generator.limits_list import GROUPS, Group, Limit
from generator.markdown import page, table

AGENT_LIMITS = PROJECT_ROOT / "docker" / "core" / "runtime" / "rumi_agent" / "limits.py"
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_TIMES = ((86_400, "days"), (3600, "hours"), (60, "minutes"))
_INTRODUCTION = """
Every queue, wait, size and depth has a bound. What is over one fails with `TOO_LARGE`, `RATE_LIMITED`, `TIMEOUT` or
`VALIDATION_ERROR` and names it ([errors](errors.md)). Those of the settings can be changed ([settings](settings.md)),
those of a store and of a pack's container within what stands here ([pack format](pack-format.md)).
"""


class MissingLimit(Exception):
    """A limit of the list is not in the code any more."""


def build() -> str:
    """The page. Raises `MissingLimit`."""
    return page("Limits", _INTRODUCTION, *(_section(group) for group in GROUPS), _container())


def value_of(limit: Limit) -> float:
    """The number. Raises `MissingLimit` if there is none at this place."""
    module_name, _, path = limit.where.partition(":")
    try:
        value: object = _module(module_name)
        for part in path.split("."):
            value = _part(value, part)
    except (ImportError, LookupError, AttributeError, OSError, StopIteration) as error:
        raise MissingLimit(f"{limit.where} is not in the code: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MissingLimit(f"{limit.where} is no number")
    return value


def listed() -> frozenset[str]:
    """Where every listed limit stands, with whole module names, for the test that none is missing."""
    return frozenset(f"{full_name(limit.where.partition(':')[0])}:{limit.where.partition(':')[2]}" for limit in _all())


def full_name(short: str) -> str:
    """The module that a limit names."""
    return short if short == "agent" or short.startswith("backend_core.") else f"core_runtime.{short}"


def shown(value: float, unit: str) -> str:
    """A number as people read it, with the exact one where it was rounded to a unit."""
    exact = f"{value:,.3f}".rstrip("0").rstrip(".")
    if unit == "bytes":
        return next(
            (f"{value / size:g} {name}" for size, name in _SIZES if value >= size and value % size == 0),
            f"{exact} bytes",
        )
    if unit == "seconds":
        word = next(
            (f" ({value / size:g} {name})" for size, name in _TIMES if value >= 2 * size and value % size == 0), ""
        )
        return f"{exact} s{word}"
    return f"{exact} ms" if unit == "milliseconds" else exact


def _all() -> Iterator[Limit]:
    for group in GROUPS:
        yield from group.limits


def _section(group: Group) -> str:
    rows = [(limit.words, shown(value_of(limit), limit.unit)) for limit in group.limits]
    return "\n\n".join([f"## {group.title}", *([group.note] if group.note else []), table(("what", "limit"), rows)])


def _container() -> str:
    """The settings of the container that are the same for every pack."""
    defaults = {field.name: field.default for field in dataclasses.fields(ContainerSpec)}
    words = {
        "nofile": ("open files", ""),
        "core": ("a core dump", "bytes"),
        "fsize": ("a file that it writes", "bytes"),
        "memlock": ("memory that cannot be swapped out", "bytes"),
        "stack": ("the stack", "bytes"),
    }
    rows = [(words[item.name][0], shown(item.hard, words[item.name][1])) for item in _tuple(defaults["ulimits"])]
    rows += [(f"file system {target}", options.replace(",", ", ")) for target, options in _tuple(defaults["tmpfs"])]
    rows.append(("network", str(defaults["network_mode"])))
    return "\n\n".join(["## Every container alike", table(("what", "limit"), rows)])


def _tuple(value: object) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise MissingLimit("core_runtime.sandbox.spec:ContainerSpec has other fields now")
    return value


@cache
def _module(name: str) -> ModuleType:
    if name != "agent":
        return importlib.import_module(full_name(name))
    spec = importlib.util.spec_from_file_location("rumi_agent_limits", AGENT_LIMITS)
    if spec is None or spec.loader is None:
        raise ImportError(str(AGENT_LIMITS.name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _part(value: object, name: str) -> object:
    """An attribute, a key, or the default of a field of a class."""
    if isinstance(value, Mapping):
        return value[name]
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_fields[name].default
    if isinstance(value, type) and dataclasses.is_dataclass(value):
        return next(field.default for field in dataclasses.fields(value) if field.name == name)
    return getattr(value, name)
