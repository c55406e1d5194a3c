"""Evaluations from wish to kept predictions, whatever happens in between."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.evaluation.conftest import Lab, question
from tests.evaluation.parrot import parrot_answer
from tunery.audit import AuditEntry
from tunery.errors import Cancelled, EngineFailed, InvalidInput, NotFound, Refused
from tunery.evaluation.operations import create_evaluation, get_evaluation, keep_comparison, measure_difference
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.prompts import PromptSpec
from tunery.evaluation.runs import execute_evaluation
from tunery.evaluation.schemas import ComparisonView, EvaluationCreate, EvaluationView
from tunery.evaluation.tables import Comparison
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.lineage.operations import graph_of
from tunery.registry.operations import resolve_version

# The stricter database: what it takes, the other takes.
pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)

COMPLETION = PromptSpec(style="completion")


def numbers_of(lab: Lab, digest: str | None) -> list[int]:
    rows = read_predictions(lab.ground, lab.actor.tenant_id, digest or "")
    return [int(re.findall(r"out (\d+)", row["reference"])[0]) for row in rows]


def share_right(numbers: list[int], *, adapter: bool) -> float:
    return sum(parrot_answer(n, adapter) == f"out {n}" for n in numbers) / len(numbers)


def work_file(lab: Lab, evaluation_id: str) -> Path:
    return lab.ground.settings.folder("evaluations", evaluation_id) / "answers.jsonl"


def test_every_prediction_is_kept_with_what_it_scored(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("tuned", metrics=["exact_match", "token_f1"])
    kept = list(read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or ""))
    assert len(kept) == row.sample_count == 40
    for one in kept:
        number = int(one["reference"].split()[1])
        assert one["prediction"] == parrot_answer(number, adapter=True)
        assert one["metrics"]["exact_match"] == float(number % 5 != 0)
        assert one["prompt"][-1]["content"].endswith(f" in {number}")
        assert one["completion_tokens"] == 2
    numbers = numbers_of(lab, row.predictions_digest)
    assert row.metrics["exact_match"] == row.overall_score == pytest.approx(share_right(numbers, adapter=True))
    assert [(s.metric, s.n) for s in row.scores] == [("exact_match", 40), ("token_f1", 40)]
    assert row.status == "completed"
    EvaluationView.model_validate(row)


def test_rows_with_a_label_are_asked_for_it(lab: Lab) -> None:
    lab.import_rows([{"text": question(n), "label": f"out {n}"} for n in range(60)], "labels")
    row = lab.evaluate("tuned", "labels", metrics=["accuracy"], prompt=PromptSpec(shots=2))
    kept = list(read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or ""))
    assert [turn["content"][:3] for turn in kept[0]["prompt"] if turn["role"] == "assistant"] == ["out", "out"]
    assert all(one["prompt"][-1]["content"].endswith(f" in {one['reference'].split()[1]}") for one in kept)
    assert row.metrics["accuracy"] == pytest.approx(share_right(numbers_of(lab, row.predictions_digest), adapter=True))


def test_the_base_is_asked_without_the_adapter(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("small")
    assert row.overall_score == pytest.approx(share_right(numbers_of(lab, row.predictions_digest), adapter=False))


def test_a_completed_evaluation_is_not_carried_out_again(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("tuned")
    assert execute_evaluation(lab.context(), row.id).predictions_digest == row.predictions_digest
    assert lab.parrot.starts == 1


def test_a_crashed_evaluation_goes_on_with_the_rows_not_yet_answered(lab: Lab) -> None:
    lab.numbers()
    evaluation_id = lab.open("tuned")
    lab.parrot.fails_after = 35
    with pytest.raises(EngineFailed):
        execute_evaluation(lab.context(), evaluation_id)
    failed = lab.look(evaluation_id)
    assert failed.status == "failed"
    assert "parrot failed" in (failed.failure_reason or "")
    kept = work_file(lab, evaluation_id).read_bytes().count(b"\n")
    # 35 were answered; of these at most the 9 that were under way together can be lost (8 slots and one waiting).
    assert kept >= 35 - 9
    lab.parrot.fails_after = None
    before = len(lab.parrot.asked)
    row = execute_evaluation(lab.context(), evaluation_id)
    assert len(lab.parrot.asked) - before == 40 - kept
    assert row.status == "completed"
    assert row.failure_reason is None
    assert row.overall_score == pytest.approx(share_right(numbers_of(lab, row.predictions_digest), adapter=True))


def test_an_answer_cut_short_by_a_crash_is_asked_again(lab: Lab) -> None:
    lab.numbers()
    evaluation_id = lab.open("tuned")
    lab.parrot.fails_after = 35
    with pytest.raises(EngineFailed):
        execute_evaluation(lab.context(), evaluation_id)
    path = work_file(lab, evaluation_id)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    lab.parrot.fails_after = None
    before = len(lab.parrot.asked)
    assert execute_evaluation(lab.context(), evaluation_id).status == "completed"
    assert len(lab.parrot.asked) - before == 40 - (whole.count(b"\n") - 1)


def test_a_resumed_evaluation_keeps_the_predictions_of_an_uninterrupted_one(lab: Lab) -> None:
    lab.numbers()
    first = lab.open("tuned")
    lab.parrot.fails_after = 33
    with pytest.raises(EngineFailed):
        execute_evaluation(lab.context(), first)
    lab.parrot.fails_after = None
    resumed, whole = execute_evaluation(lab.context(), first), lab.evaluate("tuned")

    def kept(digest: str | None) -> list[dict[str, object]]:
        rows = read_predictions(lab.ground, lab.actor.tenant_id, digest or "")
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert kept(resumed.predictions_digest) == kept(whole.predictions_digest)
    assert resumed.rows_digest == whole.rows_digest


def test_a_cancelled_evaluation_says_so_and_can_go_on(lab: Lab) -> None:
    lab.numbers()
    evaluation_id = lab.open("tuned")
    with pytest.raises(Cancelled):
        execute_evaluation(lab.context(cancelled=True), evaluation_id)
    assert lab.look(evaluation_id).status == "cancelled"
    assert execute_evaluation(lab.context(), evaluation_id).status == "completed"


def test_an_evaluation_whose_worker_ends_waits_for_the_next_one(lab: Lab) -> None:
    lab.numbers()
    evaluation_id = lab.open("tuned")
    with pytest.raises(Cancelled):
        execute_evaluation(lab.context(stopping=lambda: True), evaluation_id)
    assert lab.look(evaluation_id).status == "pending"


def test_rows_that_the_engine_refuses_are_named_and_none_is_dropped(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("tuned")
    numbers = numbers_of(lab, row.predictions_digest)
    kept = read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or "")
    row_ids = [one["row_id"] for one in kept]
    lab.parrot.refuses = set(numbers[:2])
    with pytest.raises(InvalidInput, match=r"refuses 2 of 40 rows: .*longer than the context") as caught:
        lab.evaluate("tuned")
    assert all(row_id in caught.value.message for row_id in row_ids[:2])
    lab.parrot.refuses = set(numbers[:9])
    with pytest.raises(InvalidInput, match="refuses at least 5 of 40 rows"):
        lab.evaluate("tuned")


def test_examples_come_from_the_train_rows_and_are_recorded(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("small", prompt=PromptSpec(style="completion", shots=3, seed=1))
    kept = next(iter(read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or "")))
    assert kept["prompt"].count("Output:") == 4
    assert kept["prompt"].endswith("\nOutput:")
    assert len(row.shot_row_ids or []) == 3
    measured = {p["row_id"] for p in read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or "")}
    assert not measured & set(row.shot_row_ids or [])
    assert all(body["stop"] == ["\n"] for body in lab.parrot.asked)


def test_at_most_so_many_rows_are_drawn_the_same_for_every_model(lab: Lab) -> None:
    lab.numbers()
    tuned, base = lab.evaluate("tuned", max_rows=15), lab.evaluate("small", max_rows=15)
    assert tuned.sample_count == base.sample_count == 15
    assert tuned.rows_digest == base.rows_digest
    assert lab.evaluate("tuned").rows_digest != tuned.rows_digest


def test_perplexity_comes_from_the_engines_scores(lab: Lab) -> None:
    lab.numbers()
    row = lab.evaluate("tuned", metrics=["exact_match", "perplexity"], prompt=COMPLETION)
    # An adapter gives each word 4/5, so exp(-ln 4/5) = 5/4.
    assert row.metrics["perplexity"] == pytest.approx(5 / 4)
    kept = next(iter(read_predictions(lab.ground, lab.actor.tenant_id, row.predictions_digest or "")))
    assert kept["logprobs"] == pytest.approx([math.log(4 / 5)] * 2)
    # 40 answers and 40 scores by one engine, started once
    assert (len(lab.parrot.asked), lab.parrot.starts) == (80, 1)


def test_metrics_that_cannot_read_the_references_are_refused_before_a_model_is_asked(lab: Lab) -> None:
    lab.numbers()
    with pytest.raises(InvalidInput, match=r"json_field_f1, row 1 of 40: the reference 'out \d+' is no JSON object"):
        lab.evaluate("tuned", metrics=["json_field_f1"])
    assert lab.parrot.starts == 0


def test_plain_text_can_only_be_scored(lab: Lab) -> None:
    lab.import_rows([{"text": f"{n} {question(n)}"} for n in range(50)], name="stories")
    with pytest.raises(InvalidInput, match="40 of 40 rows are plain text"):
        lab.evaluate("tuned", "stories", metrics=["exact_match"], prompt=COMPLETION)


def test_an_unknown_version_dataset_or_split_is_not_found(lab: Lab) -> None:
    lab.numbers()
    for wish in (
        {"version": "nothing"},
        {"version": "tuned", "dataset": "nothing"},
        {"version": "tuned", "split": "validation"},
    ):
        with pytest.raises(NotFound):
            lab.open(**wish)


def test_the_same_id_makes_one_evaluation(lab: Lab) -> None:
    lab.numbers()
    own = new_id()
    for _ in range(2):
        with lab.ground.database.session(lab.actor.tenant_id) as session:
            wish = EvaluationCreate(model_version_id="tuned", dataset="numbers", engine="parrot")
            assert create_evaluation(session, lab.ground, lab.actor, wish, evaluation_id=own).id == own


def test_scores_reach_registry_lineage_and_audit(lab: Lab) -> None:
    data = lab.numbers()
    row = lab.evaluate("tuned")
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        version = resolve_version(session, "tuned")
        assert version.scores["exact_match"]["value"] == row.overall_score
        assert version.scores["exact_match"]["evaluation_id"] == row.id
        nodes = {(node.type, node.id) for node in graph_of(session, "evaluation", row.id).nodes}
        assert {("dataset_version", data.id), ("model_version", version.id)} <= nodes
        actions = session.scalars(sa.select(AuditEntry.action).where(AuditEntry.resource == f"evaluations/{row.id}"))
        assert set(actions) == {"evaluation_created", "evaluation_completed"}


def test_a_comparison_is_of_the_same_rows_and_is_kept_once(lab: Lab) -> None:
    lab.numbers()
    base, tuned = lab.evaluate("small", prompt=COMPLETION), lab.evaluate("tuned")
    numbers = numbers_of(lab, tuned.predictions_digest)
    (found,) = measure_difference(lab.ground, lab.actor.tenant_id, base.id, tuned.id)
    assert found.value == pytest.approx(share_right(numbers, adapter=True) - share_right(numbers, adapter=False))
    assert (found.n, found.test) == (40, "mcnemar_exact")
    for _ in range(2):
        with lab.ground.database.session(lab.actor.tenant_id) as session:
            (kept,) = keep_comparison(session, lab.actor, base.id, tuned.id, [found])
            assert ComparisonView.model_validate(kept).better is True
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        assert len(session.scalars(sa.select(Comparison)).all()) == 1
    summary = lab.look(tuned.id).baseline_comparison or {}
    assert summary["baseline_evaluation_id"] == base.id
    assert summary["metrics"]["exact_match"]["difference"] == pytest.approx(found.value)


def test_evaluations_of_different_rows_are_not_compared(lab: Lab) -> None:
    lab.numbers()
    base, tuned = lab.evaluate("small", max_rows=30), lab.evaluate("tuned")
    with pytest.raises(InvalidInput, match="10 rows are unpaired"):
        measure_difference(lab.ground, lab.actor.tenant_id, base.id, tuned.id)


def test_evaluations_of_different_data_are_not_compared(lab: Lab) -> None:
    lab.numbers()
    base = lab.evaluate("small")
    lab.numbers(70)
    tuned = lab.evaluate("tuned")
    with pytest.raises(InvalidInput, match=r"numbers:1 \(test\), the candidate on numbers:2 \(test\)"):
        measure_difference(lab.ground, lab.actor.tenant_id, base.id, tuned.id)


def test_an_evaluation_under_way_is_not_compared(lab: Lab) -> None:
    lab.numbers()
    base, tuned = lab.evaluate("small"), lab.open("tuned")
    with pytest.raises(Refused, match="is pending"):
        measure_difference(lab.ground, lab.actor.tenant_id, base.id, tuned)


def test_another_tenant_sees_none_of_it(lab: Lab, stranger: Actor) -> None:
    lab.numbers()
    row = lab.evaluate("tuned")
    with lab.ground.database.session(stranger.tenant_id) as session, pytest.raises(NotFound):
        get_evaluation(session, row.id)
    with pytest.raises(NotFound):
        measure_difference(lab.ground, stranger.tenant_id, row.id, row.id)
    with pytest.raises(NotFound):
        list(read_predictions(lab.ground, stranger.tenant_id, row.predictions_digest or ""))
