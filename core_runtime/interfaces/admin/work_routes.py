"""Routes about rights and work: grants, permissions, flows, interfaces."""

from __future__ import annotations

from core_runtime.authority import Scope
from core_runtime.interfaces.admin.models import (
    BatchBody,
    CallBody,
    FlowFileBody,
    GiveBody,
    GrantQuery,
    PageQuery,
    RunBody,
)
from core_runtime.interfaces.admin.route import Ask, Route, page
from core_runtime.interfaces.ports import RunFlow


async def _grants(ask: Ask) -> object:
    return page(await ask.doors.grants.list_grants(ask.input(GrantQuery).principal), ask)


async def _give(ask: Ask) -> object:
    body = ask.input(GiveBody)
    return await ask.doors.grants.give(body.principal, body.item(), ask.caller)


async def _batch(ask: Ask) -> object:
    items = [entry.batch_item() for entry in ask.input(BatchBody).items]
    return {"items": await ask.doors.grants.batch(items, ask.caller), "cursor": None}


async def _take(ask: Ask) -> object:
    return await ask.doors.grants.take(ask.path["principal"], ask.path["permission"], ask.caller)


async def _permissions(ask: Ask) -> object:
    return page(await ask.doors.permissions.list_permissions(), ask)


async def _permission(ask: Ask) -> object:
    return await ask.doors.permissions.show_permission(ask.path["permission"])


async def _flows(ask: Ask) -> object:
    return page(await ask.doors.flows.list_flows(), ask)


async def _flow(ask: Ask) -> object:
    return await ask.doors.flows.show_flow(ask.path["flow_id"])


async def _run(ask: Ask) -> object:
    body = ask.input(RunBody)
    return await ask.doors.flows.run(RunFlow(ask.path["flow_id"], body.inputs, body.detach, body.timeout), ask.caller)


async def _approve_flow(ask: Ask) -> object:
    body = ask.input(FlowFileBody)
    return await ask.doors.flows.approve_file(body.file, body.digest, ask.caller)


async def _interfaces(ask: Ask) -> object:
    return page(await ask.doors.calls.list_interfaces(), ask)


async def _call(ask: Ask) -> object:
    body = ask.input(CallBody)
    return await ask.doors.calls.call(ask.path["name"], body.args, body.timeout, ask.caller)


WORK_ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/grants", Scope.READ, _grants, "Who may do what", query=GrantQuery),
    Route("POST", "/api/grants", Scope.APPROVE, _give, "Give a grant", body=GiveBody),
    Route("POST", "/api/grants/batch", Scope.APPROVE, _batch, "Give and take up to 50", body=BatchBody),
    Route("DELETE", "/api/grants/{principal}/{permission}", Scope.APPROVE, _take, "Take a grant away"),
    Route("GET", "/api/permissions", Scope.READ, _permissions, "The catalogue", query=PageQuery),
    Route("GET", "/api/permissions/{permission}", Scope.READ, _permission, "One permission"),
    Route("GET", "/api/flows", Scope.READ, _flows, "Every flow", query=PageQuery),
    Route("GET", "/api/flows/{flow_id}", Scope.READ, _flow, "One flow, composed"),
    Route("POST", "/api/flows/{flow_id}/run", Scope.OPERATE, _run, "Run a flow", body=RunBody, long=True),
    Route("POST", "/api/flows/approve", Scope.APPROVE, _approve_flow, "Approve an owner's flow", body=FlowFileBody),
    Route("GET", "/api/interfaces", Scope.READ, _interfaces, "Every interface", query=PageQuery),
    Route("POST", "/api/interfaces/{name}/call", Scope.OPERATE, _call, "Call one", body=CallBody, long=True),
)
