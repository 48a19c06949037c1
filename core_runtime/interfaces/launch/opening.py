"""Opens the doors of a kernel: the admin API on the owner's socket and on loopback, until the block is left.

It must never open a door for a kernel whose tokens it did not try to load: then none is valid, and the owner's socket
is the only way in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from flask import Flask

from core_runtime.adapters.token_store import TokenStore
from core_runtime.errors import RumiError
from core_runtime.interfaces.admin.asgi import AdminDoor, DoorRules
from core_runtime.interfaces.admin.auth import Authenticator
from core_runtime.interfaces.admin.bridge import Bridge, LoopBridge
from core_runtime.interfaces.launch.doors import Surface, open_doors
from core_runtime.interfaces.launch.parts import Assembled, OpenProfile
from core_runtime.interfaces.launch.terminal import say
from core_runtime.interfaces.ports import KernelDoors
from core_runtime.interfaces.server import Address, serving
from core_runtime.kernel import Kernel

PERMISSIVE_TOKEN_SECONDS = 3600.0


@asynccontextmanager
async def open_admin(
    profile: OpenProfile, assembled: Assembled, kernel: Kernel, create_app: Callable[[KernelDoors, Bridge], Flask]
) -> AsyncIterator[int]:
    """Gives the port that it listens on. Raises `Conflict` or `Unavailable` when a place is taken."""
    values = profile.settings.values
    tokens = TokenStore(profile.signed("tokens"), clock=profile.clock, audit=profile.audit)
    with suppress(RumiError):  # then no token is valid and none can be made; the diagnostics say why
        await asyncio.to_thread(tokens.load)
    kernel.each_recheck.append(tokens.load_if_needed)
    addresses: dict[str, object] = {}
    doors = open_doors(kernel, _surface(profile, assembled, tokens, addresses))
    strict = values.security_mode == "strict"
    auth = Authenticator(tokens, kernel_uid=os.geteuid(), trust_peer_uid=strict)
    flask = create_app(doors, LoopBridge(asyncio.get_running_loop()))
    door = AdminDoor(flask, DoorRules(auth, profile.audit, profile.clock, values.api_rate_per_minute))
    address = Address(values.api_bind, values.api_port, "RUMI_API")
    try:
        async with serving(door, tcp=address, unix_path=profile.root / "run" / "admin.sock") as at:
            addresses["api"] = f"http://{values.api_bind}:{at.port}"
            if not strict:
                await offer_token(tokens)
            yield at.port
    finally:
        door.close()
        with suppress(RumiError):
            await tokens.flush()


def _surface(profile: OpenProfile, assembled: Assembled, tokens: TokenStore, addresses: dict[str, object]) -> Surface:
    return Surface(
        settings=profile.settings,
        instance_id=profile.instance_id,
        catalogue=assembled.catalogue,
        stores=assembled.stores,
        audit=profile.audit_files(),
        tokens=tokens,
        engine_status=assembled.engine_status,
        checks=assembled.checks,
        addresses=lambda: addresses,
    )


async def offer_token(tokens: TokenStore) -> None:
    """Permissive mode: a peer's uid gives no authority, so the owner gets a token on his terminal, good for an hour."""
    token = await tokens.offer_once(PERMISSIVE_TOKEN_SECONDS)
    say(f"To approve, within the hour and once: RUMI_TOKEN={token}")
