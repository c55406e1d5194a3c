"""Imports as jobs: one version a file and options, the earlier version current until the new one is whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.fixtures import make_actor
from tunery.audit.tables import AuditEntry
from tunery.datasets import imports, operations
from tunery.datasets.imports import execute_import
from tunery.datasets.jobs import import_dataset
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.diffing import diff_versions
from tunery.datasets.views import DatasetImport, DatasetInspect
from tunery.errors import InvalidInput, NotFound, RowInvalid
from tunery.evaluation.rows import find_dataset
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.lineage.operations import graph_of
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext


def context_of(ground: Ground, actor: Actor) -> JobContext:
    """A job that runs, held by a lease."""
    lease = new_id()
    with ground.database.session(actor.tenant_id) as session:
        row = Job(kind="test", payload={}, status="running", lease_token=lease, created_by=actor.name)
        session.add(row)
        session.flush()
    return JobContext(ground, row, lease, lambda: False)


def wish_for(ground: Ground, actor: Actor, rows: list[Any], name: str = "things", **options: Any) -> DatasetImport:
    data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    digest = ground.blobs.put(actor.tenant_id, data).digest
    return DatasetImport(name=name, file_digest=digest, file_name="rows.jsonl", options=options, license="MIT")


def pairs(count: int, mark: str = "") -> list[dict[str, str]]:
    return [{"prompt": f"{mark} question {i * 7919}", "completion": f"{mark} answer {i}"} for i in range(count)]


def newest(ground: Ground, actor: Actor, name: str = "things") -> DatasetVersion:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return operations.resolve_version(session, name)


def test_an_import_makes_a_version_with_rows_and_provenance(ground: Ground, actor: Actor) -> None:
    rows = [*pairs(20), pairs(1)[0]]
    wish = wish_for(ground, actor, rows, sanitize=[{"step": "deduplicate"}], validation_split=2, test_split=4)
    version = execute_import(context_of(ground, actor), wish)
    assert (version.reference, version.shape, version.status) == ("things:1", "completion", "ready")
    assert version.rows == {"train": 14, "validation": 2, "test": 4}  # 20 different rows
    assert version.total_samples == 20
    assert version.source_digest == wish.file_digest
    stored = list(operations.rows_of(ground, version))
    assert [row.values["completion"] for row in stored] == [f" answer {i}" for i in range(20)]
    [step] = version.provenance["preprocessingSteps"]
    assert (step["step"], step["affectedSamples"]) == ("deduplicate", 1)
    assert version.provenance["sources"][0]["sampleCount"] == 21
    assert version.provenance["sources"][0]["license"] == "MIT"
    assert version.provenance["compliance"]["piiDetected"] is None  # nobody looked, so nobody claims


def test_the_import_is_audited_and_stands_in_the_lineage(ground: Ground, actor: Actor) -> None:
    wish = wish_for(ground, actor, pairs(20))
    version = execute_import(context_of(ground, actor), wish)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        entry = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "dataset_imported")).one()
        graph = graph_of(session, "dataset_version", version.id)
    assert (entry.resource, entry.details["digest"]) == ("things:1", version.digest)
    assert {(node.type, node.digest) for node in graph.nodes} == {
        ("source", wish.file_digest),
        ("dataset_version", version.digest),
    }


def test_the_same_file_and_options_are_the_same_version(ground: Ground, actor: Actor) -> None:
    wish = wish_for(ground, actor, pairs(20))
    first = execute_import(context_of(ground, actor), wish)
    assert execute_import(context_of(ground, actor), wish).id == first.id
    other = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20), seed=1))
    assert (other.reference, other.digest) == ("things:2", first.digest)  # dealt out anew, the same rows
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert [row.version for row in operations.list_versions(session, "things")] == [2, 1]
        assert operations.resolve_version(session, "things:1").id == first.id


def test_a_file_that_cannot_be_used_leaves_nothing_visible(ground: Ground, actor: Actor) -> None:
    with pytest.raises(RowInvalid, match="line 2"):
        execute_import(context_of(ground, actor), wish_for(ground, actor, [pairs(1)[0], "{oops"]))
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert operations.list_datasets(session).total == 0
        with pytest.raises(NotFound):
            operations.get_dataset(session, "things")
    assert list(ground.settings.home.glob("scratch/*")) == []


def test_rows_set_aside_are_kept_and_counted(ground: Ground, actor: Actor) -> None:
    wish = wish_for(ground, actor, [*pairs(20), "{oops", {"x": 1}], on_error="quarantine")
    version = execute_import(context_of(ground, actor), wish)
    assert (version.quarantined, version.total_samples) == (2, 20)
    [first, second] = operations.quarantined_rows(ground, version, 5)
    assert (first.line, first.text, second.line, second.text) == (21, "{oops", 22, '{"x":1}')
    assert [*operations.quarantined_rows(ground, version, 1, 1)] == [second]
    with pytest.raises(NotFound, match="no row was set aside when things:2 was made"):
        operations.quarantined_rows(
            ground, execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(5))), 5
        )


def test_a_crash_before_the_row_is_written_leaves_the_earlier_version_current(
    ground: Ground, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20, "old")))
    wish = wish_for(ground, actor, pairs(30, "new"))

    def dies(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt  # stands for the end of the process: the log's commit is done, the row is not

    with monkeypatch.context() as patched:
        patched.setattr(imports, "record_version", dies)
        with pytest.raises(KeyboardInterrupt):
            execute_import(context_of(ground, actor), wish)
    assert newest(ground, actor).id == first.id
    again = execute_import(context_of(ground, actor), wish)
    assert (again.version, again.total_samples) == (2, 30)
    assert [row.values["prompt"][:3] for row in operations.rows_of(ground, first, limit=1)] == ["old"]


def test_the_job_tells_what_it_made(ground: Ground, actor: Actor) -> None:
    wish = wish_for(ground, actor, pairs(20))
    result = import_dataset(context_of(ground, actor), wish.model_dump(mode="json", by_alias=True))
    version = newest(ground, actor)
    assert result == {
        "version_id": version.id,
        "reference": "things:1",
        "digest": version.digest,
        "rows": version.rows,
        "new": True,
    }


def test_a_stranger_sees_none_of_it(ground: Ground, actor: Actor, stranger: Actor) -> None:
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20)))
    with ground.database.session(stranger.tenant_id, read_only=True) as session:
        assert operations.list_datasets(session).total == 0
        for reference in ("things", "things:1", version.id):
            with pytest.raises(NotFound):
                operations.resolve_version(session, reference)
    with pytest.raises(NotFound):
        list(operations.read_split(ground, stranger.tenant_id, version.id, "train"))
    with pytest.raises(NotFound):
        execute_import(context_of(ground, stranger), wish_for(ground, actor, pairs(20)))


def test_two_tenants_may_use_one_name(ground: Ground, actor: Actor, stranger: Actor) -> None:
    own = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20)))
    theirs = execute_import(context_of(ground, stranger), wish_for(ground, stranger, pairs(20)))
    assert own.digest == theirs.digest
    assert own.dataset_id != theirs.dataset_id
    assert make_actor(ground, "acme").tenant_id == own.tenant_id


def test_a_split_is_written_for_training_with_row_ids(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    rows = [row | {"row_id": "mine", "note": i} for i, row in enumerate(pairs(20))]
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, rows, test_split=5))
    count = operations.materialize_split(ground, actor.tenant_id, version.id, "test", tmp_path / "test.jsonl")
    written = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    stored = list(operations.rows_of(ground, version, "test"))
    assert count == len(written) == 5
    assert [row["row_id"] for row in written] == [row.row_id for row in stored]  # ours, not the column of that name
    assert written == list(operations.read_split(ground, actor.tenant_id, version.id, "test"))
    before = (tmp_path / "test.jsonl").read_bytes()
    operations.materialize_split(ground, actor.tenant_id, version.id, "test", tmp_path / "test.jsonl")
    assert (tmp_path / "test.jsonl").read_bytes() == before
    with pytest.raises(InvalidInput, match="no split 'dev'"):
        list(operations.rows_of(ground, version, "dev"))


def test_an_upload_can_be_looked_at_before_it_is_imported(ground: Ground, actor: Actor, stranger: Actor) -> None:
    wish = wish_for(ground, actor, [*pairs(20), "{oops"])
    look = DatasetInspect(file_digest=wish.file_digest, file_name="rows.jsonl")
    found = operations.inspect_upload(ground, actor.tenant_id, look)
    assert (found.shape, found.rows, found.malformed) == ("completion", 20, 1)
    with pytest.raises(NotFound):
        operations.inspect_upload(ground, stranger.tenant_id, look)
    assert list(ground.settings.home.glob("scratch/*")) == []


def test_dat_08_a_plain_table_has_versions_but_nothing_that_a_model_could_be_asked(
    ground: Ground, actor: Actor
) -> None:
    rows = [{"id": str(n), "n": n, "tags": [n]} for n in range(9)]
    execute_import(context_of(ground, actor), wish_for(ground, actor, rows, shape="table", key="id"))
    changed = wish_for(ground, actor, [rows[0] | {"n": 70}], shape="table", key="id").model_copy(
        update={"mode": "merge"}
    )
    version = execute_import(context_of(ground, actor), changed)
    assert (version.shape, version.rows, version.total_samples) == ("table", {"train": 9}, 9)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        found = diff_versions(ground, operations.resolve_version(session, "things:1"), version)
        with pytest.raises(InvalidInput, match=r"things:2 is a plain table.* --column prompt=\.\.\."):
            find_dataset(session, "things", "train")
    assert (found.changed, found.rows[0].before, found.rows[0].after) == (1, rows[0], rows[0] | {"n": 70})


def test_appended_rows_are_duplicates_of_those_that_stand_too(ground: Ground, actor: Actor) -> None:
    plain = {"sanitize": [{"step": "deduplicate"}], "validation_split": 2, "test_split": 4}
    execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20), **plain))
    more = [{**pairs(20)[7], "seen": "twice"}, *pairs(3, "new"), *pairs(1, "new")]
    appended = wish_for(ground, actor, more, **plain).model_copy(update={"mode": "append"})
    version = execute_import(context_of(ground, actor), appended)
    assert version.total_samples == 23
    assert version.provenance["preprocessingSteps"][-1]["affectedSamples"] == 2


def test_dat_12_splits_may_be_those_of_the_file(ground: Ground, actor: Actor) -> None:
    def put(mode: str, *rows: tuple[int, str, str]) -> dict[str, tuple[str, str]]:
        lines = [
            {"id": n, "prompt": f"question {n * 7919}", "completion": text, "part": part} for n, text, part in rows
        ]
        wish = wish_for(ground, actor, lines, key="id", split_column="part")
        version = execute_import(context_of(ground, actor), wish.model_copy(update={"mode": mode}))
        return {row.row_id: (row.split, row.values["completion"]) for row in operations.rows_of(ground, version)}

    assert put("replace", (1, "a", "train"), (2, "b", "test")) == {"1": ("train", "a"), "2": ("test", "b")}
    assert put("append", (3, "c", "valid"))["3"] == ("validation", "c")
    merged = put("merge", (2, "new", "test"), (1, "new", "validation"), (4, "d", "train"))
    assert merged == {"1": ("validation", "new"), "2": ("test", "new"), "3": ("validation", "c"), "4": ("train", "d")}
    assert newest(ground, actor).rows == {"train": 1, "validation": 2, "test": 1}
    assert put("append", (5, "e", "train"), (6, "f", "dev"))["6"] == ("validation", "f")
    with pytest.raises(ValueError, match="leave validation_split and test_split out"):
        wish_for(ground, actor, [], split_column="part", test_split=0.5)
    for other in ({"key": "part"}, {"subject_columns": ("part",)}, {"columns": {"text": ["a", "part"]}}):
        with pytest.raises(ValueError, match="'part' is taken out of the rows"):
            wish_for(ground, actor, [], split_column="part", **other)


def test_copies_on_both_sides_of_a_files_own_split_are_counted(ground: Ground, actor: Actor) -> None:
    parts = ["train", "test", "train", "validation", "train"]
    lines = [pairs(9)[n // 2] | {"part": part, "n": n} for n, part in enumerate(parts)]
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, lines, split_column="part"))
    assert version.provenance["qualityMetrics"]["leakingRows"] == 2
    alone = [line for line in lines if line["part"] == "train"]
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, alone, split_column="part"))
    assert (version.rows["train"], version.provenance["qualityMetrics"]["leakingRows"]) == (3, 0)


def test_two_imports_of_one_new_dataset_at_once_are_two_versions(ground: Ground, actor: Actor) -> None:
    wishes = [wish_for(ground, actor, pairs(20, mark)) for mark in "ab"]
    contexts = [context_of(ground, actor) for _ in wishes]
    with ThreadPoolExecutor() as pool:
        versions = list(pool.map(execute_import, contexts, wishes))
    assert {version.version for version in versions} == {1, 2}
    assert len({version.dataset_id for version in versions}) == 1
    for version, mark in zip(versions, "ab", strict=True):
        assert {row.values["prompt"][0] for row in operations.rows_of(ground, version)} == {mark}
