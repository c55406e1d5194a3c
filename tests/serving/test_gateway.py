"""The gateway, asked by the unmodified ``openai`` client and by strangers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai as sdk
import pytest
import structlog
from openai import OpenAI
from prometheus_client import REGISTRY
from pydantic import BaseModel

from tests.serving.conftest import Stage, token_of, until
from tests.serving.teller import TELLER, TEMPLATE_DIGEST
from tunery.identity.operations import revoke_token
from tunery.kit.actor import Actor
from tunery.platform.http import PUBLIC, ROUTES
from tunery.registry.tables import ModelVersion
from tunery.serving.gateway.shapes import ChatAnswer, ModelList, TextAnswer

# Nothing here depends on the database; the deployments beside it run on both.
pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]


WRONG: list[tuple[str, Any]] = [
    ("chat_template", "{{ 1 }}"),
    ("chat_template_kwargs", {"tokenize": True}),
    ("prompt_embeds", "gASV"),
    ("lora", [{"id": 0, "scale": 1.0}]),
    ("adapter", "base"),
    ("n", 1_000_000),
    ("n", 2),
    ("best_of", 5),
    ("max_tokens", 10**9),
    ("max_tokens", -1),
    ("max_tokens", 1.5),
    ("logprobs", True),
    ("top_logprobs", 10**6),
    ("stop", ["x"] * 10_000),
    ("temperature", -1),
    ("temperature", "hot"),
    ("seed", 2**70),
    ("seed", -1),
    ("n_discard", -5),
    ("response_format", {"type": "json_schema", "json_schema": {"schema": {"pattern": "(a+)+$"}}}),
    ("tools", [{}] * 10_000),
    ("messages", []),
    ("messages", [{"role": "wizard", "content": "x"}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]),
    ("messages", [{"role": "user", "content": "x"}] * 5000),
    ("messages", "hello"),
    ("model", None),
    ("model", ["tuned"]),
    ("stream", "yes"),
    ("stream_options", {"include_usage": True, "x": 1}),
    ("prompt", "both"),
]

NO_JSON: list[bytes] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"model": "tuned", "messages": [{"role": "user", "content": "\xff"}]}',
    b'{"model": "tuned", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "tuned", "model": "tuned", "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tuned", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tuned", "temperature": 1e999, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tuned", "max_tokens": ' + b"9" * 5000 + b', "messages": [{"role": "user", "content": "x"}]}',
    b"[" * 100_000,
    b'{"model":' * 50_000,
]


@pytest.fixture
def tuned(stage: Stage) -> ModelVersion:
    """A deployed adapter."""
    version = stage.shelf.adapter()
    assert stage.deploy(version).status == "ready"
    return version


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"model": "tuned", "messages": HELLO, **fields})


def folder(stage: Stage) -> Path:
    """The engines' work folder, where ``hold`` looks for ``go``."""
    return stage.ground.settings.home / "logs" / "engines"


def number(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_openai_client_chats(tuned: ModelVersion, openai: OpenAI) -> None:
    answer = openai.chat.completions.create(model="tuned", messages=HELLO)
    assert answer.choices[0].message.content == f"I am {tuned.manifest_digest} hello there"
    assert answer.model == "tuned:1.0.0"
    assert answer.usage is not None
    # "hello there" is 2 words, "I am <digest> hello there" is 5
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 5, 7)


def test_the_openai_client_streams(tuned: ModelVersion, openai: OpenAI) -> None:
    chunks = list(openai.chat.completions.create(model="tuned", messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == f"I am {tuned.manifest_digest} hello there "
    assert {c.model for c in chunks} == {"tuned:1.0.0"}
    assert all(c.choices for c in chunks)


def test_a_stream_ends_with_its_counts_where_they_are_asked_for(tuned: ModelVersion, openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model="tuned", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 7


def test_a_plain_text_is_gone_on_with(tuned: ModelVersion, openai: OpenAI) -> None:
    answer = openai.completions.create(model="tuned", prompt="once", max_tokens=2)
    assert answer.choices[0].text == "I am"


def test_the_models_are_the_deployments_that_answer(tuned: ModelVersion, openai: OpenAI) -> None:
    assert [(m.id, m.owned_by) for m in openai.models.list()] == [("tuned", "acme")]
    assert openai.models.retrieve("tuned").id == "tuned"
    with pytest.raises(sdk.NotFoundError):
        openai.models.retrieve("small")


def test_the_documentation_says_what_is_asked_and_answered(tuned: ModelVersion, http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    calls: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
        ("/v1/chat/completions", ChatAnswer, {"messages": HELLO}),
        ("/v1/completions", TextAnswer, {"prompt": "once"}),
    ]
    for path, shape, wish in calls:
        schema = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert {"model", "max_tokens", "temperature", "stop", "stream", *wish} <= schema["properties"].keys()
        assert "$ref" not in json.dumps(schema)
        said = paths[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert said == {"$ref": f"#/components/schemas/{shape.__name__}"}
        assert http.post(path, json={"model": "tuned", **wish}).status_code == 200
    answer = http.get("/v1/models").json()
    assert ModelList.model_validate(answer, extra="forbid").model_dump() == answer


def test_headers_say_which_bytes_answered(tuned: ModelVersion, http: httpx.Client) -> None:
    expected = {
        "x-tunery-deployment": "tuned",
        "x-tunery-model": "tuned:1.0.0",
        "x-tunery-version-digest": tuned.manifest_digest,
        "x-tunery-base-digest": tuned.base_digest,
        "x-tunery-adapter-digest": tuned.manifest_digest,
        "x-tunery-template-digest": TEMPLATE_DIGEST,
        "x-tunery-engine": "teller",
    }
    for stream in (False, True):
        response = ask(http, stream=stream)
        assert {name: response.headers[name] for name in expected} == expected


def test_a_base_answers_under_its_own_name_alone(tuned: ModelVersion, stage: Stage, http: httpx.Client) -> None:
    assert ask(http, model="small").status_code == 404
    stage.deploy("small")
    response = ask(http, model="small")
    assert response.json()["choices"][0]["message"]["content"] == "I am base hello there"
    assert "x-tunery-adapter-digest" not in response.headers
    assert response.headers["x-tunery-version-digest"] == response.headers["x-tunery-base-digest"] == tuned.base_digest


def test_an_unknown_model_is_a_404_and_never_the_base(tuned: ModelVersion, http: httpx.Client) -> None:
    for model in ("unknown", "../x", "a/b:v1", "", "x" * 10**6, "rival/tuned", "tuned:9.9.9", "acme/small"):
        response = ask(http, model=model)
        problem = response.json()["error"]
        found = (response.status_code, problem["code"], problem["type"], problem["param"])
        assert found == (404, "model_not_found", "invalid_request_error", "model"), model[:80]
        assert len(response.content) < 1000


def test_another_tenants_model_is_answered_as_one_that_does_not_exist(
    tuned: ModelVersion, stage: Stage, url: str, stranger: Actor
) -> None:
    headers = {"Authorization": f"Bearer {token_of(stage.ground, stranger)}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as theirs:
        foreign, missing = ask(theirs, model="tuned"), ask(theirs, model="tunex")
        assert foreign.status_code == missing.status_code == 404
        assert foreign.content.replace(b"tuned", b"tunex") == missing.content
        assert theirs.get("/v1/models").json()["data"] == []
        assert theirs.get("/api/v1/deployments/tuned").status_code == 404


def test_without_a_valid_token_nothing_answers(tuned: ModelVersion, url: str, viewer_token: str) -> None:
    for headers, status, kind in [
        ({}, 401, "authentication_error"),
        ({"Authorization": "Bearer tnr_x"}, 401, "authentication_error"),
        ({"Authorization": f"Bearer {viewer_token}"}, 403, "permission_error"),
    ]:
        for method, path in [("POST", "chat/completions"), ("POST", "completions"), ("GET", "models")]:
            response = httpx.request(method, f"{url}/v1/{path}", headers=headers, json={}, timeout=60)
            assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


def test_every_route_of_the_gateway_needs_the_permission_to_use_inference(ground: object) -> None:
    found = {spec.operation_id: spec.permission for _, spec in ROUTES if spec.full_path.startswith("/v1/")}
    assert found == dict.fromkeys(["chat.complete", "chat.complete_text", "chat.model", "chat.models"], "inference:use")
    assert all(spec.permission != PUBLIC for _, spec in ROUTES if spec.is_async)


def test_a_field_that_is_unknown_or_wrong_is_a_400_that_names_it(tuned: ModelVersion, http: httpx.Client) -> None:
    for field, value in WRONG:
        response = ask(http, **{field: value})
        problem = response.json()["error"]
        # Of two ways to ask at once, the message names the route's own field.
        named = "messages" if field == "prompt" else field
        found = (response.status_code, problem["type"], problem["param"].split(".")[0])
        assert found == (400, "invalid_request_error", named), (field, value)


def test_a_body_that_is_no_plain_json_is_a_400(tuned: ModelVersion, http: httpx.Client) -> None:
    for body in NO_JSON:
        response = http.post("/v1/chat/completions", content=body)
        assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error"), body[:80]


def test_a_body_over_the_limit_is_a_413(tuned: ModelVersion, stage: Stage, http: httpx.Client) -> None:
    limit = stage.ground.settings.max_request_bytes
    pieces = (b" " * 1_000_000 for _ in range(limit // 1_000_000 + 1))
    response = http.post("/v1/chat/completions", content=pieces)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_a_compressed_body_is_refused(tuned: ModelVersion, http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", content=b"x", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415


def test_addresses_that_are_not_there_fail_in_openais_shape_too(tuned: ModelVersion, http: httpx.Client) -> None:
    for method, path, status in [("GET", "embeddings", 404), ("GET", "chat/completions", 405), ("PUT", "models", 405)]:
        response = http.request(method, f"/v1/{path}")
        assert response.status_code == status
        assert response.json()["error"]["message"]
    assert http.get("/api/v1/deployments/none").json()["code"] == "not_found"


def test_a_prompt_longer_than_the_context_is_a_400_with_openais_code(tuned: ModelVersion, openai: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.chat.completions.create(model="tuned", messages=[{"role": "user", "content": "long"}])
    assert caught.value.code == "context_length_exceeded"


def test_requests_in_flight_survive_the_change_of_engines(tuned: ModelVersion, stage: Stage, openai: OpenAI) -> None:
    (old,) = TELLER.alive()
    stream = openai.chat.completions.create(
        model="tuned", messages=[{"role": "user", "content": "hold on"}], stream=True
    )
    first = next(iter(stream))
    stage.deploy(stage.shelf.adapter(2), "other")
    assert old.alive()
    (folder(stage) / "go").touch()
    rest = "".join(c.choices[0].delta.content or "" for c in stream)
    assert (first.choices[0].delta.content or "") + rest == f"I am {tuned.manifest_digest} hold on "
    until(lambda: not old.alive())


def test_no_request_fails_while_versions_change(tuned: ModelVersion, stage: Stage, http: httpx.Client) -> None:
    ended = threading.Event()
    answers: list[list[str]] = [[], [], []]

    def keep_asking(seen: list[str]) -> None:
        while not ended.is_set():
            response = ask(http)
            assert response.status_code == 200, response.text
            seen.append(response.headers["x-tunery-model"])

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(keep_asking, seen) for seen in answers]
        try:
            for seed in (2, 3, 4):
                served = f"tuned:1.{seed - 2}.0"
                until(lambda served=served: all(served in seen for seen in answers))
                assert stage.deploy(stage.shelf.adapter(seed), "tuned").status == "ready"
        finally:
            ended.set()
        for future in asking:
            future.result()
    assert all(seen == sorted(seen) for seen in answers)


def test_the_first_request_after_a_restart_starts_the_engine(tuned: ModelVersion, stage: Stage, openai: OpenAI) -> None:
    (engine,) = TELLER.alive()
    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: stage.look("tuned").status == "starting" or len(TELLER.started) > 1)
    answer = openai.chat.completions.create(model="tuned", messages=HELLO)
    assert answer.choices[0].message.content == f"I am {tuned.manifest_digest} hello there"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_ends_the_generation(
    tuned: ModelVersion, stage: Stage, url: str, token: str, stream: bool
) -> None:
    before = number("tunery_gateway_requests_total", deployment="acme/tuned", outcome="gone")
    body = {"model": "tuned", "stream": stream, "messages": [{"role": "user", "content": "hold"}]}
    request = httpx.Request(
        "POST", f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {token}"}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port)) as leaving:
        leaving.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        until((folder(stage) / "held").exists)
    until((folder(stage) / "left").exists)
    until(lambda: number("tunery_gateway_requests_total", deployment="acme/tuned", outcome="gone") == before + 1)


def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error_and_no_done(
    tuned: ModelVersion, http: httpx.Client, openai: OpenAI
) -> None:
    (first,) = TELLER.alive()
    fields = {"messages": [{"role": "user", "content": "die"}], "stream": True}
    lines = [line for line in ask(http, **fields).text.split("\n\n") if line]
    assert json.loads(lines[0].removeprefix("data: "))["choices"][0]["delta"]["content"] == "I "
    problem = json.loads(lines[-1].removeprefix("data: "))["error"]
    assert (problem["type"], problem["code"]) == ("server_error", "engine_failed")
    assert not any("[DONE]" in line for line in lines)
    until(lambda: not first.alive())
    with pytest.raises(sdk.APIError, match="ended before its answer was complete"):
        list(openai.chat.completions.create(model="tuned", **fields))


def test_a_revoked_token_ends_a_stream(tuned: ModelVersion, stage: Stage, url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    fields = {"messages": [{"role": "user", "content": "hold " + "word " * 40}], "stream": True, "model": "tuned"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        client.stream("POST", "/v1/chat/completions", json=fields) as response,
    ):
        lines: Iterator[str] = response.iter_lines()
        next(lines)
        with stage.ground.database.session(stage.actor.tenant_id) as session:
            revoke_token(session, stage.actor, token.split("_")[1])
        bound = stage.ground.settings.grant_cache_seconds + 1
        threading.Timer(bound, (folder(stage) / "go").touch).start()
        rest = [line for line in lines if line]
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["type"] == "authentication_error"
    assert "data: [DONE]" not in rest


def test_a_failed_deployment_is_a_503_with_its_reason(stage: Stage, http: httpx.Client) -> None:
    stage.deploy(stage.mute_adapter())
    response = ask(http)
    assert response.status_code == 503
    assert "failed" in response.json()["error"]["message"]
    assert "retry-after" in response.headers


def test_tokens_requests_and_the_first_token_are_counted_by_deployment(tuned: ModelVersion, http: httpx.Client) -> None:
    def counted() -> list[float]:
        label = {"deployment": "acme/tuned"}
        return [
            number("tunery_gateway_requests_total", outcome="ok", **label),
            number("tunery_gateway_tokens_total", direction="in", **label),
            number("tunery_gateway_tokens_total", direction="out", **label),
            number("tunery_gateway_first_token_seconds_count", **label),
        ]

    before = counted()
    ask(http)
    ask(http, stream=True)
    # two requests of 2 words in and 5 out each; only the stream has a first token
    until(lambda: [now - then for now, then in zip(counted(), before, strict=True)] == [2, 4, 10, 1])


def test_prompts_stand_in_no_log(tuned: ModelVersion, http: httpx.Client, openai: OpenAI) -> None:
    with structlog.testing.capture_logs() as lines:
        secret = "die xyzzy-canary"
        ask(http, messages=[{"role": "user", "content": secret}], user="xyzzy-user", stream=True)
        ask(http, messages=[{"role": "user", "content": secret}], temperature="xyzzy")
        until(lambda: TELLER.alive())
        ask(http, messages=[{"role": "user", "content": "long xyzzy"}], metadata={"a": "xyzzy"})
    assert "xyzzy" not in json.dumps(lines, default=str)


def test_deployments_are_made_and_taken_away_over_http(stage: Stage, http: httpx.Client, viewer_token: str) -> None:
    stage.shelf.adapter()
    wish = {"version": "tuned", "name": "by-http", "engine": "teller"}
    made = http.post("/api/v1/deployments", json=wish)
    assert made.status_code == 201
    assert made.json()["data"]["status"] == "starting"
    until(lambda: http.get("/api/v1/deployments/by-http").json()["data"]["status"] == "ready")
    assert [d["servedVersion"] for d in http.get("/api/v1/deployments").json()["data"]] == ["tuned:1.0.0"]
    assert ask(http, model="by-http").status_code == 200
    headers = {"Authorization": f"Bearer {viewer_token}"}
    assert http.post("/api/v1/deployments", json=wish, headers=headers).status_code == 403
    assert http.delete("/api/v1/deployments/by-http", headers=headers).status_code == 403
    assert http.delete("/api/v1/deployments/by-http").status_code == 200
    until(lambda: ask(http, model="by-http").status_code == 404)
    assert http.post("/api/v1/deployments", json={**wish, "name": "../x"}).status_code == 422
