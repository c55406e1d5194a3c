"""Sources besides uploads: the Hub's real client against a Hub of our own, and a web address (DAT-01, DAT-10)."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.registry.hub_server import HubServer, hub_server
from tunery.datasets.jobs import fetch_dataset
from tunery.datasets.operations import resolve_version
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.sources import HubSource, Source, UrlSource
from tunery.datasets.sources.obtaining import obtain_source
from tunery.errors import FormatInvalid, NotFound, SourceLimit, UrlNotAllowed
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext

pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)
ROWS = [{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(20)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def context(ground: Ground, actor: Actor) -> Callable[[], JobContext]:
    def make() -> JobContext:
        lease = new_id()
        with ground.database.session(actor.tenant_id) as session:
            row = Job(kind="test", payload={}, status="running", lease_token=lease, created_by=actor.name)
            session.add(row)
            session.flush()
        return JobContext(ground, row, lease, lambda: False)

    return make


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def content(context: JobContext, digest: str, folder: Path) -> bytes:
    path = folder / digest
    context.ground.blobs.checkout(context.tenant_id, digest, path)
    return path.read_bytes()


def test_a_split_of_a_hub_dataset_becomes_one_file_in_the_store(
    hub: HubServer, context: Callable[[], JobContext], tmp_path: Path
) -> None:
    commit = hub.add(
        "datasets/org/talk",
        **{
            "README__md": b"---\nlicense: mit\n---\n# Talk\n",
            "data/train-00000-of-00002__parquet": parquet(ROWS[:10]),
            "data/train-00001-of-00002__parquet": parquet(ROWS[10:]),
            "data/test__jsonl": json.dumps(ROWS[0]).encode() + b"\n",
            "talk__py": b"raise SystemExit",
            "weights__bin": b"\x80",
        },
    ).branches["main"]
    job = context()
    found = obtain_source(job, HubSource(path="org/talk"), ImportOptions())
    lines = content(job, found.digest, tmp_path).splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert (found.file_name, found.license, found.url) == (
        "talk-train.jsonl",
        "mit",
        f"hf://datasets/org/talk@{commit}",
    )
    assert found.details["files"] == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert [hub.got(name) for name in ("talk.py", "weights.bin", "test.jsonl")] == [0, 0, 0]
    test = obtain_source(context(), HubSource(path="org/talk", revision=commit, split="test"), ImportOptions())
    assert content(job, test.digest, tmp_path) == json.dumps(ROWS[0]).encode() + b"\n"


def test_what_the_hub_has_not_is_said(hub: HubServer, context: Callable[[], JobContext]) -> None:
    """S51: a script alone is refused and not even fetched."""
    hub.add("datasets/org/scripted", scripted__py=b"import os", dataset_infos__json=b"{}")
    with pytest.raises(FormatInvalid, match="made by a script"):
        obtain_source(context(), HubSource(path="org/scripted"), ImportOptions())
    assert hub.got("scripted.py") == 0
    with pytest.raises(NotFound, match="has no dataset 'org/none'"):
        obtain_source(context(), HubSource(path="org/none"), ImportOptions())


def test_offline_the_cache_serves(
    hub: HubServer, context: Callable[[], JobContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("datasets/org/rows", rows__csv=b"text\na\n")
    first = obtain_source(context(), HubSource(path="org/rows"), ImportOptions())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    assert obtain_source(context(), HubSource(path="org/rows"), ImportOptions()).digest == first.digest
    assert len(hub.asked) == asked


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(b'{"text": "a"}\n')
    (folder / "rows").write_bytes(b'{"text": "a"}\n')

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(folder), **named)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_web_address_becomes_a_file_in_the_store(web: str, context: Callable[[], JobContext], tmp_path: Path) -> None:
    job = context()
    with pytest.raises(UrlNotAllowed, match="TUNERY_SOURCE_HOSTS"):
        obtain_source(job, UrlSource(path=f"{web}/rows.jsonl"), ImportOptions())
    allowed = job.ground.settings.model_copy(update={"source_hosts": ["localhost"]})
    job.ground = replace(job.ground, settings=allowed)
    found = obtain_source(job, UrlSource(path=f"{web}/rows.jsonl"), ImportOptions())
    assert content(job, found.digest, tmp_path) == b'{"text": "a"}\n'
    assert (found.file_name, found.url) == ("rows.jsonl", f"{web}/rows.jsonl")
    with pytest.raises(FormatInvalid, match="cannot be told"):
        obtain_source(job, UrlSource(path=f"{web}/rows"), ImportOptions())
    assert obtain_source(job, UrlSource(path=f"{web}/rows"), ImportOptions(format="jsonl")).digest == found.digest
    job.ground = replace(job.ground, settings=allowed.model_copy(update={"max_upload_bytes": 5}))
    with pytest.raises(SourceLimit, match="larger than 5 bytes"):
        obtain_source(job, UrlSource(path=f"{web}/rows.jsonl"), ImportOptions())


def test_what_was_fetched_is_imported_with_its_address_in_the_record(
    web: str, context: Callable[[], JobContext], tmp_path: Path
) -> None:
    """DAT-10."""
    rows = "".join(f'{{"text": "row {number * 7919}"}}\n' for number in range(30))
    (tmp_path / "web" / "rows.jsonl").write_text(rows)
    job = context()
    job.ground = replace(job.ground, settings=job.ground.settings.model_copy(update={"source_hosts": ["localhost"]}))
    wish = {"name": "fetched", "source": {"source": "url", "path": f"{web}/rows.jsonl"}, "license": "MIT"}
    done = fetch_dataset(job, wish)
    assert (done["reference"], sum(done["rows"].values())) == ("fetched:1", 30)
    with job.session() as session:
        record = resolve_version(session, "fetched").provenance
    assert (record["sources"][0]["url"], record["sources"][0]["license"]) == (f"{web}/rows.jsonl", "MIT")


def test_a_job_that_is_repeated_fetches_the_commit_that_it_began_with(
    hub: HubServer, context: Callable[[], JobContext]
) -> None:
    rows = b"".join(b'{"text": "row %d"}\n' % (number * 7919) for number in range(30))
    commit = hub.add("datasets/org/rows", rows__jsonl=rows).branches["main"]
    job = context()
    done = fetch_dataset(job, {"name": "rows", "source": {"source": "hub", "path": "org/rows"}})
    with job.session() as session:
        payload = session.get_one(Job, job.job_id).payload
        [source] = resolve_version(session, done["reference"]).provenance["sources"]
    assert (payload["source"]["revision"], source["details"]["commit"]) == (commit, commit)


@pytest.mark.parametrize(
    "wish",
    [
        {"source": "hub", "path": "talk"},
        {"source": "hub", "path": "org/talk@main"},
        {"source": "hub", "path": "../talk"},
        {"source": "hub", "path": "org/talk", "revision": "../x"},
        {"source": "url", "path": "file:///etc/passwd"},
        {"source": "url", "path": "http://user@data.example/x"},
        {"source": "ftp", "path": "x"},
    ],
)
def test_a_source_that_is_none_is_refused_when_it_is_written(wish: dict[str, str], ground: Ground) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Source).validate_python(wish)
