"""What the command line needs of the composition root: starting the kernel, and what works without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core_runtime.interfaces.ports import JsonList, JsonObject


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How `rumi serve` was asked to start."""

    approve_bundled: bool = False


@dataclass(frozen=True, slots=True)
class CliHooks:
    """Functions, so that nothing is imported or opened before a command needs it. Each raises `RumiError`.

    `admin_socket`: the path of run/admin.sock of this profile. `serve`: run the kernel until it is stopped, return the
    exit code. `doctor`: `[{severity: ok|info|warning|problem, code, subject, message, hint}]`. `pack_digest`: 64 hex
    digits. `flow_validate`: `{ok, flow_id, problems: [{file, line, column, message, hint}]}`. `audit_verify`:
    `{ok, files, lines, first_bad}`. `bench`: run benchmarks by name (none: all), return the exit code.
    """

    admin_socket: Callable[[], Path]
    serve: Callable[[ServeOptions], int]
    doctor: Callable[[], JsonList]
    pack_digest: Callable[[Path], str]
    flow_validate: Callable[[Path], JsonObject]
    audit_verify: Callable[[], JsonObject]
    bench: Callable[[tuple[str, ...]], int] | None = None
