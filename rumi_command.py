"""The `rumi` command. Light on purpose: most commands ask a running kernel; only those that need one import `app`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from core_runtime.interfaces.cli import application
from core_runtime.interfaces.cli.hooks import CliHooks, ServeOptions
from core_runtime.interfaces.ports import JsonList, JsonObject
from core_runtime.settings import load_settings


class Offline(Protocol):
    """What works without a kernel (`core_runtime.interfaces.launch.offline`)."""

    doctor: Callable[[], JsonList]
    pack_digest: Callable[[Path], str]
    flow_validate: Callable[[Path], JsonObject]
    audit_verify: Callable[[], JsonObject]
    bench: Callable[[Sequence[str]], int]


def offline() -> Offline:
    """Import it now: it brings the engine's SDK and the flow loader along."""
    return cast("Offline", import_module("core_runtime.interfaces.launch.offline"))


def admin_socket() -> Path:
    """The path of run/admin.sock of this profile."""
    return load_settings().values.profile_root.absolute() / "run" / "admin.sock"


def serve(options: ServeOptions) -> int:
    """Run a kernel until it is stopped."""
    return int(import_module("app").serving().serve(approve_bundled=options.approve_bundled))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    hooks = CliHooks(
        admin_socket=admin_socket,
        serve=serve,
        doctor=lambda: offline().doctor(),
        pack_digest=lambda path: offline().pack_digest(path),
        flow_validate=lambda path: offline().flow_validate(path),
        audit_verify=lambda: offline().audit_verify(),
        bench=lambda names: offline().bench(names),
    )
    return application.main(hooks, argv)


if __name__ == "__main__":
    sys.exit(main())
