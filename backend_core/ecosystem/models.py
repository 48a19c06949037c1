"""The three JSON files of a pack as strict models: `ecosystem.json`, `permissions.json`, `manifest.json`.

Unknown keys are errors (`x_` keys are the author's own and dropped before), types are not coerced. The models know the
form of a file only; what it may mean together with other files is checked in `describe`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core_runtime.authority import Risk
from core_runtime.ids import is_name, is_pack_id

_MEMORY = re.compile(r"([0-9]{1,9})([kmg]?)b?", re.ASCII | re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?", re.ASCII)
_IDENTITY = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[A-Za-z0-9][A-Za-z0-9._/@-]{0,190}", re.ASCII)
_ROUTE_PATH = re.compile(r"/|(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*(:path)?\}))+", re.ASCII)
_APP = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_METHOD = re.compile(r"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS", re.ASCII)
MIB = 1_048_576
MAX_VERSION = 64
MAX_RANGE = 256
MAX_RISK_RULES = 8


def _pack_id(text: str) -> str:
    if not is_pack_id(text):
        raise ValueError(
            "must be 1 to 64 of a-z A-Z 0-9 _ -, with `__` only between valid parts, and not a reserved word"
        )
    return text


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("must look like `service.hello`: lower case, digits, `_` and dots")
    return text


def _topic(text: str) -> str:
    owner, slash, name = text.partition("/")
    if not slash or not is_pack_id(owner) or not is_name(name):
        raise ValueError("must look like `clock/tick`: a pack id, a slash, a name")
    return text


def _identity(text: str) -> str:
    if not _IDENTITY.fullmatch(text):
        raise ValueError("must look like `github:author/my_pack`")
    return text


def _version(text: str) -> str:
    # First, because a number of thousands of digits is no `InvalidVersion` but another error (CVE-2020-10735).
    if len(text) > MAX_VERSION:
        raise ValueError(f"must be at most {MAX_VERSION} characters")
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError("must be a version such as 1.2.0") from None
    return text


def _range(text: str) -> str:
    if len(text) > MAX_RANGE:
        raise ValueError(f"must be at most {MAX_RANGE} characters")
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("must be a version range such as `>=1.2,<2`") from None
    return text


def _memory(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a size such as `256m` or `1g`")
    scale: dict[str, int] = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}
    return int(found[1]) * scale[found[2].lower()]


def _text(value: object) -> dict[str, str]:
    if isinstance(value, str):
        return {"en": value}
    if isinstance(value, dict) and value and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        bad = next((key for key in value if not _LANGUAGE.fullmatch(key)), None)
        if bad is None:
            return dict(value)
        raise ValueError(f"{bad!r} is not a language such as `en` or `ja`")
    raise ValueError('must be a text, or texts by language: {"en": "..."}')


def _texts_short(value: dict[str, str]) -> dict[str, str]:
    if any(len(text) > 2000 for text in value.values()):
        raise ValueError("must be at most 2,000 characters")
    return value


def _lenient_object(value: object) -> object:
    """Drop the author's own `x_` keys."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if not (isinstance(key, str) and key.startswith("x_"))}
    return value


PackId = Annotated[str, AfterValidator(_pack_id)]
Name = Annotated[str, AfterValidator(_name)]
Topic = Annotated[str, AfterValidator(_topic)]
Identity = Annotated[str, AfterValidator(_identity)]
VersionText = Annotated[str, AfterValidator(_version)]
RangeText = Annotated[str, AfterValidator(_range)]
Texts = Annotated[dict[str, str], BeforeValidator(_text), AfterValidator(_texts_short)]
Memory = Annotated[int, BeforeValidator(_memory), Field(ge=16 * MIB, le=64 * 1024 * MIB)]
JsonObject = dict[str, object]


class Strict(BaseModel):
    """Base of all models: nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        return _lenient_object(value)


class RequiresModel(Strict):
    """`requires` of ecosystem.json."""

    kernel: RangeText | None = None
    packs: dict[PackId, RangeText] = {}
    interfaces: list[Name] = []


class SandboxModel(Strict):
    """`sandbox` of ecosystem.json: wishes, which policy caps."""

    memory: Memory = 256 * MIB
    cpus: Annotated[float, Field(gt=0, le=64, strict=False)] = 0.5
    pids: Annotated[int, Field(ge=8, le=256)] = 64
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    max_streams: Annotated[int, Field(ge=1, le=4096)] = 256
    shm: bool = False
    start: Literal["eager", "lazy"] = "eager"


class SettingModel(Strict):
    """One of `settings`."""

    key: Name
    type: Literal["string", "integer", "number", "boolean"]
    default: object = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    enum: list[object] = []
    description: Texts = {}

    @model_validator(mode="after")
    def _default_fits(self) -> SettingModel:
        kinds: dict[str, tuple[type, ...]] = {
            "string": (str,),
            "integer": (int,),
            "number": (int, float),
            "boolean": (bool,),
        }
        if self.default is None:
            return self
        if not isinstance(self.default, kinds[self.type]) or (
            isinstance(self.default, bool) and self.type != "boolean"
        ):
            raise ValueError(f"the default of {self.key} is not of type {self.type}")
        if isinstance(self.default, int | float) and not isinstance(self.default, bool):
            low = self.minimum is not None and self.default < self.minimum
            high = self.maximum is not None and self.default > self.maximum
            if low or high:
                raise ValueError(f"the default of {self.key} is outside its minimum and maximum")
        if self.enum and self.default not in self.enum:
            raise ValueError(f"the default of {self.key} is not one of its enum")
        return self


class StoreModel(Strict):
    """One of `stores`."""

    store_id: Name
    max_value_bytes: Annotated[int, Field(ge=1, le=4 * MIB)] = MIB
    quota_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * MIB)] = 100 * MIB
    search: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")]], Field(max_length=16)] = []
    shared: bool = False


class PermissionModel(BaseModel):
    """One line of permissions.json; the keys that are left are its configuration."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    type: Name
    reason: Texts
    optional: bool = False
    background: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        return _lenient_object(value)


class ChildPermissionModel(PermissionModel):
    """A line of a child's ceiling in its parent's manifest; the reason is the child's own."""

    reason: Texts = {}


class ChildModel(Strict):
    """One of `children`."""

    identity: Identity
    permissions: list[ChildPermissionModel] = []


class RouteModel(Strict):
    """One of `ingress`."""

    path: Annotated[str, Field(max_length=240)]
    kind: Literal["http", "websocket", "asgi", "static"] = "http"
    methods: Annotated[list[str], Field(max_length=7)] = []
    interface: Name | None = None
    flow: Name | None = None
    app: str | None = None
    root: str | None = None
    auth: Literal["public", "actor", "signature"]
    mount: Literal["pack", "absolute"] = "pack"
    stream: bool = False
    max_body_bytes: Annotated[int, Field(ge=0, le=100 * MIB)] = MIB

    @model_validator(mode="after")
    def _one_target(self) -> RouteModel:
        if not _ROUTE_PATH.fullmatch(self.path):
            raise ValueError("path must look like /things/{id} or /files/{rest:path}")
        bad = next((method for method in self.methods if not _METHOD.fullmatch(method)), None)
        if bad is not None:
            raise ValueError(f"methods: {bad[:20]!r} is not one of GET HEAD POST PUT PATCH DELETE OPTIONS")
        wanted = {"http": ("interface", "flow"), "websocket": ("interface",), "asgi": ("app",), "static": ("root",)}[
            self.kind
        ]
        given = tuple(key for key in ("interface", "flow", "app", "root") if getattr(self, key) is not None)
        if len(given) != 1 or given[0] not in wanted:
            raise ValueError(f"a route of kind {self.kind} needs exactly one of: {', '.join(wanted)}")
        if self.app is not None and not _APP.fullmatch(self.app):
            raise ValueError("app must look like web_app:app")
        if self.root is not None and any(part in {"", ".", ".."} for part in self.root.split("/")):
            raise ValueError("root must be a folder of the pack, such as web")
        return self


class EcosystemModel(Strict):
    """`ecosystem.json`."""

    pack_id: PackId
    pack_identity: Identity
    version: VersionText
    description: Texts = {}
    requires: RequiresModel = RequiresModel()
    sandbox: SandboxModel = SandboxModel()
    settings: Annotated[list[SettingModel], Field(max_length=100)] = []
    stores: Annotated[list[StoreModel], Field(max_length=10)] = []
    children: Annotated[dict[PackId, ChildModel], Field(max_length=64)] = {}
    ingress: Annotated[list[RouteModel], Field(max_length=64)] = []


class PermissionsModel(Strict):
    """`permissions.json`."""

    pack_id: PackId
    permissions: Annotated[list[PermissionModel], Field(max_length=100)]


class RiskRuleModel(Strict):
    """Raises the risk of an interface while an expression over its arguments is true."""

    when: Annotated[str, Field(max_length=2000)]
    risk: Risk = Field(strict=False)


class InterfaceModel(Strict):
    """One of `provides`, in its long form."""

    name: Name
    summary: Texts = {}
    risk: Annotated[Risk, Field(strict=False)] | None = None
    risk_rules: Annotated[list[RiskRuleModel], Field(max_length=MAX_RISK_RULES)] = []
    tags: Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]], Field(max_length=16)] = []
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    vocab_group: Name | None = None


def _interface(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class SubscriptionModel(Strict):
    """One of `subscribes`."""

    topic: Topic
    interface: Name


class ConnectivityModel(Strict):
    """`connectivity` of manifest.json."""

    provides: Annotated[list[Annotated[InterfaceModel, BeforeValidator(_interface)]], Field(max_length=256)] = []
    requires: list[Name] = []
    subscribes: Annotated[list[SubscriptionModel], Field(max_length=64)] = []


class ManifestModel(Strict):
    """`manifest.json` of a component."""

    type: Name
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    version: VersionText
    connectivity: ConnectivityModel = ConnectivityModel()
