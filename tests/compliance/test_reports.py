"""Reports are sealed and go stale; attestations count while they hold; R1's flags are derived (PRV-05, -06, -08)."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.compliance.conftest import CLEAN, Desk
from tests.registry.folders import make_model_folder
from tunery.audit.tables import AuditEntry
from tunery.compliance.attesting import list_attestations, withdraw_attestation
from tunery.compliance.flags import facts_of_model, facts_of_version
from tunery.compliance.jobs import validate_dataset
from tunery.compliance.reporting import list_reports, report_summary, verify_report
from tunery.compliance.schemas import ReportSummary, ReportView
from tunery.compliance.tables import Attestation, ComplianceReport
from tunery.datasets.operations import resolve_version
from tunery.datasets.versions.recording import node_of
from tunery.errors import InvalidInput, NotFound, SignatureInvalid
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.lineage.operations import Node, link
from tunery.registry.holds import decide_hold
from tunery.registry.operations import prepare_version, register_version
from tunery.registry.operations import resolve_version as resolve_model
from tunery.registry.schemas import RegisterVersion
from tunery.registry.tables import ModelHold
from tunery.subjects.jobs import erase_subject
from tunery.subjects.operations import start_erasure
from tunery.subjects.schemas import EraseWish
from tunery.training.tables import TrainingRun

# The stricter database: what it takes, the other takes.
pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)


def quick(desk: Desk) -> None:
    """Have an expert attest that nobody can be identified, so that HIPAA passes."""
    digest = desk.ground.blobs.put(desk.actor.tenant_id, b"the expert's report").digest
    desk.attest("HIPAA-ED", "Dr. Who", document_digest=digest, until=now() + timedelta(days=9))


def newest(desk: Desk) -> ReportSummary:
    """The newest report, as lists show it."""
    return desk.see(lambda session: report_summary(session, list_reports(session).items[0]))


def statuses(report: ReportView) -> dict[str, str]:
    return {one.rule: one.status for one in report.rules}


def test_a_validation_finds_what_stands_in_the_rows_and_says_it_as_r1_does_prv_05(desk: Desk) -> None:
    version = desk.put([*CLEAN, {"text": "write to ada@example.org, SSN 536-22-8726"}])
    report = desk.validate("GDPR", "HIPAA")
    assert report.compliant is False
    assert any(each.startswith("HIPAA: Social security numbers: 1 US_SSN") for each in report.violations)
    assert any(each.startswith("GDPR: Direct identifiers") for each in report.violations)
    assert "No license information provided" in report.warnings
    assert (report.dataset_reference, report.dataset_digest) == ("rows:1", version.digest)
    assert report.scan["scanned"] == report.scan["total"] == 7
    assert not any("compliant" in word for word in [report.summary, *report.violations, *report.warnings])
    assert "example.org" not in report.model_dump_json()
    audited = sa.select(AuditEntry.resource).where(AuditEntry.action == "compliance_validated")
    assert desk.see(lambda session: session.scalars(audited).all()) == ["rows:1"]


def test_gdpr_ccpa_and_hipaa_are_known_and_unknown_standards_are_refused_with_the_list_prv_06(desk: Desk) -> None:
    desk.put(CLEAN)
    report = desk.validate("gdpr", "CCPA", "HIPAA")
    assert set(report.results) == {"GDPR", "CCPA", "HIPAA"}
    assert {one.standard for one in report.rules if one.decides} == {"GDPR", "CCPA", "HIPAA"}
    assert len(report.rules) >= 40
    with pytest.raises(InvalidInput, match="AI-ACT, CCPA, GDPR, HIPAA, LICENCE, QUALITY, SECRETS"):
        desk.validate("GDRP")


def test_what_nobody_asked_for_warns_and_does_not_decide(desk: Desk) -> None:
    desk.put([*CLEAN, {"text": "password = 'tr0ub4dor&3x'"}], license="MIT")
    quick(desk)
    report = desk.validate("HIPAA")
    assert statuses(report)["SEC-CRED"] == "fail"
    assert (report.compliant, report.violations) == (True, [])
    assert any("SEC-CRED" in warning for warning in report.warnings)
    assert desk.validate("HIPAA", "SECRETS").compliant is False


def test_an_attestation_counts_while_it_holds_and_reports_that_rest_on_it_go_stale(desk: Desk) -> None:
    desk.put(CLEAN)
    assert desk.validate("HIPAA").compliant is False
    quick(desk)
    report = desk.validate("HIPAA")
    assert (report.compliant, report.stale, len(report.rules) > 5) == (True, False, True)
    assert report.summary == "no automatic failure; 0 attestations open; 0 rules unanswered"
    [given] = desk.see(lambda session: list_attestations(session, "rows").items)
    desk.see(lambda session: withdraw_attestation(session, desk.actor, given.id))
    assert newest(desk).stale_reasons == [f"the attestation of HIPAA-ED by {desk.actor.name} is over"]
    assert desk.validate("HIPAA").compliant is False


def test_an_attestation_that_is_over_does_not_count(desk: Desk) -> None:
    desk.put(CLEAN)
    given = desk.attest("GDPR-6-BASIS", "consent of all", until=now() + timedelta(days=1))
    assert statuses(desk.validate("GDPR"))["GDPR-6-BASIS"] == "pass"
    ended = sa.update(Attestation).where(Attestation.id == given.id).values(until=now() - timedelta(seconds=1))
    desk.see(lambda session: session.execute(ended))
    assert statuses(desk.validate("GDPR"))["GDPR-6-BASIS"] == "review"


def test_an_attestation_of_a_source_counts_wherever_the_file_went_and_for_no_other(desk: Desk) -> None:
    first = desk.put(CLEAN)
    desk.attest("GDPR-6-BASIS", "consent", dataset=None, source_digest=first.source_digest)
    desk.put(CLEAN, name="again")
    assert statuses(desk.validate("GDPR", dataset="again"))["GDPR-6-BASIS"] == "pass"
    desk.put([{"text": "more"}], name="again", mode="append")
    assert statuses(desk.validate("GDPR", dataset="again"))["GDPR-6-BASIS"] == "review"  # one source lacks it


def test_an_attestation_asks_for_what_its_rule_asks_for(desk: Desk) -> None:
    desk.put(CLEAN)
    for rule, words, wish in (
        ("SH-G", "nobody can attest", {}),
        ("SH-KNOW", "in the place of IN YOUR WORDS", {"statement": "IN YOUR WORDS"}),
        ("GDPR-6-BASIS", "begins with one of: consent", {"statement": "because"}),
        ("GDPR-35-DPIA", "asks for a document", {}),
        ("GDPR-5.1e-RETAIN", "until when", {}),
        ("SH-KNOW", "must lie ahead", {"until": now() - timedelta(days=1)}),
        ("SH-KNOW", "name one of them", {"dataset": None}),
    ):
        with pytest.raises(InvalidInput, match=words):
            desk.attest(rule, **wish)
    for wish in ({"dataset": "none"}, {"dataset": None, "source_digest": "0" * 64}, {"document_digest": "0" * 64}):
        with pytest.raises(NotFound):
            desk.attest("SH-KNOW", **wish)
    with pytest.raises(NotFound, match="did you mean"):
        desk.attest("GDPR-6-BASE")


def test_a_changed_dataset_makes_its_reports_stale(desk: Desk) -> None:
    desk.put(CLEAN)
    desk.validate("GDPR")
    assert newest(desk).stale is False
    changed = desk.put([{"text": "one more"}], mode="append")
    [reason] = newest(desk).stale_reasons
    assert reason == f"the dataset has changed since: rows:2 has the digest {changed.digest[:12]}"


def test_a_report_is_verified_and_one_that_was_touched_is_not(desk: Desk) -> None:
    version = desk.put(CLEAN)
    report = desk.validate("HIPAA")
    found = desk.see(lambda session: verify_report(session, report.id))
    assert (found.verified, found.dataset_digest, found.stale) == (True, version.digest, False)
    touched: list[dict[str, object]] = [
        {"compliant": True},
        {"results": {"HIPAA": True}},
        {"dataset_digest": "0" * 64},
        {"envelope": report.envelope | {"payload": report.envelope["payload"][:-4] + "AAAA"}},
    ]
    for values in touched:
        whole = desk.see(lambda session: session.get_one(ComplianceReport, report.id))
        before = {name: getattr(whole, name) for name in values}
        row = sa.update(ComplianceReport).where(ComplianceReport.id == report.id)
        desk.see(lambda session, row=row, values=values: session.execute(row.values(**values)))
        with pytest.raises(SignatureInvalid):
            desk.see(lambda session: verify_report(session, report.id))
        desk.see(lambda session, row=row, before=before: session.execute(row.values(**before)))
    assert desk.see(lambda session: verify_report(session, report.id)).verified


def test_the_flags_of_a_dataset_version_are_those_of_its_newest_report_prv_06(desk: Desk) -> None:
    version = desk.put(CLEAN)
    flags = desk.see(lambda session: facts_of_version(session, version))
    assert flags == {"gdprCompliant": None, "ccpaCompliant": None, "certifications": [], "lastValidatedAt": None}
    quick(desk)
    desk.validate("HIPAA")
    report = desk.validate("GDPR")  # fails: no retention limit; says nothing of HIPAA
    flags = desk.see(lambda session: facts_of_version(session, version))
    assert (flags["gdprCompliant"], flags["certifications"]) == (False, ["HIPAA"])
    assert flags["lastValidatedAt"] == report.created_at
    [given] = desk.see(lambda session: list_attestations(session, "rows").items)
    desk.see(lambda session: withdraw_attestation(session, desk.actor, given.id))
    flags = desk.see(lambda session: facts_of_version(session, version))
    assert (flags["gdprCompliant"], flags["certifications"]) == (False, [])
    other = desk.put([{"text": "one more"}], mode="append")
    assert desk.see(lambda session: facts_of_version(session, other))["gdprCompliant"] is None


def test_the_flags_of_a_model_hold_only_if_they_do_for_all_data_behind_it_prv_08(desk: Desk, tmp_path: Path) -> None:
    first, second = desk.put(CLEAN), desk.put([{"text": "other"}], name="others")
    base = _registered(desk, "base", tmp_path, is_base=True)
    once = _registered(desk, "once", tmp_path, run=_trained(desk, first.id, base))
    twice = _registered(desk, "twice", tmp_path, run=_trained(desk, second.id, once))

    def flags(version_id: str) -> tuple[object, list[str]]:
        facts = desk.see(lambda session: facts_of_model(session, resolve_model(session, version_id)))
        return facts["compliance_flags"]["hipaaCompliant"], facts["certifications"]

    assert flags(base) == flags(twice) == (None, [])
    quick(desk)
    desk.validate("HIPAA")
    assert (flags(once), flags(twice)) == ((True, ["HIPAA"]), (None, []))  # of the other data nobody knows
    document = desk.ground.blobs.put(desk.actor.tenant_id, b"another").digest
    wish = {"dataset": "others", "document_digest": document, "until": now() + timedelta(days=9)}
    desk.attest("HIPAA-ED", "Dr. Who", **wish)
    desk.validate("HIPAA", dataset="others")
    assert flags(twice) == (True, ["HIPAA"])


def test_the_trainings_on_the_rows_are_in_the_ledger_with_those_of_their_base(desk: Desk, tmp_path: Path) -> None:
    """6 x 100 parameters x 50 tokens = 3e4 FLOP each; the second training's base brings the first's with it."""
    first, second = desk.put(CLEAN), desk.put([{"text": "other"}], name="others")
    base = _registered(desk, "base", tmp_path, is_base=True)
    once = _registered(desk, "once", tmp_path, run=_trained(desk, first.id, base))
    _trained(desk, second.id, once)
    [status] = [one for one in desk.validate("AI-ACT", dataset="others").rules if one.rule == "AIA-GPAI-STATUS"]
    [ledger] = status.evidence["ledger"]
    assert (ledger["base"], ledger["flop"], ledger["earlier_flop"]) == ("base:1.0.0", 6e4, 3e4)
    assert newest(desk).stale is False
    again = _trained(desk, second.id, once)  # it ended before the report was made, and was committed after
    ended = sa.update(TrainingRun).values(finished_at=now() - timedelta(hours=1))
    desk.see(lambda session: session.execute(ended))
    assert newest(desk).stale_reasons == ["the training tune has ended since"]
    for standards in (["AI-ACT"], ["LICENCE"]):
        desk.validate(*standards, dataset="others")
        assert newest(desk).stale is False
        _registered(desk, f"of-{standards[0].lower()}", tmp_path, run=again)
        assert newest(desk).stale_reasons == [f"the model of-{standards[0].lower()}:1.0.0 was registered since"]


def test_a_job_that_is_repeated_writes_one_report(desk: Desk) -> None:
    version = desk.put(CLEAN)
    payload = {"version_id": version.id, "wish": {"datasetId": "rows", "standards": ["GDPR"]}}
    context = desk.context("compliance.validate")
    first = validate_dataset(context, payload)
    assert validate_dataset(context, payload) == first
    assert len(desk.see(lambda session: list_reports(session).items)) == 1
    assert first["results"] == {"GDPR": False}


def test_an_erasure_shows_in_the_successors_report_and_makes_the_earlier_one_stale(desk: Desk) -> None:
    version = desk.put([*CLEAN, {"text": "write to ada@example.org"}])
    model = _held(desk, version.id)
    before = statuses(desk.validate("GDPR"))
    assert (before["GDPR-17-ERASE"], before["EDPB-ANON"]) == ("n/a", "review")
    wish = EraseWish(identifier="ada@example.org", reason="request 7")
    job = desk.see(lambda session: start_erasure(desk.ground, session, desk.actor, wish))
    erase_subject(desk.context(), job.payload)
    assert any("erased" in reason for reason in newest(desk).stale_reasons)
    found = statuses(desk.validate("GDPR"))
    assert (found["GDPR-17-ERASE"], found["GDPR-17-MODEL"], found["GDPR-PII-DIRECT"]) == ("pass", "fail", "pass")
    assert found["EDPB-ANON"] == "review"  # the model came of the version before, of which this one is left
    hold = desk.see(lambda session: session.scalars(sa.select(ModelHold)).one())
    assert hold.version_id == model
    desk.see(lambda session: decide_hold(session, desk.actor, session.get_one(ModelHold, hold.id), "retire", "old"))
    assert statuses(desk.validate("GDPR"))["GDPR-17-MODEL"] == "pass"


def test_nothing_of_another_tenant_is_seen(desk: Desk, stranger: Actor) -> None:
    desk.put(CLEAN)
    report = desk.validate("GDPR")
    theirs = Desk(desk.ground, stranger)
    with pytest.raises(NotFound):
        theirs.validate("GDPR")
    with pytest.raises(NotFound):
        theirs.see(lambda session: verify_report(session, report.id))
    assert theirs.see(lambda session: list_reports(session).items) == []


def _held(desk: Desk, dataset_version_id: str) -> str:
    """A model that came of a training which cannot tell what rows it took in."""
    with tempfile.TemporaryDirectory() as folder:
        base = _registered(desk, "base", Path(folder), is_base=True)
        return _registered(desk, "tuned", Path(folder), run=_trained(desk, dataset_version_id, base, linked=True))


def _registered(desk: Desk, name: str, folder: Path, run: str | None = None, **wish: bool) -> str:
    prepared = prepare_version(desk.ground, desk.actor.tenant_id, make_model_folder(folder / name, seed=len(name)))
    with desk.ground.database.session(desk.actor.tenant_id) as session:
        order = RegisterVersion(files=[{"path": "x", "digest": "0" * 64}], version="1.0.0", **wish)
        version = register_version(session, desk.ground, desk.actor, name, order, prepared, run_id=run)
        if run is not None:
            link(session, Node("run", run), Node("model_version", version.id), "produced_by")
        return version.id


def _trained(desk: Desk, dataset_version_id: str, base_id: str, *, linked: bool = False) -> str:
    def add(session: Any) -> str:
        base = resolve_model(session, base_id)
        data = resolve_version(session, dataset_version_id)
        run = TrainingRun(
            id=new_id(), name="tune", method="sft", config={}, dataset_version_id=data.id,
            dataset_reference=data.reference, dataset_digest=data.digest, base_version_id=base.id,
            base_reference=base.reference, base_digest=base.manifest_digest, status="succeeded",
            metrics={"tokens": 50, "total_params": 100}, created_by="eve",
        )  # fmt: skip
        session.add(run)
        session.flush()
        if linked:
            link(session, node_of(data), Node("run", run.id), "trained_on")
        return run.id

    return str(desk.see(add))
