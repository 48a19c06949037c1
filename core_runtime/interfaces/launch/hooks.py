"""What the `rumi` command needs beside a kernel to talk to; everything heavy is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core_runtime.interfaces.cli.hooks import CliHooks, ServeOptions
from core_runtime.interfaces.ports import JsonList, JsonObject
from core_runtime.settings import load_settings


def admin_socket() -> Path:
    """The path of run/admin.sock of this profile."""
    return load_settings().values.profile_root.absolute() / "run" / "admin.sock"


def doctor() -> JsonList:
    """See `offline.doctor`."""
    from core_runtime.interfaces.launch import offline

    return offline.doctor()


def pack_digest(path: Path) -> str:
    """See `offline.pack_digest`."""
    from core_runtime.interfaces.launch import offline

    return offline.pack_digest(path)


def flow_validate(path: Path) -> JsonObject:
    """See `offline.flow_validate`."""
    from core_runtime.interfaces.launch import offline

    return offline.flow_validate(path)


def audit_verify() -> JsonObject:
    """See `offline.audit_verify`."""
    from core_runtime.interfaces.launch import offline

    return offline.audit_verify()


def bench(names: tuple[str, ...]) -> int:
    """See `offline.bench`."""
    from core_runtime.interfaces.launch import offline

    return offline.bench(names)


def command_hooks(serve: Callable[[ServeOptions], int]) -> CliHooks:
    """All of them; how a kernel is run comes from whoever knows the composition root."""
    return CliHooks(
        admin_socket=admin_socket,
        serve=serve,
        doctor=doctor,
        pack_digest=pack_digest,
        flow_validate=flow_validate,
        audit_verify=audit_verify,
        bench=bench,
    )
