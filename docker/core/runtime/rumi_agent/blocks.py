"""Files under `blocks/` with `run(input, context)`, for flow steps: loaded when they are first called, then kept."""

from __future__ import annotations

import os
from _thread import allocate_lock

from rumi_agent.errors import wire_error
from rumi_agent.handlers import Handler
from rumi_agent.importer import run_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumi_agent.agent import Agent
    from rumi_agent.calls import Call


class Blocks:
    """`block:<file>` calls. A file is a path beneath `blocks/`, ending in `.py`; nothing outside is ever reached."""

    def __init__(self, agent: Agent, folder: str) -> None:
        self._agent = agent
        self._folder = folder
        self._lock = allocate_lock()

    def launch(self, call: Call, name: str) -> None:
        """Load the block on a worker, and run it."""
        self._agent.workers.enqueue(_BlockJob(self, call, name))

    def load(self, call: Call, name: str) -> bool:
        """Make the block's handler the call's own. False when the call has been refused."""
        incoming = self._agent.incoming
        full = "block:" + name
        path = self.path_of(name)
        if path is None:
            incoming.fail(
                call,
                wire_error(
                    "NOT_FOUND", f"There is no block {name[:200]}.", "A block is a .py file under backend/blocks/."
                ),
            )
            return False
        try:
            with self._lock:
                handler = incoming.handlers.get(full)
                if handler is None:
                    module = run_file("rumi_block_" + name[:-3].replace("/", "_").replace(".", "_"), path)
                    handler = Handler(full, module.run)
                    handler.inline = False
                    incoming.handlers[full] = handler
        except BaseException as error:
            incoming.answer(call, incoming.failure(call, error))
            self._agent.link.flush()
            return False
        call.handler = handler
        return True

    def run(self, call: Call, name: str) -> None:
        """On a worker: load, then start the call as any other. Never raises."""
        if call.cancelled or not call.seconds_left():
            self._agent.incoming.skip(call)
        elif self.load(call, name):
            self._agent.incoming.launch(call, call.handler)

    def path_of(self, name: str) -> str | None:
        """The file's path, or None when the name is no path beneath the folder, or leads out of it by a link."""
        parts = name.split("/")
        if not name.endswith(".py") or "\0" in name or "\\" in name or any(part in {"", ".", ".."} for part in parts):
            return None
        path = os.path.realpath(f"{self._folder}/{name}")
        return path if path.startswith(os.path.realpath(self._folder) + "/") and os.path.isfile(path) else None  # noqa: PTH113


class _BlockJob:
    __slots__ = ("_blocks", "_call", "_name")

    def __init__(self, blocks: Blocks, call: Call, name: str) -> None:
        self._blocks = blocks
        self._call = call
        self._name = name

    def run(self) -> None:
        """Load, then start the call as any other."""
        self._blocks.run(self._call, self._name)
