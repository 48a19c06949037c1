"""From the models of the files to the kernel's own words (`core_runtime.packs`). No checks, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backend_core.ecosystem.models import (
    EcosystemModel,
    InterfaceModel,
    ManifestModel,
    PermissionModel,
    RouteModel,
    SettingModel,
)
from core_runtime.packs import (
    ChildDecl,
    ComponentDecl,
    DeclaredPermission,
    InterfaceDecl,
    PackDescriptor,
    Requires,
    RiskRule,
    RouteDecl,
    SandboxRequest,
    SettingDecl,
    StoreDecl,
    Subscription,
    Text,
)

_BACKGROUND_BY_DEFAULT = frozenset({"http.request", "net.connect"})


def descriptor_of(
    root: Path,
    ecosystem: EcosystemModel,
    *,
    permissions: Sequence[PermissionModel],
    components: Sequence[ComponentDecl],
    files: dict[str, tuple[str, ...]],
) -> PackDescriptor:
    """Put one pack together. `files` holds the names below `blocks`, `flows` and `modifiers`."""
    requires = ecosystem.requires
    return PackDescriptor(
        pack_id=ecosystem.pack_id,
        identity=ecosystem.pack_identity,
        version=ecosystem.version,
        root=root,
        description=Text(ecosystem.description),
        requires=Requires(requires.kernel, dict(requires.packs), tuple(requires.interfaces)),
        sandbox=SandboxRequest(**ecosystem.sandbox.model_dump()),
        settings=tuple(_setting(item) for item in ecosystem.settings),
        stores=tuple(
            StoreDecl(item.store_id, item.max_value_bytes, item.quota_bytes, tuple(item.search), item.shared)
            for item in ecosystem.stores
        ),
        children={
            child: ChildDecl(model.identity, tuple(permission_of(item) for item in model.permissions))
            for child, model in ecosystem.children.items()
        },
        ingress=tuple(_route(item) for item in ecosystem.ingress),
        permissions=tuple(permission_of(item) for item in permissions),
        components=tuple(components),
        blocks=files["blocks"],
        flow_files=files["flows"],
        modifier_files=files["modifiers"],
    )


def component_of(manifest: ManifestModel) -> ComponentDecl:
    """One component from its manifest."""
    connectivity = manifest.connectivity
    return ComponentDecl(
        id=manifest.id,
        type=manifest.type,
        version=manifest.version,
        provides=tuple(_interface(item) for item in connectivity.provides),
        requires=tuple(connectivity.requires),
        subscribes=tuple(Subscription(item.topic, item.interface) for item in connectivity.subscribes),
    )


def permission_of(model: PermissionModel) -> DeclaredPermission:
    """One line of a ceiling; every key that is no word of the format is configuration."""
    background = model.background
    return DeclaredPermission(
        permission=model.type,
        config=dict(model.model_extra or {}),
        reason=Text(model.reason),
        optional=model.optional,
        background=model.type in _BACKGROUND_BY_DEFAULT if background is None else background,
    )


def _interface(model: InterfaceModel) -> InterfaceDecl:
    return InterfaceDecl(
        name=model.name,
        summary=Text(model.summary),
        risk=model.risk,
        risk_rules=tuple(RiskRule(rule.when, rule.risk) for rule in model.risk_rules),
        tags=tuple(model.tags),
        input_schema=model.input_schema,
        output_schema=model.output_schema,
        vocab_group=model.vocab_group,
    )


def _setting(model: SettingModel) -> SettingDecl:
    return SettingDecl(
        key=model.key,
        type=model.type,
        default=model.default,
        minimum=model.minimum,
        maximum=model.maximum,
        enum=tuple(model.enum),
        description=Text(model.description),
    )


def _route(model: RouteModel) -> RouteDecl:
    return RouteDecl(
        path=model.path,
        kind=model.kind,
        auth=model.auth,
        methods=tuple(model.methods) or ("GET",),
        mount=model.mount,
        interface=model.interface,
        flow=model.flow,
        app=model.app,
        root=model.root,
        stream=model.stream,
        max_body_bytes=model.max_body_bytes,
    )
