"""Whom rows are about: everything that saw them is named, exactly, and erasing them leaves nothing behind (GDPR-17)."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.datasets.test_imports import context_of, newest, wish_for
from tests.datasets.versions.test_changes import contents, imported
from tests.datasets.versions.test_subjects import WHOLE, people
from tests.registry.conftest import Shelf
from tests.registry.folders import make_adapter_folder
from tunery.audit import record_daily
from tunery.audit.tables import AuditEntry
from tunery.compliance.tables import Attestation
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import list_versions, quarantined_rows, resolve_version, rows_of, tag_version
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.changing import compact_dataset, delete_rows, restore_version
from tunery.datasets.versions.contents import files_of
from tunery.datasets.versions.recording import Change, record_version
from tunery.datasets.versions.row_files import read_batches, rows_in
from tunery.datasets.versions.stored_file import StoredFile
from tunery.datasets.versions.writing import write_version
from tunery.errors import Erased, InvalidInput, NotFound, RateLimited, Refused
from tunery.evaluation.operations import create_evaluation
from tunery.evaluation.schemas import EvaluationCreate
from tunery.evaluation.tables import Evaluation
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.lineage.operations import Node, link
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.promotion.operations import promote_version
from tunery.promotion.schemas import Promotion
from tunery.registry.holds import decide_hold, place_hold
from tunery.registry.operations import Prepared, prepare_version, register_version
from tunery.registry.operations import resolve_version as resolve_model
from tunery.registry.operations.keys import public_key
from tunery.registry.schemas import ArtifactFile, RegisterVersion
from tunery.registry.signing import open_statement
from tunery.registry.tables import Model, ModelHold, ModelVersion
from tunery.subjects import operations
from tunery.subjects.evidence import erasures_of
from tunery.subjects.jobs import erase_subject
from tunery.subjects.operations import decide, get_erasure, start_erasure
from tunery.subjects.schemas import Decision, EraseWish, Trace
from tunery.subjects.tables import Erasure
from tunery.training.consumed import consumed_bits, pack_bits
from tunery.training.operations import create_run
from tunery.training.runs import _keep
from tunery.training.tables import TrainingRun
from tunery.training.views import RunCreate


def traced(ground: Ground, actor: Actor, identifier: str) -> Trace:
    with ground.database.session(actor.tenant_id) as session:
        return operations.trace(ground, session, actor, identifier)


def names(trace: Trace, kind: str) -> list[str]:
    return sorted(one.name for one in trace.seen_by if one.kind == kind)


def erased(ground: Ground, actor: Actor, identifier: str) -> dict[str, Any]:
    with ground.database.session(actor.tenant_id) as session:
        job = start_erasure(ground, session, actor, EraseWish(identifier=identifier, reason="request 7"))
    assert identifier not in json.dumps(job.payload)
    return erase_subject(context_of(ground, actor), job.payload)


def model_of(ground: Ground, actor: Actor, version: DatasetVersion, consumed: set[str] | None, name: str) -> str:
    """A run that took in these rows of a dataset version (None: it cannot tell), and the model that came of it."""
    bits = [row.row_id in (consumed or set()) for row in rows_of(ground, version)]
    packed = pack_bits(bits)
    with ground.database.session(actor.tenant_id) as session:
        model = Model(id=new_id(), name=name, kind="fine_tuned", created_by=actor.name)
        base = ModelVersion(id=new_id(), model=model, version="0.1.0", kind="base", **_made(actor))
        made = ModelVersion(id=new_id(), model=model, version="1.0.0", kind="adapter", **_made(actor))
        run = TrainingRun(
            id=new_id(),
            name=name,
            method="sft",
            config={},
            dataset_version_id=version.id,
            dataset_reference=version.reference,
            dataset_digest=version.digest,
            base_version_id=base.id,
            base_reference=f"{name}:0.1.0",
            base_digest="0" * 64,
            status="succeeded" if consumed is not None else "failed",
            consumed=packed if consumed is not None else None,
            created_by=actor.name,
        )
        session.add_all([model, base, made])
        session.flush()
        session.add(run)
        node = Node("run", run.id, name)
        link(session, Node("dataset_version", version.id, version.reference, version.digest), node, "trained_on")
        link(session, node, Node("model_version", made.id, f"{name}:1.0.0"), "produced")
        return made.id


def _made(actor: Actor) -> dict[str, Any]:
    manifest: dict[str, Any] = {"files": []}
    return {"manifest": manifest, "manifest_digest": "0" * 64, "signature": {}, "size_bytes": 0, "details": {}} | {
        "created_by": actor.name
    }


def test_a_run_that_cannot_tell_is_named_as_such(ground: Ground, actor: Actor) -> None:
    model_of(ground, actor, imported(ground, actor, people(10), **WHOLE), None, "broken")
    [run] = [one for one in traced(ground, actor, "p3@example.com").seen_by if one.kind == "run"]
    assert run.saw == "unknown"


def test_who_read_rows_is_named_once_a_day(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(3), **WHOLE)
    reader = replace(actor, name="reader@example.org")
    for who in (actor, reader, actor):
        record_daily(ground.database, who, "dataset_read", "things:1")
    seen = traced(ground, actor, "p1@example.com").seen_by
    assert [(one.kind, one.name, one.by) for one in seen] == [
        ("reading", "things:1", actor.name),
        ("reading", "things:1", reader.name),
    ]
    assert erased(ground, actor, "p1@example.com")["spared"] == {}
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        [erasure] = session.scalars(sa.select(Erasure))
        assert [one["by"] for one in erasure.reached["copies"]] == [actor.name, reader.name]


def test_tracing_is_audited_without_the_name_and_limited(ground: Ground, actor: Actor) -> None:
    ground = replace(ground, settings=ground.settings.model_copy(update={"subject_traces_per_minute": 3}))
    imported(ground, actor, people(10), **WHOLE)
    for _ in range(3):
        traced(ground, actor, "p3@example.com")
    with pytest.raises(RateLimited, match="wait a minute"):
        traced(ground, actor, "p3@example.com")
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        entries = [*session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "subject_traced"))]
    assert len(entries) == 3
    assert not any("p3@" in json.dumps([entry.resource, entry.details]) for entry in entries)


def everything(ground: Ground, actor: Actor) -> str:
    """All bytes of the tenant that can be read, rows of Parquet files as text."""
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        blobs = [*session.scalars(sa.select(BlobRow))]
    found = []
    for blob in blobs:
        if blob.media_type.endswith("parquet"):
            file = StoredFile(ground.blobs, actor.tenant_id, blob.digest)
            found += [row.content for batch in read_batches(file, blob.digest) for row in rows_in(batch)]
        else:
            found.append(ground.blobs.read(actor.tenant_id, blob.digest).decode("latin-1"))
    return "\n".join(found)


def test_erased_rows_are_nowhere_and_all_others_stay(ground: Ground, actor: Actor) -> None:
    rows = [*people(20), '{"prompt": "broken, of p3@example.com"', '{"prompt": "broken, of p4@example.com"']
    first = imported(ground, actor, rows, on_error="quarantine", **WHOLE)
    second = imported(ground, actor, people(30)[20:], "append", **WHOLE)
    other = imported(ground, actor, people(50)[30:], **WHOLE)  # another file, current, without the person
    with ground.database.session(actor.tenant_id) as session:
        tag_version(session, actor, "things:1", "gold")
    before = {version.reference: contents(ground, version) for version in (first, second, other)}
    assert "p3@example.com" in everything(ground, actor)
    result = erased(ground, actor, "P3@example.com")
    assert result["spared"] == {}
    assert "p3@" not in everything(ground, actor)
    assert "p4@example.com" in everything(ground, actor)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        for reference, successor in (("things:1", "things:4"), ("things:2", "things:5")):
            with pytest.raises(Erased, match=f"{successor} is what is left"):
                resolve_version(session, reference)
            left = contents(ground, resolve_version(session, successor))
            assert before[reference].items() > left.items()
            assert len(left) == len(before[reference]) - 1
        assert resolve_version(session, "things").id == other.id
        assert resolve_version(session, "things:gold").reference == "things:4"
    assert contents(ground, other) == before["things:3"]
    assert traced(ground, actor, "p3@example.com").rows == []


def test_the_certificate_is_signed_and_says_what_was_reached(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(10), **WHOLE)
    model_of(ground, actor, version, {*contents(ground, version)}, "tuned")
    result = erased(ground, actor, "p3@example.com")
    envelope = json.loads(ground.blobs.read(actor.tenant_id, result["certificate"]))
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        key = public_key(session, envelope["signatures"][0]["keyid"])
        assert key is not None
        statement = open_statement(envelope, key.public_key)
        assert get_erasure(session, result["erasure"]).status == "certified"
    assert statement["subject"] == [{"name": "things:1", "digest": {"sha256": version.digest}}]
    predicate = statement["predicate"]
    assert (predicate["foundAgain"], predicate["reason"], predicate["reached"]["rows"]) == (0, "request 7", 1)
    assert version.source_digest in predicate["reached"]["destruction"]["files"]
    assert predicate["reached"]["sources"] == [version.source_digest]
    assert [each["name"] for each in predicate["reached"]["models"]] == ["tuned:1.0.0"]
    assert "p3@" not in base64.b64decode(envelope["payload"]).decode()


def test_a_model_that_learned_erased_rows_waits_for_a_persons_decision(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(10), **WHOLE)
    ids = [*contents(ground, version)]
    model_of(ground, actor, version, {*ids}, "learned")
    model_of(ground, actor, version, {ids[5]}, "innocent")
    erasure = erased(ground, actor, "p3@example.com")["erasure"]

    def promoted(name: str) -> None:
        with ground.database.session(actor.tenant_id) as session:
            promote_version(session, actor, f"{name}:1.0.0", Promotion(to_stage="staging"))

    with pytest.raises(Refused, match=f"on hold: .*tunery subjects decide {erasure}"):
        promoted("learned")
    with pytest.raises(Refused, match="no gate has judged"):  # so far comes only who is not on hold
        promoted("innocent")
    wish = Decision(version="learned:1.0.0", decision="exception", note="the row is one of public record")
    with ground.database.session(actor.tenant_id) as session:
        with pytest.raises(InvalidInput, match=r"for good, so name the version exactly: learned:1\.0\.0"):
            decide(session, actor, erasure, wish.model_copy(update={"version": "learned"}))
        decide(session, actor, erasure, wish)
        with pytest.raises(Refused, match="was decided"):
            decide(session, actor, erasure, wish)
    with pytest.raises(Refused, match="no gate has judged"):
        promoted("learned")
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        runs = {run.name: run.not_repeatable for run in session.scalars(sa.select(TrainingRun))}
    assert erasure in str(runs["learned"])
    assert runs["innocent"] is None


def test_predictions_on_erased_rows_go_and_the_others_stay(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(40), test_split=10, validation_split=0)
    held_out = [row for row in rows_of(ground, version) if row.split == "test"]
    [person] = [word for word in held_out[0].values["prompt"].split() if "@" in word]
    lines = [json.dumps({"row_id": row.row_id, "prediction": row.content}) + "\n" for row in held_out]
    digest = ground.blobs.put(actor.tenant_id, "".join(lines).encode(), "application/x-ndjson").digest
    model_id = model_of(ground, actor, version, set(), "judged")
    with ground.database.session(actor.tenant_id) as session:
        evaluation = Evaluation(
            id=new_id(),
            model_version_id=model_id,
            model_reference="judged:1.0.0",
            model_digest="0" * 64,
            benchmark_name="things",
            benchmark_version="1",
            dataset_version_id=version.id,
            dataset_digest=version.digest,
            split="test",
            metric_names=[],
            prompt={},
            engine="none",
            max_tokens=1,
            status="completed",
            predictions_digest=digest,
            created_by=actor.name,
        )
        session.add(evaluation)
    assert names(traced(ground, actor, person), "evaluation") == ["judged:1.0.0 on things"]
    erased(ground, actor, person)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        left = str(session.get_one(Evaluation, evaluation.id).predictions_digest)
    kept = ground.blobs.read(actor.tenant_id, left).decode()
    assert kept == "".join(lines[1:])
    with pytest.raises(NotFound):
        ground.blobs.read(actor.tenant_id, digest)


def test_an_erasure_repeated_after_a_crash_ends_as_one(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10), **WHOLE)
    with ground.database.session(actor.tenant_id) as session:
        job = start_erasure(ground, session, actor, EraseWish(identifier="p3@example.com"))
    context = context_of(ground, actor)
    first = erase_subject(context, job.payload)
    assert erase_subject(context, job.payload) == first
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert len(list_versions(session, "things")) == 2


def test_a_source_that_something_else_needs_stays_and_the_erasure_says_so(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(10), **WHOLE)
    source = str(version.source_digest)
    with ground.database.session(actor.tenant_id) as session:
        named = {"statement": "the sample", "document_digest": source, "created_by": actor.name}
        session.add(Attestation(id=new_id(), rule="GDPR-PII-NAMES", **named))
    assert [*erased(ground, actor, "p3@example.com")["spared"]] == [source]
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        [found] = erasures_of(session, resolve_version(session, "things"))
    assert (found["status"], [*found["spared"]], found["foundAgain"]) == ("certified", [source], 0)


def test_the_hubs_cache_keeps_nothing_of_a_source_that_names_the_person(ground: Ground, actor: Actor) -> None:
    """Of the rows fetched from the Hub its client keeps a copy, in a cache of the tenant's."""
    for name in ("rows", "others"):
        wish = wish_for(ground, actor, people(10 if name == "rows" else 3), name, **WHOLE)
        wish = wish.model_copy(update={"url": f"hf://datasets/org/{name}@{'0' * 40}"})
        execute_import(context_of(ground, actor), wish, {"commit": "0" * 40})
    cache = ground.settings.folder("cache", "hub", actor.tenant_id) / "hub"
    for name in ("rows", "others"):
        (cache / f"datasets--org--{name}" / "blobs").mkdir(parents=True)
    erased(ground, actor, "p3@example.com")
    assert [path.name for path in cache.iterdir()] == ["datasets--org--others"]
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.scalars(sa.select(Erasure)).one().reached["hubCaches"] == ["org/rows"]


def test_who_is_in_no_dataset_is_erased_without_a_trace_but_stays_out(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(3), **WHOLE)
    erased(ground, actor, "p5@example.com")
    again = imported(ground, actor, people(10), **WHOLE)
    assert again.total_samples == 9
    assert not any("p5@" in content for content in contents(ground, again).values())


def test_a_stranger_erases_nothing(ground: Ground, actor: Actor, stranger: Actor) -> None:
    version = imported(ground, actor, people(10), **WHOLE)
    erased(ground, stranger, "p3@example.com")
    assert len(contents(ground, version)) == 10
    assert traced(ground, stranger, "p3@example.com").rows == []


def test_the_identifier_is_in_no_row_of_the_database(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10), **WHOLE)
    erased(ground, actor, "p3@example.com")
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        jobs = [json.dumps([job.payload, job.result]) for job in session.scalars(sa.select(Job))]
        versions = [json.dumps(row.provenance) for row in session.scalars(sa.select(DatasetVersion))]
    assert not any("p3@" in text for text in [*jobs, *versions])


def test_the_same_file_imported_after_an_erasure_is_a_version_without_the_person(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10), **WHOLE)
    erased(ground, actor, "p3@example.com")
    again = imported(ground, actor, people(10), **WHOLE)
    assert (again.version, again.total_samples, again.status) == (3, 9, "ready")


def erase_while_it_runs(ground: Ground, actor: Actor, context: JobContext, identifier: str) -> None:
    """Erase somebody at the first moment at which a job asks whether it was cancelled."""
    deeds = iter([lambda: erased(ground, actor, identifier)])

    def while_it_runs() -> bool:
        for deed in deeds:
            deed()
        return False

    context.cancelled = while_it_runs


def test_an_import_that_began_before_an_erasure_does_not_bring_the_person_back(ground: Ground, actor: Actor) -> None:
    begun = context_of(ground, actor)
    erase_while_it_runs(ground, actor, begun, "p3@example.com")
    version = execute_import(begun, wish_for(ground, actor, people(10), **WHOLE))
    assert version.total_samples == 9
    assert traced(ground, actor, "p3@example.com").rows == []


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_rows_that_come_while_those_that_stand_are_erased_come_to_what_is_left(
    ground: Ground, actor: Actor, mode: str
) -> None:
    imported(ground, actor, people(10), key="customer", **WHOLE)
    begun = context_of(ground, actor)
    erase_while_it_runs(ground, actor, begun, "p3@example.com")
    wish = wish_for(ground, actor, people(30)[20:], key="customer", **WHOLE)
    version = execute_import(begun, wish.model_copy(update={"mode": mode}))
    assert (version.version, version.parent, version.total_samples) == (3, 2, 19)
    assert traced(ground, actor, "p3@example.com").rows == []


def test_a_version_restored_beside_an_erasure_does_not_bring_the_rows_back(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, people(10), **WHOLE)
    second = imported(ground, actor, people(30)[20:], **WHOLE)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        files = files_of(session, first)
    written = write_version(ground, actor.tenant_id, first.dataset_id, files)
    erased(ground, actor, "p3@example.com")
    columns = {"shape": first.shape, "options": first.options, "provenance": first.provenance}
    with ground.database.session(actor.tenant_id) as session, pytest.raises(NotFound):
        dataset = session.get_one(DatasetVersion, second.id).dataset
        record_version(session, actor, dataset, written, Change("restore", "again", second, columns=columns))
    assert traced(ground, actor, "p3@example.com").rows == []


def test_a_job_repeated_after_a_crash_and_an_erasure_adds_nothing(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10), **WHOLE)
    job, wish = context_of(ground, actor), wish_for(ground, actor, people(30)[20:], **WHOLE)
    wish = wish.model_copy(update={"mode": "append"})
    assert execute_import(job, wish).total_samples == 20
    erased(ground, actor, "p3@example.com")
    erased(ground, actor, "p4@example.com")
    again = execute_import(job, wish)
    assert (again.version, again.total_samples) == (newest(ground, actor).version, 18)


def test_a_reading_is_noted_beside_a_writer(ground: Ground, actor: Actor) -> None:
    with ground.database.session(actor.tenant_id, read_only=True) as reading:
        reading.scalars(sa.select(DatasetVersion.id)).all()
        imported(ground, actor, people(3), **WHOLE)
        record_daily(ground.database, actor, "dataset_read", "things:1", "others:1")
        record_daily(ground.database, actor, "dataset_read", "things:1")
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        read = sa.select(AuditEntry.resource).where(AuditEntry.action == "dataset_read")
        assert sorted(session.scalars(read)) == ["others:1", "things:1"]


def test_white_space_names_nobody(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, [{**row, "customer": " "} for row in people(10)], subject_columns=["customer"], **WHOLE)
    with pytest.raises(InvalidInput, match="white space"):
        erased(ground, actor, "   ")


def test_a_second_person_set_aside_from_the_same_file_is_gone_with_the_first(ground: Ground, actor: Actor) -> None:
    rows = [*people(10), '{"prompt": "broken, of p3@example.com"', '{"prompt": "broken, of x9@example.com"']
    imported(ground, actor, rows, on_error="quarantine", **WHOLE)
    erased(ground, actor, "p3@example.com")
    assert "x9@example.com" not in everything(ground, actor)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        left = resolve_version(session, "things")
    with pytest.raises(NotFound, match="the 2 rows that were set aside from things:2 are kept no longer"):
        quarantined_rows(ground, left, 5)


def holds_of(ground: Ground, version: ModelVersion) -> list[str]:
    with ground.database.session(version.tenant_id, read_only=True) as session:
        return [*session.scalars(sa.select(ModelHold.cause).where(ModelHold.version_id == version.id))]


def run_named(ground: Ground, actor: Actor, name: str) -> TrainingRun:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return session.scalars(sa.select(TrainingRun).where(TrainingRun.name == name)).one()


def late_adapter(ground: Ground, actor: Actor, tmp_path: Path) -> tuple[Prepared, RegisterVersion]:
    prepared = prepare_version(ground, actor.tenant_id, make_adapter_folder(tmp_path / "late", 7))
    files = [ArtifactFile(path=path, digest=blob.digest) for path, blob in prepared.files]
    return prepared, RegisterVersion(files=files)


def test_models_that_come_of_a_run_or_a_model_after_the_decision_are_on_hold_too(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    version, shelf = imported(ground, actor, people(10), **WHOLE), Shelf(ground, actor, tmp_path)
    shelf.base()
    model_of(ground, actor, version, {*contents(ground, version)}, "late")
    cause = f"erasures/{erased(ground, actor, 'p3@example.com')['erasure']}"
    prepared, wish = late_adapter(ground, actor, tmp_path)
    with ground.database.session(actor.tenant_id) as session:
        run = session.scalars(sa.select(TrainingRun).where(TrainingRun.name == "late")).one()
        base = resolve_model(session, "small")
        made = register_version(session, ground, actor, "tardy", wish, prepared, base=base, run_id=run.id)
        place_hold(session, actor, base, "erasures/another", "it is to be decided")
    derived, (excepted,) = shelf.adapter(seed=3), holds_of(ground, base)
    assert holds_of(ground, made) == [cause]
    assert holds_of(ground, derived) == [excepted] == ["erasures/another"]
    with ground.database.session(actor.tenant_id) as session:
        hold = session.scalars(sa.select(ModelHold).where(ModelHold.version_id == base.id)).one()
        decide_hold(session, actor, hold, "exception", "it is of public record")
    assert holds_of(ground, shelf.adapter(seed=4)) == []


def test_a_model_that_is_registered_while_an_erasure_is_decided_is_on_hold(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    version, shelf = imported(ground, actor, people(10), **WHOLE), Shelf(ground, actor, tmp_path)
    shelf.base()
    model_of(ground, actor, version, {*contents(ground, version)}, "run")
    run_id = run_named(ground, actor, "run").id
    prepared, wish = late_adapter(ground, actor, tmp_path)
    other = threading.Thread(target=erased, args=(ground, actor, "p3@example.com"))
    with ground.database.session(actor.tenant_id) as session:
        base = resolve_model(session, "small")
        made = register_version(session, ground, actor, "tardy", wish, prepared, base=base, run_id=run_id)
        link(session, Node("run", run_id), Node("model_version", made.id, made.reference), "produced_by")
        other.start()
        other.join(0.3)
    other.join()
    assert len(holds_of(ground, made)) == 1


def test_what_is_asked_for_while_an_erasure_is_decided_is_reached_or_refused(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    imported(ground, actor, people(10), **WHOLE)
    Shelf(ground, actor, tmp_path).base()
    to_train = RunCreate(name="asked", dataset="things", base="small")
    to_measure = EvaluationCreate(model_version_id="small", dataset="things", split="train")
    results: list[dict[str, Any]] = []
    other = threading.Thread(target=lambda: results.append(erased(ground, actor, "p3@example.com")))
    with ground.database.session(actor.tenant_id) as session:
        run = create_run(session, actor, to_train)
        evaluation = create_evaluation(session, ground, actor, to_measure)
        other.start()
        other.join(0.3)
    other.join()
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        reached = get_erasure(session, results[0]["erasure"]).reached
    assert [one["id"] for one in reached["runs"] + reached["evaluations"]] == [run.id, evaluation.id]
    with ground.database.session(actor.tenant_id) as session:
        if session.get_bind().dialect.name == "sqlite":  # has one writer at a time
            return
        known = resolve_version(session, "things")
        erased(ground, actor, "p4@example.com")
        assert known.status == "ready"
        with pytest.raises(Erased):
            create_run(session, actor, to_train.model_copy(update={"dataset": known.id}))


def test_a_run_that_ends_after_the_decision_cannot_tell_what_it_took_in(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    version = imported(ground, actor, people(10), **WHOLE)
    model_of(ground, actor, version, None, "running")
    run = run_named(ground, actor, "running")
    work = ground.settings.folder("runs", run.id, "rows")
    (work / "train.jsonl").write_text("p3@example.com")
    steps = tmp_path / "row_ids.jsonl"
    steps.write_text(json.dumps({"row_ids": [*contents(ground, version)]}))
    bits = consumed_bits(ground, actor.tenant_id, version.id, steps)  # as they were before the erasure
    erased(ground, actor, "p3@example.com")
    assert not work.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunery.training.runs.consumed_bits", lambda *_: bits)
        _keep(context_of(ground, actor), run, {"output_dir": tmp_path, "files": [], "row_ids_path": steps})
    [seen] = [one for one in traced(ground, actor, "p4@example.com").seen_by if one.kind == "run"]
    assert (seen.id, seen.saw) == (run.id, "unknown")


def test_versions_with_rows_that_were_not_looked_at_are_named_wherever_the_rows_go(
    ground: Ground, actor: Actor
) -> None:
    imported(ground, actor, people(5), **WHOLE)
    imported(ground, actor, people(8)[5:], "append", subject_index=False, **WHOLE)
    imported(ground, actor, people(12)[8:], "append", **WHOLE)
    assert traced(ground, actor, "p1@example.com").not_indexed == ["things:2", "things:3"]
    compact_dataset(context_of(ground, actor), "things")
    envelope = json.loads(ground.blobs.read(actor.tenant_id, erased(ground, actor, "p1@example.com")["certificate"]))
    predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    assert predicate["notIndexed"] == [
        "things:6",
        "things:7",
        "things:8",
    ]  # what is left of 2, 3 and 4


def test_a_dataset_of_which_nothing_is_left_says_so(ground: Ground, actor: Actor) -> None:
    first = imported(ground, actor, people(6)[4:], **WHOLE)
    imported(ground, actor, people(1), **WHOLE)
    erased(ground, actor, "p0@example.com")
    for change in (
        lambda context: compact_dataset(context, "things"),
        lambda context: delete_rows(context, "things", ["x"]),
        lambda context: execute_import(
            context, wish_for(ground, actor, people(3)[2:]).model_copy(update={"mode": "append"})
        ),
    ):
        with pytest.raises(Erased, match="things:2 held rows that were erased, and nothing is left of it"):
            change(context_of(ground, actor))
    restored = restore_version(context_of(ground, actor), "things:1")
    assert contents(ground, restored) == contents(ground, first)
