"""The policy table: no route without a permission, nobody in without a token, no deed beyond one's roles."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from tests.doors.door import Door
from tests.doors.examples import body_schema, example, resolved
from tunery.audit import AuditEntry
from tunery.errors import Conflict, InternalError
from tunery.identity.rules import ROLES
from tunery.platform.http import PUBLIC, ROUTES, route
from tunery.platform.http.routes import RouteSpec
from tunery.rooms import load_rooms

load_rooms()

SPECS = [spec for _, spec in ROUTES]
GUARDED = [spec for spec in SPECS if spec.permission != PUBLIC]
OPERATORS = {"system.metrics", "tenants.create", "backup.create", "backup.list", "backup.verify", "store.tenants"}
"""What only members of the operator's tenant may, whatever their roles."""
DOCUMENTATION = {"/api/docs", "/api/docs/assets", "/api/openapi.json"}


def _address(spec: RouteSpec) -> str:
    """Fill the path with a name that nothing has."""
    return re.sub(r"{[^}]*}", "nothing-of-this-name", spec.full_path)


def test_there_are_at_least_as_many_routes_as_there_were() -> None:
    assert len(SPECS) >= 62
    assert {spec.operation_id for spec in SPECS if spec.permission == PUBLIC} == {"system.live", "system.ready"}


def test_no_two_operations_share_an_address() -> None:
    addresses = [(spec.method, re.sub(r"{[^}]*}", "{}", spec.full_path)) for spec in SPECS]
    assert len(set(addresses)) == len(addresses)


def test_every_permission_is_one_that_some_role_names() -> None:
    named = set().union(*ROLES.values())
    for spec in GUARDED:
        assert spec.permission in named or f"{spec.permission.split(':')[0]}:*" in named, spec


def test_every_mounted_route_stands_in_the_table(door: Door) -> None:
    mounted = {(r.path, *sorted(r.methods)) for r in door.house.app.routes if isinstance(r, APIRoute)}
    others = {r.path for r in door.house.app.routes if not isinstance(r, APIRoute)}
    assert mounted == {(spec.full_path, spec.method) for spec in SPECS}
    assert others <= DOCUMENTATION


@pytest.mark.parametrize(("permission", "scope"), [("", "tenant"), (PUBLIC, "tenant"), ("models:read", "public")])
def test_a_route_without_a_permission_that_fits_cannot_be_declared(permission: str, scope: Any) -> None:
    with pytest.raises(InternalError):
        route("tests.open", "GET", "/tests", permission=permission, scope=scope)
    with pytest.raises(TypeError):
        route("tests.open", "GET", "/tests")  # type: ignore[call-arg]
    assert "tests.open" not in ROUTES.names()


def test_an_operation_cannot_be_declared_twice() -> None:
    with pytest.raises(Conflict):
        route("models.list", "GET", "/elsewhere", permission="models:read")(lambda call: None)


def test_nobody_gets_in_without_a_token(door: Door) -> None:
    for spec in GUARDED:
        answer = door.anonymous.request(spec.method, _address(spec))
        assert answer.status_code == 401, (spec.operation_id, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        if spec.full_path.startswith("/v1/"):
            assert answer.json()["error"]["code"] == "invalid_api_key"
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "code", "detail"} <= answer.json().keys()
            assert (answer.json()["status"], answer.json()["code"]) == (401, "unauthenticated")


def test_a_token_is_asked_for_before_the_body_is_read(door: Door) -> None:
    for spec in GUARDED:
        answer = door.anonymous.request(spec.method, _address(spec), content=b"{", headers={"Content-Type": "x/y"})
        assert answer.status_code == 401, (spec.operation_id, answer.text)


def test_public_routes_say_nothing_but_that_they_work(door: Door) -> None:
    assert door.anonymous.get("/healthz").text == "ok\n"
    assert door.anonymous.get("/readyz").text == "ready\n"


@pytest.mark.parametrize("nickname", ["viewer", "developer", "engineer", "admin"])
def test_what_a_role_lacks_is_refused_and_audited(door: Door, nickname: str) -> None:
    person = door[f"acme/{nickname}"]
    lacking = [spec for spec in GUARDED if not person.actor.may(spec.permission)]
    before = len(_denied(door, person.actor.name))
    for spec in lacking:
        answer = person.http.request(spec.method, _address(spec), content=b"{")
        assert answer.status_code == 403, (spec.operation_id, answer.text)
        if not spec.full_path.startswith("/v1/"):
            assert answer.json()["code"] == "forbidden"
            assert spec.permission in answer.json()["detail"]
    denied = [(e.action, e.resource, e.details["needs"]) for e in _denied(door, person.actor.name)[before:]]
    assert sorted(denied) == sorted((spec.operation_id, _address(spec), spec.permission) for spec in lacking)


@pytest.mark.parametrize("nickname", ["viewer", "developer", "engineer", "admin"])
def test_what_a_role_holds_is_never_refused_for_its_sake(door: Door, nickname: str) -> None:
    person = door[f"acme/{nickname}"]
    for spec in GUARDED:
        if person.actor.may(spec.permission) and spec.operation_id not in OPERATORS:
            assert person.http.request(spec.method, _address(spec)).status_code not in (401, 403), spec.operation_id


def test_what_only_the_operator_may_is_refused_to_administrators_of_tenants_and_audited(door: Door) -> None:
    admin = door["rival/admin"]
    assert admin.http.get("/metrics").status_code == 403
    answer = admin.http.post("/api/v1/tenants", json={"name": "third", "adminEmail": "x@third.example"})
    assert answer.status_code == 403
    assert [e.action for e in _denied(door, admin.actor.name)][-2:] == ["system.metrics", "tenants.create"]


def test_a_refusal_by_the_deed_itself_is_audited_too(door: Door) -> None:
    viewer = door.admit("acme/second viewer", "viewer")
    answer = viewer.http.post("/api/v1/tokens", json={"name": "more", "roles": ["model_admin"]})
    assert answer.status_code == 403
    assert [e.action for e in _denied(door, viewer.actor.name)] == ["tokens.create"]


def test_the_documentation_is_there(door: Door) -> None:
    page = door.anonymous.get("/api/docs").text
    assert "https://" not in page, "the documentation must not need the internet"
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert door.anonymous.get(asset).status_code == 200
    document = door.anonymous.get("/api/openapi.json").json()
    described = {
        (operation["operationId"], method.upper(), path, operation["x-permission"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    plain = {(s.operation_id, s.method, re.sub(r":\w+}", "}", s.full_path), s.permission) for s in SPECS}
    assert described == plain


def test_every_operation_is_described_so_that_a_call_can_be_made(door: Door) -> None:
    document = door.anonymous.get("/api/openapi.json").json()
    for schema in _schemas(document):
        resolved(schema, document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"][0] in string.ascii_uppercase, operation["operationId"]
            assert operation["responses"], operation["operationId"]
            schema = body_schema(operation, document)
            if schema is None:
                continue
            address = re.sub(r"{[^}]*}", "nothing-of-this-name", path)
            answer = door["acme/admin"].http.request(method, address, json=example(schema, document))
            faults = answer.json().get("faults", []) if answer.json().get("code") == "invalid_input" else []
            assert not [f for f in faults if f["message"] in ("is missing", "there is no such key")], (method, path)


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value
        for item in value.values():
            yield from _schemas(item)
    elif isinstance(value, list):
        for item in value:
            yield from _schemas(item)


def _denied(door: Door, user: str) -> list[AuditEntry]:
    with door.ground.database.system_session("a test reads the audit", read_only=True) as session:
        statement = sa.select(AuditEntry).where(AuditEntry.user == user, AuditEntry.outcome == "denied")
        return list(session.scalars(statement.order_by(AuditEntry.id)))
