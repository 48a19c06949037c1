"""Making grants: from a wish, within a ceiling, with the defaults of the permission's risk.

Pure but for the `PermissionBook` that is handed in. Nothing here widens: the configuration asked for has to lie
within what the pack declared, whoever asks, and a wish that is not understood is refused rather than rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from core_runtime.approval.expiry import parse_expiry
from core_runtime.approval.model import GrantWish
from core_runtime.approval.ports import PermissionBook
from core_runtime.authority import Grant, GrantMode, Risk
from core_runtime.errors import NotFound, PolicyDenied, ValidationFailed
from core_runtime.ids import RESERVED_IDS, is_pack_id
from core_runtime.packs import DeclaredPermission, PackDescriptor

MAX_BATCH = 50
MAX_COUNT = 1_000_000_000
MAX_NOTE = 500
_WISH_KEYS = frozenset({"permission", "config", "mode", "expires_at", "max_count", "note"})


def check_principal(pack_id: str) -> None:
    """Refuse what can never hold a grant (GR-18): the kernel, reserved names, patterns, nothing at all."""
    if pack_id.lower() in RESERVED_IDS or not is_pack_id(pack_id):
        raise ValidationFailed(
            "Only a pack can hold a grant.", hint="rumi pack list", details={"principal": pack_id[:64]}
        )


def parse_wish(value: object, now: float) -> GrantWish:
    """A wish from JSON: `{permission, config?, mode?, expires_at?, max_count?, note?}`. Raises `ValidationFailed`."""
    if not isinstance(value, Mapping):
        raise ValidationFailed("A grant is an object.")
    unknown = sorted(str(key) for key in value if key not in _WISH_KEYS)
    if unknown:
        raise ValidationFailed(f"A grant has no {unknown[0][:64]!r}.", hint=f"Known: {', '.join(sorted(_WISH_KEYS))}.")
    permission, config, mode, note = (value.get(key) for key in ("permission", "config", "mode", "note"))
    if not isinstance(permission, str):
        raise ValidationFailed("A grant names its permission.")
    if not (config is None or isinstance(config, Mapping)) or not (mode is None or isinstance(mode, str)):
        raise ValidationFailed("config is an object, mode is always, ask or never.")
    count = value.get("max_count")
    if "max_count" in value and (isinstance(count, bool) or not isinstance(count, int)):
        raise ValidationFailed("max_count is a whole number of at least 1.", hint="Leave it out for no limit.")
    return GrantWish(
        permission=permission,
        config=config,
        mode=mode,
        expires_at=parse_expiry(value["expires_at"], now) if "expires_at" in value else None,
        max_count=count if isinstance(count, int) else None,
        note=note if isinstance(note, str) else "",
    )


def default_mode(risk: Risk) -> GrantMode:
    """Low and medium are used silently, high and critical by asking each time."""
    return GrantMode.ALWAYS if risk.level <= Risk.MEDIUM.level else GrantMode.ASK


def make_grant(wish: GrantWish, descriptor: PackDescriptor, book: PermissionBook, *, by: str, now: float) -> Grant:
    """The grant that a wish leads to. Raises `NotFound`, `ValidationFailed`, or `PolicyDenied` for one too wide."""
    if not book.known(wish.permission):
        raise NotFound(f"There is no permission {wish.permission[:128]!r}.", hint="rumi permission list")
    declared = descriptor.declared(wish.permission)
    if declared is None:
        raise PolicyDenied(
            f"{descriptor.pack_id} does not declare {wish.permission}, so it cannot be granted.",
            hint="Its author has to add it to permissions.json.",
        )
    ceiling = book.normalise(wish.permission, declared.config)
    config = ceiling if wish.config is None else book.normalise(wish.permission, wish.config)
    if not book.within(wish.permission, config, ceiling, principal=descriptor.pack_id):
        raise PolicyDenied(
            f"This is wider than what {descriptor.pack_id} declares for {wish.permission}.",
            hint=f"rumi pack plan {descriptor.pack_id} shows what it declares.",
        )
    if wish.max_count is not None and not 1 <= wish.max_count <= MAX_COUNT:
        raise ValidationFailed(f"max_count is a number from 1 to {MAX_COUNT}.", hint="Leave it out for no limit.")
    return Grant(
        permission=wish.permission,
        config=MappingProxyType(dict(config)),
        mode=_mode(wish, book.risk(wish.permission)),
        expires_at=None if wish.expires_at is None else parse_expiry(wish.expires_at, now),
        max_count=wish.max_count,
        granted_by=by,
        granted_at=now,
        note=wish.note[:MAX_NOTE],
    )


def _mode(wish: GrantWish, risk: Risk) -> GrantMode:
    if wish.mode is None:
        return default_mode(risk)
    try:
        mode = GrantMode(wish.mode)
    except ValueError:
        raise ValidationFailed("mode is always, ask or never.") from None
    if mode is GrantMode.ALWAYS and risk is Risk.CRITICAL:
        raise PolicyDenied("A critical permission asks every time.", hint="Leave mode out, or set it to ask.")
    return mode


def required(descriptor: PackDescriptor) -> tuple[DeclaredPermission, ...]:
    """What has to be granted for the pack to be switched on."""
    return tuple(item for item in descriptor.permissions if not item.optional)


def wishes_as_declared(
    descriptor: PackDescriptor, old: PackDescriptor | None, held: Mapping[str, Grant], book: PermissionBook
) -> list[GrantWish]:
    """What is granted when the owner names nothing: every required permission as declared.

    Over an earlier approval his own choices stay: a configuration that he had narrowed, mode, end and count, and
    optional ones that he had granted, as far as the new ceiling still holds them.
    """
    wishes = []
    for item in descriptor.permissions:
        kept = held.get(item.permission)
        if kept is None and item.optional:
            continue
        wish = GrantWish(item.permission)
        if kept is not None:
            config = None if _followed(kept, old, book) else kept.config
            wish = replace(wish, config=config, mode=kept.mode.value, expires_at=kept.expires_at)
            wish = replace(wish, max_count=kept.max_count, note=kept.note)
            if config is not None and not _fits(item, config, book, descriptor.pack_id):
                wish = replace(wish, config=None)
        wishes.append(wish)
    return wishes


def _followed(kept: Grant, old: PackDescriptor | None, book: PermissionBook) -> bool:
    """True if the grant was just what the pack had declared."""
    declared = old.declared(kept.permission) if old else None
    return declared is None or dict(book.normalise(kept.permission, declared.config)) == dict(kept.config)


def _fits(item: DeclaredPermission, config: Mapping[str, object], book: PermissionBook, pack_id: str) -> bool:
    return book.within(item.permission, config, book.normalise(item.permission, item.config), principal=pack_id)


def unmet(descriptor: PackDescriptor, grants: Sequence[Grant]) -> tuple[str, ...]:
    """Required permissions that are not among the grants, or are but `never`."""
    held = {grant.permission for grant in grants if grant.mode is not GrantMode.NEVER}
    return tuple(item.permission for item in required(descriptor) if item.permission not in held)
