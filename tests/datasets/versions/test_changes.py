"""Append, merge, delete, restore, compact, tags and time: each makes a version, none touches an older one (DAT-07)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tests.datasets.test_imports import context_of, newest, pairs, wish_for
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import resolve_version, rows_of, tag_version
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.changing import compact_dataset, delete_rows, restore_version
from tunery.datasets.versions.contents import files_of, log_of
from tunery.datasets.versions.diffing import diff_versions
from tunery.errors import InvalidInput, NotFound
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground


def imported(ground: Ground, actor: Actor, rows: list[Any], mode: str = "replace", **options: Any) -> DatasetVersion:
    wish = wish_for(ground, actor, rows, **options).model_copy(update={"mode": mode})
    return execute_import(context_of(ground, actor), wish)


def keyed(numbers: range, mark: str = "") -> list[dict[str, Any]]:
    return [{"id": i, **row} for i, row in zip(numbers, pairs(numbers.stop, mark)[numbers.start :], strict=True)]


def contents(ground: Ground, version: DatasetVersion) -> dict[str, str]:
    return {row.row_id: row.content for row in rows_of(ground, version)}


def splits(ground: Ground, version: DatasetVersion) -> dict[str, str]:
    return {row.row_id: row.split for row in rows_of(ground, version)}


def digests(ground: Ground, version: DatasetVersion) -> list[str]:
    with ground.database.session(version.tenant_id, read_only=True) as session:
        return [file.digest for file in files_of(session, version)]


def test_appended_rows_come_to_those_that_stand_whose_files_and_splits_stay(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(40))
    second = imported(ground, actor, pairs(20, "more"), "append")
    assert (second.version, second.parent, second.change, second.total_samples) == (2, 1, "append", 60)
    before, after = contents(ground, first), contents(ground, second)
    assert before.items() < after.items()
    assert splits(ground, first).items() < splits(ground, second).items()
    assert digests(ground, first) == digests(ground, second)[:1]
    assert [source["name"] for source in second.provenance["sources"]] == ["rows.jsonl", "rows.jsonl"]


def test_equal_rows_appended_are_rows_of_their_own_and_the_same_file_again_is_the_same_version(
    ground: Ground, actor: Actor
) -> None:
    imported(ground, actor, pairs(20))
    second = imported(ground, actor, [*pairs(20), *pairs(1, "new")], "append")
    assert second.total_samples == 41
    assert imported(ground, actor, [*pairs(20), *pairs(1, "new")], "append").id == second.id


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_of_two_who_begin_a_dataset_by_adding_to_it_both_are_kept(ground: Ground, actor: Actor, mode: str) -> None:
    begun = context_of(ground, actor)
    others = iter([lambda: imported(ground, actor, keyed(range(20)), mode, key="id")])

    def while_it_runs() -> bool:
        for other in others:
            other()
        return False

    begun.cancelled = while_it_runs
    wish = wish_for(ground, actor, keyed(range(20, 30), "more"), key="id").model_copy(update={"mode": mode})
    version = execute_import(begun, wish)
    assert (version.version, version.parent, version.total_samples) == (2, 1, 30)


def test_a_file_imported_again_behind_another_is_the_newest_again(ground: Ground, actor: Actor) -> None:
    """Two of the three that a recipe, a crashed job and a person want are the version that stands."""
    first, second = imported(ground, actor, pairs(20)), imported(ground, actor, pairs(30, "other"))
    context, wish = context_of(ground, actor), wish_for(ground, actor, pairs(20))
    assert execute_import(context_of(ground, actor), wish, any_standing=True).id == first.id
    third = execute_import(context, wish)
    assert (third.version, third.digest) == (3, first.digest)
    assert execute_import(context, wish).id == execute_import(context_of(ground, actor), wish).id == third.id
    imported(ground, actor, pairs(30, "other"))
    assert execute_import(context, wish).id == third.id, "a job that is repeated after a crash imports nothing twice"
    assert newest(ground, actor).digest == second.digest


def test_rows_appended_to_a_version_that_was_restored_are_appended(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20))
    imported(ground, actor, pairs(5, "more"), "append")
    restore_version(context_of(ground, actor), first.reference)
    assert imported(ground, actor, pairs(5, "more"), "append").total_samples == 25


def test_rows_that_come_to_train_alone_are_not_compared(ground: Ground, actor: Actor) -> None:
    """By append 20 and one more are 21; a merge of 5 of which 3 stand makes them 23."""
    none: dict[str, Any] = {"validation_split": 0, "test_split": 0, "key": "id"}
    imported(ground, actor, keyed(range(20)), **none)
    second = imported(ground, actor, keyed(range(20, 21)), "append", **none)
    third = imported(ground, actor, keyed(range(18, 23)), "merge", **none)
    for version, rows in ((second, 21), (third, 23)):
        groups = version.provenance["qualityMetrics"]["nearDuplicateGroups"]
        assert (version.rows["train"], version.total_samples, groups) == (rows, rows, 0)
    held_out = imported(ground, actor, keyed(range(23, 43)), "append", key="id", test_split=5, validation_split=0)
    assert held_out.rows["test"] == 5


def test_an_appended_near_copy_joins_the_split_of_its_like(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(40), test_split=10, validation_split=10)
    copies = [{**row, "prompt": f"{row['prompt'].upper()} !", "completion": "other"} for row in pairs(40)]
    second = imported(ground, actor, copies, "append", test_split=10, validation_split=10)
    by_prompt: dict[str, set[str]] = {}
    for row in rows_of(ground, second):
        by_prompt.setdefault(row.values["prompt"].lower().removesuffix(" !"), set()).add(row.split)
    assert len(by_prompt) == 40
    assert all(len(found) == 1 for found in by_prompt.values())
    assert splits(ground, first).items() < splits(ground, second).items()


def test_merged_rows_replace_those_with_their_keys_and_keep_their_splits(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, keyed(range(30)), key="id")
    second = imported(ground, actor, keyed(range(25, 35), "new"), "merge", key="id")
    after = contents(ground, second)
    assert [*after] == [str(i) for i in range(35)]
    assert all(("new" in after[str(i)]) == (i >= 25) for i in range(35))
    assert splits(ground, first).items() < splits(ground, second).items()
    difference = diff_versions(ground, first, second, limit=100)
    assert (difference.added, difference.removed, difference.changed) == (5, 0, 5)
    changes = {row.row_id: (row.before is None, row.after is None) for row in difference.rows}
    assert changes == {str(i): (i >= 30, False) for i in range(25, 35)}


def test_a_merge_without_a_key_is_refused_and_so_is_another_shape(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, pairs(20))
    with pytest.raises(InvalidInput, match="needs key"):
        imported(ground, actor, pairs(20, "new"), "merge")
    with pytest.raises(InvalidInput, match="text rows, the dataset completion rows"):
        imported(ground, actor, [{"text": f"t{i} {i * 7919}"} for i in range(20)], "append")
    assert newest(ground, actor).version == 1


def test_deleted_rows_are_gone_from_the_new_version_and_stand_in_the_old(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, keyed(range(20)), key="id")
    second = delete_rows(context_of(ground, actor), "things", ["3", "7"])
    assert contents(ground, first).keys() - contents(ground, second).keys() == {"3", "7"}
    assert second.provenance["preprocessingSteps"][-1]["affectedSamples"] == 2
    with pytest.raises(NotFound, match="lacks 2 of the 4 rows, .* named: 2, 4; nothing"):
        delete_rows(context_of(ground, actor), "things", ["4", "3", "5", "none"])
    with pytest.raises(InvalidInput, match="all rows"):
        delete_rows(context_of(ground, actor), "things", [*contents(ground, second)])
    assert newest(ground, actor).version == 2


def test_only_the_file_that_holds_a_deleted_row_is_written_anew(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, keyed(range(20)), key="id")
    second = imported(ground, actor, keyed(range(20, 40)), "append", key="id")
    third = delete_rows(context_of(ground, actor), "things", ["25"])
    before, after = digests(ground, second), digests(ground, third)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    assert [*contents(ground, third)] == [str(i) for i in range(40) if i != 25]


def test_a_job_repeated_after_its_change_stands_changes_nothing_more(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, keyed(range(20)), key="id")
    context = context_of(ground, actor)
    assert delete_rows(context, "things", ["3"]).id == delete_rows(context, "things", ["3"]).id


def test_an_older_version_is_restored_with_its_digest(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20))
    imported(ground, actor, pairs(30, "new"))
    third = restore_version(context_of(ground, actor), "things:1")
    assert (third.version, third.digest, third.change) == (3, first.digest, "restore")
    assert contents(ground, third) == contents(ground, first)


def test_compacted_files_hold_the_same_rows(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, pairs(20))
    for mark in "abc":
        many = imported(ground, actor, pairs(5, mark), "append")
    one = compact_dataset(context_of(ground, actor), "things")
    assert (len(digests(ground, many)), len(digests(ground, one))) == (4, 1)
    assert (one.digest, [*contents(ground, one)]) == (many.digest, [*contents(ground, many)])
    assert compact_dataset(context_of(ground, actor), "things").id == one.id


def test_a_version_is_found_by_number_tag_and_time(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20))
    second = imported(ground, actor, pairs(30, "new"))
    with ground.database.session(actor.tenant_id) as session:
        tag_version(session, actor, "things:1", "gold")
        with pytest.raises(InvalidInput, match="number"):
            tag_version(session, actor, "things:1", "7")
    between = (first.created_at + (second.created_at - first.created_at) / 2).isoformat()
    early = (first.created_at - timedelta(seconds=1)).isoformat()

    def found(reference: str) -> str:
        with ground.database.session(actor.tenant_id, read_only=True) as session:
            return resolve_version(session, reference).id

    assert {found(f"things{end}") for end in (":1", ":gold", f"@{between}")} == {first.id}
    assert found("things") == second.id
    for missing in (":silver", ":3", f"@{early}"):
        with pytest.raises(NotFound):
            found(f"things{missing}")
    with ground.database.session(actor.tenant_id) as session:
        tag_version(session, actor, "things:2", "gold")
    assert found("things:gold") == second.id


def test_appends_at_once_are_all_there(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, pairs(20))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda mark: imported(ground, actor, pairs(10, mark), "append"), "abc"))
    version = newest(ground, actor)
    assert (version.version, version.total_samples) == (4, 50)


def test_the_delta_log_lists_the_files_of_each_version(ground: Ground, actor: Actor) -> None:
    def versions() -> Iterator[DatasetVersion]:
        yield imported(ground, actor, keyed(range(20)), key="id")
        yield imported(ground, actor, keyed(range(20, 40)), "append", key="id")
        yield delete_rows(context_of(ground, actor), "things", ["3"])

    for version in versions():
        logged = log_of(ground, actor.tenant_id, version.dataset_id).files(version.delta_version)
        assert [file.digest for file in logged] == digests(ground, version)
