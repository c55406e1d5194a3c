"""One contract for every place where bytes may lie: a folder, memory, a real S3 server, a real Azure Blob server."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fixtures import fresh_settings, make_actor
from tests.object_stores import ObjectServer
from tunery.errors import InternalError, InvalidInput, NotFound, Unavailable
from tunery.platform.blobs.backends import Backend, Patience, open_backend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.ground import Ground

pytestmark = pytest.mark.xdist_group("object-stores")

UNSIGNED = {"gcs_base_url": "http://127.0.0.1:9", "disable_oauth": True} | dict.fromkeys(
    ("client_email", "private_key", "private_key_id"), ""
)
DATA = random.Random(3).randbytes(100_000)


@pytest.fixture(params=["local", "memory", "s3", "azure"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of each kind where nothing lies yet."""
    if request.param == "local":
        return (tmp_path / "store with a space").as_uri()
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    server: ObjectServer = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{server.url}/{uuid.uuid4().hex}/deep"


@pytest.fixture
def backend(url: str) -> Backend:
    return open_backend(url)


def staged(folder: Path, data: bytes) -> Path:
    path = folder / uuid.uuid4().hex
    path.write_bytes(data)
    return path


def test_what_was_put_is_read_whole_and_by_range_and_by_whoever_opens_the_place_next(
    backend: Backend, url: str
) -> None:
    backend.put("a/b", DATA)
    for one in (backend, open_backend(url)):
        assert one.read("a/b") == DATA
        for start, length in [(0, 1), (5, 70), (99_999, 1), (40_000, 60_000), (7, 0)]:
            assert one.read("a/b", start, length) == DATA[start : start + length]
        assert one.read("a/b", 99_990) == DATA[99_990:]
    backend.put("a/none", b"")
    assert backend.read("a/none") == b""


@pytest.mark.parametrize(("start", "length"), [(99_990, 11), (100_000, 1), (200_000, 5), (0, 100_001)])
def test_fewer_bytes_than_asked_are_an_error(backend: Backend, start: int, length: int) -> None:
    backend.put("a/b", DATA)
    with pytest.raises(NotFound, match="cut off"):
        backend.read("a/b", start, length)


def test_a_placed_file_is_whole_and_the_staged_one_is_gone(backend: Backend, tmp_path: Path) -> None:
    file = staged(tmp_path, DATA)
    backend.place("a/b", file)
    assert backend.read("a/b") == DATA
    assert not file.exists()


def test_a_file_larger_than_64_mib_arrives_whole(backend: Backend, tmp_path: Path) -> None:
    data = DATA * 700  # 70,000,000 bytes: nine parts of 8 MiB
    backend.place("a/large", staged(tmp_path, data))
    (entry,) = backend.entries("a")
    assert entry.size_bytes == len(data)
    edge = 8 << 20
    assert backend.read("a/large", edge - 10, 20) == data[edge - 10 : edge + 10]
    assert backend.read("a/large", len(data) - 3, 3) == data[-3:]
    assert backend.read("a/large") == data


def test_what_is_written_again_is_replaced(backend: Backend, tmp_path: Path) -> None:
    for data in (DATA, b"short", b""):
        backend.put("a/b", data)
        assert backend.read("a/b") == data
    backend.place("a/b", staged(tmp_path, DATA))
    backend.place("a/b", staged(tmp_path, b"again"))
    assert backend.read("a/b") == b"again"


def test_of_many_who_write_a_new_name_at_once_one_does(backend: Backend) -> None:
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda n: backend.put_new("keys/one", b"%d" % n), range(8)))
    assert wrote.count(True) == 1
    assert backend.read("keys/one") == b"%d" % wrote.index(True)
    assert [entry.name for entry in backend.entries("keys")] == ["keys/one"]


def test_what_is_deleted_is_gone_and_may_be_deleted_again(backend: Backend) -> None:
    backend.put("a/b", DATA)
    backend.put("a/c", DATA)
    for _ in range(2):
        backend.delete("a/b")
    with pytest.raises(NotFound):
        backend.read("a/b")
    assert [entry.name for entry in backend.entries("a")] == ["a/c"]


def test_what_is_not_there_is_not_found(backend: Backend) -> None:
    for start, length in [(0, None), (5, None), (0, 5), (5, 0)]:
        with pytest.raises(NotFound):
            backend.read("a/b", start, length)
    assert list(backend.entries("a")) == []
    backend.delete("a/b")


def test_a_folder_lists_what_lies_below_it_and_nothing_else(backend: Backend) -> None:
    names = {"a/1": b"x", "a/2": b"xx", "a/deeper/3": b"xxx", "ab/4": b"", "b/5": b"x"}
    for name, data in names.items():
        backend.put(name, data)
    found = {entry.name: entry for entry in backend.entries("a")}
    assert {name: entry.size_bytes for name, entry in found.items()} == {"a/1": 1, "a/2": 2, "a/deeper/3": 3}
    assert all(abs(entry.modified_at - datetime.now(UTC)) < timedelta(minutes=5) for entry in found.values())
    assert [entry.name for entry in backend.entries("a/deeper")] == ["a/deeper/3"]
    assert {entry.name for entry in backend.entries(None)} == names.keys()


def test_a_folder_lists_more_than_one_page(backend: Backend) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: backend.put(f"many/{n:04}", b"x"), range(1_030)))
    assert len({entry.name for entry in backend.entries("many")}) == 1_030


@pytest.mark.parametrize("name", ["", "..", "../a", "a/../../b", "/a", "a/", "a//b", "a/./b", "a\\..\\b", "a\0b"])
def test_names_that_climb_out_are_refused(backend: Backend, tmp_path: Path, name: str) -> None:
    file = staged(tmp_path, DATA)
    for deed in (
        lambda: backend.put(name, DATA),
        lambda: backend.place(name, file),
        lambda: backend.read(name),
        lambda: backend.delete(name),
        lambda: list(backend.entries(name)),
    ):
        with pytest.raises(InternalError):
            deed()
    assert file.read_bytes() == DATA


def test_many_at_once_read_what_each_wrote_and_one_name_is_always_whole(backend: Backend) -> None:
    versions = [bytes([n]) * 50_000 for n in range(8)]
    backend.put("a/shared", versions[0])

    def work(n: int) -> None:
        for turn in range(6):
            backend.put(f"a/{n}-{turn}", versions[n])
            backend.put("a/shared", versions[n])
            assert backend.read(f"a/{n}-{turn}") == versions[n]
            assert backend.read("a/shared") in versions
            assert backend.read("a/shared", 25_000, 10) in {version[:10] for version in versions}

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(list(backend.entries("a"))) == 8 * 6 + 1


@pytest.fixture
def ground(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A ground whose packs and keys lie in that place."""
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        keys = {"store_url": f"{url}/packs", "store_keys_url": f"{url}/keys"}
        ground = Ground.build(settings.model_copy(update=keys))
        yield ground
        ground.database.close()


def test_the_whole_store_works_there(ground: Ground) -> None:
    tenant_id = make_actor(ground, "acme").tenant_id
    store, again = ground.blobs, Ground.build(ground.settings).blobs
    near = DATA[:50_000] + b"!" + DATA[50_001:]
    files = {store.put(tenant_id, data).digest: data for data in (DATA, DATA * 3 + b"more", b"", b"small")}
    files[(changed := store.put(tenant_id, near, like=next(iter(files))).digest)] = near
    for digest, data in files.items():
        assert again.read(tenant_id, digest) == data
        assert b"".join(again.open(tenant_id, digest, 33_333, 20_000)) == data[33_333:53_333]
    assert list(check(again, tenant_id)) == []

    gone = destroy(store, tenant_id, [changed])
    del files[changed]
    left = {entry.name.rpartition("/")[2] for entry in store.backend.entries(tenant_id)}
    assert left.isdisjoint(gone.pack_ids)
    assert left == set(store.keyring.packs(tenant_id))

    with ground.database.session(tenant_id) as session:
        for table in (Piece, BlobRow, Segment, Pack):
            session.execute(sa.delete(table))
    assert rebuild(store, tenant_id).files == sorted(files)
    assert {digest: store.read(tenant_id, digest) for digest in files} == files

    assert collect(store, tenant_id, grace=timedelta(0)).files == sorted(files)
    assert list(store.backend.entries(tenant_id)) == []
    assert store.keyring.packs(tenant_id) == []


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("s3://bucket/x", "AWS_ENDPOINT"),
        ("az://container/x", "AZURE_STORAGE_ENDPOINT"),
        ("gs://bucket", "GOOGLE_BASE_URL"),
    ],
)
def test_a_server_that_does_not_answer_is_unavailable_within_the_time_that_was_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AZURE_STORAGE_ACCOUNT_NAME": "a",
        "AZURE_STORAGE_ACCOUNT_KEY": "Yg==",
        "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(UNSIGNED),
    }.items():
        monkeypatch.setenv(name, value)
    backend = open_backend(url, Patience(request_seconds=1, retry_seconds=0.4))
    file = staged(tmp_path, DATA)
    for deed in (
        lambda: backend.put("a", b"x"),
        lambda: backend.place("a", file),
        lambda: backend.read("a"),
        lambda: backend.read("a", 1, 2),
        lambda: backend.delete("a"),
        lambda: list(backend.entries("a")),
    ):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            deed()
        assert time.monotonic() - started < 1 + 0.4 + 15  # of which 15 are for a busy machine
    assert file.exists()


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_bucket_that_is_missing_or_closed_to_us_is_unavailable_and_not_an_empty_one(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: ObjectServer = request.getfixturevalue(f"{kind}_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    missing = open_backend(server.url.rpartition("/")[0] + "/nothere", Patience(5, 1))
    with pytest.raises(Unavailable):
        missing.read("a/b")
    secret = "AWS_SECRET_ACCESS_KEY" if kind == "s3" else "AZURE_STORAGE_ACCOUNT_KEY"
    monkeypatch.setenv(secret, "d3Jvbmc=")
    with pytest.raises(Unavailable):
        open_backend(server.url, Patience(5, 1)).read("a/b")


@pytest.mark.parametrize(
    "url",
    ["", "store", "ftp://x/y", "file://host/x", "file:relative", "s3://", "s3:///prefix", "gs://", "az://",
     "s3://key:secret@bucket/x", "s3://bucket?access_key_id=x"],
)  # fmt: skip
def test_an_address_that_is_no_place_is_refused_without_telling_its_secrets(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_backend(url)
    assert "secret@" not in caught.value.message


def test_two_places_in_memory_are_apart() -> None:
    one, other = (open_backend(f"memory://{os.urandom(4).hex()}") for _ in range(2))
    one.put("a", b"x")
    assert list(other.entries("a")) == []
