"""The kernel's ends of the packs' sockets. The door is `UnixListeners`."""

from __future__ import annotations

from core_runtime.adapters.unix_sockets.listener import UnixListener
from core_runtime.adapters.unix_sockets.listeners import UnixListeners

__all__ = ["UnixListener", "UnixListeners"]
