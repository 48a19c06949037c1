"""The closed list of permissions: each one's risk, schemas, sentence and the test of its arguments.

A permission that is not in here does not exist: names match exactly, there is no prefix, no pattern and no other case
(UD-07, GR-11). Two entries of one name are refused at start. Nothing here does I/O; handlers are bound to entries by
the broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic import ValidationError

from core_runtime.authority import Risk
from core_runtime.capability.fields import Form, NameList
from core_runtime.capability.globs import EVERYTHING
from core_runtime.capability.narrow import within
from core_runtime.errors import GrantDenied, ValidationFailed
from core_runtime.ids import is_name

HANDLER_TIMEOUT = 120.0
HANDLER_CONCURRENCY = 16
LANGUAGES = ("en", "ja")
_NOTHING = {"en": "nothing", "ja": "なし"}
_ALL = {"en": "everything (*)", "ja": "すべて (*)"}


class Subject(StrEnum):
    """What the arguments of a permission point at."""

    NONE = ""
    STORE = "store"
    INTERFACE = "interface"
    FLOW = "flow"
    TOPIC = "topic"

    @property
    def is_hop(self) -> bool:
        """True where the call goes on into other code, which may call back: depth and cycles count."""
        return self in {Subject.INTERFACE, Subject.FLOW}


@dataclass(frozen=True, slots=True)
class PermissionSpec:
    """One entry. `names` is its allow-list (None: the configuration has none).

    `immediate`: the handler answers at once on the loop, so no slot is needed. `own_only`: the name must be the
    caller's own (a pack publishes only under its own topics). `measured`: the broker weighs the answer; False only
    where the handler's own limits already bound it.
    """

    id: str
    risk: Risk
    sentence: Mapping[str, str]
    config: type[Form]
    arguments: type[Form]
    answer: type[Form] | None = None
    names: NameList | None = None
    subject: Subject = Subject.NONE
    immediate: bool = False
    own_only: bool = False
    measured: bool = True
    timeout: float = HANDLER_TIMEOUT
    concurrency: int = HANDLER_CONCURRENCY

    def __post_init__(self) -> None:
        """Check the contract where it is registered. Raises `ValueError`: a defect of the kernel, found at start."""
        if not is_name(self.id):
            raise ValueError(f"{self.id!r} is no permission name")
        if set(self.sentence) != set(LANGUAGES):
            raise ValueError(f"{self.id}: the sentence must be in {', '.join(LANGUAGES)}")
        missing = [name for name, field in self.config.model_fields.items() if field.is_required()]
        if missing:
            raise ValueError(f"{self.id}: no default for {', '.join(missing)}")
        if self.names and self.config.model_fields[self.names.key].get_default(call_default_factory=True) != []:
            raise ValueError(f"{self.id}: the default of an allow-list is empty")

    def asked(self, args: Form, principal: str) -> str:
        """The full name that the arguments point at; empty where they point at none."""
        return self.names.asked(args, principal) if self.names else ""

    def admits(self, config: Mapping[str, object], name: str, principal: str) -> str | None:
        """None if the narrowed, qualified configuration admits a call that asks for `name`, else the reason. Pure."""
        if self.names is None:
            return None
        if self.own_only and not name.startswith(f"{principal}/"):
            return f"{self.names.short(name, principal)} belongs to another pack"
        return self.names.admits(config, name, principal)

    def qualify(self, config: Mapping[str, object], owner: str) -> dict[str, object]:
        """The configuration with every name written in full, as seen from `owner`."""
        return self.names.qualify(config, owner) if self.names else dict(config)

    def defaults(self, config: Mapping[str, object]) -> dict[str, object]:
        """The configuration after defaults. Raises `ValidationFailed` with every mistake in `details.errors`."""
        try:
            return self.config.model_validate(dict(config)).model_dump()
        except ValidationError as error:
            raise invalid(f"The configuration of {self.id} is not valid", error) from None

    def unlimited(self) -> dict[str, object]:
        """The configuration of a principal without a ceiling: everything in the list, the rest as by default."""
        config = self.config().model_dump()
        return {**config, self.names.key: [EVERYTHING]} if self.names else config

    def parse(self, args: Mapping[str, object]) -> Form:
        """The arguments as their model. Raises `ValidationFailed` with every mistake in `details.errors`."""
        try:
            return self.arguments.model_validate(args if isinstance(args, dict) else dict(args))
        except ValidationError as error:
            raise invalid(f"The arguments of {self.id} are not valid", error) from None


class Catalogue:
    """All entries by exact name. Fulfils what approval asks of a permission book."""

    def __init__(self, specs: Iterable[PermissionSpec]) -> None:
        found: dict[str, PermissionSpec] = {}
        for spec in specs:
            if spec.id in found:
                raise ValueError(f"the permission {spec.id} is declared twice")
            found[spec.id] = spec
        self._specs = MappingProxyType(found)

    def find(self, permission: str) -> PermissionSpec | None:
        """The entry of exactly this name, or None."""
        return self._specs.get(permission)

    def all(self) -> tuple[PermissionSpec, ...]:
        """Every entry, sorted by name."""
        return tuple(self._specs[name] for name in sorted(self._specs))

    def known(self, permission: str) -> bool:
        """True for exactly the names of the list."""
        return permission in self._specs

    def risk(self, permission: str) -> Risk:
        """The risk of a known permission. Raises `GrantDenied` for an unknown one."""
        return self._get(permission).risk

    def normalise(self, permission: str, config: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration after defaults. Raises `ValidationFailed` with all mistakes, `GrantDenied` if unknown."""
        return self._get(permission).defaults(config)

    def within(
        self,
        permission: str,
        wanted: Mapping[str, object],
        ceiling: Mapping[str, object],
        *,
        principal: str = "",
    ) -> bool:
        """True if `wanted` admits nothing that `ceiling` does not.

        With `principal`, `notes` and `<principal>/notes` are one name. A configuration that does not validate is
        within nothing, and nothing is within it.
        """
        spec = self._get(permission)
        try:
            pair = spec.defaults(wanted), spec.defaults(ceiling)
        except ValidationFailed:
            return False
        low, high = (spec.qualify(config, principal) if principal else config for config in pair)
        return within(low, high)

    def sentence(self, permission: str, config: Mapping[str, object], language: str) -> str:
        """What this configuration lets a pack do, for a person. `language` other than `ja` gives English."""
        spec = self._get(permission)
        known = language if language in LANGUAGES else "en"
        values = {key: _shown(value, known) for key, value in spec.defaults(config).items()}
        return spec.sentence[known].format_map(values)

    def _get(self, permission: str) -> PermissionSpec:
        spec = self._specs.get(permission)
        if spec is None:
            raise unknown_permission(permission)
        return spec


def unknown_permission(permission: str) -> GrantDenied:
    """The denial of a name that is not in the list."""
    return GrantDenied(f"There is no permission {permission[:64]!r}.", hint="rumi permission list")


def invalid(what: str, error: ValidationError) -> ValidationFailed:
    """All mistakes of a pydantic error as one error of ours, with JSON pointers and without the values."""
    errors = [
        {"pointer": "".join(f"/{part}" for part in item["loc"])[:200], "message": item["msg"][:200]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:50]
    ]
    text = "; ".join(f"{item['pointer'] or '/'}: {item['message']}" for item in errors)
    return ValidationFailed(f"{what}: {text}"[:2000], details={"errors": errors})


def _shown(value: object, language: str) -> str:
    if not isinstance(value, list):
        return str(value)
    if EVERYTHING in value:
        return _ALL[language]
    return ", ".join(str(item) for item in value) or _NOTHING[language]
