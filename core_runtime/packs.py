"""What a pack is, once its files were read: the words shared with `backend_core`.

`backend_core.ecosystem` turns a folder into a `PackDescriptor` without running any of it; everything else in the kernel
works on descriptors. A descriptor of an unapproved folder is only ever shown; what runs is read again from the sealed
copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from core_runtime.authority import Risk

JsonMap = Mapping[str, object]

KERNEL_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a pack's files: where (file and JSON pointer), what, and what to do."""

    file: str
    pointer: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A text in one or more languages: `{"en": ..., "ja": ...}`."""

    values: Mapping[str, str] = field(default_factory=dict)

    def best(self, language: str = "en") -> str:
        """The text in `language`, else English, else any, else empty."""
        return self.values.get(language) or self.values.get("en") or next(iter(self.values.values()), "")


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """What a pack asks of its container; policy caps it. Memory in bytes, cpus in cores."""

    memory: int = 256 * 1024 * 1024
    cpus: float = 0.5
    pids: int = 64
    concurrency: int = 8
    max_streams: int = 256
    shm: bool = False
    start: str = "eager"


@dataclass(frozen=True, slots=True)
class SettingDecl:
    """A value that the owner may set for this pack."""

    key: str
    type: str
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[object, ...] = ()
    description: Text = field(default_factory=Text)


@dataclass(frozen=True, slots=True)
class StoreDecl:
    """A key-value store of this pack. Sizes in bytes."""

    store_id: str
    max_value_bytes: int = 1_048_576
    quota_bytes: int = 104_857_600
    search: tuple[str, ...] = ()
    shared: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredPermission:
    """One line of the ceiling (`permissions.json`): more than this is never granted."""

    permission: str
    config: JsonMap
    reason: Text
    optional: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True)
class ChildDecl:
    """A parent's consent to a child pack: which identity, and the ceiling that its grants are narrowed by."""

    identity: str
    permissions: tuple[DeclaredPermission, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteDecl:
    """One `ingress` entry. Exactly one of interface, flow, app and root is set, as its kind wants."""

    path: str
    kind: str
    auth: str
    methods: tuple[str, ...] = ()
    mount: str = "pack"
    interface: str | None = None
    flow: str | None = None
    app: str | None = None
    root: str | None = None
    stream: bool = False
    max_body_bytes: int = 1_048_576


@dataclass(frozen=True, slots=True)
class RiskRule:
    """Raises an interface's risk when the expression over its arguments is true."""

    when: str
    risk: Risk


@dataclass(frozen=True, slots=True)
class InterfaceDecl:
    """An interface that a component provides. `risk` is None where the author did not mark it."""

    name: str
    summary: Text = field(default_factory=Text)
    risk: Risk | None = None
    risk_rules: tuple[RiskRule, ...] = ()
    tags: tuple[str, ...] = ()
    input_schema: JsonMap | None = None
    output_schema: JsonMap | None = None
    vocab_group: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event topic (`<pack_id>/<name>`) and the interface that receives it."""

    topic: str
    interface: str


@dataclass(frozen=True, slots=True)
class ComponentDecl:
    """A folder under `components/` with its manifest."""

    id: str
    type: str
    version: str
    provides: tuple[InterfaceDecl, ...] = ()
    requires: tuple[str, ...] = ()
    subscribes: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True)
class Requires:
    """What must be there for this pack: version ranges of the kernel and of packs, names of interfaces."""

    kernel: str | None = None
    packs: Mapping[str, str] = field(default_factory=dict)
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackDescriptor:
    """Everything that a pack's files say about it. `root` is the folder it was read from (a copy or the original)."""

    pack_id: str
    identity: str
    version: str
    root: Path
    description: Text = field(default_factory=Text)
    requires: Requires = field(default_factory=Requires)
    sandbox: SandboxRequest = field(default_factory=SandboxRequest)
    settings: tuple[SettingDecl, ...] = ()
    stores: tuple[StoreDecl, ...] = ()
    children: Mapping[str, ChildDecl] = field(default_factory=dict)
    ingress: tuple[RouteDecl, ...] = ()
    permissions: tuple[DeclaredPermission, ...] = ()
    components: tuple[ComponentDecl, ...] = ()
    blocks: tuple[str, ...] = ()
    flow_files: tuple[str, ...] = ()
    modifier_files: tuple[str, ...] = ()
    signer: str | None = None

    def declared(self, permission: str) -> DeclaredPermission | None:
        """The ceiling's line for `permission`, or None."""
        return next((item for item in self.permissions if item.permission == permission), None)

    def interfaces(self) -> tuple[InterfaceDecl, ...]:
        """All interfaces of all components, in the order of the files."""
        return tuple(decl for component in self.components for decl in component.provides)

    @property
    def wants_network(self) -> bool:
        """True if the pack may ever use the loopback proxy: it then gets the `loopback` seccomp profile."""
        return any(item.permission in {"http.request", "net.connect"} for item in self.permissions)


@dataclass(frozen=True, slots=True)
class ScannedPack:
    """One candidate folder: a descriptor, or the problems that keep it from having one.

    Without a descriptor `pack_id` is the name of the folder.
    """

    pack_id: str
    root: Path
    descriptor: PackDescriptor | None = None
    problems: tuple[Problem, ...] = ()


class PackCatalog(Protocol):
    """Reads packs from disk. Never imports or runs anything of them; bounded in time and size."""

    def scan(self) -> Sequence[ScannedPack]:
        """Every candidate below the ecosystem folder, bad ones included, sorted by id."""

    def read(self, root: Path, pack_id: str) -> ScannedPack:
        """Read one pack folder (the original or a sealed copy)."""
