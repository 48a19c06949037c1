"""The page of settings, out of `KernelSettings`: variable, default, values, what for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core_runtime.settings import PROJECT_ROOT, KernelSettings, variable_of
from generator.forms import type_words
from generator.markdown import code, page, table

_INTRODUCTION = """
A setting is read from the environment, else from `settings/kernel.yaml` in the profile's folder, else it has its
default. `rumi status --settings` shows the value that holds and where it came from. A value that is not valid stops the
start with the name of the variable; it is never replaced by the default in silence. In the file the names are those of
the first column without `RUMI_`, in lower case; `profile` and `user_data` cannot stand there, since the file lies below
them. An empty variable counts as not set, except `RUMI_PROFILE`, which must not be empty.
"""

_RESERVED = """
The gateway is not part of this version: `RUMI_GATEWAY_BIND` and `RUMI_GATEWAY_PORT` are checked and kept for it, and
nothing listens there. `RUMI_EXTRA_CA` matters once packs can be granted the network.
"""

_OTHERS = """
## Other variables

| variable | read by | for |
|---|---|---|
| `RUMI_PACK_<PACK_ID>_<KEY>` | the kernel | a setting that a pack declares; see [pack format](pack-format.md) |
| `RUMI_TOKEN` | the `rumi` command | an API token, where no `--token-file` is given |
| `LC_ALL`, `LC_MESSAGES`, `LANG` | the `rumi` command | its language: Japanese if it begins with `ja`, else English |
"""


def build() -> str:
    """The page."""
    schema = KernelSettings.model_json_schema()
    rows = [
        (code(variable_of(name)), _shown(field.default), _values(name, schema), field.description or "")
        for name, field in KernelSettings.model_fields.items()
    ]
    return page("Settings", _INTRODUCTION, table(("variable", "default", "values", "for"), rows), _RESERVED, _OTHERS)


def _values(name: str, schema: Mapping[str, object]) -> str:
    properties = schema["properties"]
    return type_words(properties[name], schema) if isinstance(properties, Mapping) else ""


def _shown(value: object) -> str:
    if isinstance(value, Path):
        value = f"<project>/{value.relative_to(PROJECT_ROOT)}"
    return "none" if value is None else code(value) or "empty"
