"""Where the steps of flows have their effects: every one of them goes through the broker, with the flow's own rights.

The kernel's own flows run as the principal `kernel`; the steps of the boot sequence are not permissions, and no other
principal reaches them, whatever a flow writes after `kernel:`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core_runtime.authority import HOST, CallContext, Principal
from core_runtime.errors import PolicyDenied, ValidationFailed
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.ports import Authority
from core_runtime.kernel.router import Router
from core_runtime.registry.events import topic_of

KERNEL = Principal("kernel")
BootStep = Callable[[Mapping[str, object]], Awaitable[object]]


class KernelWorld:
    """The `FlowWorld` of this kernel."""

    def __init__(self, authority: Authority, router: Router, events: KernelEvents) -> None:
        self._authority = authority
        self._router = router
        self._events = events
        self._boot: dict[str, BootStep] = {}

    def boots_with(self, steps: Mapping[str, BootStep]) -> None:
        """Hand in the steps of the boot sequence by name (`boot.scan`)."""
        self._boot = dict(steps)

    def call(self, principal: Principal, name: str, args: object, context: CallContext) -> object | Awaitable[object]:
        """See `FlowWorld`."""
        if principal == KERNEL:
            raise PolicyDenied("The kernel's own flows call no interfaces of packs.")
        if not isinstance(args, Mapping):
            raise ValidationFailed(f"The input of {name} must be an object.", hint="Write input: {key: value}.")
        return self._authority.ask(principal, "interface.call", {"name": name, "args": args}, context)

    def capability(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext
    ) -> object | Awaitable[object]:
        """See `FlowWorld`."""
        if principal == KERNEL:
            step = self._boot.get(permission)
            if step is None:
                raise PolicyDenied(f"The kernel has no step {permission[:80]!r}.")
            return step(args)
        return self._authority.ask(principal, permission, args, context)

    def block(self, pack_id: str, file: str, args: object, context: CallContext) -> Awaitable[object]:
        """See `FlowWorld`."""
        return self._router.block(pack_id, file, args, context)

    def publish(
        self, principal: Principal, topic: str, payload: object, context: CallContext
    ) -> Awaitable[None] | None:
        """See `FlowWorld`."""
        if principal in {HOST, KERNEL}:
            self._events.publish(principal, topic_of(principal.id, topic), payload, context)
            return None
        wish = {"topic": topic, "payload": payload}
        answer = self._authority.ask(principal, "event.publish", wish, context)
        return _nothing(answer) if isinstance(answer, Awaitable) else None


async def _nothing(answer: Awaitable[object]) -> None:
    await answer
