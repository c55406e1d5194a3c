"""SQL over datasets: reads what it names, and can do nothing else (DAT-08, DAT-09)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.versions.test_changes import imported
from tests.fixtures import fresh_settings
from tunery.datasets.operations import tag_version
from tunery.datasets.query.reading import answer, open_database, tables_of, told, view_of
from tunery.datasets.query.running import run_query
from tunery.datasets.query.schemas import DatasetQuery, QueryResult
from tunery.errors import Cancelled, Exhausted, InvalidInput, NotFound, TooLarge
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        ground = Ground.build(settings)
        yield ground
        ground.database.close()


@pytest.fixture
def people(ground: Ground, actor: Actor) -> Actor:
    """Two versions of ``things``: ten rows, then ten more."""
    rows = [
        {
            "prompt": f"q{i}",
            "completion": f"a{i}",
            "age": i,
            "score": i / 2 or 0,
            "ok": i > 5,
            "tags": ["x", i],
            "Split": 1,
        }
        for i in range(20)
    ]
    imported(ground, actor, rows[:10], test_split=0, validation_split=0)
    imported(ground, actor, rows[10:], "append", test_split=0, validation_split=0)
    return actor


def ask(ground: Ground, actor: Actor, sql: str, limit: int = 100) -> QueryResult:
    return run_query(ground, actor.tenant_id, DatasetQuery(sql=sql, limit=limit))


def rows(ground: Ground, actor: Actor, sql: str) -> list[list[Any]]:
    return ask(ground, actor, sql).rows


def test_dat_08_a_dataset_is_a_table_of_typed_columns(ground: Ground, people: Actor) -> None:
    found = ask(ground, people, "select * from things order by line, age limit 2")
    assert {column.name: column.type for column in found.columns} == {
        "row_id": "VARCHAR", "split": "VARCHAR", "line": "BIGINT", "prompt": "VARCHAR", "completion": "VARCHAR",
        "age": "BIGINT", "score": "DOUBLE", "ok": "BOOLEAN", "tags": "JSON", "Split_1": "BIGINT",
    }  # fmt: skip
    first = dict(zip([column.name for column in found.columns], found.rows[0], strict=True))
    assert (first["prompt"], first["age"], first["ok"], first["tags"]) == ("q0", 0, False, ["x", 0])
    assert found.tables == {"things": "things:2"}


def test_dat_09_versions_are_joined_grouped_and_counted(ground: Ground, people: Actor) -> None:
    with ground.database.session(people.tenant_id) as session:
        tag_version(session, people, "things:1", "gold")
    sql = """
        with new as (select * from things where row_id not in (select row_id from "things:gold"))
        select split, count(*), sum(age), (select count(*) from "things:1") from new group by split
    """
    assert rows(ground, people, sql) == [["train", 10, sum(range(10, 20)), 10]]
    assert ask(ground, people, sql).tables == {"things": "things:2", "things:gold": "things:1", "things:1": "things:1"}


def test_an_answer_ends_at_its_limit_and_says_so(ground: Ground, people: Actor) -> None:
    asked = ask(ground, people, "from things", 19)
    assert (len(asked.rows), asked.truncated) == (19, True)
    database = open_database(10**9)
    assert answer(database.execute("from range(20)"), 20)["truncated"] is False
    found = answer(database.execute("select repeat('x', 1000000) from range(100)"), 100)
    assert (len(found["rows"]), found["truncated"]) == (8, True)  # 8 MiB hold eight rows of a million characters
    with pytest.raises(TooLarge):
        answer(database.execute("select repeat('x', 9000000)"), 100)


@pytest.mark.parametrize(
    "sql",
    [
        "copy things to '{out}'",
        "copy (select 1) to '{out}' (format parquet)",
        "select 1; select 2",
        "select 1; copy (select 1) to '{out}'",
        "attach '{out}' as other",
        "create table t as select 1",
        "insert into things values (1)",
        "delete from things",
        "install httpfs",
        "load httpfs",
        "pragma database_list",
        "set memory_limit='100GB'",
        "export database '{out}'",
        "call pragma_version()",
        "explain analyze select 1",
        "from read_csv('/etc/passwd')",
        "from '/etc/passwd'",
        'from "/etc/passwd"',
        "from read_text('/etc/passwd')",
        "from read_blob('/proc/self/environ')",
        "from glob('/etc/*')",
        "from read_parquet('{home}/**/*.parquet')",
        "from read_json('http://127.0.0.1:1/x')",
        "from 'https://example.com/x.parquet'",
        "from sqlite_scan('{home}/tunery.sqlite', 'tenants')",
        "from query('copy (select 1) to ''{out}''')",
        "from query_table('/etc/passwd')",
        "select getenv('HOME')",
        "select * from order",
        "from order_",
        "from tunery_0",
    ],
)  # fmt: skip
def test_what_is_no_reading_of_datasets_is_refused(tmp_path: Path, sql: str) -> None:
    """Even where the parent would lay out every table that it names."""
    out, database, sql = tmp_path / "out", open_database(10**9), sql.format(out=tmp_path / "out", home=tmp_path)
    (tmp_path / "tunery.sqlite").touch()
    with pytest.raises(InvalidInput), told(10**9):
        tables_of(database, sql)
        answer(database.execute(sql), 10)
    assert not out.exists()


def test_a_hostile_query_is_refused_by_the_whole(ground: Ground, people: Actor) -> None:
    for sql in ("copy things to 'x'", "with a as (from things) from read_text('/etc/passwd'), a"):
        with pytest.raises(InvalidInput):
            ask(ground, people, sql)
    with pytest.raises((InvalidInput, Exhausted)):
        ask(ground, people, "select " + "(" * 40_000 + "1" + ")" * 40_000)


def test_another_tenants_datasets_are_no_tables(ground: Ground, people: Actor, stranger: Actor) -> None:
    with pytest.raises(NotFound):
        ask(ground, stranger, "from things")


def test_time_and_memory_end_a_query(ground: Ground, actor: Actor) -> None:
    settings = ground.settings.model_copy(update={"query_seconds": 0.3, "query_memory_bytes": 100_000_000})
    small = Ground(settings, ground.database, ground.blobs)
    with pytest.raises(Exhausted, match="TUNERY_QUERY_SECONDS"):
        ask(small, actor, "select count(*) from range(1000000) a, range(1000000) b where (a.range * b.range) % 7 = 1")
    settings = settings.model_copy(update={"query_seconds": 60})
    with pytest.raises(Exhausted, match="TUNERY_QUERY_MEMORY_BYTES"):
        ask(Ground(settings, ground.database, ground.blobs), actor, "select list(range) from range(100000000)")


def test_a_query_ends_when_who_asked_has_gone_and_leaves_nothing(ground: Ground, people: Actor) -> None:
    wish = DatasetQuery(sql="select count(*) from things, range(1000000) a, range(1000000) b where a.range % 7 = 1")
    with pytest.raises(Cancelled):
        run_query(ground, people.tenant_id, wish, lambda: True)
    assert not list(ground.settings.folder("scratch").iterdir())


def test_whole_numbers_of_any_size_are_answered_as_they_are() -> None:
    """One past 2^63 is a wider number, one past 2^53 beside a fraction is JSON: a double would change it."""
    columns = {
        "low": ("BIGINT", 1 - 2**63, 2**63 - 1),
        "wide": ("HUGEINT", 2**63, None),
        "least": ("JSON", -(2**64), 1),
        "digits": ("JSON", 10**39, 1),
        "mixed": ("JSON", 2**53 + 1, 0.5),
        "near": ("DOUBLE", 2**53, 0.5),
        "text": ("JSON", 1, f"{2**64}"),
    }
    rows = [{name: column[place] for name, column in columns.items()} for place in (1, 2)]
    database = open_database(10**9)
    listed = ", ".join("('id', 'train', 1, '" + json.dumps(row) + "')" for row in rows)
    database.execute(f"create table source as from (values {listed}) found(row_id, split, line, row)")
    database.execute(view_of(database, "source", "things"))
    found = answer(database.execute(f"select {', '.join(columns)} from things"), 10)
    assert {column["name"]: column["type"] for column in found["columns"]} == {n: c[0] for n, c in columns.items()}
    assert found["rows"] == [list(row.values()) for row in rows]
    assert answer(database.execute("select sum(wide) from things"), 1)["rows"] == [[2**63]]


def test_odd_columns_keep_their_values() -> None:
    import duckdb

    database = duckdb.connect(":memory:")
    odd = {'a"b': 1, "a/b": 2, "a~b": 3, "a'b": 4, "a.b": 5, "$": 6, "": 7, "A.B": 8, "row_id": 9, "ü": 10, "a b": 11}
    database.execute("create table source as select 'id' row_id, 'train' split, 1 line, ?::json as row", [odd])
    database.execute(view_of(database, "source", "things:1"))
    found = database.execute('from "things:1"')
    assert sorted(found.fetchone()[3:]) == [*range(1, 12)]
