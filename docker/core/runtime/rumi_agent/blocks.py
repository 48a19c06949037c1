"""Files under `blocks/` with `run(input, context)`, for flow steps: loaded when they are first called, then kept.

Only imported for packs that have the folder.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from rumi_agent.handlers import Handler
from rumi_agent.importer import run_file


class Blocks:
    """`block:<file>` calls. A file is a path beneath `blocks/`, ending in `.py`; nothing outside is ever reached."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = allocate_lock()
        self._loaded: dict[str, Handler] = {}

    def load(self, name: str) -> Handler | None:
        """The block's handler, or None when there is no such block. Raises whatever the file does."""
        path = self.path_of(name)
        if path is None:
            return None
        with self._lock:
            handler = self._loaded.get(name)
            if handler is None:
                module = run_file("rumi_block_" + name[:-3].replace("/", "_").replace(".", "_"), path)
                handler = Handler("block:" + name, module.run)
                handler.inline = False
                self._loaded[name] = handler
            return handler

    def path_of(self, name: str) -> str | None:
        """The file's path, or None when the name is no path beneath the folder, or leads out of it by a link."""
        parts = name.split("/")
        if not name.endswith(".py") or "\0" in name or "\\" in name or any(part in {"", ".", ".."} for part in parts):
            return None
        path = os.path.realpath(f"{self._folder}/{name}")
        return path if path.startswith(os.path.realpath(self._folder) + "/") and os.path.isfile(path) else None  # noqa: PTH113
