"""The provenance record has R1's fields, each measured, declared or null (PRV-01, PRV-02, PRV-03, PRV-04, PRV-07)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tests.datasets.test_imports import context_of, pairs, wish_for
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import resolve_version, rows_of
from tunery.datasets.provenance import PROVENANCE_FACTS, provenance_of
from tunery.datasets.schemas import TrainingData
from tunery.datasets.versions.changing import delete_rows, restore_version
from tunery.datasets.views import DatasetImport, Provenance
from tunery.kit.actor import Actor
from tunery.lineage.operations import graph_of
from tunery.platform.ground import Ground

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


def record_of(ground: Ground, actor: Actor, reference: str = "things") -> Provenance:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return provenance_of(session, resolve_version(session, reference))


def imported(ground: Ground, actor: Actor, rows: list[Any], said: dict[str, Any], **options: Any) -> Provenance:
    wish = wish_for(ground, actor, rows, **options)
    version = execute_import(context_of(ground, actor), wish.model_copy(update=said))
    return record_of(ground, actor, version.id)


@pytest.fixture
def registered() -> Iterator[dict[str, Any]]:
    """What a higher room knows of any version."""
    known: dict[str, Any] = {}
    PROVENANCE_FACTS.register("test")(lambda session, version: known)
    yield known
    del PROVENANCE_FACTS._found["test"]


def test_prv_07_every_field_of_r1s_table_is_answered(ground: Ground, actor: Actor) -> None:
    found = imported(ground, actor, pairs(20), {})
    fields = set(found.model_dump(by_alias=False))
    assert fields == {
        *("id", "dataset_id", "dataset_name", "dataset_version", "tenant_id", "sources", "collection_date"),
        *("preprocessing_steps", "quality_metrics", "licensing", "compliance", "total_samples", "total_tokens"),
        *("checksum", "storage_path", "storage_size", "created_at", "updated_at", "last_validated_at"),
    }
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        version = resolve_version(session, "things")
    assert (found.dataset_name, found.dataset_version, found.total_samples) == ("things", "1", 20)
    assert (found.checksum, found.storage_size) == (version.digest, version.size_bytes)
    assert found.total_tokens is None  # no tokenizer was named
    assert found.last_validated_at is None  # nobody looked
    assert found.storage_path == f"{version.dataset_id}/_delta_log/{version.delta_version:020}.json"


def test_prv_02_a_source_says_what_was_said_of_it(ground: Ground, actor: Actor) -> None:
    said = {
        "source_type": "web_scrape",
        "url": "https://example.com/support",
        "description": "Customer support conversations",
        "collected_at": LONG_AGO,
        "license": "CC-BY-4.0",
    }
    found = imported(ground, actor, pairs(20), said)
    [source] = found.sources
    assert (source.type, source.url, source.description) == ("web_scrape", said["url"], said["description"])
    assert (source.sample_count, source.collected_at, source.license) == (20, LONG_AGO, "CC-BY-4.0")
    assert source.imported_at > LONG_AGO
    assert found.collection_date == LONG_AGO
    assert ground.blobs.exists(actor.tenant_id, source.digest)  # the source file is kept by its digest
    earlier = datetime.fromisoformat("2024-01-01T05:00:00+09:00")  # four hours before, though it reads later
    both = imported(ground, actor, pairs(5, "x"), {"mode": "append", "collected_at": earlier})
    assert both.collection_date == LONG_AGO


def test_prv_02_an_appended_file_is_a_source_of_its_own_and_stands_in_the_lineage(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20), {"collected_at": LONG_AGO})
    both = imported(ground, actor, pairs(10, "more"), {"mode": "append", "license": "CC-BY-SA-4.0"})
    assert [(source.license, source.sample_count) for source in both.sources] == [("MIT", 20), ("CC-BY-SA-4.0", 10)]
    assert both.collection_date > first.collection_date
    assert (both.licensing.license, both.licensing.verdict) == ("MIT AND CC-BY-SA-4.0", "pass")
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        graph = graph_of(session, "dataset_version", both.id)
    assert {node.digest for node in graph.nodes if node.type == "source"} == {each.digest for each in both.sources}
    assert len([edge for edge in graph.edges if edge.relation_type == "derived_from"]) == 3  # two files, one version


def test_what_is_said_anew_of_the_same_file_is_a_version_with_the_same_rows(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20), {"license": None})
    again = imported(ground, actor, pairs(20), {"license": "CC0-1.0"})
    assert (first.licensing.license, again.licensing.license) == (None, "CC0-1.0")
    assert (again.dataset_version, again.checksum) == ("2", first.checksum)


@pytest.mark.parametrize(
    ("text", "steps", "detected", "removed"),
    [
        ("write to ann@example.com", [], None, None),  # nobody looked
        ("write to ann@example.com", [{"step": "redact_pii"}], True, True),
        ("write to ann@example.com", [{"step": "redact_pii", "action": "mask"}], True, False),
        ("nothing", [{"step": "redact_pii"}], False, None),
    ],
)
def test_prv_03_flags_of_persons_follow_from_what_the_steps_found(
    ground: Ground, actor: Actor, text: str, steps: list[Any], detected: bool | None, removed: bool | None
) -> None:
    rows = [{**row, "completion": text} for row in pairs(12)]
    flags = imported(ground, actor, rows, {}, sanitize=steps).compliance
    assert (flags.pii_detected, flags.pii_removed) == (detected, removed)
    assert (flags.gdpr_compliant, flags.ccpa_compliant, flags.certifications) == (None, None, [])


def test_prv_03_the_flags_of_laws_come_from_the_room_that_looks_into_them(
    ground: Ground, actor: Actor, registered: dict[str, Any]
) -> None:
    imported(ground, actor, pairs(20), {})
    registered |= {"gdprCompliant": False, "certifications": ["GDPR"], "lastValidatedAt": LONG_AGO}
    found = record_of(ground, actor)
    assert (found.compliance.gdpr_compliant, found.compliance.ccpa_compliant) == (False, None)
    assert (found.compliance.certifications, found.last_validated_at) == (["GDPR"], LONG_AGO)


def test_prv_04_licensing_follows_from_the_sources(ground: Ground, actor: Actor) -> None:
    found = imported(ground, actor, pairs(20), {"license": "CC-BY-NC-4.0"}).licensing
    assert (found.license, found.commercial_use, found.derivative_works) == ("CC-BY-NC-4.0", False, True)
    found = imported(ground, actor, pairs(20), {"license": None}).licensing
    assert (found.license, found.commercial_use, found.derivative_works) == (None, None, None)


def test_dat_05_steps_are_recorded_with_affected_samples_and_time(ground: Ground, actor: Actor) -> None:
    steps = [{"step": "deduplicate"}, {"step": "redact_pii"}]
    rows = [*pairs(20), *pairs(3), {"prompt": "who?", "completion": "ann@example.com"}]
    before = datetime.now(UTC)
    deduplicated, redacted = imported(ground, actor, rows, {}, sanitize=steps).preprocessing_steps
    # R1's words, and the names here beside them.
    assert (deduplicated.step, deduplicated.name, deduplicated.affected_samples) == ("deduplication", "deduplicate", 3)
    assert (redacted.step, redacted.name, redacted.affected_samples) == ("pii_removal", "redact_pii", 1)
    assert before <= deduplicated.timestamp <= datetime.now(UTC)


def test_dat_11_what_is_raw_what_is_processed_and_what_a_model_made_are_told_apart(
    ground: Ground, actor: Actor
) -> None:
    wish = wish_for(ground, actor, [*pairs(20), *pairs(3)], sanitize=[{"step": "deduplicate"}])
    version = execute_import(context_of(ground, actor), wish.model_copy(update={"source_type": "generated"}))
    [source] = record_of(ground, actor).sources
    assert source.type == "generated"
    assert ground.blobs.read(actor.tenant_id, source.digest).count(b"\n") == 23  # as it came
    assert len([*rows_of(ground, version)]) == 20


def test_dat_06_a_change_is_a_step_of_the_next_version_and_older_records_stay(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, pairs(20), {})
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        version = resolve_version(session, "things")
    gone = [row.row_id for row in rows_of(ground, version, limit=2)]
    delete_rows(context_of(ground, actor), "things", gone)
    second = record_of(ground, actor)
    assert [(step.step, step.affected_samples) for step in second.preprocessing_steps] == [("delete", 2)]
    assert record_of(ground, actor, "things:1") == first


def test_tokens_are_counted_where_a_tokenizer_is_named(ground: Ground, actor: Actor) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    digest = ground.blobs.put(actor.tenant_id, tokenizer.to_str().encode()).digest
    named = {"tokenizer": f"file:{digest}.json", "validation_split": 0, "test_split": 0}
    rows = [{"prompt": "one two", "completion": f"three {n} five"} for n in range(20)]
    assert imported(ground, actor, rows, {}, **named).total_tokens == 20 * 5
    more = [{"prompt": "one", "completion": f"word{n}"} for n in range(10)]
    assert imported(ground, actor, more, {"mode": "append"}, **named).total_tokens == 20 * 5 + 10 * 2
    restore_version(context_of(ground, actor), "things:1")
    assert record_of(ground, actor).total_tokens == 20 * 5


def test_a_recipe_says_where_its_data_comes_from() -> None:
    said = {"license": "cc-by-4.0", "source_type": "generated", "collected_at": "2024-01-01"}
    section = TrainingData.model_validate({"path": "rows.jsonl", **said})
    assert (section.license, section.source_type, section.collected_at) == ("CC-BY-4.0", "generated", LONG_AGO)
    for wrong in ({"license": "free for all"}, {"source_type": "somewhere"}, {"collected_at": "once"}):
        with pytest.raises(ValidationError):
            TrainingData.model_validate({"path": "rows.jsonl", **said, **wrong})
        with pytest.raises(ValidationError):
            DatasetImport.model_validate({"name": "a", "fileDigest": "", "fileName": "a", **wrong})
