"""The doctor's checks of the container engine, listed explicitly."""

from __future__ import annotations

from core_runtime.diagnostics.engine.address import EngineAddress
from core_runtime.diagnostics.engine.image_present import ImagePresent
from core_runtime.diagnostics.engine.nested_kernel import NestedKernel
from core_runtime.diagnostics.engine.reachable import EngineReachable
from core_runtime.diagnostics.engine.seccomp_support import SeccompSupport
from core_runtime.diagnostics.engine.socket_access import SocketAccess
from core_runtime.diagnostics.engine.storage_driver import StorageDriver
from core_runtime.diagnostics.engine.user_namespace import UserNamespace
from core_runtime.diagnostics.model import Check
from core_runtime.sandbox.engine_port import Images


def engine_checks(engine: Images, *, image: str, address: str, tls: bool) -> tuple[Check, ...]:
    """Every check of the engine, in the order in which a person mends things."""
    return (
        EngineAddress(address, tls=tls),
        EngineReachable(engine),
        ImagePresent(engine, image),
        SeccompSupport(engine),
        StorageDriver(engine),
        SocketAccess(address),
        NestedKernel(),
        UserNamespace(engine),
    )
