"""Datasets through the SDK and the command line, on a whole house (DAT-13, DAT-14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tunery.audit import AuditEntry
from tunery.client import Client
from tunery.errors import EXIT_CODES, InvalidInput, NotFound, RowInvalid, TuneryError, UrlNotAllowed
from tunery.platform.db import Database
from tunery.platform.http import ROUTES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Questions 1.jsonl"
    rows = [{"question": f"What is {i * 7919}?", "answer": f"number {i}"} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_becomes_a_version_that_can_be_read(client: Client, file: Path) -> None:
    started = client.datasets.import_(file, name="questions", options={"test_split": 6, "seed": 3}, license="MIT")
    result = client.jobs.wait(started.job_id).result
    assert result["reference"] == "questions:1"
    [version] = client.datasets.versions("questions")
    assert (version.digest, version.rows) == (result["digest"], {"train": 30, "validation": 4, "test": 6})
    rows = client.datasets.rows("questions:1", split="test", limit=4, offset=3)
    assert (len(rows), rows.total) == (3, 6)
    assert rows[0].row.keys() == {"prompt", "completion"}
    assert "questions" in [dataset.name for dataset in client.datasets.list()]
    assert client.datasets.get("questions").current_version == 1


def test_prv_01_provenance_has_r1s_fields(client: Client, file: Path) -> None:
    client.jobs.wait(client.datasets.import_(file, name="told", license="MIT", url="https://example.com/q").job_id)
    record = client.datasets.provenance("told")
    assert (record.dataset_name, record.dataset_version, record.licensing.license) == ("told", "1", "MIT")
    [source] = record.sources
    assert (source.type, source.url, source.sample_count) == ("file", "https://example.com/q", 40)
    told = record.model_dump(by_alias=True)
    assert {"type", "url", "description", "sampleCount", "collectedAt"} <= told["sources"][0].keys()
    assert told["compliance"].keys() == {
        *("piiDetected", "piiRemoved", "gdprCompliant", "ccpaCompliant", "certifications"),
    }
    assert {"license", "commercialUse", "derivativeWorks"} <= told["licensing"].keys()
    assert client.datasets.provenance(record.dataset_id) == record  # by id as by name
    assert client.datasets.provenance("told:1") == record


def test_a_bad_line_fails_the_job_with_its_number_and_leaves_no_dataset(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], file: Path
) -> None:
    with file.open("a") as more:
        more.write("{oops\n")
    job_id = client.datasets.import_(file, name="broken").job_id
    with pytest.raises(RowInvalid, match="line 41"):
        client.jobs.wait(job_id)
    job = client.jobs.wait(job_id, check=False)
    assert (job.status, job.error["code"], job.error["line"]) == ("failed", "row_invalid", 41)
    with pytest.raises(NotFound):
        client.datasets.get("broken")
    options = {"on_error": "quarantine"}
    result = client.jobs.wait(client.datasets.import_(file, name="broken", options=options).job_id).result
    assert sum(result["rows"].values()) == 40
    assert client.datasets.versions("broken")[0].quarantined == 1
    code, [aside], _ = tunery("datasets", "quarantined", "broken:1")
    assert (code, aside["line"], aside["text"]) == (0, 41, "{oops")
    assert client.datasets.quarantined("broken", offset=1).total == 1


def test_a_wish_with_a_fault_is_refused_before_a_job_is_made(client: Client, file: Path) -> None:
    for options in ({"test_split": 1.5}, {"sanitize": [{"step": "dedup"}]}, {"colour": "red"}):
        with pytest.raises(InvalidInput):
            client.datasets.import_(file, options=options)
    with pytest.raises(InvalidInput):
        client.datasets.import_(file, name="Not a name")


def test_an_upload_is_looked_at_without_an_import(client: Client, file: Path) -> None:
    found = client.datasets.inspect(file)
    assert (found.format, found.shape, found.rows) == ("jsonl", "completion", 40)
    assert found.mapping == {"prompt": "question", "completion": "answer"}


def test_an_address_of_this_machine_is_not_fetched(client: Client, tunery: Callable[..., tuple[int, Any, str]]) -> None:
    """S48."""
    with pytest.raises(UrlNotAllowed):
        client.jobs.wait(client.datasets.fetch("http://127.0.0.1:9/rows.jsonl", name="inside").job_id)
    with pytest.raises(NotFound):
        client.datasets.get("inside")
    code, _, error = tunery("datasets", "fetch", "file:///etc/passwd")
    assert code != 0
    assert "https or http" in error
    code, _, error = tunery("datasets", "import", "https://example.com/rows.csv")
    assert (code, "https://example.com/rows.csv is an address; `tunery datasets fetch`" in error) == (2, True)


def test_the_command_line_imports_and_shows_rows(tunery: Callable[..., tuple[int, Any, str]], file: Path) -> None:
    code, result, _ = tunery("datasets", "import", file, "--test-split", "5", "--deduplicate")
    assert (code, result["reference"]) == (0, "questions-1:1")
    code, rows, _ = tunery("datasets", "rows", "questions-1", "--split", "test", "--limit", "2")
    assert (code, len(rows)) == (0, 2)


def test_dat_15_the_sanitising_steps_are_listed_with_their_parameters(
    client: Client, tunery: Callable[..., tuple[int, Any, str]]
) -> None:
    found = {item.name: item for item in client.datasets.sanitizers()}
    assert {"deduplicate", "decontaminate", "filter_quality"} <= set(found)
    assert found["strip_keys"].required == ["keys"]
    assert found["near_deduplicate"].parameters["threshold"]["default"] == 0.7
    code, shown, _ = tunery("datasets", "sanitizers")
    assert code == 0
    assert {item["name"] for item in shown} == set(found)
    code, shown, _ = tunery("datasets", "sanitizers", "near_deduplicate")
    assert (code, shown["removesRows"]) == (0, True)
    code, _, error = tunery("datasets", "sanitizers", "dedup")
    assert code != 0
    assert "there are check_leakage" in error


def test_the_command_line_takes_steps_from_a_recipe(
    tunery: Callable[..., tuple[int, Any, str]], file: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "steps.yaml"
    recipe.write_text("sanitize:\n  - step: filter_by_length\n    key: prompt\n    max_len: 10\n")
    code, result, _ = tunery(
        "datasets", "import", file, "--sanitize", recipe, "--validation-split", "0", "--test-split", "0"
    )
    assert code == 0
    assert sum(result["rows"].values()) == 1  # `What is 0?` alone has ten characters
    recipe.write_text("steps: []\n")
    code, _, error = tunery("datasets", "import", file, "--sanitize", recipe)
    assert code != 0
    assert "tunery datasets sanitizers" in error
    recipe.write_text("sanitize:\n  - step: redact_pii\n    actoins: {}\n")
    _, _, error = tunery("datasets", "import", file, "--sanitize", recipe, "--redact", "--validation-split", "1.5")
    assert f"{recipe}: sanitize.0.actoins: there is no such key (did you mean 'actions'?)" in error
    assert "--validation-split: a fraction lies" in error


def test_dat_13_the_command_line_appends_deletes_restores_tags_and_compares(
    tunery: Callable[..., tuple[int, Any, str]], file: Path, tmp_path: Path
) -> None:
    def run(*words: str | Path) -> Any:
        code, found, error = tunery("datasets", *words)
        assert code == 0, error
        return found

    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({"question": f"And {i}?", "answer": f"{i}"}) + "\n" for i in range(5)))
    run("import", file, "--name", "changed")
    assert run("import", more, "--name", "changed", "--mode", "append")["change"] == "append"
    found = run("diff", "changed:1", "changed:2", "--limit", "3")
    assert (found["added"], found["removed"], found["changed"], len(found["rows"])) == (5, 0, 0, 3)
    gone = [row["rowId"] for row in found["rows"]]
    assert run("delete-rows", "changed", *gone)["totalSamples"] == 42
    assert run("tag", "changed:2", "gold")["tags"] == ["gold"]
    assert run("restore", "changed:gold")["totalSamples"] == 45
    assert run("compact", "changed")["totalSamples"] == 45
    versions = run("versions", "changed")
    assert [each["change"] for each in versions] == ["compact", "restore", "delete", "append", "import"]
    assert [each["tags"] for each in versions] == [[], [], [], ["gold"], []]
    assert [each["current"] for each in versions] == [True, False, False, False, False]
    assert run("diff", "changed:gold")["added"] == 0
    assert len(run("rows", f"changed@{versions[-1]['createdAt']}", "--limit", "100")) == 40
    for words in (("diff", "changed", "other"), ("restore", "changed"), ("tag", "changed", "7"), ("compact", "none")):
        assert tunery("datasets", *words)[0] != 0


def test_dat_09_a_select_is_answered_by_the_sdk_and_the_command_line(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], file: Path
) -> None:
    client.jobs.wait(client.datasets.import_(file, name="counted-rows").job_id)
    found = client.datasets.query('select count(*) as n, max(line) from "counted-rows"')
    assert {entry.resource for entry in audited(client, "dataset_read", "counted-rows:")} == {"counted-rows:1"}
    assert ([column.name for column in found.columns], found.rows) == (["n", "max(line)"], [[40, 40]])
    code, shown, _ = tunery("datasets", "query", 'from "counted-rows:1"', "--limit", "3")
    assert (code, len(shown["rows"]), shown["truncated"]) == (0, 3, True)
    for sql, words in (
        ("drop table x", "one SELECT"),
        ("selec 1", "did you mean 'select'?"),
        ("select * from counted-rows:1", 'quote what is no plain word: "counted-rows:1"'),
    ):
        code, _, error = tunery("datasets", "query", sql)
        assert (code, words in error) == (2, True), error


def audited(client: Client, action: str, resource: str) -> list[AuditEntry]:
    """What was done to resources whose names begin with this."""
    database = Database(client.settings.effective_database_url)
    try:
        with database.system_session("a test reads the audit", read_only=True) as session:
            ours = AuditEntry.action == action, AuditEntry.resource.startswith(resource)
            return [*session.scalars(sa.select(AuditEntry).where(*ours))]
    finally:
        database.close()


def test_exports_are_files_or_a_delta_table_and_are_audited(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    from deltalake import DeltaTable
    from pyarrow import csv, parquet

    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"=1+{i * 7919}", "completion": f"sum {i}"} for i in range(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    client.jobs.wait(client.datasets.import_(file, name="shared").job_id)
    client.jobs.wait(client.datasets.import_(file, name="shared", mode="append").job_id)
    for form in ("jsonl", "csv", "parquet", "delta"):
        name = "shared" if form == "delta" else "shared:1"
        code, made, error = tunery("datasets", "export", name, "--format", form, "--to", tmp_path / f"out.{form}")
        assert code == 0, error
        assert made["version"] == ("shared:2" if form == "delta" else "shared:1")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows
    assert csv.read_csv(tmp_path / "out.csv").to_pylist() == [row | {"prompt": "'" + row["prompt"]} for row in rows]
    for version, count in ((1, 20), (2, 40)):
        assert DeltaTable(tmp_path / "out.delta", version=version).to_pyarrow_table().num_rows == count
    part = ["--split-column", "part"]
    assert tunery("datasets", "export", "shared:1", *part, "--to", tmp_path / "again.jsonl")[0] == 0
    assert tunery("datasets", "import", tmp_path / "again.jsonl", "--name", "shared-again", *part)[0] == 0
    splits = [{row.row_id: row.split for row in client.datasets.rows(name)} for name in ("shared:1", "shared-again:1")]
    assert splits[0] == splits[1]
    assert {*splits[0].values()} == {"train", "validation", "test"}
    assert tunery("datasets", "export", "shared", "--split", "none", "--to", tmp_path / "other")[0] == 2
    assert tunery("datasets", "export", "shared:1", "--format", "delta", "--to", tmp_path / "other")[0] == 2
    assert tunery("datasets", "export", "shared", "--to", tmp_path / "out.jsonl")[0] == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") or path.name == "other"]
    told = [(entry.resource, entry.details["format"]) for entry in audited(client, "dataset_exported", "shared:")]
    assert {entry.resource for entry in audited(client, "dataset_read", "shared:")} == {"shared:1"}
    files = [("shared:1", form) for form in ("jsonl", "csv", "parquet", "jsonl")]
    assert sorted(told) == sorted(
        [*files, ("shared:1", "delta"), ("shared:2", "delta")]
    )  # erasure asks who got copies of a version


def test_dat_07_a_table_is_written_and_read_as_it_was_at_each_version(client: Client) -> None:
    import pyarrow as pa

    first = pa.table({"name": [f"row {i * 7919}" for i in range(20)], "a": range(20), "b": [i / 2 for i in range(20)]})
    assert client.jobs.wait(client.datasets.write("my_data", first).job_id).status == "succeeded"
    client.jobs.wait(client.datasets.write("my_data", first.slice(0, 5), mode="append").job_id)
    assert client.datasets.read("my_data:1").to_pylist() == first.to_pylist()
    assert client.datasets.read("my_data").num_rows == 25
    moment = client.datasets.versions("my_data")[1].created_at.isoformat()
    assert client.datasets.read(f"my_data@{moment}").num_rows == 20
    assert client.datasets.query("select sum(a) from my_data").rows == [[sum(range(20)) + sum(range(5))]]
    newest = client.datasets.versions("my_data")[0]
    assert (newest.shape, newest.rows) == ("table", {"train": 25})
    assert client.datasets.diff("my_data:1", "my_data").added == 5


def test_dat_08_any_rows_are_written_and_asked_and_what_wants_roles_says_how_to_give_them(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    """R3's example writes {"a": [1, 2, 3], "b": [4, 5, 6]}; DAT-09: 1 * 4 + 2 * 5 + 3 * 6 = 32."""
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
    assert client.jobs.wait(client.datasets.write("test", frame).job_id).status == "succeeded"
    assert client.datasets.read("test").to_pydict() == {"a": [1, 2, 3], "b": [4, 5, 6]}
    assert client.datasets.query("select sum(a * b) from test").rows == [[32]]
    rows = ({"n": n, "at": datetime(2026, 11, 21, n, tzinfo=UTC), "tags": [n], "mixed": n or "none"} for n in range(3))
    client.jobs.wait(client.datasets.write("events", rows).job_id)
    found = client.datasets.read("events").to_pylist()
    assert found[2] == {"n": 2, "at": "2026-11-21T02:00:00+00:00", "tags": "[2]", "mixed": "2"}
    assert found[0]["mixed"] == '"none"'
    for wrong in ({"a": [1]}, [1], [{"a": float("nan")}], 3):
        with pytest.raises(InvalidInput):
            client.datasets.write("wrong", wrong)

    path = tmp_path / "things.csv"
    path.write_text("colour,price\nred,1\nblue,2\n")
    code, _, said = tunery("datasets", "import", path, "--name", "things")
    assert (code, "shape: table" in said) == (2, True)
    code, made, _ = tunery("datasets", "import", path, "--name", "things", "--shape", "table")
    assert (code, made["shape"], made["rows"]["train"]) == (0, "table", 2)
    assert tunery("datasets", "import", path, "--shape", "table", "--column", "text=colour")[0] == 2
    with pytest.raises(InvalidInput, match=r"--column prompt=\.\.\. --column completion=\.\.\."):
        client.runs.create("none", dataset="things", base="nobody", training={"method": "sft"})
    exported = tmp_path / "rows.jsonl"
    assert tunery("datasets", "export", "things", "--to", exported)[0] == 0
    columns = ["--column", "prompt=colour", "--column", "completion=price"]
    code, made, _ = tunery("datasets", "import", exported, "--name", "mapped", *columns, "--validation-split", "0",
                           "--test-split", "0")  # fmt: skip
    assert (code, made["shape"]) == (0, "completion")


def test_dat_14_the_metadata_of_datasets_is_a_table(client: Client) -> None:
    from tunery.datasets.tables import Dataset

    assert Dataset.__tablename__ == "datasets"
    columns = {"id", "tenant_id", "name", "description", "current_version", "created_by", "created_at", "updated_at"}
    assert columns <= set(Dataset.__table__.columns.keys())


def test_whoever_asks_for_a_dataset_of_which_nothing_is_left_is_told_so(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "jane@example.com", "text": "of jane@example.com"}) + "\n")
    options = {"validation_split": 0, "test_split": 0, "key": "id"}
    client.jobs.wait(client.datasets.import_(tmp_path / "rows.jsonl", name="of-one", options=options).job_id)
    delete = client.datasets.delete_rows("of-one", ["jane@example.com"])
    with pytest.raises(TuneryError, match="all rows of the dataset"):
        client.jobs.wait(delete.job_id)
    client.compliance.validate("of-one")
    assert client.jobs.wait(client.subjects.erase("jane@example.com").job_id).status == "succeeded"
    bodies = {
        "datasets.delete_rows": {"rowIds": ["0"]},
        "datasets.restore": {"version": "1"},
        "datasets.tag": {"tag": "first"},
        "runs.create": {"name": "x", "dataset": "of-one", "base": "none"},
        "evaluations.create": {"modelVersionId": "none", "dataset": "of-one"},
        "compliance.validate": {"datasetId": "of-one"},
        "compliance.attest": {"rule": "GDPR-17", "dataset": "of-one", "statement": "nothing is there"},
        "datasets.query": {"sql": 'select * from "of-one"'},
    }
    answers = {}
    for name, spec in ROUTES:
        if name in bodies or "/datasets/{name}" in spec.full_path:
            path = spec.full_path.replace("{name}", "of-one")
            try:
                client.transport.call(spec.method, path, body=bodies.get(name))
                answers[name] = "ok"
            except TuneryError as error:
                answers[name] = error.code
    assert {name for name, answer in answers.items() if answer == "ok"} == {"datasets.get", "datasets.versions"}
    assert {*answers.values()} <= {"ok", "erased", "not_found"}, answers
    assert client.compliance.reports("of-one")[0].stale
    code, _, told = tunery("datasets", "compact", "of-one")
    assert (code, "nothing is left of it" in told) == (EXIT_CODES["not_found"], True)
    database = Database(client.settings.effective_database_url)
    with database.system_session("a test looks for a name") as session:
        jobs = session.execute(sa.text("select payload, error, result, progress from jobs")).all()
    database.close()
    assert "jane@" not in str(jobs)
