"""Grants and the catalogue, as the owner's doors see them."""

from __future__ import annotations

from collections.abc import Sequence

from core_runtime.approval.model import Act, GrantWish
from core_runtime.approval.service import ApprovalService
from core_runtime.authority import Grant
from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.clock import iso
from core_runtime.errors import NotFound
from core_runtime.interfaces.ports import BatchItem, Caller, GrantItem, JsonList, JsonObject


def grant_json(principal: str, grant: Grant) -> JsonObject:
    """One grant as lists show it."""
    return {
        "principal": principal,
        "permission": grant.permission,
        "config": dict(grant.config),
        "mode": grant.mode.value,
        "expires_at": iso(grant.expires_at) if grant.expires_at is not None else None,
        "max_count": grant.max_count,
        "granted_by": grant.granted_by,
        "granted_at": iso(grant.granted_at),
        "note": grant.note,
    }


class GrantsDoor:
    """`GrantsPort`."""

    def __init__(self, approvals: ApprovalService) -> None:
        self._approvals = approvals

    async def list_grants(self, principal: str | None) -> JsonList:
        """See `GrantsPort`."""
        if principal is not None:
            self._approvals.get(principal)
        packs = [view.pack_id for view in self._approvals.list() if principal in {None, view.pack_id}]
        return [grant_json(pack, grant) for pack in packs for grant in self._approvals.grants_of(pack).values()]

    async def give(self, principal: str, grant: GrantItem, by: Caller) -> JsonObject:
        """See `GrantsPort`."""
        given = await self._approvals.give(principal, _wish(grant), Act(by.by, by.request_id))
        return grant_json(principal, given)

    async def take(self, principal: str, permission: str, by: Caller) -> JsonObject:
        """See `GrantsPort`."""
        taken = await self._approvals.take(principal, permission, Act(by.by, by.request_id))
        return grant_json(principal, taken)

    async def batch(self, items: Sequence[BatchItem], by: Caller) -> JsonList:
        """See `GrantsPort`."""
        wishes = [(item.principal, _wish(item.grant), item.take) for item in items]
        results = await self._approvals.batch(wishes, Act(by.by, by.request_id))
        answers: JsonList = []
        for item, result in zip(items, results, strict=True):
            if result.error is not None:
                answers.append({"ok": False, "error": result.error.to_wire()})
            elif result.grant is not None:
                answers.append({"ok": True, **grant_json(item.principal, result.grant)})
        return answers


class PermissionsDoor:
    """`PermissionsPort`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def list_permissions(self) -> JsonList:
        """See `PermissionsPort`."""
        return [_entry(spec) for spec in self._catalogue.all()]

    async def show_permission(self, permission: str) -> JsonObject:
        """See `PermissionsPort`."""
        spec = self._catalogue.find(permission)
        if spec is None:
            raise NotFound(f"There is no permission {permission[:128]!r}.", hint="rumi permission list")
        return {
            **_entry(spec),
            "config_schema": spec.config.model_json_schema(),
            "args_schema": spec.arguments.model_json_schema(),
        }


def _wish(item: GrantItem) -> GrantWish:
    return GrantWish(item.permission, item.config, item.mode, item.expires_at, item.max_count, item.note)


def _entry(spec: PermissionSpec) -> JsonObject:
    return {"permission": spec.id, "risk": spec.risk.value, "sentence": dict(spec.sentence)}
