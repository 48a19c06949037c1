"""Puts the doors' ports together over one kernel."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from core_runtime.adapters.audit_log import AuditFiles
from core_runtime.adapters.token_store import TokenStore
from core_runtime.capability.catalogue import Catalogue
from core_runtime.handlers.ports import Stores
from core_runtime.interfaces.doors.packs import ApprovalDoor, ContainersDoor, PacksDoor
from core_runtime.interfaces.doors.rights import GrantsDoor, PermissionsDoor
from core_runtime.interfaces.doors.state import StoresDoor
from core_runtime.interfaces.doors.watch import AuditDoor, KernelFacts, StatusDoor
from core_runtime.interfaces.doors.work import CallsDoor, FlowsDoor
from core_runtime.interfaces.ports import KernelDoors
from core_runtime.kernel import Kernel
from core_runtime.kernel.diagnostics import Diagnostic
from core_runtime.settings import LoadedSettings


@dataclass(frozen=True, slots=True)
class Surface:
    """What the doors show besides the kernel itself."""

    settings: LoadedSettings
    instance_id: str
    catalogue: Catalogue
    stores: Stores
    audit: AuditFiles
    tokens: TokenStore
    engine_status: Callable[[], Awaitable[Mapping[str, object]]]
    checks: Callable[[], Awaitable[Sequence[Diagnostic]]]
    addresses: Callable[[], Mapping[str, object]]


def open_doors(kernel: Kernel, surface: Surface) -> KernelDoors:
    """Every port that the admin API and the command line know."""
    parts = kernel.parts
    packs = PacksDoor(parts.approvals, parts.supervisor)
    approval = ApprovalDoor(parts.approvals, parts.lifecycle, packs)
    status = StatusDoor(
        KernelFacts(surface.settings, time.time(), surface.instance_id, lambda: kernel.ready, surface.addresses),
        parts.approvals,
        parts.supervisor,
        diagnostics=parts.diagnostics,
        checks=surface.checks,
    )
    return KernelDoors(
        packs=packs,
        approval=approval,
        pack_state=approval,
        containers=ContainersDoor(parts.approvals, parts.lifecycle, parts.supervisor, surface.engine_status),
        grants=GrantsDoor(parts.approvals),
        permissions=PermissionsDoor(surface.catalogue),
        flows=FlowsDoor(parts.book, parts.engine, parts.owner_flows, parts.clock),
        calls=CallsDoor(parts.broker, parts.registry, parts.clock),
        stores=StoresDoor(parts.approvals, parts.broker, surface.stores, parts.clock),
        audit=AuditDoor(surface.audit),
        status=status,
        health=status,
        tokens=surface.tokens,
    )
