"""What the broker needs of the world: facts about principals, what names point at, a ledger of uses, and handlers.

The composition root implements these over approval, registry and adapters; tests hand in fakes. Everything is called
on the kernel's loop and must answer at once, without I/O, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pydantic import BaseModel

from core_runtime.audit import AuditTrail
from core_runtime.authority import CallContext, Grant, Principal
from core_runtime.capability.model import GrantLevel
from core_runtime.capability.policy import ActorPolicy, InterfaceTarget, RiskEvaluator
from core_runtime.clock import Clock
from core_runtime.errors import InternalError
from core_runtime.packs import DeclaredPermission, StoreDecl
from core_runtime.wire.streams import Stream

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class PrincipalFacts:
    """What is known of one principal and one permission.

    `reason` is the pack's state (`pending`, `modified`, `blocked`, ...). `parents` are the outermost first. `levels`
    go from the host to the principal itself; the level of a parent may carry its children ceiling as `config` and its
    own grant as `grant`, and both narrow. `generation` counts every change of approvals, grants, ceilings or policy.
    """

    approved: bool
    reason: str = ""
    parents: tuple[tuple[str, bool], ...] = ()
    declared: DeclaredPermission | None = None
    levels: tuple[GrantLevel, ...] = ()
    generation: int = 0
    trusted: bool = True


class FactSource(Protocol):
    """The approvals and grants as they are now."""

    def generation(self) -> int:
        """A number that grows with every change; while it stands still, facts are taken from a cache."""

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        """The facts; for `host` only the level of `policy.ceiling`."""

    def policy(self) -> ActorPolicy:
        """The owner's rules for actors. A change of it moves the generation."""


class Targets(Protocol):
    """What names in arguments point at, among approved packs."""

    def interface(self, name: str) -> InterfaceTarget | None:
        """The provider that is pinned to `name` and its risk, or None."""

    def store(self, pack_id: str, store_id: str) -> StoreDecl | None:
        """The declaration of a store of an approved pack, or None."""


class UseLedger(Protocol):
    """How often a grant with `max_count` was used. Survives restarts; never counts down."""

    def used(self, owner: str, grant: Grant) -> int:
        """Uses so far, those just begun included."""

    def use(self, owner: str, grant: Grant) -> Awaitable[None]:
        """Count one use at once; the awaitable ends when that is on disk. Raises `Unavailable` or `StorageFull`."""


class Later(Protocol):
    """Runs something later on the loop."""

    def __call__(self, seconds: float, action: Callable[[], None]) -> object:
        """As `loop.call_later`."""


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """All that a broker needs besides catalogue and handlers."""

    facts: FactSource
    targets: Targets
    uses: UseLedger
    trail: AuditTrail
    clock: Clock
    risk_rules: RiskEvaluator
    later: Later


@dataclass(frozen=True, slots=True)
class Invocation:
    """An allowed call, as a handler gets it: validated arguments and the configuration that judged them.

    `name` is what they point at (store, interface, flow, topic), in full.
    `context` is None only on a pack's own account, and never for an interface or flow call: there it carries the new
    hop already. `deadline` is on the monotonic clock. `permits(permission, args)` answers for the same caller without
    effect or audit line.
    """

    principal: Principal
    args: BaseModel
    name: str
    config: Mapping[str, object]
    request_id: str
    deadline: float
    permits: Callable[[str, Mapping[str, object]], bool]
    context: CallContext | None = None
    store: StoreDecl | None = None
    stream_in: Stream | None = field(default=None)

    def arguments(self, form: type[Form]) -> Form:
        """The arguments, as the model that the catalogue declares for this permission."""
        if not isinstance(self.args, form):
            raise InternalError("A handler was bound to another permission's arguments.")
        return self.args


Handler = Callable[[Invocation], object | Awaitable[object]]
