"""Brings a permitted interface call to the pack that provides it, and its answer back.

The broker has decided before; here the provider is looked up, the arguments are checked against what it declared, and
the last guard stands: only a pack whose bytes are approved right now is called, and a call that was in flight when they
stopped being so ends as `APPROVAL_DENIED`, whatever the container still said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence

from core_runtime.approval.model import PackStatus
from core_runtime.authority import CallContext, Principal
from core_runtime.capability.policy import InterfaceTarget
from core_runtime.errors import ApprovalDenied, NotFound, Unavailable
from core_runtime.kernel.ports import PackRunner, Standings
from core_runtime.packs import InterfaceDecl, StoreDecl
from core_runtime.registry.interfaces import InterfaceRegistry
from core_runtime.registry.listing import InterfaceListing
from core_runtime.schemas import CompiledSchema, SchemaShelf
from core_runtime.wire.streams import Stream


class Router:
    """Calls interfaces of running packs."""

    def __init__(self, registry: InterfaceRegistry, runner: PackRunner, standings: Standings) -> None:
        self._registry = registry
        self._runner = runner
        self._standings = standings
        self._schemas: dict[str, CompiledSchema] = {}
        self._shelf = SchemaShelf()

    def study(self, decls: Iterable[InterfaceDecl]) -> frozenset[str]:
        """Compile the schemas of one pack ahead of `learn`; the names for which that would cost too much.

        For a thread: a pack decides how long this takes, up to a bound, and that must not be the loop's time (BX-13).
        """
        return self._shelf.study((decl.name, decl.input_schema) for decl in decls)

    def learn(self, name: str, schema: Mapping[str, object] | None) -> None:
        """Take the schema of an interface's arguments. Raises `ValidationFailed` for one that is not accepted."""
        self._schemas.pop(name, None)
        if schema is not None:
            self._schemas[name] = self._shelf.compiled(schema)

    def call(
        self,
        caller: Principal,
        name: str,
        args: Mapping[str, object],
        context: CallContext,
        *,
        stream_in: Stream | None = None,
    ) -> Awaitable[object]:
        """What the interface returns, a `Stream` where it streams."""
        try:
            provided = self._registry.find(name)
        except NotFound:
            if caller.is_host:
                self._suggest(name)
            raise
        self._require_approved(provided.pack_id)
        schema = self._schemas.get(name)
        if schema is not None:
            schema.check(args, what=f"The input of {name}")
        return self._guarded(provided.pack_id, name, args, context, stream_in)

    def block(self, pack_id: str, file: str, args: object, context: CallContext) -> Awaitable[object]:
        """Run a block of a pack in that pack's container."""
        self._require_approved(pack_id)
        return self._guarded(pack_id, f"block:{file}", args, context, None)

    def visible(self, caller: Principal, context: CallContext | None) -> Sequence[InterfaceListing]:
        """Every interface that could be called now, sorted by name; what the caller may not call is left out later."""
        del caller, context
        return [
            InterfaceListing(
                name=item.decl.name,
                pack_id=item.pack_id,
                summary=item.decl.summary.values,
                risk=item.decl.risk,
                tags=item.decl.tags,
                input_schema=item.decl.input_schema,
                output_schema=item.decl.output_schema,
            )
            for item in self._registry.all()
        ]

    async def _guarded(
        self, pack_id: str, name: str, args: object, context: CallContext, stream_in: Stream | None
    ) -> object:
        try:
            return await self._runner.call(pack_id, name, args, context=context, stream_in=stream_in)
        except Unavailable:
            self._require_approved(pack_id)
            raise

    def _require_approved(self, pack_id: str) -> None:
        status = self._standings.state(pack_id)
        if not status.runnable:
            raise denial(pack_id, status)

    def _suggest(self, name: str) -> None:
        pack_id = self._standings.would_offer(name)
        if pack_id is not None:
            raise denial(pack_id, self._standings.state(pack_id))


def denial(pack_id: str, status: PackStatus) -> ApprovalDenied:
    """Why a pack does not answer, and the command that changes it."""
    state = status.state.value
    reason = f" {status.reason}" if status.reason else ""
    if status.parent is not None:
        reason = f" Its parent {status.parent} is not approved or does not consent to it."
    commands = {
        "pending": f"rumi pack plan {pack_id}, then rumi pack approve {pack_id}",
        "modified": f"rumi pack plan {pack_id}, then rumi pack approve {pack_id}; or restore the approved bytes",
        "rejected": f"rumi pack unblock {pack_id}, then rumi pack plan {pack_id}",
        "blocked": f"rumi pack unblock {pack_id}",
        "disabled": f"rumi pack enable {pack_id}",
        "approved": f"rumi pack show {pack_id}",
    }
    return ApprovalDenied(
        f"The pack {pack_id} is {state}.{reason}",
        hint=commands.get(state, "rumi pack list shows what is there."),
        details={"pack_id": pack_id, "state": state},
    )


class NamedTargets:
    """What names in arguments point at, for the broker: interfaces and stores of approved packs."""

    def __init__(self, registry: InterfaceRegistry, standings: Standings) -> None:
        self._registry = registry
        self._standings = standings

    def interface(self, name: str) -> InterfaceTarget | None:
        """The provider that is pinned to `name` and its risk.

        What nobody provides has no owner and no risk of its own: the owner is told that it is not there, not asked
        whether it may run; for any other actor it is high, as whatever is unmarked.
        """
        try:
            provided = self._registry.find(name)
        except NotFound:
            return InterfaceTarget("")
        return InterfaceTarget(provided.pack_id, provided.decl.risk, provided.decl.risk_rules)

    def store(self, pack_id: str, store_id: str) -> StoreDecl | None:
        """The declaration of a store of an approved pack, or None."""
        descriptor = self._standings.ceiling(pack_id) if self._standings.state(pack_id).runnable else None
        stores = descriptor.stores if descriptor else ()
        return next((decl for decl in stores if decl.store_id == store_id), None)
