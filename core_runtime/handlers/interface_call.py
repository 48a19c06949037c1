"""`interface.call`: call an interface of another pack (one's own needs no grant, and comes this way too)."""

from __future__ import annotations

from collections.abc import Awaitable

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form, Name, NameList, NamePatterns
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.errors import InternalError
from core_runtime.handlers.ports import InterfaceRouter


class InterfacesConfig(Form):
    """Which interfaces."""

    interfaces: NamePatterns = Field(default_factory=list)


class InterfaceCallArgs(Form):
    """`stream` says that the caller can take a stream; what the interface returns decides."""

    name: Name
    args: dict[str, object] = Field(default_factory=dict)
    stream: bool = False


SPEC = PermissionSpec(
    id="interface.call",
    risk=Risk.LOW,
    sentence={
        "en": "Calls these interfaces of other packs: {interfaces}",
        "ja": "他のパックの次のインターフェースを呼ぶ: {interfaces}",
    },
    config=InterfacesConfig,
    arguments=InterfaceCallArgs,
    names=NameList("interfaces", "name"),
    subject=Subject.INTERFACE,
    measured=False,  # the answer came over the callee's socket, whose frames have the same limit
)


def make(router: InterfaceRouter) -> Handler:
    """The handler over this router."""

    def interface_call(invocation: Invocation) -> object | Awaitable[object]:
        args = invocation.arguments(InterfaceCallArgs)
        if invocation.context is None:
            raise InternalError("An interface call reached its handler without a context.")
        return router.call(
            invocation.principal, args.name, args.args, invocation.context, stream_in=invocation.stream_in
        )

    return interface_call
