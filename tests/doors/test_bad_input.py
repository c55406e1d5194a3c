"""Whatever comes in, the answer is a refusal that says why; never a fault of ours, never a second deed."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person, until
from tests.doors.examples import body_schema, example, resolved
from tests.doors.things import CRITERION, Things, data_of, make_things, recipe, register, upload
from tests.registry.folders import make_model_folder
from tests.serving.teller import TELLER
from tunery.audit import AuditEntry
from tunery.errors import InternalError
from tunery.pipelines.recipe import Recipe
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.http import ROUTES
from tunery.platform.jobs import Job, JobContext, enqueue_job, job
from tunery.platform.jobs.worker import Worker

__all__ = ["TELLER"]  # importing it registers the engine

GATE = {"name": "a-gate", "criteria": [CRITERION]}
ODD_TEXTS = (
    "", " ", "\0", "\ud800", "..", "../../etc/passwd", "..\\..\\x", "%00", "' OR 1=1 --", "x" * 5000, "a:b:c", "{}",
    "\u202eevil", "é", "é", "/", "NaN", "0" * 32, "{01234567-89ab-cdef-0123-456789abcdef}", "٠" * 32,
    "0123456789ABCDEF0123456789ABCDEF",
)  # fmt: skip
ODD_NUMBERS = (-1, 0, 2**31, 2**63, 2**64 + 1, 10**400, 1e308, -0.0, True)
FEW_ODD = (None, "\0", "..", "x" * 5000, -1, 2**63, 1e308, True, [], {}, [[]], {"a": {"b": "c"}})
ODD = (None, *ODD_TEXTS, *ODD_NUMBERS, [], {}, [[]], [None], ["x", "x"], {"a": {"b": "c"}}, {"": ""})


@pytest.fixture(scope="module")
def things(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Things:
    """One of everything of ``acme``."""
    return make_things(door, tmp_path_factory.mktemp("acme"))


@pytest.fixture
def admin(door: Door) -> Person:
    """An administrator of ``acme``."""
    return door["acme/admin"]


def send(person: Person, data: bytes | str, path: str = "/api/v1/gates", **headers: str) -> httpx.Response:
    """Post a body as it stands, as JSON unless a header says otherwise."""
    headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return person.http.post(path, content=data, headers=headers)


# Addresses (A69) and who asks (A70)


@pytest.mark.parametrize(
    "address",
    [
        "//api/v1/models", "/api/v1/models/", "/API/v1/models", "/api/v1/./models", "/api/v1/x/../models",
        "/api/v1/%6dodels", "/api/v1/models;a=b", "/api//v1/models", "/api/v1/models%2f", "/api/v1\\models",
    ],
)  # fmt: skip
def test_no_other_spelling_of_an_address_gets_in(door: Door, address: str) -> None:
    request = f"GET {address} HTTP/1.1\r\nHost: tunery\r\nConnection: close\r\n\r\n"
    assert door.raw(request.encode())[0] in (401, 404, 400)


@pytest.mark.parametrize("header", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-HTTP-Method-Override"])
def test_no_header_changes_what_is_asked(door: Door, header: str) -> None:
    assert door.anonymous.get("/api/v1/models", headers={header: "/healthz"}).status_code == 401
    assert door["acme/viewer"].http.get("/api/v1/models", headers={header: "DELETE"}).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        b"", b"Bearer", b"Bearer ", b"Bearer ' OR 1=1--", b"Bearer x\xff\xfe", b"bearer tnr_",
        b"Bearer tnr_" + b"0" * 24 + b"_" + b"A" * 43,
        b"Basic dTpw", b"Bearer " + b"x" * 1_000_000, "Bearer ünïcode".encode(), b"Bearer a b c",
        b"Bearer \x00",
    ],
)  # fmt: skip
def test_what_is_no_token_does_not_get_in(door: Door, value: bytes) -> None:
    request = b"GET /api/v1/models HTTP/1.1\r\nHost: tunery\r\nConnection: close\r\nAuthorization: " + value
    status, body = door.raw(request + b"\r\n\r\n")
    assert status == (400 if b"\0" in value else 401), (status, body)


def test_two_tokens_or_one_in_the_address_do_not_get_in(door: Door, admin: Person) -> None:
    token = f"Bearer {admin.token}"
    twice = httpx.Headers([("Authorization", token), ("Authorization", token)])
    assert door.anonymous.get("/api/v1/models", headers=twice).status_code == 401
    for name in ("token", "access_token", "api_key", "authorization"):
        assert door.anonymous.get("/api/v1/models", params={name: admin.token}).status_code == 401


# Where from (I125, I126)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "", "tunery.evil.example", "localhost.evil.example", "169.254.169.254", "a@tunery", "tunery,"],
)
def test_a_host_that_is_not_ours_is_not_served(door: Door, admin: Person, host: str) -> None:
    for address in ("/healthz", "/api/v1/models", "/v1/models", "/api/docs"):
        answer = admin.http.get(address, headers={"Host": host})
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail"} <= answer.json().keys()


@pytest.mark.parametrize("host", ["localhost", "localhost:8800", "127.0.0.1:1", "[::1]:8800", "[::1]", "TUNERY"])
def test_a_host_of_this_machine_is_served(door: Door, host: str) -> None:
    assert door.anonymous.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_form_of_another_site_changes_nothing(door: Door, admin: Person) -> None:
    """A browser sends forms and ``text/plain`` across sites without asking; none of them is read as JSON."""
    body = json.dumps(GATE)
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx")
    for kind in kinds:
        assert send(admin, body, Content_Type=kind, Origin="https://evil.example").status_code == 415
    answer = door.anonymous.post(
        "/api/v1/gates", content=body, headers={"Origin": "null", "Content-Type": "text/plain"}
    )
    assert answer.status_code == 401
    answer = door.anonymous.options("/api/v1/gates", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_answers_cannot_be_framed_sniffed_or_read_as_something_else(door: Door, admin: Person) -> None:
    for answer in (admin.http.get("/api/v1/models"), admin.http.get("/api/v1/nothing"), door.anonymous.get("/healthz")):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 36


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"{'name': 1}", b'{"a": 1,}', b"[]", b"1", b"null", b'"x"', b"\xff\xfe{\x00}\x00",
        b'{"name": "\xff"}', b'{"name": "\\ud800"}', b'{"\\udfff": 1}', b'{"name": "\\u0000"}', b'{"a": NaN}',
        b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1, "a": 2}',
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/gates", "/v1/chat/completions"])
def test_a_body_that_is_no_plain_json_is_a_400(admin: Person, path: str, body: bytes) -> None:
    answer = send(admin, body, path)
    assert answer.status_code == 400, answer.text


def test_json_within_the_limits_is_read(admin: Person, tmp_path: Path) -> None:
    """Brackets 60 deep, a backslash before ``u0000``, whole surrogate pairs and large numbers are kept as they came."""
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    kept = {"deep": deep, "text": "\\u0000 \U0001f600 \u202e é", "big": 10**300, "small": 5e-324}
    made = register(admin, "deep", make_model_folder(tmp_path / "deep", seed=3), metadata=kept)
    details = data_of(admin.http.get("/api/v1/models/deep/versions/1.0.0"))["details"]
    assert {name: details[name] for name in kept} == kept
    assert made["details"] == details


@pytest.mark.parametrize("path", ["/api/v1/gates", "/v1/chat/completions"])
def test_a_body_beyond_the_limit_is_a_413_and_never_held(door: Door, admin: Person, path: str) -> None:
    limit = door.ground.settings.max_request_bytes
    answer = send(admin, b'{"a": "' + b"x" * limit + b'"}', path)
    assert answer.status_code == 413, answer.text


def test_a_compressed_body_is_a_415(admin: Person) -> None:
    for path in ("/api/v1/gates", "/v1/chat/completions"):
        answer = send(admin, gzip.compress(json.dumps(GATE).encode()), path, Content_Encoding="gzip")
        assert answer.status_code == 415, answer.text
    answer = admin.http.put(
        "/api/v1/files", content=gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 415


def test_many_faults_are_told_in_a_short_answer(admin: Person) -> None:
    body = json.dumps({f"unknown-{n}": n for n in range(50_000)})
    for path in ("/api/v1/gates", "/api/v1/runs"):
        began = time.monotonic()
        answer = send(admin, body, path)
        assert answer.status_code == 422
        assert len(answer.content) < 50_000
        assert time.monotonic() - began < 10
    began = time.monotonic()
    answer = send(admin, json.dumps({"recipe": json.loads(body)}), "/api/v1/pipelines/plan")
    assert answer.status_code == 422
    assert len(answer.content) < 100_000
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/v1/tokens",
            {"name": "x", "tenantId": "other", "role": "admin", "isActive": True, "id": 1, "quota": 1e12},
        ),
        ("/api/v1/tokens", {"name": "x", "secretHash": "0" * 64}),
        ("/api/v1/gates", {**GATE, "createdBy": "somebody", "tenant_id": "other"}),
        ("/api/v1/models/x/versions", {"files": [{"path": "a", "digest": "0" * 64}], "stage": "production"}),
        ("/api/v1/models/x/versions", {"files": [{"path": "a", "digest": "0" * 64, "sizeBytes": 1}]}),
        ("/api/v1/deployments", {"version": "x", "status": "ready", "desiredState": "running"}),
        ("/api/v1/evaluations", {"modelVersionId": "x", "dataset": "y", "status": "completed", "scores": []}),
    ],
)
def test_fields_that_are_not_ones_to_set_are_named_and_nothing_is_done(
    door: Door, admin: Person, path: str, body: dict[str, Any]
) -> None:
    before = _count(door, AuditEntry)
    answer = admin.http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["faults"]
    assert _count(door, AuditEntry) == before


# Names, numbers, pages


@pytest.mark.parametrize(
    "name",
    ["", "X", "a b", "a/b", "../x", "a" * 97, "x;y", "$(id)", "a\nb", "-a", "a..b", "ａ", "con\u0301", "0" * 32,
     "01234567-89ab-cdef-0123-456789abcdef"],
)  # fmt: skip
def test_what_is_no_name_is_refused(admin: Person, name: str) -> None:
    for body, path in ((GATE, "gates"), ({"fileDigest": "0" * 64, "fileName": "x.csv"}, "datasets/import")):
        assert admin.http.post(f"/api/v1/{path}", json={**body, "name": name}).status_code == 422, path


@pytest.mark.parametrize(
    "query",
    [{"limit": n} for n in (-1, 0, 1001, 2**64, "x", "\0")] + [{"offset": n} for n in (-1, 2**31, 2**63, 10**400)],
)
def test_a_page_that_cannot_be_is_refused(admin: Person, things: Things, query: dict[str, Any]) -> None:
    lists = [spec.full_path for _, spec in ROUTES if spec.operation_id.endswith(".list")]
    lists += [f"/api/v1/datasets/{things.dataset}/rows", f"/api/v1/evaluations/{things.evaluation_id}/predictions"]
    assert len(lists) >= 11
    for path in lists:
        assert admin.http.get(path, params=query).status_code in (400, 422), path


def test_a_page_beyond_the_end_is_empty(admin: Person, things: Things) -> None:
    for path in (
        "models",
        "jobs",
        f"datasets/{things.dataset}/rows",
        f"evaluations/{things.evaluation_id}/predictions",
    ):
        answer = admin.http.get(f"/api/v1/{path}", params={"offset": 2**31 - 1})
        assert answer.json()["data"] == []
        assert answer.json()["meta"]["total"] > 0


@pytest.mark.parametrize(
    "text", ["x' OR 1=1 --", "%", "_", "\\", "%\\_%", '"', "*", "NEAR(a b,1)", "acme%", "acme_base"]
)
def test_a_search_takes_its_text_literally(admin: Person, things: Things, text: str) -> None:
    assert data_of(admin.http.get("/api/v1/models", params={"q": text})) == []
    assert len(data_of(admin.http.get("/api/v1/models", params={"q": "acme"}))) == 2


def test_a_search_is_bounded_and_takes_no_nul(admin: Person) -> None:
    assert admin.http.get("/api/v1/models", params={"q": "x" * 201}).status_code == 422
    assert admin.http.get("/api/v1/models", params={"q": "\0"}).status_code == 400
    assert admin.http.get("/api/v1/models/a%00b").status_code == 400


def test_a_stage_that_is_none_is_named(admin: Person, things: Things) -> None:
    path = f"/api/v1/models/{things.model}/versions/1.0.0/promote"
    for body in (
        {"toStage": "bogus"},
        {"toStage": "testing", "seenStage": "bogus"},
        {"toStage": "deprecated", "seenStage": ""},
    ):
        answer = admin.http.post(path, json=body)
        assert answer.status_code in (409, 422), answer.text
        assert "stage" in answer.json()["detail"] or "gate" in answer.json()["detail"]


def test_ids_are_found_however_they_are_spelt_and_kept_as_they_are(admin: Person, things: Things) -> None:
    baseline, candidate = things.other_evaluation_id.upper(), f"{{{things.evaluation_id}}}"
    answer = admin.http.post("/api/v1/evaluations/compare", json={"baselineId": baseline, "candidateId": candidate})
    found = data_of(answer)[0]
    assert (found["baselineId"], found["candidateId"]) == (things.other_evaluation_id, things.evaluation_id)


def test_an_unknown_method_of_training_is_refused_before_anything_is_queued(
    door: Door, admin: Person, things: Things
) -> None:
    before = _count(door, Job)
    wish = {"name": "x", "dataset": things.dataset, "base": things.base, "training": {"method": "m" * 60}}
    answer = admin.http.post("/api/v1/runs", json=wish)
    assert answer.status_code in (404, 422), answer.text
    assert _count(door, Job) == before


# Files: up (U1, U3, U4, U5, U7) and down (D22, D31, D32)


@pytest.mark.parametrize(
    "path",
    ["../../etc/cron.d/x", "a/../../x", "..\\..\\x", "/abs", "C:\\x", "\\\\srv\\s", "..", ".", "", "con", "a/nul.txt",
     "x.", "x ", "a\u202eb", "e\u0301", "a//b", "./a", "x" * 251],
)  # fmt: skip
def test_a_path_that_is_not_safe_is_refused(door: Door, admin: Person, path: str) -> None:
    digest = upload(admin, b"x")
    before = _outside(door)
    answer = admin.http.post("/api/v1/models/m/versions", json={"files": [{"path": path, "digest": digest}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "path_invalid")
    assert admin.http.get("/api/v1/models/m").status_code == 404
    assert _outside(door) == before


DIGESTS = ["a" * 63, "a" * 65, "A" * 64, "sha256:../../x", "..", "../" + "a" * 64, "", "٣" * 64, "a" * 64 + "\n"]


@pytest.mark.parametrize("digest", DIGESTS)
def test_what_is_no_digest_is_refused_wherever_it_stands(admin: Person, digest: str) -> None:
    bodies = [
        ("datasets/import", {"name": "d", "fileDigest": digest, "fileName": "x.jsonl"}),
        ("models/m/versions", {"files": [{"path": "config.json", "digest": digest}]}),
        ("pipelines", {"recipe": recipe("m"), "inputs": {"rows.jsonl": digest}}),
    ]
    for path, body in bodies:
        answer = admin.http.post(f"/api/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "digest_invalid"), path
    if digest.isascii() and digest.isprintable() and digest not in ("", ".."):
        status = admin.http.get(f"/api/v1/files/{quote(digest, safe='')}").status_code
        assert status == (404 if "/" in digest else 400)
        assert admin.http.put("/api/v1/files", content=b"x", headers={"X-Digest": digest}).status_code == 400


def test_bytes_of_another_digest_are_not_kept(door: Door, admin: Person) -> None:
    before = _blobs(door)
    answer = admin.http.put("/api/v1/files", content=b"other bytes", headers={"X-Digest": "a" * 64})
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert _blobs(door) == before


def test_an_upload_that_breaks_off_or_lies_of_its_length_leaves_nothing(door: Door, admin: Person) -> None:
    head = f"PUT /api/v1/files HTTP/1.1\r\nHost: tunery\r\nAuthorization: Bearer {admin.token}\r\n"
    before = _blobs(door)
    door.raw(f"{head}Content-Length: 10000000000\r\n\r\nten bytes.".encode(), hang_up=True)
    door.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n".encode(), hang_up=True)
    until(lambda: _blobs(door) == before)
    more = door.raw(f"{head}Content-Length: 10\r\nConnection: close\r\n\r\n0123456789, and more".encode())
    assert more[0] in (201, 400)
    assert _blobs(door) - before <= {hashlib.sha256(b"0123456789").hexdigest()}
    huge = door.raw(f"{head}Content-Length: {10**18}\r\n\r\n".encode())
    assert huge[0] == 413


def test_lengths_that_contradict_each_other_are_refused(door: Door, admin: Person) -> None:
    head = f"PUT /api/v1/files HTTP/1.1\r\nHost: tunery\r\nAuthorization: Bearer {admin.token}\r\n"
    for lengths in ("Content-Length: 5\r\nContent-Length: 6", "Content-Length: -1", "Content-Length: x"):
        assert door.raw(f"{head}{lengths}\r\n\r\nabcdef".encode())[0] in (400, 0), lengths
    both = f"{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert door.raw(f"{both}0\r\n\r\nGET /x HTTP/1.1\r\n\r\n".encode())[0] in (400, 0, 201)


RANGES = {
    "bytes=0-0": (206, slice(0, 1)), "bytes=5-": (206, slice(5, None)), "bytes=-4": (206, slice(-4, None)),
    "bytes=0-99999": (206, slice(0, None)), "bytes=-99999": (206, slice(0, None)),
    "bytes=-0": (416, None), "bytes=99999-": (416, None), "bytes=5-2": (416, None),
    "bytes=0-0,1-1": (200, None), "bytes=" + ",".join(["0-0"] * 3000): (200, None), "bytes=": (200, None),
    "bytes=-": (200, None), "bytes=a-b": (200, None), "items=0-1": (200, None),
    "bytes=" + "9" * 5000 + "-": (200, None), "x" * 20_000: (200, None),
}  # fmt: skip


@pytest.mark.parametrize("asked", RANGES, ids=lambda text: text[:20])
def test_a_range_is_one_range_or_the_whole_or_a_416(admin: Person, things: Things, asked: str) -> None:
    path = f"/api/v1/models/{things.model}/versions/1.0.0/files/adapter_model.safetensors"
    whole = admin.http.get(path).content
    began = time.monotonic()
    answer = admin.http.get(path, headers={"Range": asked})
    assert time.monotonic() - began < 5
    status, part = RANGES[asked]
    assert answer.status_code == status
    assert answer.content == (b"" if status == 416 else whole[part] if part else whole)
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"


def test_a_file_is_handed_over_as_a_file_and_never_shown(admin: Person, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "page", seed=4)
    (folder / "README.md").write_text("<script>alert(1)</script>")
    register(admin, "page", folder)
    answer = admin.http.get(
        "/api/v1/models/page/versions/1.0.0/files/README.md", params={"filename": 'a"\r\nSet-Cookie: x'}
    )
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''README.md"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e%5cx", "file:%2f%2f%2fetc%2fpasswd", "config.json%00"]
)
def test_a_file_that_is_not_of_the_version_is_not_found(admin: Person, things: Things, path: str) -> None:
    answer = admin.http.get(f"/api/v1/models/{things.base}/versions/1.0.0/files/{path}")
    assert answer.status_code == (400 if "%00" in path else 404)


# Once, and one at a time


def test_a_call_repeated_with_its_key_is_done_once(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "again", "fileDigest": things.file, "fileName": "rows.jsonl"}
    before = _count(door, Job)
    answers = [_post(admin, "datasets/import", wish, "key-1") for _ in range(3)]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert {answer.status_code for answer in answers} == {202}
    assert _count(door, Job) == before + 1


def test_a_key_with_another_call_is_a_conflict(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "again", "fileDigest": things.file, "fileName": "rows.jsonl"}
    data_of(_post(admin, "datasets/import", wish, "key-2"))
    before = _count(door, Job)
    answer = _post(admin, "datasets/import", {**wish, "license": "MIT"}, "key-2")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert _count(door, Job) == before
    data_of(_post(admin, "gates", {"name": "keyed", "criteria": [CRITERION]}, "key-2"))  # another operation


def test_twenty_at_once_with_one_key_are_done_once(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "parallel", "fileDigest": things.file, "fileName": "rows.jsonl"}
    before = _count(door, Job)
    answers = _at_once(20, lambda _: _post(admin, "datasets/import", wish, "key-3"))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["data"]["jobId"] for answer in answers if answer.status_code == 202}) == 1
    assert _count(door, Job) == before + 1
    assert _post(admin, "datasets/import", wish, "key-3").status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_is_none_is_refused(admin: Person, key: str) -> None:
    assert _post(admin, "gates", GATE, key).status_code == 400


def test_of_eight_who_move_a_stage_at_once_one_does(door: Door, admin: Person, tmp_path: Path) -> None:
    for number in range(4):
        made = register(admin, "raced", make_model_folder(tmp_path / str(number), seed=10 + number))
        path = f"/api/v1/models/raced/versions/{made['version']}/promote"
        wish = {"toStage": "deprecated", "seenStage": "development"}
        answers = _at_once(8, lambda _, path=path, wish=wish: admin.http.post(path, json=wish))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert {a.json()["code"] for a in answers if a.status_code == 409} == {"stale_state"}
    with door.ground.database.session(admin.actor.tenant_id, read_only=True) as session:
        moves = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "model_stage_moved"))
        assert len([row for row in moves if row.resource.startswith("raced:")]) == 4


def test_of_eight_who_make_the_same_at_once_none_fails_by_our_fault(door: Door, admin: Person, tmp_path: Path) -> None:
    """Names that are taken in the same moment are conflicts; nobody's name is made twice."""
    files = [
        {"path": p.name, "digest": upload(admin, p.read_bytes())}
        for p in make_model_folder(tmp_path / "same", seed=20).iterdir()
    ]
    calls: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
        ("gates", lambda n: {"name": "same", "criteria": [{**CRITERION, "threshold": n / 10}]}),
        ("models/same/versions", lambda n: {"files": files, "metadata": {"n": n}}),
        ("tokens", lambda n: {"name": str(n), "email": "new@acme.example"}),
    ]
    for path, body in calls:
        answers = _at_once(8, lambda n, path=path, body=body: admin.http.post(f"/api/v1/{path}", json=body(n)))
        assert {answer.status_code for answer in answers} <= {201, 409}, [a.text for a in answers]
        assert 201 in {answer.status_code for answer in answers}
    assert [v["version"] for v in data_of(admin.http.get("/api/v1/models/same/versions"))] == ["1.0.0"]


def test_many_who_watch_or_upload_slowly_keep_nobody_else_waiting(door: Door, admin: Person, things: Things) -> None:
    """60 streams of events that do not come and 60 uploads that do not go on: other calls are answered as before."""
    job_id = data_of(admin.http.get("/api/v1/jobs", params={"status": "queued"}))[0]["id"]
    head = f"HTTP/1.1\r\nHost: tunery\r\nAuthorization: Bearer {admin.token}\r\n"
    watch = f"GET /api/v1/jobs/{job_id}/events {head}\r\n"
    slow = f"PUT /api/v1/files {head}Content-Length: 1000\r\n\r\nx"
    with ExitStack() as held:
        for request in [watch] * 60 + [slow] * 60:
            connection = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(str(door.socket_path))
            connection.sendall(request.encode())
            if request == watch:
                connection.settimeout(20)
                assert connection.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        assert door.anonymous.get("/readyz").status_code == 200
        assert len(data_of(admin.http.get("/api/v1/models"))) >= 2
        assert time.monotonic() - began < 5
    until(lambda: not list((door.ground.settings.home / "blobs").glob("*/staging/*")))


# Everything odd, everywhere


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
    assert tried > 1000


def test_no_odd_value_in_a_recipe_makes_a_fault_of_ours(admin: Person, things: Things) -> None:
    schema = Recipe.model_json_schema()
    right = _right(things)["pipelines.start"]
    tried = 0
    for odd in _odd_ones(schema, schema, right["recipe"]):
        _send_odd(admin, "POST", "/api/v1/pipelines", {**right, "recipe": odd})
        tried += 1
    assert tried > 500


def test_no_odd_value_in_an_address_makes_a_fault_of_ours(door: Door, admin: Person, things: Things) -> None:
    document = door.anonymous.get("/api/openapi.json").json()
    tried = 0
    for _, spec in ROUTES:
        path = spec.full_path.replace(":path", "")
        operation = document["paths"][path][spec.method.lower()]
        usual = {"follow": "false"} if spec.operation_id == "jobs.events" else {}
        for parameter in operation.get("parameters", []):
            for text in (*ODD_TEXTS, *map(str, ODD_NUMBERS)):
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
    assert tried > 1000


def _right(things: Things) -> dict[str, dict[str, Any]]:
    """Return what makes bodies right where their schema alone does not say it."""
    started = {"recipe": recipe(things.base), "inputs": {"rows.jsonl": things.file}}
    return {
        "datasets.import": {"name": "odd", "fileDigest": things.file, "fileName": "rows.jsonl"},
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
            yield {**usual, name: value}
        inner = _objects(part, document)
        for second in inner.get("properties", {}):
            for value in FEW_ODD:
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


def _post(person: Person, path: str, body: Any, key: str) -> httpx.Response:
    return person.http.post(f"/api/v1/{path}", json=body, headers={"Idempotency-Key": key})


def _at_once(count: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    together = threading.Barrier(count)

    def one(number: int) -> httpx.Response:
        together.wait(20)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _count(door: Door, table: type[Any]) -> int:
    with door.ground.database.session(door["acme/admin"].actor.tenant_id, read_only=True) as session:
        return session.scalar(sa.select(sa.func.count(table.id))) or 0


def _blobs(door: Door) -> set[str]:
    return {path.name for path in (door.ground.settings.home / "blobs").rglob("*") if path.is_file()}


def _outside(door: Door) -> set[Path]:
    return set(door.ground.settings.home.parent.glob("*")) - {door.ground.settings.home}


# Faults of ours tell nothing of the inside


def test_a_fault_of_ours_tells_only_its_request_id(door: Door, admin: Person) -> None:
    """The table of gates goes away under the running house."""
    settings = door.ground.settings
    engine = sa.create_engine(
        sa.make_url(settings.database_admin_url or settings.effective_database_url).set(
            drivername="sqlite" if settings.is_sqlite else "postgresql+psycopg"
        )
    )
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("alter table gates rename to lost"))
        answer = admin.http.get("/api/v1/gates")
        ready = door.anonymous.get("/readyz")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("alter table lost rename to gates"))
        engine.dispose()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.json().keys() == {"type", "title", "status", "code", "detail"}
    assert "gates" not in answer.text.lower()
    assert ready.status_code == 200
    assert admin.http.get("/api/v1/gates").status_code == 200


def test_a_database_that_is_away_is_a_503_and_comes_back(door: Door, admin: Person) -> None:
    settings = door.ground.settings
    if settings.is_sqlite:
        pytest.skip("the embedded database is never away")
    url = sa.make_url(settings.database_admin_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as owner:
        try:
            owner.execute(sa.text(f'alter database "{url.database}" allow_connections false'))
            ended = sa.text("select pg_terminate_backend(pid) from pg_stat_activity where datname = :name")
            owner.execute(ended, {"name": url.database})
            calls = [admin.http.get(path) for path in ("/api/v1/gates", "/api/v1/jobs")]
            calls += [door.anonymous.get("/readyz"), admin.http.post("/api/v1/gates", json=GATE)]
        finally:
            owner.execute(sa.text(f'alter database "{url.database}" allow_connections true'))
    engine.dispose()
    for answer in calls:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert answer.headers["retry-after"] == "2"
        assert str(url.database) not in answer.text
    assert door.anonymous.get("/readyz").status_code == 200
    assert admin.http.get("/api/v1/gates").status_code == 200


def test_a_job_that_fails_by_a_fault_of_ours_tells_its_id_and_no_more(door: Door, admin: Person) -> None:
    with door.ground.database.session(admin.actor.tenant_id) as session:
        job_id = enqueue_job(session, admin.actor, "tests.fault", {}).id
    Worker(door.ground).carry_out(job_id, 0)
    found = data_of(admin.http.get(f"/api/v1/jobs/{job_id}"))
    assert found["status"] == "failed"
    assert found["error"] == {
        "code": "internal",
        "detail": f"a fault of ours (RuntimeError); the worker's log tells more under job {job_id}",
    }


def test_a_heavy_step_that_fails_names_its_log_and_no_path(tmp_path: Path) -> None:
    ENTRIES.register("tests.fault")("tests.doors.test_bad_input:fault")
    with pytest.raises(InternalError) as caught:
        run_in_child(
            "tests.fault",
            {"home": str(tmp_path)},
            log_path=tmp_path / "step.log",
            on_event=print,
            cancelled=lambda: False,
        )
    assert caught.value.message == "tests.fault met a fault of ours (RuntimeError) (log: step.log)"
    assert caught.value.shown == {}
    assert str(tmp_path) in (tmp_path / "step.log").read_text()


@job("tests.fault")
def _fault(context: JobContext, payload: dict[str, Any]) -> None:
    raise RuntimeError(f"cannot open {context.ground.settings.home}")


def fault(order: dict[str, Any], emit: Any, cancelled: Any) -> dict[str, Any]:
    """Fail, and say where."""
    raise RuntimeError(f"cannot open {order['home']}")
