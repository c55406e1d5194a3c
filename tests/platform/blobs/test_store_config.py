"""The storage_backend block of R2: every field accepted, every fault told at once, secrets told to nobody."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import fresh_settings, make_actor
from tests.object_stores import ObjectServer
from tunery.errors import InvalidInput
from tunery.platform.blobs.backends import Patience, StoreConfig, read_store_config
from tunery.platform.blobs.backends.config import S3Config
from tunery.platform.blobs.opening import configured
from tunery.platform.ground import Ground
from tunery.settings import Settings

EXAMPLES = Path(__file__).parents[3] / "examples" / "storage"
NAMES = ["local", "s3", "gcs", "azure"]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_SERVICE_ACCOUNT"):
        monkeypatch.setenv(name, f"the-{name.lower()}")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "dGhlIGtleQ==")


def example(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return read


def read(folder: Path, data: object) -> StoreConfig:
    path = folder / "store.json"
    path.write_text(json.dumps(data))
    return read_store_config(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_read(name: str) -> None:
    assert read_store_config(EXAMPLES / f"{name}.json").storage_backend.type == name


@pytest.mark.parametrize(("name", "url"), [("local", "file:///var/lib/tunery/packs"), ("s3", "s3://tunery-models/models"),
                                           ("azure", "az://models/tunery")])  # fmt: skip
def test_the_examples_are_opened(name: str, url: str) -> None:
    assert read_store_config(EXAMPLES / f"{name}.json").open().url == url


def test_every_field_of_the_s3_block_reaches_the_request() -> None:
    config = read_store_config(EXAMPLES / "s3.json").storage_backend.config
    assert isinstance(config, S3Config)
    assert dict(config.place.options) == {
        "region": "us-west-2",
        "access_key_id": "the-aws_access_key_id",
        "secret_access_key": "the-aws_secret_access_key",
        "server_side_encryption": "aws:kms",
        "sse_kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/12345678-1234-1234-1234-123456789012",
    }
    assert (config.place.name, config.place.storage_class) == ("tunery-models", "STANDARD_IA")
    assert config.versioning.lifecycle_policy.delete_non_current_versions_after == timedelta(days=90)
    assert "the-aws" not in repr(config) + repr(config.place)


def test_the_backup_block_says_when_where_and_for_how_long() -> None:
    backup = read_store_config(EXAMPLES / "local.json").backup
    assert backup is not None
    assert (backup.frequency, backup.retention, backup.location) == ("daily", timedelta(days=30), "/backup/tunery")


def test_backups_are_made_as_the_block_says_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    found = configured(Settings(home=tmp_path, store_config=EXAMPLES / "local.json", _env_file=None))
    assert (found.backup_url, found.backup_every_hours, found.backup_retention_days) == (
        "file:///backup/tunery",
        24,
        30,
    )
    said = Settings(home=tmp_path, store_config=EXAMPLES / "local.json", backup_retention_days=7, _env_file=None)
    assert (configured(said).backup_url, configured(said).backup_retention_days) == ("file:///backup/tunery", 7)
    none = Settings(home=tmp_path, store_config=EXAMPLES / "s3.json", _env_file=None)
    assert configured(none) is none


@pytest.fixture
def heard() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A listener that takes every object and keeps the headers it came with."""
    headers: list[dict[str, str]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            headers.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(201)
            self.send_header("etag", '"x"')
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", headers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("s3", {"x-amz-storage-class": "STANDARD_IA", "x-amz-server-side-encryption": "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id":
                    "arn:aws:kms:us-west-2:123456789012:key/12345678-1234-1234-1234-123456789012"}),
        ("gcs", {"x-goog-storage-class": "NEARLINE"}),
        ("azure", {"x-ms-access-tier": "Cool"}),
    ],
)  # fmt: skip
def test_class_and_key_go_with_every_object(
    tmp_path: Path,
    heard: tuple[str, list[dict[str, str]]],
    name: str,
    sent: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unsigned = {"gcs_base_url": heard[0], "disable_oauth": True, "client_email": "", "private_key": ""}
    monkeypatch.delenv("GOOGLE_SERVICE_ACCOUNT")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(unsigned | {"private_key_id": ""}))
    data = example(name)
    data["storage_backend"]["config"]["endpoint"] = heard[0]
    data["storage_backend"]["config"].pop("service_account", None)
    read(tmp_path, data).open(Patience(5, 1)).put("a/b", b"data")
    (headers,) = heard[1]
    assert sent.items() <= headers.items()


def test_every_fault_is_told_at_once_with_its_path_and_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    data = example("s3")
    config = data["storage_backend"]["config"]
    config["regoin"] = config.pop("region")
    config["storage_class"] = "GLACIER"
    config["encryption"]["kms_key"] = "x"
    config["versioning"]["lifecycle_policy"]["delete_non_current_versions_after"] = "soon"
    del config["bucket"]
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, data)
    faults = sorted(caught.value.details["faults"])
    assert [fault.split(":")[0] for fault in faults] == [
        "storage_backend.config.bucket",
        "storage_backend.config.encryption.kms_key",
        "storage_backend.config.regoin",
        "storage_backend.config.secret_access_key",
        "storage_backend.config.storage_class",
        "storage_backend.config.versioning.lifecycle_policy.delete_non_current_versions_after",
    ]
    assert "did you mean 'kms_key_id'?" in faults[1]
    assert "did you mean 'region'?" in faults[2]
    assert "the variable AWS_SECRET_ACCESS_KEY is not set" in faults[3]
    assert "the-aws" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"storage_backend": {"type": "ftp", "config": {}}}, "storage_backend"),
        ({"storage_backnd": {}}, "did you mean 'storage_backend'?"),
        ([], "the file"),
        ({"storage_backend": {"type": "local", "config": {"base_path": "/x", "structure": "flat"}}}, "structure"),
        ({"storage_backend": {"type": "local", "config": {"base_path": "/x", "compression": {"level": 99}}}}, "level"),
    ],
)
def test_what_is_no_block_is_refused(tmp_path: Path, change: object, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, change)
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["gcs", "azure"])
def test_a_key_that_cannot_be_passed_on_is_not_silently_dropped(tmp_path: Path, name: str) -> None:
    data = example(name)
    data["storage_backend"]["config"]["encryption"] = {"enabled": True, "kms_key_id": "k"}
    with pytest.raises(InvalidInput, match="default key of the bucket"):
        read(tmp_path, data)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_store_config(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InvalidInput, match="JSON"):
        read_store_config(tmp_path / "bad.json")


def test_a_store_lies_where_its_file_says_and_keeps_segments_as_they_are_when_told_so(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = example("local")
    data["storage_backend"]["config"] |= {"base_path": str(tmp_path / "packs"), "compression": {"enabled": False}}
    (tmp_path / "store.json").write_text(json.dumps(data))
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        ground = Ground.build(settings.model_copy(update={"store_config": tmp_path / "store.json"}))
        tenant_id = make_actor(ground, "acme").tenant_id
        text = " ".join(map(str, range(50_000))).encode()
        digest = ground.blobs.put(tenant_id, text).digest
        assert ground.blobs.read(tenant_id, digest) == text
        assert sum(path.stat().st_size for path in (tmp_path / "packs" / tenant_id).iterdir()) > len(text)
        with pytest.raises(InvalidInput, match="both"):
            Ground.build(ground.settings.model_copy(update={"store_url": "memory://x"}))
        ground.database.close()


@pytest.mark.xdist_group("object-stores")
def test_a_bucket_is_written_with_the_credentials_and_the_class_of_the_file(
    tmp_path: Path, s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("THE_ENDPOINT", s3_server.environment["AWS_ENDPOINT"])
    data = copy.deepcopy(example("s3"))
    config = data["storage_backend"]["config"]
    config |= {"bucket": s3_server.url.rpartition("/")[2], "region": "us-east-1", "endpoint": "${THE_ENDPOINT}"}
    del config["encryption"]
    loaded = read(tmp_path, data)
    for name in s3_server.environment:
        monkeypatch.delenv(name)
    backend = loaded.open()
    backend.put("a/b", b"data")
    assert backend.read("a/b") == b"data"
    assert [entry.name for entry in backend.entries("a")] == ["a/b"]
    backend.delete("a/b")
