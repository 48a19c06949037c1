"""`flow.run`: run a flow and wait for its outputs, or only begin it."""

from __future__ import annotations

from collections.abc import Awaitable

from pydantic import Field

from core_runtime.authority import Risk
from core_runtime.capability.catalogue import PermissionSpec, Subject
from core_runtime.capability.fields import Form, Name, NameList, NamePatterns
from core_runtime.capability.ports import Handler, Invocation
from core_runtime.errors import InternalError
from core_runtime.handlers.ports import FlowRunner


class FlowsConfig(Form):
    """Which flows."""

    flows: NamePatterns = Field(default_factory=list)


class FlowRunArgs(Form):
    """With `detach` the answer is `{"run_id"}`, at once."""

    flow: Name
    inputs: dict[str, object] = Field(default_factory=dict)
    detach: bool = False


SPEC = PermissionSpec(
    id="flow.run",
    risk=Risk.MEDIUM,
    sentence={"en": "Runs these flows: {flows}", "ja": "次のフローを実行する: {flows}"},
    config=FlowsConfig,
    arguments=FlowRunArgs,
    names=NameList("flows", "flow"),
    subject=Subject.FLOW,
)


def make(runner: FlowRunner) -> Handler:
    """The handler over this runner."""

    def flow_run(invocation: Invocation) -> Awaitable[object]:
        args = invocation.arguments(FlowRunArgs)
        if invocation.context is None:
            raise InternalError("A flow call reached its handler without a context.")
        return runner.run(invocation.principal, args.flow, args.inputs, invocation.context, detach=args.detach)

    return flow_run
