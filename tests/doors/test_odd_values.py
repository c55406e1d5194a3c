"""Every operation gets odd values in every place, a third of them in `make test`; none makes a fault of ours."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.doors.door import Door, Person
from tests.doors.examples import body_schema, example, resolved
from tests.doors.things import CRITERION, Things, recipe
from tests.faults import EVERY
from tunery.pipelines.recipe import Recipe
from tunery.platform.http import ROUTES

GATE = {"name": "a-gate", "criteria": [CRITERION]}
ODD_TEXTS = (
    "", " ", "\0", "\ud800", "..", "../../etc/passwd", "..\\..\\x", "%00", "' OR 1=1 --", "x" * 5000, "a:b:c", "{}",
    "\u202eevil", "é", "e\u0301", "/", "NaN", "0" * 32, "{01234567-89ab-cdef-0123-456789abcdef}", "٠" * 32,
    "0123456789ABCDEF0123456789ABCDEF",
)  # fmt: skip
ODD_NUMBERS = (-1, 0, 2**31, 2**63, 2**64 + 1, 10**400, 1e308, -0.0, True)
FEW_ODD = (None, "\0", "..", "x" * 5000, -1, 2**63, 1e308, True, [], {}, [[]], {"a": {"b": "c"}})
ODD = (None, *ODD_TEXTS, *ODD_NUMBERS, [], {}, [[]], [None], ["x", "x"], {"a": {"b": "c"}}, {"": ""})


# The stricter database: what it takes, the other takes.
pytestmark = [pytest.mark.faults, pytest.mark.parametrize("door", ["postgres"], indirect=True)]
_tried = itertools.count()


def _drawn() -> bool:
    return EVERY or next(_tried) % 3 == 0


def test_no_odd_value_in_a_body_makes_a_fault_of_ours(door: Door, admin: Person, things: Things) -> None:
    """Each body is right, so that the deed itself is reached, but for one value."""
    document = door.anonymous.get("/api/openapi.json").json()
    tried = 0
    for _, spec in ROUTES:
        operation = document["paths"][spec.full_path.replace(":path", "")][spec.method.lower()]
        schema = body_schema(operation, document)
        if schema is not None:
            usual = {**example(schema, document), **_right(things).get(spec.operation_id, {})}
            for body in _odd_ones(schema, document, usual):
                _send_odd(admin, spec.method, _filled(spec.full_path, things), body)
                tried += 1
    assert tried > 400


def test_no_odd_value_in_a_recipe_makes_a_fault_of_ours(admin: Person, things: Things) -> None:
    schema = Recipe.model_json_schema()
    right = _right(things)["pipelines.start"]
    tried = 0
    for odd in _odd_ones(schema, schema, right["recipe"]):
        _send_odd(admin, "POST", "/api/v1/pipelines", {**right, "recipe": odd})
        tried += 1
    assert tried > 150


def test_no_odd_value_in_an_address_makes_a_fault_of_ours(door: Door, admin: Person, things: Things) -> None:
    document = door.anonymous.get("/api/openapi.json").json()
    tried = 0
    for _, spec in ROUTES:
        path = spec.full_path.replace(":path", "")
        operation = document["paths"][path][spec.method.lower()]
        usual = {"follow": "false"} if spec.operation_id == "jobs.events" else {}
        for parameter in operation.get("parameters", []):
            for text in filter(lambda _: _drawn(), (*ODD_TEXTS, *map(str, ODD_NUMBERS))):
                value = text.encode("utf-8", "surrogatepass")
                if parameter["in"] == "query":
                    url = httpx.URL(_filled(spec.full_path, things), params=usual)
                    url = url.copy_with(query=url.query + f"&{parameter['name']}={_quoted(value)}".encode())
                elif parameter["in"] == "path":
                    url = httpx.URL(
                        _filled(path.replace(f"{{{parameter['name']}}}", _quoted(value)), things), params=usual
                    )
                else:
                    continue
                _assert_no_fault(admin.http.request(spec.method, url, json={}), url)
                tried += 1
    assert tried > 400


def _right(things: Things) -> dict[str, dict[str, Any]]:
    """Return what makes bodies right where their schema alone does not say it."""
    started = {"recipe": recipe(things.base), "inputs": {"rows.jsonl": things.file}}
    return {
        "datasets.import": {"name": "odd", "fileDigest": things.file, "fileName": "rows.jsonl"},
        "datasets.delete_rows": {"rowIds": ["0"]},
        "datasets.restore": {"version": "1"},
        "datasets.query": {"sql": "no question"},
        "datasets.tag": {"tag": "odd"},
        "datasets.fetch": {"name": "odd", "source": {"source": "url", "path": "http://127.0.0.1:9/rows.jsonl"}},
        "datasets.inspect": {"fileDigest": things.file, "fileName": "rows.jsonl"},
        "deployments.create": {"version": things.model},
        "evaluations.create": {"modelVersionId": things.version_id, "dataset": things.dataset},
        "evaluations.compare": {"baselineId": things.other_evaluation_id, "candidateId": things.evaluation_id},
        "gates.create": GATE,
        "gates.check": {"version": things.version_id},
        "models.promote": {"toStage": "testing"},
        "models.register": {"files": [{"path": "config.json", "digest": things.file}]},
        "pipelines.plan": {**started, "recipe": {}},
        "pipelines.start": started,
        "runs.create": {"dataset": things.dataset, "base": things.base},
        "tenants.create": {"name": "odd", "adminEmail": "odd@example.com"},
    }


def _odd_ones(schema: dict[str, Any], document: dict[str, Any], usual: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is right but for one value, in a field or one level below it."""
    for name, part in schema["properties"].items():
        for value in ODD:
            if _drawn():
                yield {**usual, name: value}
        inner = _objects(part, document)
        for second in inner.get("properties", {}):
            for value in FEW_ODD:
                if not _drawn():
                    continue
                nested = {**example(inner, document), **_first(usual.get(name)), second: value}
                yield {**usual, name: [nested] if part.get("type") == "array" else nested}


def _first(value: Any) -> dict[str, Any]:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, dict) else {}


def _send_odd(person: Person, method: str, path: str, body: Any) -> None:
    headers = {"Content-Type": "application/json"}  # httpx itself would refuse half of a surrogate pair
    _assert_no_fault(person.http.request(method, path, content=json.dumps(body).encode(), headers=headers), body)


def _objects(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return the object that a field holds, or holds a list of."""
    found = resolved(schema, document)
    for each in (found, *found.get("anyOf", []), found.get("items", {})):
        each = resolved(each, document)
        if "properties" in each:
            return each
    return {}


def _filled(path: str, things: Things) -> str:
    known = {
        "name": things.model, "version": "1.0.0", "path": "config.json", "digest": things.file, "model": "x",
        **{name: getattr(things, name) for name in ("run_id", "job_id", "evaluation_id", "pipeline_id", "token_id")},
    }  # fmt: skip
    nouns = {"datasets": things.dataset, "gates": things.gate, "deployments": things.deployment}
    known["name"] = nouns.get(path.split("/")[3] if path.count("/") > 2 else "", things.model)
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
    return path


def _quoted(value: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in value)


def _assert_no_fault(answer: httpx.Response, sent: Any) -> None:
    assert answer.status_code < 500 or answer.status_code in (503, 507), (answer.request.url, sent, answer.text)
    if answer.status_code >= 400:
        assert answer.json().keys() >= {"status", "code", "detail"} or "error" in answer.json(), answer.text
