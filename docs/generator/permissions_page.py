"""The page of permissions, out of the catalogue that the broker itself uses."""

from __future__ import annotations

from core_runtime.capability.catalogue import PermissionSpec
from core_runtime.handlers.listing import builtin_catalogue
from generator.forms import fields_table, said
from generator.markdown import page, table

_INTRODUCTION = """
This list is closed: a permission that is not on this page does not exist, and names match exactly. A pack asks for
them in its `permissions.json` ([pack format](pack-format.md)); only the owner grants them, and never more than was
asked for. In every configuration an empty list admits nothing, `*` stands for any characters, and `"*"` alone for
everything.
Stores and topics are written `name` for the pack's own and `<pack_id>/name` for those of others.

Low and medium permissions are granted in mode `always` unless the owner says otherwise, high ones in mode `ask`,
critical ones ask each time. A question to a person cannot be answered in this version, so what would ask is refused
with `CONFIRMATION_REQUIRED`.

A pack calls its own interfaces without any permission: see
[decision 0006](../decisions/0006-own-interfaces-need-no-grant.md).
"""


def build() -> str:
    """The page."""
    specs = builtin_catalogue().all()
    rows = [(f"[`{spec.id}`](#{_anchor(spec.id)})", spec.risk.value, _sentence(spec)) for spec in specs]
    return page(
        "Permissions",
        _INTRODUCTION,
        table(("permission", "risk", "lets a pack"), rows),
        *(_section(spec) for spec in specs),
    )


def _anchor(name: str) -> str:
    """As the site's Markdown makes it out of a heading."""
    return name.replace(".", "")


def _sentence(spec: PermissionSpec) -> str:
    values = {key: f"`{key}`" for key in spec.config.model_fields}
    return spec.sentence["en"].format_map(values)


def _section(spec: PermissionSpec) -> str:
    japanese = spec.sentence["ja"].format_map({key: f"`{key}`" for key in spec.config.model_fields})
    lines = [
        f"## {spec.id}",
        f"{_sentence(spec)}. ({japanese})",
        f"Risk: {spec.risk.value}. Time limit: {spec.timeout:g} s. At once for each pack: {spec.concurrency}.",
        f"**Configuration.** {said(spec.config)}",
        fields_table(spec.config),
        f"**Arguments.** {said(spec.arguments)}",
        fields_table(spec.arguments),
        f"**Answer.** {_answer(spec)}",
        *([] if spec.answer is None else [fields_table(spec.answer)]),
    ]
    return "\n\n".join(lines)


def _answer(spec: PermissionSpec) -> str:
    if spec.answer is None:
        return f"What the {spec.subject.value or 'act'} returns: any JSON."
    return said(spec.answer)
