"""The kernel's own flows, by the digest that belongs to this version. A test keeps them true."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CORE_DIGESTS: Final[Mapping[str, str]] = MappingProxyType(
    {"00_startup.flow.yaml": "7b75a24b7e578948c331a74d2de3991ea9899596d99e59ea9a35772db307656a"}
)
