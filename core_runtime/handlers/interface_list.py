"""`interface.list`: the interfaces that this caller, for this actor, may call now, and no others."""

from __future__ import annotations

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec
from core_runtime.capability.fields import Form, NameList, NamePatterns
from core_runtime.capability.globs import any_covers
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.handlers.ports import InterfaceRouter
from core_runtime.registry.listing import InterfaceListing


class InterfaceListConfig(Form):
    """Which interfaces may be seen, besides one's own."""

    interfaces: NamePatterns = Field(default_factory=list)


class InterfaceListArgs(Form):
    """Only names that begin with `prefix`."""

    prefix: str = Field("", max_length=128)


class InterfaceListItem(Form):
    """One interface; `summary` by language."""

    name: str
    pack_id: str
    summary: dict[str, str]
    risk: str | None
    tags: list[str]
    input_schema: dict[str, object] | None
    output_schema: dict[str, object] | None


class InterfaceListAnswer(Form):
    """Sorted by name."""

    items: list[InterfaceListItem]


SPEC = PermissionSpec(
    id="interface.list",
    risk=Risk.LOW,
    sentence={
        "en": "Sees which of these interfaces it may call: {interfaces}",
        "ja": "次のうち呼び出せるインターフェースを一覧する: {interfaces}",
    },
    config=InterfaceListConfig,
    arguments=InterfaceListArgs,
    answer=InterfaceListAnswer,
    names=NameList("interfaces"),
    immediate=True,
)


def make(router: InterfaceRouter) -> Handler:
    """The handler over this router."""

    def interface_list(invocation: Invocation) -> object:
        prefix = invocation.arguments(InterfaceListArgs).prefix
        found = [
            item for item in router.visible(invocation.principal, invocation.context) if item.name.startswith(prefix)
        ]
        return {"items": [_shown(item) for item in found if _may_see(invocation, item)]}

    return interface_list


def _may_see(invocation: Invocation, item: InterfaceListing) -> bool:
    listed = invocation.config.get("interfaces")
    patterns = listed if isinstance(listed, list) else []
    own = item.pack_id == invocation.principal.id
    return (own or any_covers(patterns, item.name)) and invocation.permits("interface.call", {"name": item.name})


def _shown(item: InterfaceListing) -> dict[str, object]:
    return {
        "name": item.name,
        "pack_id": item.pack_id,
        "summary": dict(item.summary),
        "risk": item.risk.value if item.risk else None,
        "tags": list(item.tags),
        "input_schema": dict(item.input_schema) if item.input_schema is not None else None,
        "output_schema": dict(item.output_schema) if item.output_schema is not None else None,
    }
