"""The settings of one pack: from its own variables, the owner's file, or its defaults; checked against its declaration.

A pack names keys, never variables: the only variable that a key is read from is `RUMI_PACK_<PACK_ID>_<KEY>` (BX-01).
Pure: where the texts come from is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from core_runtime.errors import ValidationFailed
from core_runtime.packs import PackDescriptor, SettingDecl
from core_runtime.settings import pack_setting_variable

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})

Lookup = Callable[[str], str | None]


def resolve_settings(
    descriptor: PackDescriptor, lookup: Lookup, owner_values: Mapping[str, object]
) -> dict[str, object]:
    """The values for `ctx.settings`, by key. Raises `ValidationFailed` that names every bad one.

    `lookup` gives a host variable or None; `owner_values` is what the owner's file says of this pack.
    """
    values: dict[str, object] = {}
    bad: list[str] = []
    for decl in descriptor.settings:
        variable = pack_setting_variable(descriptor.pack_id, decl.key)
        text = lookup(variable)
        try:
            if text is not None:
                values[decl.key] = _checked(decl, _from_text(decl, text))
            elif decl.key in owner_values:
                variable = f"settings/packs.yaml: {descriptor.pack_id}.{decl.key}"
                values[decl.key] = _checked(decl, owner_values[decl.key])
            else:
                values[decl.key] = decl.default
        except ValueError as error:
            bad.append(f"{variable} {error}")
    known = {decl.key for decl in descriptor.settings}
    bad += [
        f"settings/packs.yaml: {descriptor.pack_id}.{key} is not declared" for key in owner_values if key not in known
    ]
    if bad:
        raise ValidationFailed("; ".join(bad) + ".", hint=f"rumi pack show {descriptor.pack_id} lists its settings.")
    return values


def _from_text(decl: SettingDecl, text: str) -> object:
    if decl.type == "string":
        return text
    if decl.type == "boolean":
        folded = text.strip().lower()
        if folded not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return folded in _TRUE
    try:
        return int(text) if decl.type == "integer" else float(text)
    except ValueError:
        raise ValueError(f"must be {'a whole number' if decl.type == 'integer' else 'a number'}") from None


def _checked(decl: SettingDecl, value: object) -> object:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "boolean": (bool,),
        "integer": (int,),
        "number": (int, float),
    }
    if not isinstance(value, kinds[decl.type]) or (isinstance(value, bool) and decl.type != "boolean"):
        raise ValueError(f"must be of type {decl.type}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError("must be finite")
        if decl.minimum is not None and value < decl.minimum:
            raise ValueError(f"must be at least {decl.minimum:g}")
        if decl.maximum is not None and value > decl.maximum:
            raise ValueError(f"must be at most {decl.maximum:g}")
    if decl.enum and value not in decl.enum:
        raise ValueError(f"must be one of {', '.join(map(str, decl.enum))}")
    return value
