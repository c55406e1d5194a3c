"""Bases from the Hub: its real client, in a child process, against a Hub of our own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.children import children_that_run
from tests.registry.folders import make_model_folder
from tests.registry.hub_server import HubServer, commit_of, hub_server
from tunery.errors import (
    Cancelled,
    DigestMismatch,
    FormatInvalid,
    InternalError,
    NotFound,
    Refused,
    TuneryError,
    Unavailable,
    UnsafeFormat,
)
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.registry.bases import BaseSource, obtain_base, pin_base
from tunery.registry.hub import fetch_from_hub, pin_revision
from tunery.registry.tables import ModelVersion

pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)
CARD = b"---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n"
PICKLE = b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01."
Context = Callable[..., JobContext]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that the children of this test ask; its client's cache is empty."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def context(ground: Ground, actor: Actor) -> Context:
    """Makes jobs that run."""

    def make(stopping: Callable[[], bool] = lambda: False) -> JobContext:
        lease = new_id()
        with ground.database.session(actor.tenant_id) as session:
            row = Job(kind="test", payload={}, status="running", lease_token=lease, created_by=actor.name)
            session.add(row)
            session.flush()
        return JobContext(ground, row, lease, stopping)

    return make


@pytest.fixture
def model(tmp_path: Path) -> dict[str, bytes]:
    """The files of a model that can be registered."""
    folder = make_model_folder(tmp_path / "model")
    return {path.name.replace(".", "__"): path.read_bytes() for path in folder.iterdir()} | {"README__md": CARD}


def of(hub: HubServer, name: str = "org/tiny") -> str:
    return f"{name}@{hub.repositories[name].branches['main']}"


def test_only_what_a_model_needs_is_fetched_and_registered(
    hub: HubServer, ground: Ground, context: Context, model: dict[str, bytes]
) -> None:
    repository = hub.add("org/tiny", pytorch_model__bin=PICKLE, modeling_x__py=b"raise SystemExit", **model)
    repository.commits[commit_of("org/tiny")]["onnx/model.safetensors"] = b"other"
    job = context()
    source = pin_base(ground, job.tenant_id, BaseSource("org/tiny"))
    assert source.text == f"org/tiny@{commit_of('org/tiny')}"
    version = obtain_base(job, source)
    assert [file["path"] for file in version.manifest["files"]] == ["README.md", "config.json", "model.safetensors"]
    assert version.reference == "tiny:1.0.0"
    assert version.model.license == "apache-2.0"
    assert version.details["source"] == {
        "type": "hub",
        "repository": "org/tiny",
        "commit": commit_of("org/tiny"),
    }
    assert [hub.got(name) for name in ("pytorch_model.bin", "modeling_x.py", "onnx/model.safetensors")] == [0, 0, 0]
    asked = len(hub.asked)
    assert obtain_base(job, source).id == version.id
    assert len(hub.asked) == asked
    assert not any((ground.settings.home / "scratch").iterdir())
    with ground.database.session(job.tenant_id, read_only=True) as session:
        row = session.get_one(Job, job.job_id)
    assert row.progress is not None
    assert row.progress["type"] in {"fetching", "note"}


def test_a_branch_that_moved_is_another_source_and_a_commit_stays_one(
    hub: HubServer, ground: Ground, actor: Actor, model: dict[str, bytes]
) -> None:
    repository = hub.add("org/tiny", **model)
    first = pin_base(ground, actor.tenant_id, BaseSource("org/tiny"))
    same = pin_base(ground, actor.tenant_id, BaseSource("org/tiny@main"))
    repository.branches["main"] = commit_of("later")
    repository.commits[commit_of("later")] = {}
    moved = pin_base(ground, actor.tenant_id, BaseSource("org/tiny"))
    assert first.identity() == same.identity() == pin_base(ground, actor.tenant_id, first).identity()
    assert moved.text.endswith(commit_of("later"))
    assert moved.identity() != first.identity()


def test_without_the_hub_its_cache_serves_and_what_it_lacks_is_named(
    hub: HubServer,
    ground: Ground,
    actor: Actor,
    context: Context,
    model: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.add("org/tiny", **model)
    fetch_from_hub(context(), pin_revision(ground, actor.tenant_id, "org/tiny"), tmp_path / "first")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert pin_revision(ground, actor.tenant_id, "org/tiny") == of(hub)
        fetch_from_hub(context(), of(hub), tmp_path / "second")
        with pytest.raises(Unavailable, match="HF_ENDPOINT"):
            pin_revision(ground, actor.tenant_id, "org/other")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    asked = len(hub.asked)
    assert pin_revision(ground, actor.tenant_id, "org/tiny") == of(hub)
    fetch_from_hub(context(), of(hub), tmp_path / "third")
    with pytest.raises(Unavailable, match="offline"):
        pin_revision(ground, actor.tenant_id, "org/other")
    assert len(hub.asked) == asked
    names = ["README.md", "config.json", "model.safetensors"]
    for folder in ("first", "second", "third"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("org/none", NotFound, "no model 'org/none'"),
        ("org/tiny@nothing", NotFound, "no revision 'nothing'"),
        ("org/gated", Refused, "HF_TOKEN"),
        ("org/private", NotFound, "HF_TOKEN"),
        ("org/not--valid", TuneryError, "not--valid"),
    ],
)
def test_what_cannot_be_read_is_said_before_anything_starts(
    hub: HubServer, ground: Ground, actor: Actor, text: str, error: type[TuneryError], words: str
) -> None:
    hub.add("org/tiny")
    hub.add("org/gated").token = "secret"
    private = hub.add("org/private")
    private.token, private.code = "secret", "RepoNotFound"
    with pytest.raises(error, match=words):
        pin_revision(ground, actor.tenant_id, text)


def test_the_token_opens_what_is_gated_to_the_operator_tenant(
    hub: HubServer,
    ground: Ground,
    actor: Actor,
    context: Context,
    model: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_operator(ground, actor)
    hub.add("org/tiny", **model).token = "secret"
    with pytest.raises(Refused, match="HF_TOKEN"):
        fetch_from_hub(context(), of(hub), tmp_path / "none")
    monkeypatch.setenv("HF_TOKEN", "secret")
    pinned = pin_revision(ground, actor.tenant_id, "org/tiny")
    assert fetch_from_hub(context(), pinned, tmp_path / "out") == "apache-2.0"
    assert "secret" not in (ground.settings.home / "logs" / "hub.log").read_text()


def test_another_tenant_has_neither_the_token_nor_what_it_fetched_unless_they_are_shared(
    hub: HubServer,
    ground: Ground,
    actor: Actor,
    stranger: Actor,
    context: Context,
    model: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_operator(ground, actor)
    hub.add("org/open", **model)
    hub.add("org/tiny", **model).token = "secret"
    monkeypatch.setenv("HF_TOKEN", "secret")
    (tmp_path / "hf").mkdir(exist_ok=True)
    (tmp_path / "hf" / "token").write_text("secret")
    fetch_from_hub(context(), pin_revision(ground, actor.tenant_id, "org/tiny"), tmp_path / "out")
    with pytest.raises(Refused, match="does not serve your tenant"):
        pin_revision(ground, stranger.tenant_id, "org/tiny")
    assert pin_revision(ground, stranger.tenant_id, "org/open") == of(hub, "org/open")
    shared = replace(ground, settings=ground.settings.model_copy(update={"hub_token_shared": True}))
    assert pin_revision(shared, stranger.tenant_id, "org/tiny") == of(hub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # what lies in the server's cache is not handed out either
    with pytest.raises(Unavailable, match="not whole in the Hub's cache"):
        pin_revision(ground, stranger.tenant_id, "org/tiny")


def make_operator(ground: Ground, actor: Actor) -> None:
    with ground.database.system_session("a test makes the operator tenant") as session:
        session.get_one(Tenant, actor.tenant_id).is_operator = True


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"config__json": b"{}", "pytorch_model__bin": PICKLE}, UnsafeFormat, "pytorch_model.bin"),
        ({"config__json": b"{}"}, FormatInvalid, "model.safetensors"),
    ],
)
def test_a_repository_without_safetensors_is_refused(
    hub: HubServer,
    ground: Ground,
    context: Context,
    tmp_path: Path,
    files: dict[str, bytes],
    error: type[TuneryError],
    words: str,
) -> None:
    hub.add("org/tiny", **files)
    with pytest.raises(error, match=words):
        fetch_from_hub(context(), of(hub), tmp_path / "none")
    assert hub.got("pytorch_model.bin") == 0


def test_a_file_cut_short_or_damaged_is_refused_and_fetched_anew(
    hub: HubServer, ground: Ground, context: Context, model: dict[str, bytes], tmp_path: Path
) -> None:
    hub.add("org/tiny", **model)
    whole = model["model__safetensors"]
    hub.sends["model.safetensors"] = whole[:-10]
    with pytest.raises(Unavailable, match="cut short"):
        fetch_from_hub(context(), of(hub), tmp_path / "cut")
    hub.sends["model.safetensors"] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(DigestMismatch, match=r"model\.safetensors"):
        fetch_from_hub(context(), of(hub), tmp_path / "damaged")
    hub.sends.clear()
    fetch_from_hub(context(), of(hub), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole


def test_a_model_that_asks_for_its_own_code_is_refused(
    hub: HubServer, ground: Ground, context: Context, model: dict[str, bytes]
) -> None:
    config = json.loads(model["config__json"]) | {"auto_map": {"AutoModel": "modeling_x.X"}}
    hub.add("org/tiny", **model | {"config__json": json.dumps(config).encode()})
    with pytest.raises(UnsafeFormat, match="auto_map"):
        obtain_base(context(), BaseSource(of(hub)))


def test_a_cancelled_download_ends_and_leaves_nothing(hub: HubServer, ground: Ground, context: Context) -> None:
    hub.add("org/tiny", config__json=b"{}", model__safetensors=bytes(48 * 1024 * 1024))
    hub.pace_seconds = 0.2  # 48 pieces: ten seconds, and one look of the client at each ten mebibytes
    job = context(lambda: hub.sent > 2 * 1024 * 1024)
    with pytest.raises(Cancelled):
        obtain_base(job, BaseSource(of(hub)))
    assert hub.sent < 47 * 1024 * 1024
    assert not list((ground.settings.home / "cache" / "hub").rglob("*.incomplete")), "it was ended by force"
    assert not any((ground.settings.home / "scratch").iterdir())
    assert not children_that_run("registry.hub")
    with ground.database.session(job.tenant_id, read_only=True) as session:
        assert session.scalar(sa.select(sa.func.count(ModelVersion.id))) == 0


def test_a_killed_download_goes_on_with_the_files_that_were_not_there(
    hub: HubServer, ground: Ground, actor: Actor, context: Context, tmp_path: Path
) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    hub.add("org/tiny", config__json=b"{}")
    hub.repositories["org/tiny"].commits[commit_of("org/tiny")] |= {first: bytes(1000), second: bytes(2000)}
    hub.holds = {second}
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            fetch_from_hub(context(), of(hub), tmp_path / "killed")
        except InternalError as error:
            failed.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    cache = ground.settings.home / "cache" / "hub" / actor.tenant_id / "hub"
    snapshot = cache / "models--org--tiny" / "snapshots" / commit_of("org/tiny")
    deadline = time.monotonic() + 120
    while not ((snapshot / first).exists() and (snapshot / "config.json").exists() and hub.got(second)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for child in children_that_run("registry.hub"):
        child.kill()
    thread.join(timeout=120)
    assert "SIGKILL" in str(failed[0])
    assert not (tmp_path / "killed").exists()
    hub.holds.clear()
    fetch_from_hub(context(), of(hub), tmp_path / "out")
    assert (tmp_path / "out" / second).read_bytes() == bytes(2000)
    assert [hub.got(name) for name in ("config.json", first, second)] == [1, 1, 2]
