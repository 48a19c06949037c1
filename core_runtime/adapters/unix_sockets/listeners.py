"""Makes the listening sockets of packs: one folder under a random name for each container start.

Nothing that a pack is called shapes a path, so no two packs can meet in one (`a-b` and `a_b`, 64 letters in a deep
folder), and none can guess another's. The folders lie in a 0700 folder of ours; a container has its own one mounted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from core_runtime.adapters.unix_sockets.listener import Peer, UnixListener
from core_runtime.adapters.unix_sockets.places import own_folder, remove_stale
from core_runtime.clock import Clock
from core_runtime.ids import random_hex


class UnixListeners:
    """Listeners below `run_folder` (the profile's `run/`)."""

    def __init__(self, run_folder: Path, clock: Clock) -> None:
        self._folder = run_folder / "s"
        self._clock = clock
        self._prepared = False
        self._preparing = asyncio.Lock()

    def prepare(self) -> None:
        """Make the folder, and remove what a kernel that died left in it. Done by the first `listen` at the latest.

        Raises `Conflict` when a socket in it still answers (another kernel uses this profile), `Unavailable` when
        something stands there that is not ours to remove.
        """
        for folder in (self._folder.parent, self._folder):
            own_folder(folder)
        for entry in sorted(self._folder.iterdir()):
            remove_stale(entry)
        self._prepared = True

    async def listen(
        self, *, peer_uid: int, channel_factory: Callable[[], asyncio.Protocol], peer_gid: int | None = None
    ) -> UnixListener:
        """A listening socket in a new folder; the first connection of `peer_uid` is given to `channel_factory()`.

        `peer_gid` is checked too if it is given. Raises `Unavailable` or `Conflict`, see `prepare`.
        """
        async with self._preparing:  # one start must not take the fresh socket of another for a leftover
            if not self._prepared:
                await asyncio.to_thread(self.prepare)
        return UnixListener(self._folder / random_hex(4), Peer(peer_uid, peer_gid), channel_factory, self._clock)
