"""Uploads and quotas through the door and from the command line."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doors.door import Door, Person, until
from tests.doors.things import data_of, upload
from tests.registry.folders import make_model_folder
from tunery.cli.main import run
from tunery.client import Client
from tunery.client.files import Files
from tunery.kit.media_types import GGUF, SAFETENSORS

PART = 65_536
DATA = random.Random(4).randbytes(2 * PART)


def begin(person: Person, data: bytes = DATA, **wish: Any) -> Any:
    body = {"digest": hashlib.sha256(data).hexdigest(), "sizeBytes": len(data), "partBytes": PART, **wish}
    return person.http.post("/api/v1/uploads", json=body)


def put(person: Person, address: str, data: bytes, **headers: str) -> tuple[int, str]:
    answer = person.http.put(address, content=data, headers={"X-Digest": hashlib.sha256(data).hexdigest(), **headers})
    return answer.status_code, answer.json().get("code", "")


def test_a_file_comes_in_parts(admin: Person) -> None:
    made = data_of(begin(admin))
    assert (made["status"], made["partCount"], made["parts"]) == ("open", 2, [])
    address = f"/api/v1/uploads/{made['id']}"
    assert put(admin, f"{address}/parts/2", DATA[PART:])[0] == 200
    assert [part["number"] for part in data_of(admin.http.get(address))["parts"]] == [2]
    answer = admin.http.post(f"{address}/complete")
    assert (answer.status_code, answer.json()["missing"]) == (422, [1])
    assert put(admin, f"{address}/parts/1", DATA[:PART])[0] == 200
    done = [data_of(admin.http.post(f"{address}/complete")) for _ in range(2)]
    assert done[0] == done[1]
    assert (done[0]["status"], done[0]["digest"]) == ("complete", hashlib.sha256(DATA).hexdigest())
    assert data_of(admin.http.get(f"/api/v1/files/{done[0]['digest']}"))["sizeBytes"] == len(DATA)
    again = begin(admin)
    assert (again.status_code, data_of(again)["id"], data_of(again)["status"]) == (201, None, "complete")


def test_a_part_that_is_not_as_it_should_be_is_refused_and_leaves_nothing(door: Door, admin: Person) -> None:
    made = data_of(begin(admin, DATA[::-1]))
    address = f"/api/v1/uploads/{made['id']}/parts/1"
    before = _staged(door)
    assert put(admin, address, b"short") == (400, "malformed_request")
    assert put(admin, address, DATA) == (413, "too_large")
    assert put(admin, address, DATA[:PART], **{"X-Digest": "a" * 64}) == (422, "digest_mismatch")
    assert put(admin, address, DATA[:PART], **{"X-Digest": "../x"}) == (400, "digest_invalid")
    assert put(admin, address, DATA[:PART], **{"Content-Encoding": "gzip"}) == (415, "unsupported_media")
    assert put(admin, address.replace("parts/1", "parts/3"), DATA[:PART]) == (422, "invalid_input")
    head = f"PUT {address} HTTP/1.1\r\nHost: tunery\r\nAuthorization: Bearer {admin.token}\r\nX-Digest: {'a' * 64}\r\n"
    door.raw(f"{head}Content-Length: {PART}\r\n\r\nten bytes.".encode(), hang_up=True)
    until(lambda: _staged(door) == before)
    assert data_of(admin.http.get(f"/api/v1/uploads/{made['id']}"))["parts"] == []
    assert admin.http.delete(f"/api/v1/uploads/{made['id']}").status_code == 200
    assert put(admin, address, DATA[::-1][:PART]) == (404, "not_found")


@pytest.mark.parametrize(("media_type", "begins"), [(SAFETENSORS, b"\x08"), (GGUF, b"GGUF")])
def test_a_model_file_that_is_none_is_refused_at_the_door(admin: Person, media_type: str, begins: bytes) -> None:
    lying = begins + b"\xff" * 4000
    status = put(admin, "/api/v1/files", lying, **{"Content-Type": media_type})
    assert status == (422, "format_invalid")
    assert put(admin, "/api/v1/files", lying, **{"Content-Type": "text/plain"})[0] == 201


def test_what_the_quota_does_not_hold_is_a_507_with_the_numbers(door: Door) -> None:
    person = door.admit("small/admin", "model_admin")
    owner = door.client("owner", door.secrets.pop("owner token"))
    wish = {"tenant": "small", "limitBytes": 100_000}
    assert person.http.put("/api/v1/store/quota", json=wish).status_code == 403
    assert data_of(owner.put("/api/v1/store/quota", json=wish)) == {
        "limitBytes": 100_000,
        "storedBytes": 0,
        "reservedBytes": 0,
    }
    answer = begin(person)
    assert (answer.status_code, answer.json()["code"]) == (507, "exhausted")
    assert answer.json()["limit_bytes"] == 100_000
    assert answer.json()["asked_bytes"] >= len(DATA)
    assert put(person, "/api/v1/files", DATA)[0] == 507
    assert data_of(person.http.get("/api/v1/store/quota"))["storedBytes"] == 0
    assert upload(person, b"small")


def test_a_range_of_other_bytes_is_answered_with_the_whole(admin: Person, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "ranged")
    client_files = [{"path": p.name, "digest": upload(admin, p.read_bytes())} for p in sorted(folder.iterdir())]
    data_of(admin.http.post("/api/v1/models/ranged/versions", json={"files": client_files}))
    address, digest = "/api/v1/models/ranged/versions/1.0.0/files/config.json", client_files[0]["digest"]
    for tag, status in ((f'"{digest}"', 206), ('"other"', 200)):
        answer = admin.http.get(address, headers={"Range": "bytes=5-", "If-Range": tag})
        assert answer.status_code == status


def test_the_command_line_sends_large_files_in_parts(
    client: Client,
    tunery: Callable[..., tuple[int, Any, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Files, "parts_from_bytes", 1000)
    monkeypatch.setattr(Files, "part_bytes", PART)
    path = tmp_path / "rows.bin"
    path.write_bytes(DATA)
    left = client.uploads.create(hashlib.sha256(DATA).hexdigest(), len(DATA), part_bytes=PART)
    assert left.id is not None
    client.uploads.part(left.id, 2, DATA[PART:])
    assert [row["id"] for row in tunery("uploads", "list")[1]] == [left.id]
    assert tunery("uploads", "get", left.id)[1]["parts"][0]["number"] == 2
    code, rows, _ = tunery("files", "upload", path)
    assert (code, rows[0]["digest"]) == (0, hashlib.sha256(DATA).hexdigest())
    assert tunery("uploads", "list")[1] == []
    other = client.uploads.create("a" * 64, 10**6)
    assert tunery("uploads", "abort", str(other.id))[0] == 0
    assert tunery("store", "set-quota", "local", "--limit-bytes", "1000")[1]["limitBytes"] == 1000
    assert tunery("store", "quota")[1]["limitBytes"] == 1000
    assert {one["tenant"]: one["limitBytes"] for one in tunery("store", "tenants")[1]}["local"] == 1000
    (tmp_path / "more.bin").write_bytes(DATA[::-1])
    code, _, error = tunery("files", "upload", tmp_path / "more.bin")
    assert code == 7
    assert "quota" in error
    assert tunery("store", "set-quota", "local")[0] == 2  # a limit never goes because an option was forgotten
    assert tunery("store", "quota")[1]["limitBytes"] == 1000
    assert tunery("store", "set-quota", "local", "--no-limit")[1]["limitBytes"] is None


def test_a_bar_moves_on_a_terminal_and_never_beside_json(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert client.transport.address.own
    monkeypatch.setenv("TUNERY_HOME", str(client.settings.home))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    for number, options in enumerate(([], ["--json"])):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(random.Random(number).randbytes(300_000))
        assert run(["files", "upload", str(path), *options]) == 0
        out, err = capsys.readouterr()
        assert (f"upload {number}.bin" in err) == (not options)
        assert not options or json.loads(out)


def _staged(door: Door) -> set[str]:
    return {str(path) for path in (door.ground.settings.home / "uploads").rglob("*") if path.is_file()}
