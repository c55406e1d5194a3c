"""Bytes in and out: what is no path, no digest or no range is refused, and a broken upload leaves nothing."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.doors.door import Door, Person, until
from tests.doors.things import Things, recipe, register, upload
from tests.registry.folders import make_model_folder


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
    until(lambda: len(_blobs(door) - before) <= 1)  # the ten bytes that were announced
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
    answer = admin.http.get(path, headers={"Range": asked})
    status, part = RANGES[asked]
    assert answer.status_code == status
    assert answer.content == (b"" if status == 416 else whole[part] if part else whole)
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"


def test_a_file_is_handed_over_as_a_file_and_never_shown(admin: Person, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "page", seed=4)
    (folder / "README.md").write_text("<script>alert(1)</script>")
    register(admin, "page", folder)
    address = "/api/v1/models/page/versions/1.0.0/files/README.md"
    refused = admin.http.get(address, params={"filename": 'a"\r\nSet-Cookie: x'})
    assert (refused.status_code, "set-cookie" in refused.headers) == (422, False)
    answer = admin.http.get(address)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''README.md"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e%5cx", "file:%2f%2f%2fetc%2fpasswd", "config.json%00"]
)
def test_a_file_that_is_not_of_the_version_is_not_found(admin: Person, things: Things, path: str) -> None:
    answer = admin.http.get(f"/api/v1/models/{things.base}/versions/1.0.0/files/{path}")
    assert answer.status_code == (400 if "%00" in path else 404)


def _blobs(door: Door) -> set[str]:
    """Names of packs, of their keys, and of packs that are being written."""
    home = door.ground.settings.home
    folders = [home / "store" / "packs", home / "staging", *(home / "store" / "keys").glob("*/packs")]
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def _outside(door: Door) -> set[Path]:
    return set(door.ground.settings.home.parent.glob("*")) - {door.ground.settings.home}
