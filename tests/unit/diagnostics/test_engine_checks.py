"""The doctor's checks of the engine: each says what is wrong and what mends it. CT-18 is in here."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from core_runtime.diagnostics.engine import engine_checks
from core_runtime.diagnostics.engine.address import EngineAddress
from core_runtime.diagnostics.engine.nested_kernel import NestedKernel
from core_runtime.diagnostics.engine.socket_access import SocketAccess
from core_runtime.errors import Unavailable
from core_runtime.sandbox.engine_port import IMAGE_MISSING, EngineInfo, runtime_unavailable

INFO = EngineInfo(
    "28.0", "1.48", "overlay2", "2", apparmor=True, user_namespace=False, rootless=False, root_folder="/var/lib/docker"
)


class Engine:
    def __init__(self, info: EngineInfo | None = INFO, *, image: bool = True) -> None:
        self._info = info
        self._image = image

    async def info(self) -> EngineInfo:
        if self._info is None:
            raise runtime_unavailable("The container engine cannot be reached.")
        return self._info

    async def image(self, reference: str) -> str:
        await self.info()
        if not self._image:
            raise Unavailable("no image", details={"reason": IMAGE_MISSING})
        return "sha256:" + "a" * 64


async def run_all(engine: Engine) -> dict[str, str]:
    checks = engine_checks(engine, image="rumi-sandbox:current", address="unix:///nowhere/docker.sock", tls=False)
    return {finding.code: finding.severity.value for finding in [await check.run() for check in checks]}


async def test_a_good_engine_has_no_complaint():
    assert set((await run_all(Engine())).values()) == {"ok"}


async def test_every_check_has_an_id_of_its_own():
    assert len(await run_all(Engine())) == 8


async def test_an_engine_that_is_away_is_one_problem_not_eight():
    found = await run_all(Engine(None))
    assert {code for code, severity in found.items() if severity != "ok"} == {"engine.reachable"}


@pytest.mark.parametrize(
    ("engine", "code", "severity"),
    [
        (Engine(image=False), "engine.image", "problem"),
        (Engine(replace(INFO, storage_driver="vfs")), "engine.storage_driver", "warning"),
        (Engine(replace(INFO, seccomp=False)), "engine.seccomp", "problem"),
    ],
)
async def test_each_trouble_is_named_by_its_check(engine, code, severity):
    found = await run_all(engine)
    assert {key: value for key, value in found.items() if value != "ok"} == {code: severity}


@pytest.mark.parametrize(
    ("address", "tls", "severity"),
    [
        ("", False, "ok"), ("unix:///run/user/1000/docker.sock", False, "ok"), ("tcp://10.0.0.1:2375", False, "problem"),
        ("tcp://10.0.0.1:2376", True, "ok"), ("http://10.0.0.1", False, "problem"),
    ],
)  # fmt: skip
async def test_ct_18_plain_tcp_to_an_engine_is_a_problem(address, tls, severity):
    finding = await EngineAddress(address, tls=tls).run()
    assert finding.severity == severity
    assert bool(finding.hint) == (severity != "ok")


@pytest.mark.parametrize(("mode", "severity"), [(0o666, "warning"), (0o660, "ok")])
async def test_ct_18_an_engine_socket_open_to_everybody_is_a_warning(tmp_path, mode, severity):
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(mode)
        finding = await SocketAccess(f"unix://{path}").run()
    assert finding.severity == severity


@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        (
            [
                "22 1 0:21 / / rw - overlay overlay rw",
                "30 22 0:5 /docker.sock /var/run/docker.sock rw - tmpfs tmpfs rw",
            ],
            "warning",
        ),
        (["22 1 0:21 / / rw - ext4 /dev/vda rw", "30 22 0:5 / /run rw - tmpfs tmpfs rw"], "ok"),
        (["nonsense"], "ok"),
    ],
)
async def test_ct_18_a_kernel_in_a_container_with_the_engines_socket_is_a_warning(tmp_path: Path, lines, severity):
    mounts = tmp_path / "mountinfo"
    mounts.write_text("\n".join(lines))
    assert (await NestedKernel(mounts).run()).severity == severity
    assert (await NestedKernel(tmp_path / "missing").run()).severity == "ok"
