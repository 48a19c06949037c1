"""Approval on a real folder, with a catalogue of its own, a clock that is set by hand and an audit that is a list."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from core_runtime.adapters.files import StateFiles, SystemOperations
from core_runtime.adapters.sealed_tree import FolderReader, SealedStore
from core_runtime.approval.model import Act, GrantChange, PackChange
from core_runtime.approval.parts import ApprovalParts
from core_runtime.approval.plan import PlanEnvironment
from core_runtime.approval.service import ApprovalService
from core_runtime.audit import AuditEntry
from core_runtime.authority import Risk
from core_runtime.errors import StorageFull, ValidationFailed
from core_runtime.packs import (
    ChildDecl,
    ComponentDecl,
    DeclaredPermission,
    InterfaceDecl,
    PackDescriptor,
    Problem,
    Requires,
    ScannedPack,
    Text,
)
from core_runtime.signing import open_key_ring

MAX_MANIFEST = 1_048_576


class FakeCatalog:
    """Reads a small `ecosystem.json` and `permissions.json`; enough of the format for these tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scan(self) -> Sequence[ScannedPack]:
        roots = [path for path in sorted(self.folder.iterdir()) if path.is_dir() and path.name != "packs"]
        if (self.folder / "packs").is_dir():
            roots += sorted(path for path in (self.folder / "packs").iterdir() if path.is_dir())
        return [self.read(root, root.name) for root in roots]

    def read(self, root: Path, pack_id: str) -> ScannedPack:
        try:
            data = self._json(root / "backend/ecosystem.json")
            permissions = self._permissions(root / "backend/permissions.json")
            children = {child: ChildDecl(value["identity"]) for child, value in dict(data.get("children", {})).items()}
            descriptor = PackDescriptor(
                pack_id=data["pack_id"],
                identity=data["pack_identity"],
                version=data["version"],
                root=root,
                signer=data.get("x_signer"),
                requires=Requires(packs=data.get("requires", {}).get("packs", {})),
                children=children,
                permissions=permissions,
                components=(
                    ComponentDecl(
                        "main", "service", "1.0.0", tuple(InterfaceDecl(name) for name in data.get("x_provides", ()))
                    ),
                ),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            return ScannedPack(
                pack_id, root, None, (Problem("ecosystem.json", "", f"unreadable: {type(error).__name__}"),)
            )
        return ScannedPack(pack_id, root, descriptor)

    def _json(self, path: Path) -> dict:
        if path.stat().st_size > MAX_MANIFEST:
            raise ValueError("too large")
        return json.loads(path.read_bytes())

    def _permissions(self, path: Path) -> tuple[DeclaredPermission, ...]:
        if not path.exists():
            return ()
        return tuple(
            DeclaredPermission(
                item["type"],
                {key: value for key, value in item.items() if key not in {"type", "reason", "optional", "background"}},
                Text({"en": item.get("reason", "why")}),
                optional=item.get("optional", False),
                background=item.get("background", False),
            )
            for item in self._json(path)["permissions"]
        )


class FakeBook:
    """Four permissions with one allow-list each."""

    RISKS: ClassVar[dict[str, Risk]] = {
        "store.get": Risk.LOW,
        "store.set": Risk.MEDIUM,
        "fs.read": Risk.HIGH,
        "process.run": Risk.CRITICAL,
        "interface.call": Risk.LOW,
    }

    def known(self, permission: str) -> bool:
        return permission in self.RISKS

    def risk(self, permission: str) -> Risk:
        return self.RISKS[permission]

    def normalise(self, permission: str, config: Mapping[str, object]) -> Mapping[str, object]:
        unknown = set(config) - {"names", "interfaces"}
        names = config.get("names", config.get("interfaces", []))
        if unknown or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValidationFailed(f"The configuration of {permission} is not in order.")
        key = "interfaces" if permission == "interface.call" else "names"
        return {key: sorted(set(names))}

    def within(
        self, permission: str, wanted: Mapping[str, object], ceiling: Mapping[str, object], *, principal: str = ""
    ) -> bool:
        key = "interfaces" if permission == "interface.call" else "names"
        return "*" in ceiling[key] or set(wanted[key]) <= set(ceiling[key])

    def sentence(self, permission: str, config: Mapping[str, object], language: str) -> str:
        return f"[{language}] {permission} {config}"


class FakeAudit:
    """Keeps the lines; `full` makes it refuse, `durable_up_to` shows what was waited for."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.durable_up_to = 0
        self.full = False

    def append(self, entry: AuditEntry) -> int:
        if self.full:
            raise StorageFull("The audit log cannot be written.")
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq: int) -> None:
        self.durable_up_to = max(self.durable_up_to, seq)

    def actions(self) -> list[str]:
        return [entry.action for entry in self.entries]


class FakeClock:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.mono = 50.0
        self.highest = 0.0

    def wall(self) -> float:
        self.highest = max(self.highest, self.now)
        return self.highest

    def monotonic(self) -> float:
        return self.mono

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.mono += seconds


@dataclass
class World:
    """A profile, an ecosystem folder and the service over both; `restart` is a new process on the same disk."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    audit: FakeAudit = field(default_factory=FakeAudit)
    operations: object = field(default_factory=SystemOperations)
    environment: PlanEnvironment = field(default_factory=lambda: PlanEnvironment("1.0.0", "1", "image-a"))
    changes: list[PackChange] = field(default_factory=list)
    grant_changes: list[GrantChange] = field(default_factory=list)
    act: Act = field(default_factory=lambda: Act("owner", "req_1"))

    def __post_init__(self) -> None:
        self.ecosystem = self.folder / "ecosystem"
        self.ecosystem.mkdir(exist_ok=True)
        self.profile = self.folder / "profile"
        self.build()

    def build(self) -> None:
        self.files = StateFiles(self.profile, self.operations)
        self.keys = open_key_ring(self.files)
        self.parts = ApprovalParts(
            catalog=FakeCatalog(self.ecosystem),
            reader=FolderReader(),
            sealed=SealedStore(self.files.make_folder("sealed"), self.operations),
            files=self.files,
            keys=self.keys,
            audit=self.audit,
            clock=self.clock,
            book=FakeBook(),
            environment=lambda: self.environment,
        )
        self.service = ApprovalService(self.parts)
        self.service.on_change(self.changes.append)
        self.service.on_grants(self.grant_changes.append)

    async def restart(self) -> None:
        self.files.close()
        self.changes.clear()
        self.clock.mono = 5.0
        self.build()
        await self.service.start()

    def pack(
        self, pack_id: str = "notes", *, folder: str = "", permissions: Sequence[dict] = (), **fields: object
    ) -> Path:
        root = self.ecosystem / (folder or pack_id)
        (root / "backend/components/main").mkdir(parents=True, exist_ok=True)
        manifest = {"pack_id": pack_id, "pack_identity": "github:ada/notes", "version": "1.0.0", **fields}
        (root / "backend/ecosystem.json").write_text(json.dumps(manifest))
        if permissions:
            (root / "backend/permissions.json").write_text(
                json.dumps({"pack_id": pack_id, "permissions": list(permissions)})
            )
        (root / "backend/components/main/setup.py").write_text("def run(context):\n    pass\n")
        return root

    def record_file(self, pack_id: str = "notes") -> Path:
        return self.profile / "permissions" / f"{pack_id}.grants.json"


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.files.close()


class KilledError(BaseException):
    """The process ended here: nothing after it happens on the disk."""


class ScriptedOperations(SystemOperations):
    """The n-th changing call fails with `error`, or ends the process (and every later call with it)."""

    NAMES = ("open", "write", "chmod", "fsync", "mkdir", "rename", "link", "unlink", "rmdir")

    def __init__(self, at: int = 0, error: int | None = None, only: frozenset[str] = frozenset()) -> None:
        self.at = at
        self.error = error
        self.only = only
        self.count = 0
        self.log: list[str] = []

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name not in ScriptedOperations.NAMES or (self.only and name not in self.only):
            return found

        def call(*args):
            self.count += 1
            self.log.append(name)
            if self.at and self.error is None and self.count >= self.at:
                if name == "write" and self.count == self.at:
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])  # a torn write
                raise KilledError
            if self.at and self.error is not None and self.count == self.at:
                raise OSError(self.error, os.strerror(self.error))
            return found(*args)

        return call


@pytest.fixture
def scripted():
    return ScriptedOperations


@pytest.fixture
def killed():
    return KilledError


@pytest.fixture
def no_space():
    return errno.ENOSPC
