"""Records as JSON and back. What does not fit exactly is refused as a whole: a record is never half believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from core_runtime.approval.model import DisabledBy, PackRecord, Rejections
from core_runtime.authority import Grant, GrantMode
from core_runtime.ids import is_digest, is_name, is_pack_id


def record_to_json(record: PackRecord) -> dict[str, object]:
    """The body of `permissions/<pack_id>.grants.json`."""
    return {
        "pack_id": record.pack_id,
        "identity": record.identity,
        "signer": record.signer,
        "version": record.version,
        "highest_version": record.highest_version,
        "digest": record.digest,
        "state": state_word(record),
        "who": record.decided_by,
        "when": record.decided_at,
        "grants": [grant_to_json(grant) for grant in record.grants],
    }


def state_word(record: PackRecord) -> str:
    """What the owner decided, in one word; `disabled:<why>` for an approval that is switched off."""
    if not record.digest:
        return "withdrawn"
    return f"disabled:{record.disabled.value}" if record.disabled else "approved"


def record_from_json(name: str, body: Mapping[str, object]) -> PackRecord:
    """Read a body back. Raises `ValueError` for anything unexpected, a foreign `pack_id` included (GR-02)."""
    pack_id = _text(body, "pack_id")
    digest = _text(body, "digest")
    signer = body.get("signer")
    state = _text(body, "state")
    grants = body.get("grants")
    if pack_id != name or not is_pack_id(pack_id) or not (digest == "" or is_digest(digest)):
        raise ValueError("pack_id or digest")
    if not (signer is None or isinstance(signer, str)) or not isinstance(grants, list):
        raise ValueError("signer or grants")
    record = PackRecord(
        pack_id=pack_id,
        identity=_text(body, "identity"),
        signer=signer,
        version=_text(body, "version"),
        highest_version=_text(body, "highest_version"),
        digest=digest,
        decided_by=_text(body, "who"),
        decided_at=_number(body.get("when")),
        grants=tuple(grant_from_json(item) for item in grants),
        disabled=DisabledBy(state.partition(":")[2]),
    )
    names = [grant.permission for grant in record.grants]
    if state != state_word(record) or len(set(names)) != len(names):
        raise ValueError("state or grants")
    return record


def grant_to_json(grant: Grant) -> dict[str, object]:
    """One grant; keys without a value are left out."""
    optional = {"expires_at": grant.expires_at, "max_count": grant.max_count}
    return {
        "permission": grant.permission,
        "config": dict(grant.config),
        "mode": grant.mode.value,
        "granted_by": grant.granted_by,
        "granted_at": grant.granted_at,
        "note": grant.note,
        **{key: value for key, value in optional.items() if value is not None},
    }


def grant_from_json(value: object) -> Grant:
    """Read one grant back. Raises `ValueError`; an expiry that is there must be a time (GR-15)."""
    if not isinstance(value, Mapping):
        raise ValueError("grant")  # noqa: TRY004 - every misfit of a record is one kind of error
    permission, config = _text(value, "permission"), value.get("config")
    if not is_name(permission) or not isinstance(config, Mapping):
        raise ValueError("permission or config")
    max_count = value.get("max_count")
    if "max_count" in value and (not isinstance(max_count, int) or isinstance(max_count, bool) or max_count < 1):
        raise ValueError("max_count")
    return Grant(
        permission=permission,
        config=MappingProxyType(dict(config)),
        mode=GrantMode(_text(value, "mode")),
        expires_at=_number(value["expires_at"]) if "expires_at" in value else None,
        max_count=max_count if isinstance(max_count, int) else None,
        granted_by=_text(value, "granted_by"),
        granted_at=_number(value.get("granted_at")),
        note=_text(value, "note"),
    )


def rejections_to_json(value: Rejections) -> dict[str, object]:
    """The body of a record of refusals."""
    return {
        "identity": value.identity,
        "count": value.count,
        "blocked": value.blocked,
        "digests": dict(value.digests),
    }


def rejections_from_json(body: Mapping[str, object]) -> Rejections:
    """Read it back. Raises `ValueError`."""
    count, blocked, digests = body.get("count"), body.get("blocked"), body.get("digests")
    if not isinstance(count, int) or not isinstance(blocked, bool) or not isinstance(digests, Mapping):
        raise ValueError("rejections")  # noqa: TRY004
    return Rejections(
        identity=_text(body, "identity"),
        count=count,
        blocked=blocked,
        digests={str(digest): _number(when) for digest, when in digests.items()},
    )


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise ValueError(key)  # noqa: TRY004
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("number")
    return float(value)
