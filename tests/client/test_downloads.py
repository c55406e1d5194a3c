"""Downloads: signature first, every byte checked, broken transfers gone on with, never outside the folder."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.client.scripted import answer, break_off, scripted
from tunery.client.downloads import fetch_version
from tunery.client.transport import Transport
from tunery.errors import Conflict, IntegrityError, InvalidInput, SignatureInvalid, Unavailable
from tunery.registry.manifest import manifest_digest
from tunery.registry.schemas import VersionView
from tunery.registry.signing import public_pem, sign

KEY = Ed25519PrivateKey.generate()
DATA = bytes(range(256)) * 40  # 10,240 bytes


def version_of(name: str = "model.safetensors", data: bytes = DATA, key: Ed25519PrivateKey = KEY) -> VersionView:
    entry = {"path": name, "size_bytes": len(data), "digests": {"sha256": hashlib.sha256(data).hexdigest()}}
    manifest: dict[str, Any] = {"schema": 1, "kind": "full", "base": None, "files": [entry]}
    return VersionView(
        id="1", reference="m:1.0.0", version="1.0.0", kind="full", status="ready", stage="development",
        manifest_digest=manifest_digest(manifest), size_bytes=len(data), base_digest=None, run_id=None, scores={},
        created_by="x", created_at=datetime(2026, 1, 1, tzinfo=UTC), model_id="2", manifest=manifest,
        signature=sign(manifest, "m:1.0.0", KEY), public_key=public_pem(key), changelog="", breaking=False, details={},
        evaluated_at=None,
    )  # fmt: skip


def ranges(handler: BaseHTTPRequestHandler) -> None:
    """Serve DATA with ranges, as the real route does."""
    start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    headers = {"Content_Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
    answer(206, DATA[start:], "application/octet-stream", **headers)(handler)


def test_a_file_arrives_whole_and_no_part_is_left(transport: Transport, home: Path, tmp_path: Path) -> None:
    with scripted(home / "s", ranges) as script:
        folder = fetch_version(transport, version_of("sub/model.safetensors"), tmp_path / "out")
    assert (folder / "sub/model.safetensors").read_bytes() == DATA
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["model.safetensors"]
    assert script.seen[0].path == "/api/v1/models/m/versions/1.0.0/files/sub/model.safetensors"


def test_a_broken_transfer_goes_on_at_the_byte_where_it_broke(transport: Transport, home: Path, tmp_path: Path) -> None:
    first = break_off(len(DATA), DATA[:4000], 206, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
    with scripted(home / "s", first, ranges) as script:
        fetch_version(transport, version_of(), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == DATA
    assert [request.headers["range"] for request in script.seen] == ["bytes=0-", "bytes=4000-"]


def test_what_an_earlier_process_left_is_gone_on_with(transport: Transport, home: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(DATA[:5000])
    with scripted(home / "s", ranges) as script:
        fetch_version(transport, version_of(), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == DATA
    assert script.seen[0].headers["range"] == "bytes=5000-"


@pytest.mark.parametrize("size", [5000, len(DATA)])
def test_what_was_left_of_another_file_is_replaced(transport: Transport, home: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * size)
    with scripted(home / "s", ranges):
        fetch_version(transport, version_of(), tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.safetensors", DATA)]


def test_a_server_without_ranges_sends_it_anew(transport: Transport, home: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * 5000)
    with scripted(home / "s", answer(200, DATA)):
        fetch_version(transport, version_of(), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == DATA


def test_damaged_bytes_are_thrown_away(transport: Transport, home: Path, tmp_path: Path) -> None:
    damaged = DATA[:-1] + b"\x00"
    with scripted(home / "s", answer(200, damaged)), pytest.raises(IntegrityError, match="digest"):
        fetch_version(transport, version_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_the_manifest_says_are_refused(transport: Transport, home: Path, tmp_path: Path) -> None:
    with scripted(home / "s", answer(200, DATA + b"more")), pytest.raises(IntegrityError):
        fetch_version(transport, version_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_transfer_that_never_gets_on_is_given_up(transport: Transport, home: Path, tmp_path: Path) -> None:
    with scripted(home / "s", break_off(10, b"", 206)), pytest.raises(Unavailable):
        fetch_version(transport, version_of(), tmp_path)


def test_nothing_is_asked_for_before_the_signature_fits(transport: Transport, home: Path, tmp_path: Path) -> None:
    stranger = version_of(key=Ed25519PrivateKey.generate())
    swapped = version_of().model_copy(update={"manifest_digest": "0" * 64})
    unsigned = version_of().model_copy(update={"public_key": None})
    with scripted(home / "s", ranges) as script:
        for version in (stranger, swapped, unsigned):
            with pytest.raises(SignatureInvalid):
                fetch_version(transport, version, tmp_path / "out")
    assert script.seen == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "a\\b", "nul", "x\n"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    transport: Transport, home: Path, tmp_path: Path, name: str
) -> None:
    with scripted(home / "s", ranges) as script, pytest.raises(InvalidInput):
        fetch_version(transport, version_of(name), tmp_path / "out")
    assert script.seen == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(transport: Transport, home: Path, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    folder.mkdir()
    (folder / "sub").symlink_to(outside)
    with scripted(home / "s", ranges), pytest.raises(InvalidInput, match="outside"):
        fetch_version(transport, version_of("sub/model.safetensors"), folder)
    assert list(outside.iterdir()) == []


def test_a_file_that_is_there_is_kept_and_another_one_is_not_overwritten(
    transport: Transport, home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "model.safetensors"
    target.write_bytes(DATA)
    with scripted(home / "s", ranges) as script:
        fetch_version(transport, version_of(), tmp_path)
        assert script.seen == []
        target.write_bytes(b"mine")
        with pytest.raises(Conflict, match="other bytes"):
            fetch_version(transport, version_of(), tmp_path)
    assert target.read_bytes() == b"mine"


DAMAGED = b'{"code": "integrity_error", "detail": "model.safetensors: damaged in the store; mend it"}'


def test_a_file_that_is_damaged_in_the_store_is_named_and_what_came_before_is_kept(
    transport: Transport, home: Path, tmp_path: Path
) -> None:
    first = break_off(len(DATA), DATA[:4000], 206, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
    with scripted(home / "s", first, answer(500, DAMAGED)) as script, pytest.raises(IntegrityError) as refused:
        fetch_version(transport, version_of(), tmp_path)
    assert refused.value.message.startswith("model.safetensors: damaged in the store; mend it; the 4000 good bytes")
    assert [request.headers["range"] for request in script.seen] == ["bytes=0-", "bytes=4000-"]
    assert (tmp_path / "model.safetensors.part").read_bytes() == DATA[:4000]


def test_a_file_damaged_at_its_beginning_leaves_nothing(transport: Transport, home: Path, tmp_path: Path) -> None:
    with scripted(home / "s", answer(500, DAMAGED)), pytest.raises(IntegrityError, match="mend it$"):
        fetch_version(transport, version_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []
