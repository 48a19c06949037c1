"""S11: the route-by-scope table, made from the table that the router is made from."""

import re

import pytest

from core_runtime.authority import Scope
from core_runtime.errors import NotFound
from core_runtime.interfaces.admin.flask_app import create_admin_app
from core_runtime.interfaces.admin.route import Pace, check_parameters
from core_runtime.interfaces.admin.routes import OPEN_PATHS, ROUTES, scope_table


def test_s11_health_is_the_only_door_without_a_key():
    assert set(OPEN_PATHS) == {"/health"}
    assert [route.method for route in ROUTES if route.scope is None] == ["GET"]


def test_s11_the_router_holds_exactly_the_table():
    app = create_admin_app(None, None)
    routed = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD"}}
    assert routed == {(route.method, route.rule) for route in ROUTES}
    assert len(scope_table()) == len(set(scope_table())) == len(ROUTES)


def test_nothing_that_changes_is_open_to_read_and_reading_needs_read():
    for route in ROUTES:
        if route.method == "GET":
            assert route.scope in (Scope.READ, None)
        else:
            assert route.scope in (Scope.OPERATE, Scope.APPROVE)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/packs/{pack_id}/approve"),
        ("POST", "/api/packs/{pack_id}/unblock"),
        ("POST", "/api/flows/approve"),
        ("POST", "/api/grants"),
        ("POST", "/api/grants/batch"),
        ("POST", "/api/tokens"),
    ],
)
def test_what_the_authority_page_names_needs_approve(method, path):
    assert (method, path, "approve") in scope_table()


def test_every_parameter_of_a_path_is_checked_by_its_grammar():
    names = {name for route in ROUTES for name in re.findall(r"\{(\w+)", route.path)}
    for name in names:
        with pytest.raises(NotFound):
            check_parameters({name: "\n" * 70})


def test_a_request_that_did_not_come_through_the_door_gets_nothing():
    client = create_admin_app(None, None).test_client()
    for route in ROUTES:
        if route.scope is not None:
            answer = client.open(re.sub(r"\{\w+(:path)?\}", "notes", route.path), method=route.method)
            assert answer.status_code == 401, route


def test_only_quick_reads_hold_a_thread():
    assert all(route.method == "GET" for route in ROUTES if route.pace is Pace.QUICK)
    assert {route.path for route in ROUTES if route.pace is Pace.LONG} == {
        "/api/flows/{flow_id}/run",
        "/api/interfaces/{name}/call",
    }
