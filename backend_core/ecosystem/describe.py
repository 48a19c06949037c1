"""Reads one pack folder into a descriptor, or into the list of all its mistakes.

Nothing is imported or run; a folder of any content costs a bounded amount of time and memory (AP-22).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from backend_core.ecosystem.convert import component_of, descriptor_of
from backend_core.ecosystem.models import EcosystemModel, ManifestModel, PermissionsModel
from backend_core.ecosystem.pack_files import PackFolder, UnreadableFile
from backend_core.ecosystem.problems import MAX_PROBLEMS, problems_of
from core_runtime.ids import ancestors, is_pack_id
from core_runtime.packs import ComponentDecl, PackDescriptor, Problem, ScannedPack

Model = TypeVar("Model", bound=BaseModel)
ECOSYSTEM_FILE = "backend/ecosystem.json"
PERMISSIONS_FILE = "backend/permissions.json"
MAX_FLOW_BYTES = 1_048_576  # of all flows of one pack: loading them costs the kernel seconds and memory
_LISTED = {"blocks": ".py", "flows": ".flow.yaml", "modifiers": ".modifier.yaml"}


def read_pack(root: Path, pack_id: str) -> ScannedPack:
    """Read the pack in `root`, which must call itself `pack_id`."""
    if not is_pack_id(pack_id):
        hint = "Use 1 to 64 of a-z A-Z 0-9 _ -; `__` stands only between a parent and its child, at most 4 levels."
        return ScannedPack(pack_id, root, problems=(Problem("", "", f"{pack_id[:80]!r} is not a pack id.", hint),))
    try:
        folder = PackFolder(root)
    except OSError as error:
        problem = Problem(
            "", "", f"The pack's folder cannot be opened: {error.strerror}.", "It must be a real folder, not a link."
        )
        return ScannedPack(pack_id, root, problems=(problem,))
    try:
        reader = _Reader(folder, root, pack_id)
        descriptor = reader.read()
        return ScannedPack(pack_id, root, descriptor, tuple(reader.problems))
    finally:
        folder.close()


class _Reader:
    """Collects the problems of one pack while its files are read."""

    def __init__(self, folder: PackFolder, root: Path, pack_id: str) -> None:
        self._folder = folder
        self._root = root
        self._pack_id = pack_id
        self.problems: list[Problem] = []

    def read(self) -> PackDescriptor | None:
        ecosystem = self._model(ECOSYSTEM_FILE, EcosystemModel)
        permissions = PermissionsModel(pack_id=self._pack_id, permissions=[])
        if self._folder.exists(PERMISSIONS_FILE):
            permissions = self._model(PERMISSIONS_FILE, PermissionsModel) or permissions
        components = self._components()
        files = {name: self._names(f"backend/{name}", suffix) for name, suffix in _LISTED.items()}
        self._check_flows(files["flows"])
        if ecosystem is not None:
            self._check_ecosystem(ecosystem)
        self._check_permissions(permissions)
        self._check_components(components)
        if self.problems or ecosystem is None:
            return None
        return descriptor_of(
            self._root, ecosystem, permissions=permissions.permissions, components=components, files=files
        )

    def _model(self, file: str, model: type[Model]) -> Model | None:
        try:
            return model.model_validate(self._folder.read_json(file))
        except UnreadableFile as error:
            self.problems.append(error.problem)
        except ValidationError as error:
            self.problems.extend(problems_of(file, error, model))
        return None

    def _names(self, path: str, suffix: str = "", *, folders: bool = False) -> tuple[str, ...]:
        try:
            return self._folder.names(path, folders=folders, suffix=suffix)
        except UnreadableFile as error:
            self.problems.append(error.problem)
            return ()

    def _components(self) -> list[ComponentDecl]:
        found = []
        for name in self._names("backend/components", folders=True):
            if name == "__pycache__":
                continue
            file = f"backend/components/{name}/manifest.json"
            manifest = self._model(file, ManifestModel)
            if not self._folder.exists(f"backend/components/{name}/setup.py"):
                self._add(f"backend/components/{name}/setup.py", "", "This file is missing.")
            if manifest is None:
                if len(self.problems) >= MAX_PROBLEMS:
                    break
                continue
            if manifest.id != name:
                self._add(file, "/id", f"The component calls itself {manifest.id!r}, its folder is {name!r}.")
            found.append(component_of(manifest))
        return found

    def _check_flows(self, names: tuple[str, ...]) -> None:
        try:
            size = self._folder.size_of("backend/flows", names) if names else 0
        except UnreadableFile as error:
            self.problems.append(error.problem)
            return
        if size > MAX_FLOW_BYTES:
            text = f"The flows of this pack are {size:,} bytes together; at most {MAX_FLOW_BYTES:,} are read."
            self._add("backend/flows", "", text, "Make them fewer or shorter.")

    def _check_ecosystem(self, model: EcosystemModel) -> None:
        if model.pack_id != self._pack_id:
            self._add(
                ECOSYSTEM_FILE,
                "/pack_id",
                f"The pack calls itself {model.pack_id!r}, its folder is {self._pack_id!r}.",
                "Give both the same name.",
            )
        self._twice(ECOSYSTEM_FILE, "/settings", "setting", (item.key for item in model.settings))
        self._twice(ECOSYSTEM_FILE, "/stores", "store", (item.store_id for item in model.stores))
        routes = (f"{method} {item.mount} {item.path}" for item in model.ingress for method in item.methods or ["GET"])
        self._twice(ECOSYSTEM_FILE, "/ingress", "route", routes)
        for child in model.children:
            if ancestors(child)[-1:] != (self._pack_id,):
                self._add(
                    ECOSYSTEM_FILE,
                    f"/children/{child}",
                    f"{child!r} is not a child of this pack.",
                    f"Its id must be {self._pack_id}__ and one more part.",
                )

    def _check_permissions(self, model: PermissionsModel) -> None:
        if model.pack_id != self._pack_id:
            self._add(PERMISSIONS_FILE, "/pack_id", f"This names {model.pack_id!r}, the pack is {self._pack_id!r}.")
        self._twice(PERMISSIONS_FILE, "/permissions", "permission", (item.type for item in model.permissions))

    def _check_components(self, components: list[ComponentDecl]) -> None:
        names = (decl.name for component in components for decl in component.provides)
        self._twice("backend/components", "", "interface", names)

    def _twice(self, file: str, pointer: str, kind: str, names: Iterable[str]) -> None:
        for name, count in Counter(names).items():
            if count > 1:
                self._add(file, pointer, f"The {kind} {name!r} is declared {count} times.", "Keep one of them.")

    def _add(self, file: str, pointer: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(file, pointer, message, hint))
