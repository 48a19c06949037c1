"""Importing from the pack's folder: from source, and from nothing else.

A `.pyc` can hold other code than the `.py` beside it, and Python prefers it (case AP-04). What was approved was read as
source, so only source runs: no byte code, no archive, no extension module of the pack's own folder.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import FileFinder, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType


class SourceOnlyLoader(SourceFileLoader):
    """Compiles what it reads, every time."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source, whatever byte code lies about."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def finder_for(root: str) -> Callable[[str], FileFinder]:
    """A path hook for all that lies beneath `root`."""
    beneath = root + "/"

    def hook(path: str) -> FileFinder:
        if path != root and not path.startswith(beneath):
            raise ImportError(path)
        return FileFinder(path, (SourceOnlyLoader, [".py"]))

    return hook


def open_paths(pack_root: str, backend: str, deps: str | None) -> None:
    """The pack's own modules after the agent's and before the standard library; its dependencies last."""
    sys.path_hooks.insert(0, finder_for(pack_root))
    sys.path.insert(1, backend)
    if deps is not None:
        sys.path.append(deps)


def run_file(module_name: str, path: str, package_folder: str | None = None) -> ModuleType:
    """Run one file as a new module. With `package_folder`, `from . import sibling` finds what lies there."""
    loader = SourceOnlyLoader(module_name, path)
    code = loader.get_code(module_name)
    module = type(sys)(module_name)
    module.__file__ = path
    module.__loader__ = loader
    if package_folder is not None:
        module.__path__ = [package_folder]
        module.__package__ = module_name
    sys.modules[module_name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(module_name, None)
        raise
    return module
