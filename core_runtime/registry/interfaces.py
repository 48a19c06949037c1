"""Who provides which interface.

A name has one provider: the first approved pack that declared it is pinned, and stays pinned while it is down or
restarting (BX-11). A later claimant is refused with a reason that names the holder; nobody takes a name over by
crashing its holder. Only the owner's act (disable, remove) frees a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core_runtime.errors import NotFound
from core_runtime.packs import InterfaceDecl


@dataclass(frozen=True, slots=True)
class Provided:
    """One interface as it can be called now: who answers, what was declared, whether the provider is up."""

    pack_id: str
    component: str
    decl: InterfaceDecl


@dataclass(frozen=True, slots=True)
class Claim:
    """One wish to provide an interface."""

    component: str
    decl: InterfaceDecl


@dataclass(frozen=True, slots=True)
class Refused:
    """A claim that lost, and to whom."""

    name: str
    component: str
    holder: str


class InterfaceRegistry:
    """The table of names. All methods are synchronous and belong to the kernel's loop."""

    def __init__(self, pins: Mapping[str, str] | None = None) -> None:
        self._pins: dict[str, str] = dict(pins or {})
        self._provided: dict[str, Provided] = {}

    @property
    def pins(self) -> Mapping[str, str]:
        """Interface name -> pack id that holds it, up or not."""
        return MappingProxyType(self._pins)

    def recall(self, pins: Mapping[str, str]) -> None:
        """Pins of an earlier life of the kernel; they hold until their pack lets go of them."""
        self._pins = {**pins, **self._pins}

    def claim(self, pack_id: str, claims: Iterable[Claim]) -> tuple[Refused, ...]:
        """Pin names to an approved pack, and list what is refused. A claim replaces the pack's earlier one."""
        claims = tuple(claims)
        self._release(pack_id, keep={item.decl.name for item in claims})
        refused: list[Refused] = []
        for item in claims:
            holder = self._pins.setdefault(item.decl.name, pack_id)
            if holder == pack_id:
                self._provided[item.decl.name] = Provided(pack_id, item.component, item.decl)
            else:
                refused.append(Refused(item.decl.name, item.component, holder))
        return tuple(refused)

    def withdraw(self, pack_id: str, names: Iterable[str]) -> None:
        """Names that a component declared but did not register are not callable; the pin stays."""
        for name in names:
            if self._pins.get(name) == pack_id:
                self._provided.pop(name, None)

    def release(self, pack_id: str) -> None:
        """Free every name of a pack that is no longer approved."""
        self._release(pack_id, keep=set())

    def _release(self, pack_id: str, *, keep: set[str]) -> None:
        for name in [name for name, holder in self._pins.items() if holder == pack_id and name not in keep]:
            del self._pins[name]
            self._provided.pop(name, None)

    def find(self, name: str) -> Provided:
        """The provider of `name`. Raises `NotFound`."""
        found = self._provided.get(name)
        if found is None:
            raise NotFound(
                f"No approved pack provides the interface {name[:128]!r}.",
                hint="rumi pack list shows the packs; rumi pack approve ID approves one.",
            )
        return found

    def knows(self, name: str) -> bool:
        """True if some approved pack provides `name`."""
        return name in self._provided

    def all(self) -> tuple[Provided, ...]:
        """Everything that can be called, sorted by name."""
        return tuple(self._provided[name] for name in sorted(self._provided))
