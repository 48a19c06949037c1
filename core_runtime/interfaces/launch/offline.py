"""What works without a kernel: digests, checking flows, verifying the trail, the doctor, benchmarks."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from core_runtime.adapters.audit_log import verify
from core_runtime.adapters.docker_engine import DockerEngine
from core_runtime.adapters.sandbox_image import sandbox_image
from core_runtime.adapters.sealed_tree import digest_of
from core_runtime.diagnostics.engine import engine_checks
from core_runtime.diagnostics.model import Finding, problem
from core_runtime.diagnostics.profile import profile_checks
from core_runtime.errors import NotFound, RumiError, ValidationFailed
from core_runtime.flows.explain import validate
from core_runtime.flows.limits import MAX_SOURCE_BYTES
from core_runtime.flows.model import HOST_OWNER
from core_runtime.interfaces.ports import JsonList, JsonObject
from core_runtime.settings import PROJECT_ROOT, load_settings


def pack_digest(path: Path) -> str:
    """The tree digest of a pack's folder: 64 hex digits."""
    if not path.is_dir():
        raise NotFound(f"{path} is no folder.", hint="Name the folder of a pack.")
    return digest_of(path).digest


def flow_validate(path: Path) -> JsonObject:
    """`{ok, flow_id, problems}` of one file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from None
    return dict(validate(data, file=str(path), owner=_owner_of(path)).to_json())


def audit_verify() -> JsonObject:
    """`{ok, files, lines, first_bad}` of this profile's trail; the heads' signatures need a running kernel's key."""
    return dict(verify(load_settings().values.profile_root / "audit"))


def doctor() -> JsonList:
    """Every check of this machine, as far as the kernel is concerned."""
    values = load_settings().values
    try:
        engine = DockerEngine(values.docker_host)
    except RumiError as error:
        return [dict(problem("ENGINE_ADDRESS", "engine", error.message, error.hint).to_json())]

    async def run() -> Sequence[Finding]:
        try:
            checks = engine_checks(
                engine, image=sandbox_image(values.sandbox_image), address=values.docker_host, tls=False
            )
            checks += profile_checks(values.profile_root, security_mode=values.security_mode, verify=verify)
            return [await check.run() for check in checks]
        finally:
            await engine.close()

    return [dict(finding.to_json()) for finding in asyncio.run(run())]


def bench(names: Sequence[str]) -> int:
    """Run benchmarks by name (`P1`; none: all), one JSON line each; the exit code."""
    folder = PROJECT_ROOT / "benchmarks"
    scripts = {_name(path): path for path in sorted(folder.glob("p[0-9][0-9]_*.py"))}
    wanted = [name.upper() for name in names] or list(scripts)
    unknown = sorted(set(wanted) - set(scripts))
    if unknown:
        raise ValidationFailed(f"There is no benchmark {unknown[0]}.", hint=f"There are {', '.join(scripts)}.")
    failed = 0
    for name in wanted:
        failed += subprocess.run([sys.executable, str(scripts[name])], check=False, cwd=PROJECT_ROOT).returncode != 0
    return 1 if failed else 0


def _owner_of(path: Path) -> str:
    """Whose flow a file is, for the rules about blocks: a pack's if it lies in one's folder."""
    parts = path.absolute().parts
    if len(parts) >= 4 and parts[-3:-1] == ("backend", "flows"):
        return parts[-4]
    return HOST_OWNER


def _name(path: Path) -> str:
    return "P" + str(int(re.sub(r"\D.*", "", path.name[1:])))
