"""Gates, verdicts and the moves that rest on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from tests.evaluation.conftest import Lab
from tunery.audit import AuditEntry
from tunery.errors import Conflict, GateFailed, InvalidInput, NotFound, Refused, StaleState
from tunery.evaluation.tables import Comparison
from tunery.kit.actor import Actor
from tunery.promotion.evidence import gather_evidence
from tunery.promotion.operations import (
    create_gate,
    criteria_of,
    get_gate,
    get_verdict,
    keep_verdict,
    list_gates,
    list_verdicts,
    promote_version,
)
from tunery.promotion.schemas import Criterion, CriterionWish, GateCreate, GateView, Promotion, VerdictView
from tunery.promotion.tables import Verdict
from tunery.registry.operations import resolve_version
from tunery.registry.tables import ModelVersion

# The stricter database: what it takes, the other takes.
pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)

BETTER = CriterionWish(metric="exact_match", margin=0.1, confidence=True, min_samples=40)
IMPOSSIBLE = CriterionWish(metric="exact_match", threshold=1.1)


def check(lab: Lab, *criteria: Criterion, version: str = "tuned", gate: str = "recipe", **more: Any) -> Verdict:
    gathered = gather_evidence(lab.ground, lab.actor.tenant_id, version, criteria, **more)
    with lab.ground.database.session(lab.actor.tenant_id) as session:
        return keep_verdict(session, lab.actor, gathered, criteria, gate)


def promote(lab: Lab, to_stage: str, version: str = "tuned", **more: Any) -> ModelVersion:
    with lab.ground.database.session(lab.actor.tenant_id) as session:
        return promote_version(session, lab.actor, version, Promotion(to_stage=to_stage, **more))


def stage_of(lab: Lab, version: str = "tuned") -> str:
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        return resolve_version(session, version).stage


def measured(lab: Lab) -> None:
    lab.numbers()
    lab.evaluate("small")
    lab.evaluate("tuned")


def test_a_better_model_passes_and_the_verdict_keeps_its_evidence(lab: Lab) -> None:
    measured(lab)
    verdict = check(lab, BETTER)
    assert verdict.passed
    (finding,) = VerdictView.model_validate(verdict).findings
    # Of the numbers 0 to 59, 48 are not divisible by 5 and 20 are divisible by 3: about 0.8 against 0.33.
    assert (finding.improvement or 0) > 0.2
    assert (finding.ci_low or 0) > 0.1
    assert finding.n == 40
    assert verdict.manifest_digest == resolve(lab).manifest_digest
    assert set(verdict.evaluations) == {"candidate", "base"}
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        (kept,) = session.scalars(sa.select(Comparison)).all()
    assert kept.difference == pytest.approx(finding.improvement)


def test_a_version_that_was_never_measured_does_not_pass(lab: Lab) -> None:
    verdict = check(lab, CriterionWish(metric="exact_match", threshold=0.0), BETTER)
    assert not verdict.passed
    assert [f["outcome"] for f in verdict.findings] == ["missing", "missing"]


def test_a_base_measured_on_other_rows_is_no_baseline(lab: Lab) -> None:
    lab.numbers()
    lab.evaluate("small", max_rows=30)
    lab.evaluate("tuned")
    verdict = check(lab, BETTER)
    assert verdict.findings[0]["outcome"] == "missing"
    assert set(verdict.evaluations) == {"candidate"}


def test_a_metric_that_was_not_measured_is_missing(lab: Lab) -> None:
    measured(lab)
    verdict = check(lab, BETTER, CriterionWish(metric="token_f1", threshold=0.0))
    assert [f["outcome"] for f in verdict.findings] == ["pass", "missing"]
    assert not verdict.passed


def test_another_version_can_be_the_baseline(lab: Lab) -> None:
    measured(lab)
    lab.shelf.adapter(seed=2)
    lab.evaluate("tuned:1.1.0")
    same = CriterionWish(metric="exact_match", margin=0.0, baseline="tuned:1.0.0")
    better = CriterionWish(metric="exact_match", margin=0.01, baseline="tuned:1.0.0")
    unknown = CriterionWish(metric="exact_match", margin=0.0, baseline="nothing:1.0.0")
    verdict = check(lab, same, better, unknown, version="tuned:1.1.0")
    assert [f["outcome"] for f in verdict.findings] == ["pass", "fail", "missing"]


def test_an_evaluation_of_another_version_is_no_evidence(lab: Lab) -> None:
    measured(lab)
    other = lab.evaluate("small")
    with pytest.raises(InvalidInput, match="is of small:1.0.0"):
        check(lab, BETTER, evaluation_id=other.id)
    with pytest.raises(InvalidInput, match="pending"):
        check(lab, BETTER, evaluation_id=lab.open("tuned"))


def test_without_a_verdict_nothing_moves_up(lab: Lab) -> None:
    measured(lab)
    with pytest.raises(GateFailed, match="no gate has judged tuned:1.0.0"):
        promote(lab, "testing")
    assert stage_of(lab) == "development"


def test_a_failed_verdict_moves_nothing_and_names_the_criteria(lab: Lab) -> None:
    measured(lab)
    check(lab, IMPOSSIBLE)
    with pytest.raises(GateFailed, match=r"exact_match is 0\.\d+ on 40 rows, not as asked: at least 1.1"):
        promote(lab, "testing")
    assert stage_of(lab) == "development"


def test_a_passing_verdict_moves_stage_by_stage_and_is_audited(lab: Lab) -> None:
    measured(lab)
    verdict = check(lab, BETTER)
    with pytest.raises(Refused, match="cannot move to production"):
        promote(lab, "production")
    for stage in ("testing", "staging", "production"):
        assert promote(lab, stage).stage == stage
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        entries = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "model_promoted")).all()
    assert {entry.environment for entry in entries} == {"testing", "staging", "production"}
    assert {entry.details["verdict"] for entry in entries} == {verdict.id}


def test_a_later_failure_takes_an_earlier_pass_back(lab: Lab) -> None:
    measured(lab)
    passed = check(lab, BETTER)
    failed = check(lab, IMPOSSIBLE)
    with pytest.raises(GateFailed, match=failed.id):
        promote(lab, "testing", verdict_id=passed.id)
    with pytest.raises(GateFailed, match="did not pass"):
        promote(lab, "testing")


def test_verdicts_of_another_version_do_not_count(lab: Lab) -> None:
    measured(lab)
    verdict = check(lab, BETTER)
    lab.shelf.adapter(seed=2)
    with pytest.raises(GateFailed, match="not on this"):
        promote(lab, "testing", version="tuned:1.1.0", verdict_id=verdict.id)
    with pytest.raises(GateFailed, match="no gate has judged"):
        promote(lab, "testing", version="tuned:1.1.0")


def test_a_verdict_on_other_bytes_does_not_count(lab: Lab) -> None:
    measured(lab)
    verdict = check(lab, BETTER)
    with lab.ground.database.session(lab.actor.tenant_id) as session:
        session.execute(sa.update(Verdict).values(manifest_digest="0" * 64))
    with pytest.raises(GateFailed, match="not on this"):
        promote(lab, "testing", verdict_id=verdict.id)


def test_going_down_needs_no_verdict(lab: Lab) -> None:
    measured(lab)
    assert promote(lab, "deprecated").stage == "deprecated"
    with pytest.raises(Refused):
        promote(lab, "production")


def test_a_move_that_saw_another_stage_is_refused(lab: Lab) -> None:
    measured(lab)
    check(lab, BETTER)
    with pytest.raises(StaleState):
        promote(lab, "staging", seen_stage="testing")
    assert stage_of(lab) == "development"


def test_of_many_promotions_at_once_one_wins(lab: Lab) -> None:
    measured(lab)
    check(lab, BETTER)

    def attempt(_: int) -> bool:
        try:
            promote(lab, "testing", seen_stage="development")
        except StaleState:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert stage_of(lab) == "testing"


def test_a_gate_is_kept_under_its_name_and_never_changes(lab: Lab) -> None:
    wish = GateCreate(name="fit", criteria=[BETTER])
    with lab.ground.database.session(lab.actor.tenant_id) as session:
        first = create_gate(session, lab.actor, wish)
        assert create_gate(session, lab.actor, wish).id == first.id
        with pytest.raises(Conflict, match="never change"):
            create_gate(session, lab.actor, GateCreate(name="fit", criteria=[IMPOSSIBLE]))
        assert get_gate(session, "fit").id == get_gate(session, first.id).id == first.id
        assert list_gates(session).total == 1
        (kept,) = criteria_of(first)
        assert kept.direction == "higher"
        with pytest.raises(NotFound):
            get_gate(session, "other")


def test_a_kept_criterion_is_readable_without_its_metric(ground: object) -> None:
    criterion = Criterion(metric="of_a_package_since_removed", direction="higher", threshold=0.5)
    assert criterion.resolved() == criterion
    data = {"id": "1", "name": "g", "description": "", "criteria": [criterion], "createdBy": "a"}
    assert GateView.model_validate({**data, "createdAt": "2026-11-21T00:00:00Z"}).criteria == [criterion]


def test_another_tenant_sees_neither_gate_nor_verdict(lab: Lab, stranger: Actor) -> None:
    measured(lab)
    verdict = check(lab, BETTER)
    with lab.ground.database.session(lab.actor.tenant_id) as session:
        create_gate(session, lab.actor, GateCreate(name="fit", criteria=[BETTER]))
    with lab.ground.database.session(stranger.tenant_id) as session:
        for look in (lambda: get_gate(session, "fit"), lambda: get_verdict(session, verdict.id)):
            with pytest.raises(NotFound):
                look()
        assert list_verdicts(session) == []
    with pytest.raises(NotFound):
        gather_evidence(lab.ground, stranger.tenant_id, "tuned", [BETTER])


def resolve(lab: Lab) -> ModelVersion:
    with lab.ground.database.session(lab.actor.tenant_id, read_only=True) as session:
        return resolve_version(session, "tuned")
