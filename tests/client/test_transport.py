"""The transport: envelope and problems, retries, keys, where the server is, whose token goes where."""

from __future__ import annotations

import io
import os
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.client.scripted import answer, break_off, scripted
from tunery.client.address import find_server
from tunery.client.files import Files
from tunery.client.transport import Transport, events_of, path_of
from tunery.errors import (
    Conflict,
    InvalidInput,
    MissingExtra,
    NotFound,
    StaleState,
    Unauthenticated,
    Unavailable,
)
from tunery.settings import Settings

OK = answer(200, b'{"success": true, "data": {"x": 1}, "meta": null}')
BUSY_BODY = b'{"code": "unavailable", "detail": "busy", "status": 503}'
BUSY = answer(503, BUSY_BODY, "application/problem+json")


def test_data_and_meta_come_out_of_the_envelope(transport: Transport, home: Path) -> None:
    listing = answer(200, b'{"success": true, "data": [1, 2], "meta": {"total": 7}}')
    with scripted(home / "s", listing) as script:
        assert transport.call("GET", "/api/v1/things", query={"limit": 2, "q": None}) == ([1, 2], {"total": 7})
    assert script.seen[0].path == "/api/v1/things?limit=2"
    assert script.seen[0].headers["authorization"] == "Bearer tnr_owner"


def test_a_problem_becomes_the_class_of_its_code(transport: Transport, home: Path) -> None:
    stale = answer(409, b'{"code": "stale_state", "detail": "moved on", "seen": "testing"}')
    with scripted(home / "s", stale), pytest.raises(StaleState, match="moved on") as caught:
        transport.call("POST", "/api/v1/things", body={})
    assert caught.value.details == {"seen": "testing"}


def test_an_error_without_a_problem_is_told_by_its_status(transport: Transport, home: Path) -> None:
    with scripted(home / "s", answer(404, b"<html>", "text/html")), pytest.raises(NotFound, match="is it a Tunery"):
        transport.call("GET", "/api/v1/things")


def test_an_error_of_openai_shape_becomes_ours(transport: Transport, home: Path) -> None:
    body = b'{"error": {"message": "no model x", "type": "invalid_request_error", "code": "not_found"}}'
    with scripted(home / "s", answer(404, body)), pytest.raises(NotFound, match="no model x"):
        list(transport.post_stream("/v1/chat/completions", {}))


def test_a_deed_may_take_longer_than_a_look(transport: Transport, home: Path) -> None:
    transport.silence_seconds = 0.2

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(1)
        OK(handler)

    with scripted(home / "s", slow):
        assert transport.call("POST", "/api/v1/things", body={})[0] == {"x": 1}
        with pytest.raises(Unavailable, match="did not answer in time"):
            transport.call("GET", "/api/v1/things")


def test_a_busy_server_is_asked_again_with_the_same_key(transport: Transport, home: Path) -> None:
    with scripted(home / "s", BUSY, break_off(), OK) as script:
        assert transport.call("POST", "/api/v1/things", body={"a": 1})[0] == {"x": 1}
    assert len(script.seen) == 3
    assert len({request.headers["idempotency-key"] for request in script.seen}) == 1


def test_two_calls_have_two_keys(transport: Transport, home: Path) -> None:
    with scripted(home / "s", OK) as script:
        transport.call("POST", "/api/v1/things", body={})
        transport.call("POST", "/api/v1/things", body={})
    assert script.seen[0].headers["idempotency-key"] != script.seen[1].headers["idempotency-key"]


def test_a_call_without_a_key_is_not_repeated(transport: Transport, home: Path) -> None:
    with scripted(home / "s", BUSY, OK) as script, pytest.raises(Unavailable, match="busy"):
        transport.call("POST", "/api/v1/tokens", body={}, keyed=False)
    assert len(script.seen) == 1


def test_what_will_not_come_by_itself_is_not_asked_for_again(transport: Transport, home: Path) -> None:
    missing = answer(503, b'{"code": "missing_extra", "detail": "pip install ..."}')
    with scripted(home / "s", missing, OK) as script, pytest.raises(MissingExtra):
        transport.call("GET", "/api/v1/things")
    assert len(script.seen) == 1


def test_a_server_that_stays_busy_is_given_up_after_five_attempts(transport: Transport, home: Path) -> None:
    with scripted(home / "s", BUSY) as script, pytest.raises(Unavailable):
        transport.call("GET", "/api/v1/things")
    assert len(script.seen) == 5


def test_an_upload_is_sent_whole_again_after_a_break(transport: Transport, home: Path) -> None:
    class Sized(io.BytesIO):
        size_bytes = 3000

    with scripted(home / "s", break_off(), OK) as script:
        transport.call("PUT", "/api/v1/files", upload=lambda: Sized(b"abc" * 1000))
    assert [len(request.body) for request in script.seen] == [3000, 3000]


def test_a_server_that_asks_for_a_pause_gets_it_before_each_new_attempt_at_an_upload_in_parts(
    transport: Transport, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    files = Files(transport)
    files.parts_from_bytes = 0
    file = home / "rows"
    file.write_bytes(b"abc")
    missing, away = answer(404, b'{"code": "not_found", "detail": "x"}'), answer(503, BUSY_BODY, retry_after="7")
    with scripted(home / "s", missing, away), pytest.raises(Unavailable):
        files.upload(file)
    # Five rounds of five attempts each: four pauses within a round, four between them.
    assert paused == [7.0] * (5 * 4 + 4)


def test_without_a_wish_of_the_server_pauses_double_and_differ(transport: Transport) -> None:
    transport.first_pause_seconds = 0.25
    for attempt in (1, 2, 3, 4):
        pauses = {transport.pause(attempt) for _ in range(20)}
        assert len(pauses) > 1
        assert max(pauses) <= 0.25 * 2**attempt


def test_a_conflict_is_not_repeated(transport: Transport, home: Path) -> None:
    with scripted(home / "s", answer(409, b'{"code": "conflict", "detail": "x"}')) as script, pytest.raises(Conflict):
        transport.call("POST", "/api/v1/things", body={})
    assert len(script.seen) == 1


def test_a_stream_that_breaks_off_is_told(transport: Transport, home: Path) -> None:
    half = break_off(100, b"half")
    with (
        scripted(home / "s", half),
        pytest.raises(Unavailable, match="broke off"),
        transport.stream("GET", "/x") as response,
    ):
        response.read()


def test_events_are_read_as_the_standard_says() -> None:
    lines = [": comment", "id: 7", "data: a", "data:b", "", "", "data: c", "retry: 1", "", "data: never ended"]
    assert [*events_of(iter(lines))] == [("7", "a\nb"), ("7", "c")]


def test_names_cannot_name_another_address() -> None:
    assert path_of("models", "../tokens", "a b?x=1#y") == "/api/v1/models/..%2Ftokens/a%20b%3Fx%3D1%23y"


def test_the_owner_token_is_not_sent_to_another_machine(home: Path) -> None:
    elsewhere = Transport(Settings(home=home, url="https://tunery.example.com", token="", _env_file=None))
    with pytest.raises(Unauthenticated, match="TUNERY_TOKEN"):
        elsewhere.call("GET", "/api/v1/things")


def test_what_is_no_address_is_refused(home: Path) -> None:
    with pytest.raises(InvalidInput, match="server address"):
        Transport(Settings(home=home, url="tunery.example.com", _env_file=None)).call("GET", "/")


def test_a_server_that_does_not_answer_is_said_with_what_to_do(home: Path) -> None:
    nobody = Transport(Settings(home=home, url="http://127.0.0.1:9", token="t", _env_file=None))
    nobody.first_pause_seconds = 0
    with pytest.raises(Unavailable, match="tunery serve"):
        nobody.call("POST", "/api/v1/tokens", body={}, keyed=False)


@pytest.mark.parametrize(
    "entry",
    ["", "[]", "{}", '{"pid": "x"}', '{"pid": 999999999, "socket": "/nowhere"}', f'{{"pid": {os.getpid()}}}'],
    ids=["empty", "list", "nothing", "no number", "dead", "no address"],
)
def test_a_stale_server_file_names_nobody(home: Path, entry: str) -> None:
    home.joinpath("server.json").write_text(entry)
    assert find_server(Settings(home=home, _env_file=None)) is None


def test_a_live_process_that_is_no_server_is_not_asked(home: Path) -> None:
    assert find_server(Settings(home=home, _env_file=None)) is None


def test_a_running_server_is_found_by_its_socket(home: Path) -> None:
    with scripted(home / "s", OK):
        found = find_server(Settings(home=home, _env_file=None))
    assert found is not None
    assert found.socket == home / "s"
    assert not found.own
