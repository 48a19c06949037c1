"""The Flask application: routing, scopes and the form of input. It decides nothing and knows no concrete service.

It is only ever reached through `AdminDoor`, which has checked Host, Origin, the caller and the body by then. All the
same every route but the open ones refuses a request that carries no caller, so that a mistake in the mounting shuts the
door instead of opening it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import orjson
from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from core_runtime.authority import Scope
from core_runtime.errors import NotFound, PolicyDenied, RumiError, ValidationFailed
from core_runtime.interfaces.admin.bridge import Bridge
from core_runtime.interfaces.admin.envelope import (
    DoorRefused,
    Reply,
    answer,
    failure,
    internal,
    refusal,
    unauthorized,
)
from core_runtime.interfaces.admin.models import Body, Query
from core_runtime.interfaces.admin.route import Ask, Deferred, Pace, Route, check_parameters
from core_runtime.interfaces.admin.routes import ROUTES
from core_runtime.interfaces.ports import Caller, Channel, KernelDoors

CALLER_KEY = "rumi.caller"
DEFERRED_KEY = "rumi.deferred"
REQUEST_ID_KEY = "rumi.request_id"
REFUSED_KEY = "rumi.refused"

_log = logging.getLogger("rumi.admin")
_ModelT = TypeVar("_ModelT", bound="Body | Query")


def create_admin_app(doors: KernelDoors, bridge: Bridge) -> Flask:
    """The application over the kernel's ports. Views run on the kernel's loop, which `bridge` leads to."""
    app = Flask("rumi_admin", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    for route in ROUTES:
        app.add_url_rule(
            route.rule,
            endpoint=f"{route.method} {route.path}",
            view_func=_view(route, doors, bridge),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.register_error_handler(DoorRefused, _refused)
    app.register_error_handler(RumiError, lambda error: _respond(refusal(error, _request_id())))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    return app


def _view(route: Route, doors: KernelDoors, bridge: Bridge) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        caller = _admit(route)
        check_parameters(path)
        ask = Ask(doors, caller, path, _query(route.query), _body(route.body))
        if route.pace is not Pace.QUICK:
            _state()[DEFERRED_KEY] = Deferred(route.pace, lambda: route.view(ask))
            return Response(status=202)
        return _respond(answer(bridge.call(route.view(ask))))

    return view


def _admit(route: Route) -> Caller:
    caller = _state().get(CALLER_KEY)
    if route.scope is None:
        return Caller("anonymous", frozenset(), Channel.TCP, _request_id())
    if not isinstance(caller, Caller):
        raise unauthorized()
    if route.scope not in caller.scopes:
        raise scope_missing(route.scope)
    return caller


def scope_missing(scope: Scope) -> DoorRefused:
    """403 for a token that may not use this route, whatever the route is about."""
    error = PolicyDenied(
        f"This token does not have the scope {scope.value}.",
        hint=f"rumi token add NAME --scope {scope.value}",
        details={"scope": scope.value},
    )
    return DoorRefused(403, error, reason="scope", close=False)


def _state() -> dict[str, object]:
    scope = request.environ.get("asgi.scope")
    state = scope.get("state") if isinstance(scope, dict) else None
    return cast("dict[str, object]", state) if isinstance(state, dict) else {}


def _request_id() -> str:
    return str(_state().get(REQUEST_ID_KEY, ""))


def _query(model: type[Query]) -> Query:
    values = dict(request.args.lists())
    twice = [key for key, found in values.items() if len(found) > 1]
    if twice:
        raise ValidationFailed("A field of the query stands there twice.")
    return _checked(model, {key: found[0] for key, found in values.items()})


def _body(model: type[Body]) -> Body:
    raw = request.get_data(cache=False)
    if not raw:
        return _checked(model, {})
    try:
        value = orjson.loads(raw)
    except ValueError:
        raise ValidationFailed("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise ValidationFailed("The body has to be a JSON object.")
    return _checked(model, value)


def _checked(model: type[_ModelT], value: Mapping[str, object]) -> _ModelT:
    try:
        return cast("_ModelT", model.model_validate(value))
    except ValidationError as error:
        # the input itself is left out: it may hold what was meant for somewhere else (SE-09)
        found = error.errors(include_url=False, include_input=False, include_context=False)[:20]
        problems = [{"at": "/".join(str(part)[:64] for part in item["loc"]), "message": item["msg"]} for item in found]
        first = f"{problems[0]['at'] or 'input'}: {problems[0]['message']}"
        raise ValidationFailed(
            f"The input does not have the right form: {first}", details={"problems": problems}
        ) from None


def _refused(error: DoorRefused) -> Response:
    _state()[REFUSED_KEY] = error.reason
    return _respond(error.reply(_request_id()))


def _http_error(error: HTTPException) -> Response:
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        wrong = ValidationFailed("This address does not know this method.", request_id=_request_id())
        return _respond(Reply(405, failure(wrong), headers={"allow": allowed}))
    if error.code == 404:
        return _respond(refusal(NotFound("There is no such thing here."), _request_id()))
    return _respond(refusal(ValidationFailed("This request cannot be understood."), _request_id()))


def _defect(error: Exception) -> Response:
    _log.error("request %s failed", _request_id(), exc_info=error)
    return _respond(internal(_request_id()))


def _respond(reply: Reply) -> Response:
    return Response(reply.body, reply.status, headers=dict(reply.headers), content_type=reply.content_type)
