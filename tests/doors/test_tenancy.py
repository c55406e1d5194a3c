"""What is another tenant's is answered, byte for byte, as what does not exist; and it stays as it is."""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.doors.door import CANARY, Door, until
from tests.doors.things import CRITERION, ROWS, Things, data_of, make_things, recipe, register, upload
from tests.registry.folders import make_adapter_folder, make_model_folder
from tests.serving.teller import TELLER
from tunery.platform.db import Base
from tunery.platform.http import ROUTES
from tunery.platform.http.routes import RouteSpec

WITH_ENGINES = True
NOUNS = {"chat": "deployment", "models": "model", "datasets": "dataset", "gates": "gate", "deployments": "deployment"}
"""What the parameter ``name`` (and ``model`` of the gateway) names, by the operation's noun."""


@pytest.fixture(scope="module")
def things(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Things:
    """One of everything of ``acme``; its deployment answers."""
    made = make_things(door, tmp_path_factory.mktemp("acme"))
    address = f"/api/v1/deployments/{made.deployment}"
    until(lambda: data_of(door["acme/admin"].http.get(address))["status"] == "ready")
    assert len(TELLER.alive()) == 1
    return made


@pytest.fixture(autouse=True)
def unchanged(door: Door, things: Things) -> Iterator[None]:
    """Whatever a test does as another tenant, every row and every byte of ``acme`` stays as it was."""
    before = _rows(door), _files(door)
    yield
    assert (_rows(door), _files(door)) == before


def test_every_address_of_a_thing_answers_its_owner(door: Door, things: Things) -> None:
    """Without this, a 404 to a stranger would prove nothing."""
    for spec, values in _addresses(things):
        if spec.method == "GET":
            query = {"follow": False} if spec.operation_id == "jobs.events" else {}
            answer = door["acme/admin"].http.get(_address(spec, values), params=query)
            assert answer.status_code == 200, (spec.operation_id, values, answer.text)


def test_every_address_of_a_thing_is_to_others_as_if_it_did_not_exist(door: Door, things: Things) -> None:
    seen = set()
    for spec, values in _addresses(things):
        body = _bodies(things).get(spec.operation_id)
        _assert_alike(door, spec.method, _address(spec, values), _address(spec, _invented(values)), body, body)
        seen.add(spec.operation_id)
    with_parameters = {name for name, spec in ROUTES if "{" in spec.full_path}
    assert seen == with_parameters - {"models.register"}  # a name that is another's is free to everyone


def test_a_thing_named_in_a_body_is_to_others_as_if_it_did_not_exist(
    door: Door, things: Things, tmp_path: Path
) -> None:
    rival = door["rival/admin"]
    own = register(rival, "own", make_model_folder(tmp_path / "base"), isBase=True)
    adapter = make_adapter_folder(tmp_path / "adapter")
    files = [{"path": p.name, "digest": upload(rival, p.read_bytes())} for p in adapter.iterdir()]
    rows = upload(rival, ROWS.replace(CANARY.encode(), b""))
    data_of(rival.http.post("/api/v1/gates", json={"name": "own", "criteria": [CRITERION]}))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("datasets/import", {"name": "theirs", "fileDigest": things.file, "fileName": "rows.jsonl"}),
        ("models/own/versions", {"files": [{"path": "model.safetensors", "digest": things.file}]}),
        *(
            ("models/more/versions", {"files": files, "baseReference": each})
            for each in (things.base_id, things.base, f"{things.base}:1.0.0", f"acme/{things.base}")
        ),
        *(("deployments", {"version": each}) for each in (things.version_id, things.model, f"{things.model}:1.0.0")),
        *(
            ("evaluations", {"modelVersionId": version, "dataset": data})
            for version in (own["id"], things.version_id)
            for data in (things.dataset, things.dataset_version_id, f"{things.dataset}:1")
        ),
        *(("runs", {"name": "x", "dataset": data, "base": own["id"]}) for data in (things.dataset,)),
        ("datasets/query", {"sql": f'from "{things.dataset}"'}),
        *(("compliance/validate", {"datasetId": each}) for each in (things.dataset, things.dataset_id)),
        ("compliance/attestations", {"rule": "SH-KNOW", "dataset": things.dataset_version_id, "statement": "x"}),
        ("compliance/attestations", {"rule": "SH-KNOW", "sourceDigest": things.file, "statement": "x"}),
        ("evaluations/compare", {"baselineId": things.other_evaluation_id, "candidateId": things.evaluation_id}),
        ("gates/own/check", {"version": things.version_id}),
        ("gates/own/check", {"version": own["id"], "evaluationId": things.evaluation_id}),
        ("models/own/versions/1.0.0/promote", {"toStage": "testing", "verdictId": things.verdict_id}),
        ("pipelines", {"recipe": recipe("own"), "inputs": {"rows.jsonl": things.file}}),
        ("pipelines/plan", {"recipe": recipe("own"), "inputs": {"rows.jsonl": things.file}}),
        ("pipelines/plan", {"recipe": recipe(things.base), "inputs": {"rows.jsonl": rows}}),
    ]
    for path, body in cases:
        _assert_alike(door, "POST", f"/api/v1/{path}", f"/api/v1/{path}", body, _with_invented(body, things))
    for model in (things.deployment, f"acme/{things.deployment}", things.model, f"{things.model}:1.0.0"):
        chat = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        _assert_alike(door, "POST", "/v1/chat/completions", "/v1/chat/completions", chat, _with_invented(chat, things))


def test_the_owner_is_answered_by_the_deployment(door: Door, things: Things) -> None:
    chat = {"model": things.deployment, "messages": [{"role": "user", "content": "hello"}]}
    answer = door["acme/admin"].http.post("/v1/chat/completions", json=chat)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tunery-model"] == f"{things.model}:1.0.0"


def test_lists_show_only_what_is_ones_own(door: Door, things: Things) -> None:
    words = {CANARY, "acme", *_values(things)}
    searched = 0
    for _, spec in ROUTES:
        if spec.method == "GET" and "{" not in spec.full_path:
            text = door["rival/admin"].http.get(spec.full_path).text
            assert not [word for word in words if word in text], (spec.operation_id, text)
            searched += 1
    assert searched >= 14
    for query in (things.model, CANARY, "acme", "%", "_", ""):
        names = [m["name"] for m in data_of(door["rival/admin"].http.get("/api/v1/models", params={"q": query}))]
        assert names in ([], ["own"])


def test_the_same_names_may_be_used_by_everyone(door: Door, things: Things, tmp_path: Path) -> None:
    rival = door.admit("namesake/admin", "model_admin")
    made = register(rival, things.model, make_model_folder(tmp_path / "base", seed=9))
    assert made["reference"] == f"{things.model}:1.0.0"
    assert made["id"] != things.version_id
    gate = rival.http.post("/api/v1/gates", json={"name": things.gate, "criteria": [{**CRITERION, "threshold": 0.9}]})
    assert data_of(gate)["id"] != things.gate_id


def test_equal_bytes_are_not_shared_between_tenants(door: Door, things: Things) -> None:
    """A stranger who uploads the very bytes learns nothing: the answer is that of a first upload."""
    twin = door.admit("twin/admin", "model_admin")
    assert twin.http.get(f"/api/v1/files/{things.file}").status_code == 404
    data = b"".join(door.ground.blobs.open(door["acme/admin"].actor.tenant_id, things.file))
    fresh = data + b" "
    first, second = (twin.http.put("/api/v1/files", content=each) for each in (data, fresh))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["data"] == {"digest": things.file, "sizeBytes": len(data)}


def test_an_idempotency_key_of_another_tenant_is_unknown_here(door: Door, things: Things) -> None:
    wish = {"name": "mine", "criteria": [CRITERION]}
    answers = []
    for tenant in ("first", "second"):
        person = door.admit(f"{tenant}/admin", "model_admin")
        answers.append(data_of(person.http.post("/api/v1/gates", json=wish, headers={"Idempotency-Key": "the same"})))
    assert answers[0]["id"] != answers[1]["id"]
    assert answers[1]["createdBy"].endswith("@second.example")


def test_a_full_name_names_only_the_tenants_own(door: Door, tmp_path: Path, things: Things) -> None:
    """``acme/x`` never means somebody else's ``x``, and ``tenant/x`` is one's own ``x``."""
    person = door.admit("careful/admin", "model_admin")
    register(person, things.base, make_model_folder(tmp_path / "base"), isBase=True)
    for name, status in ((f"acme/{things.base}", 404), (f"careful/{things.base}", 201), (things.base, 201)):
        answer = person.http.post("/api/v1/deployments", json={"version": name, "name": "x", "engine": "teller"})
        assert answer.status_code == status, answer.text
    data_of(person.http.delete("/api/v1/deployments/x"))


def _addresses(things: Things) -> Iterator[tuple[RouteSpec, dict[str, str]]]:
    """Yield every route with parameters, once for each way to name a thing of ``acme``."""
    for name, spec in ROUTES:
        parameters = re.findall(r"{(\w+)", spec.full_path)
        if not parameters or name == "models.register":
            continue
        noun = NOUNS.get(name.split(".")[0], "")
        ways = {
            "name": [getattr(things, noun, ""), getattr(things, f"{noun}_id", "")],
            "model": [things.deployment],
            "version": ["1.0.0"],
            "path": ["adapter_config.json"],
            "number": ["1"],
            "digest": [things.file],
            "token_id": [things.token_id, things.token_key],
        }
        first = parameters[0]
        for value in ways.get(first) or [getattr(things, first)]:
            if parameters == ["name", "version"] and value == things.model_id:
                continue  # versions are addressed by the model's name
            yield spec, {p: value if p == first else ways[p][0] for p in parameters if p == first or p in ways}


def _bodies(things: Things) -> dict[str, dict[str, Any]]:
    """Return bodies that would do something, were the thing one's own."""
    return {
        "datasets.delete_rows": {"rowIds": ["0"]},
        "datasets.restore": {"version": "1"},
        "datasets.tag": {"tag": "taken"},
        "models.update": {"description": "taken"},
        "models.update_version": {"changelog": "taken"},
        "models.promote": {"toStage": "deprecated"},
        "gates.check": {"version": things.version_id},
        "subjects.decide": {"version": things.version_id, "decision": "exception", "note": "taken by a stranger"},
    }


def _address(spec: RouteSpec, values: dict[str, str]) -> str:
    return re.sub(r"{(\w+)[^}]*}", lambda match: values[match[1]], spec.full_path)


def _invented(values: dict[str, str]) -> dict[str, str]:
    """Return names of the same form that nothing has; versions and paths stay."""
    return {key: value if key in ("version", "path", "number") else _invent(value) for key, value in values.items()}


def _invent(value: str) -> str:
    source = random.Random(value)
    if re.fullmatch(r"[0-9a-f-]{36}", value):
        return value[:14] + str(uuid.UUID(int=source.getrandbits(128)))[14:]
    letters = string.hexdigits[:16] if re.fullmatch(r"[0-9a-f]{24,64}", value) else string.ascii_lowercase
    return "".join(source.choice(letters) if c.isalnum() else c for c in value)


def _with_invented(body: Any, things: Things) -> Any:
    if isinstance(body, dict):
        return {key: _with_invented(value, things) for key, value in body.items()}
    if isinstance(body, list):
        return [_with_invented(value, things) for value in body]
    name = re.split(r"[/:]", body.removeprefix("acme/"))[0] if isinstance(body, str) else ""
    return body.replace(name, _invent(name)) if name in _values(things) else body


def _values(things: Things) -> set[str]:
    return {getattr(things, each.name) for each in fields(things)}


def _assert_alike(door: Door, method: str, theirs: str, nothing: str, body: Any, other_body: Any) -> None:
    """Ask for what is another's and for what does not exist: the answers must not differ but in the names asked for."""
    http = door["rival/admin"].http
    answers = [
        http.request(method, address, **({} if sent is None else {"json": sent}))
        for address, sent in ((theirs, body), (nothing, other_body))
    ]
    plain = [_plain(answer, theirs, nothing, body, other_body) for answer in answers]
    assert plain[0] == plain[1], f"{method} {theirs} tells that it exists"
    assert answers[0].status_code == 404 or "promote" in theirs, (method, theirs, answers[0].text)
    assert 400 <= answers[0].status_code < 500, (method, theirs, answers[0].text)


def _plain(answer: httpx.Response, *asked: Any) -> tuple[int, list[tuple[str, str]], str]:
    headers = [(k, v) for k, v in answer.headers.items() if k not in ("x-request-id", "date")]
    text = answer.text
    for word in sorted({w for each in asked for w in _words(each)}, key=len, reverse=True):
        text = text.replace(word, "?")
    return answer.status_code, headers, text


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif isinstance(value, str):
        yield from (part for part in re.split(r"[/:]", value) if len(part) > 6)


def _rows(door: Door) -> dict[str, list[Any]]:
    """Return all rows of ``acme``, table by table."""
    tenant_id = door["acme/admin"].actor.tenant_id
    with door.ground.database.system_session("a test compares", read_only=True) as session:
        return {
            table.name: sorted(map(repr, session.execute(_said(table).where(table.c.tenant_id == tenant_id))))
            for table in Base.metadata.sorted_tables
            if "tenant_id" in table.c
        }


def _said(table: sa.Table) -> sa.Select[Any]:
    """Select what a row says; that its owner read rows, or asked for a file, is no part of it."""
    passing = {"touched_at", "updated_at"} if table.name == "blobs" else set()
    said = sa.select(*(column for column in table.c if column.name not in passing))
    return said.where(table.c.action != "dataset_read") if table.name == "audit_entries" else said


def _files(door: Door) -> dict[str, tuple[int, int]]:
    """Return every file below a folder of ``acme`` with its length and time."""
    tenant_id = door["acme/admin"].actor.tenant_id
    found = (path for path in door.ground.settings.home.rglob("*") if tenant_id in path.parts and path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
