"""Archives, bombs and pickles sent as models: refused with a reason, or kept in quarantine and never loaded."""

from __future__ import annotations

import gzip
import io
import pickle
import resource
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person
from tests.doors.things import data_of, upload
from tests.registry.folders import make_model_folder
from tests.storage.proxy import Cut, proxied
from tunery.client import Client
from tunery.errors import InvalidInput, UnsafeFormat
from tunery.registry.operations import checkout_version
from tunery.registry.tables import ModelVersion

on_sqlite = pytest.mark.parametrize("door", ["sqlite"], indirect=True)
BOMB_BYTES = 200_000_000


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def zip_with_link() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        link = zipfile.ZipInfo("model.safetensors")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("/absolute", b"x")
        archive.writestr("../../parent", b"x")
    return data.getvalue()


def tarred(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, kind in (("model.safetensors", tarfile.SYMTYPE), ("config.json", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("/etc/cron.d/evil", "../../evil"):
            archive.addfile(tarfile.TarInfo(name))
    return data.getvalue()


def bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        for _ in range(BOMB_BYTES // 1_000_000):
            file.write(bytes(1_000_000))
    return packed.getvalue()


def directory_bomb() -> bytes:
    """A ZIP archive behind other bytes, whose directory alone takes hundreds of megabytes once it is read."""
    entry = b"PK\x01\x02" + bytes(42)
    count = 400_000
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + (count * len(entry)).to_bytes(4, "little") + bytes(6)
    return b"not a zip at first sight" + entry * count + end


ARCHIVES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip": ("model.zip", lambda: zipped(**{"config.json": b"{}"})),
    "zip with links and paths that lead out": ("model.zip", zip_with_link),
    "tar with links and paths that lead out": ("model.tar", lambda: tarred("w")),
    "tar.gz with links and paths that lead out": ("model.tar.gz", lambda: tarred("w:gz")),
    "a bomb": ("model.gz", bomb),
    "a bomb in a zip": ("model.zip", lambda: zipped(bomb=bytes(BOMB_BYTES))),
    "a zip whose directory is a bomb": ("model.bin", directory_bomb),
    "a zip named as weights": ("model.safetensors", lambda: zipped(**{"data.pkl": b"x"})),
    "a tar named as a tokenizer": ("tokenizer.model", lambda: tarred("w")),
    "a pickle named as text": ("README.md", lambda: pickle.dumps({"a": print})),
}


@pytest.fixture(scope="module", params=ARCHIVES)
def archive(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    name, make = ARCHIVES[request.param]
    return name, make()


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def versions(door: Door, name: str) -> int:
    with door.ground.database.session(door["acme/admin"].actor.tenant_id, read_only=True) as session:
        rows = session.scalars(sa.select(ModelVersion))
        return sum(row.model.name == name for row in rows)


@on_sqlite
def test_an_archive_is_refused_unopened_and_becomes_no_version(
    door: Door, admin: Person, tmp_path: Path, archive: tuple[str, bytes]
) -> None:
    name, data = archive
    folder = make_model_folder(tmp_path / "model")
    (folder / name).write_bytes(data)
    files = [{"path": path.name, "digest": upload(admin, path.read_bytes())} for path in sorted(folder.iterdir())]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    disk = size_of(door.ground.settings.home)
    answer = admin.http.post("/api/v1/models/packed/versions", json={"files": files, "isBase": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "unsafe_format")
    assert name in answer.json()["detail"]
    assert "can run code when it is loaded" in answer.json()["detail"]
    assert versions(door, "packed") == 0
    assert size_of(door.ground.settings.home) - disk < 1_000_000, "what was unpacked to look is gone again"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 150_000, "kilobytes"


@on_sqlite
def test_the_client_refuses_it_before_a_byte_is_sent(
    door: Door, admin: Person, tmp_path: Path, archive: tuple[str, bytes]
) -> None:
    name, data = archive
    folder = make_model_folder(tmp_path / "model")
    (folder / name).write_bytes(data)
    before = data_of(admin.http.get("/api/v1/store/usage"))
    with (
        proxied(door.socket_path, Cut) as url,
        Client(url, admin.token, tmp_path / "client") as client,
        pytest.raises(UnsafeFormat, match=name),
    ):
        client.models.register("packed", folder)
    assert data_of(admin.http.get("/api/v1/store/usage")) == before


@on_sqlite
@pytest.mark.parametrize("name", ["rows.zip", "rows.tar.gz", "rows.jsonl", "rows.csv", "rows.json"])
def test_an_archive_is_no_dataset_whatever_its_name_says(
    door: Door, admin: Person, archive: tuple[str, bytes], name: str
) -> None:
    _, data = archive
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wish = {"name": "packed-rows", "fileDigest": upload(admin, data), "fileName": name}
    answer = admin.http.post("/api/v1/datasets/import", json=wish)
    if answer.is_success:
        with pytest.raises(InvalidInput) as refused:
            door.carry_out(admin.actor.tenant_id, answer.json()["data"]["jobId"])
        assert refused.value.message
    else:
        assert answer.status_code in (415, 422)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 150_000, "kilobytes"


PICKLE = pickle.dumps({"weight": print})


@pytest.fixture
def quarantine(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting that keeps such files, there and here."""
    monkeypatch.setitem(door.ground.settings.__dict__, "unsafe_files", "quarantine")
    monkeypatch.setenv("TUNERY_UNSAFE_FILES", "quarantine")


@pytest.mark.usefixtures("quarantine")
def test_in_quarantine_a_pickle_is_kept_marked_and_never_loaded(door: Door, admin: Person, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(PICKLE)
    name = f"kept-{door.ground.database.engine.dialect.name}"
    tenant_id = admin.actor.tenant_id
    with proxied(door.socket_path, Cut) as url, Client(url, admin.token, tmp_path / "client") as client:
        version = client.models.register(name, folder, is_base=True)
        assert (version.status, version.details["unsafe_files"]) == ("quarantined", {"pytorch_model.bin": "pickle"})
        assert client.models.versions(name)[0].status == "quarantined"
        assert client.models.verify(name).verified
        pulled = client.models.pull(name, tmp_path / "pulled")
        assert (pulled / "pytorch_model.bin").read_bytes() == PICKLE, "as it came, for its owner"
        for form in ("folder", "gguf"):
            with pytest.raises(UnsafeFormat, match="quarantine.*pytorch_model.bin is a pickle file.*as safetensors"):
                client.models.export(name, tmp_path / "exported", form=form)
        assert not (tmp_path / "exported").exists()
    with pytest.raises(UnsafeFormat, match="quarantine"):
        checkout_version(door.ground, tenant_id, name)
    assert not (door.ground.settings.home / "cache" / "versions").exists()
    served = admin.http.post("/api/v1/deployments", json={"version": version.id, "name": "never"})
    assert (served.status_code, served.json()["code"]) == (409, "unsafe_format")
    assert "quarantine" in served.json()["detail"]
    rows = b"".join(b'{"prompt": "%d times 7", "completion": "%d"}\n' % (each, 7 * each) for each in range(20))
    wish = {"name": name, "fileDigest": upload(admin, rows), "fileName": "rows.jsonl"}
    door.carry_out(tenant_id, data_of(admin.http.post("/api/v1/datasets/import", json=wish))["jobId"])
    for path, more in (("runs", {"name": "x", "base": version.id}), ("evaluations", {"modelVersionId": version.id})):
        refused = admin.http.post(f"/api/v1/{path}", json={"dataset": name, **more})
        assert (refused.status_code, refused.json()["code"]) == (409, "unsafe_format"), refused.text


@on_sqlite
@pytest.mark.usefixtures("quarantine")
def test_links_and_code_are_refused_in_quarantine_as_well(door: Door, admin: Person, tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "x.X"}}')
    files = [{"path": path.name, "digest": upload(admin, path.read_bytes())} for path in folder.iterdir()]
    answer = admin.http.post("/api/v1/models/coded/versions", json={"files": files, "isBase": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "unsafe_format")
    (folder / "link.bin").symlink_to("/etc/passwd")
    with (
        proxied(door.socket_path, Cut) as url,
        Client(url, admin.token, tmp_path / "client") as client,
        pytest.raises(UnsafeFormat, match="link"),
    ):
        client.models.register("coded", folder)
