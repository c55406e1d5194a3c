"""Each rule passes where it may and fails, or stays open, where it must; none passes over rows that were not read."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.compliance.conftest import CLEAN, HOUSE, case_of, told
from tunery.compliance.ports import RULES
from tunery.compliance.validating import judge, verdict_of

MODEL = {
    "reference": "m:1.0.0", "run": "r", "description": "answers", "acceptable_use": "no harm", "created_at": "2026",
    "visibility": "private", "architecture": "llama", "parameters": 100, "context_length": 2048,
    "formats": ["safetensors"], "license": "MIT", "base_license": "MIT",
}  # fmt: skip
RUN = {
    "id": "r", "name": "tune", "base": "b:1.0.0", "base_flop": None, "earlier_flop": 0.0, "parameters": 7e9,
    "tokens": 1e8, "flop": 4e18, "energy": 5e6, "config": {"epochs": 3},
}  # fmt: skip
TRAINED = {"runs": [RUN], "models": [MODEL]}
UNLICENSED = {"sources": [{"digest": "1" * 64, "license": None}]}
UNDERIVABLE = {"sources": [{"name": "x", "digest": "1" * 64, "license": "CC-BY-ND-4.0"}]}


def text(value: str) -> list[dict[str, Any]]:
    return [*CLEAN, {"text": value}]


FOUND: dict[str, tuple[list[dict[str, Any]], str]] = {
    "GDPR-PII-DIRECT": (text("write to ada@example.org"), "fail"),
    "GDPR-9-SPECIAL": (text("she was diagnosed with diabetes"), "review"),
    "GDPR-8-CHILD": (text("a boy aged 9 asked"), "review"),
    "GDPR-5.1c-MIN": ([{"text": "a", "shoe size": 44}], "review"),
    "CCPA-SENS": (text("meet at 37.77493, -122.41942"), "fail"),
    "SH-C": (text("seen on 2021-03-04"), "fail"),
    "SH-D/E/F": (text("call +1 415 555 2671 now"), "fail"),
    "SH-G": (text("my SSN is 536-22-8726"), "fail"),
    "SH-L/M": (text("serial number: XK-20931-A"), "review"),
    "SH-N/O": (text("see https://example.org/u/7"), "fail"),
    "SH-P/Q": (text("see scan_007.jpg"), "review"),
    "SH-R": ([{"text": f"row {n}", "key": f"A{n * 7919 % 1000:03}-X{n}Q{n * 31}"} for n in range(9)], "review"),
    "SEC-CRED": (text("password = 'tr0ub4dor&3x'"), "fail"),
    "DQ-DUP": ([*CLEAN, CLEAN[0]], "fail"),
}
"""By rule: rows in which it finds something, and what it answers then. In CLEAN it finds nothing."""


@pytest.mark.parametrize("rule", FOUND)
def test_a_rule_passes_clean_rows_and_no_others(rule: str) -> None:
    rows, status = FOUND[rule]
    assert told(rule, case_of(CLEAN)).status == "pass"
    found = told(rule, case_of(rows))
    assert found.status == status, found
    assert found.reason


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("aged 93", "AGE_90"),
        ("3rd of March 2021", "DATE"),
        ("4.3.2021", "DATE"),
        ("Lamp Street: 12 Old Lamp Street", "STREET"),
        ("Musterstraße 12", "STREET"),
        ("zip: 94110", "ZIP"),
        ("Springfield, IL 62704", "ZIP"),
        ("zip code 036", "ZIP3"),
        ("medical record number: 00-4411", "RECORD_NUMBER"),
        ("data:image/png;base64,AAAA", "MEDIA"),
    ],
)
def test_a_form_is_found(value: str, kind: str) -> None:
    scan = case_of(text(value)).scan
    assert scan is not None
    assert scan.counts.get(kind) == 1, scan.counts


@pytest.mark.parametrize(
    "value", ["version 1.2.3 of 2021", "100 years ago", "in 12345 cases", "zip code 941", "page 90"]
)
def test_what_only_looks_like_a_form_is_not(value: str) -> None:
    scan = case_of(text(value)).scan
    assert scan is not None
    assert not {"AGE_90", "DATE", "STREET", "ZIP", "ZIP3", "RECORD_NUMBER"} & set(scan.counts), scan.counts


@pytest.mark.parametrize(
    ("values", "rule", "status"),
    [
        ({"age": 93}, "SH-C", "fail"),
        ({"meta": [{"age": 93.0}]}, "SH-C", "fail"),
        ({"admitted": 20240305}, "SH-C", "review"),
        ({"text": "admitted March 5, discharged 3/12"}, "SH-C", "review"),
        ({"age": 9}, "GDPR-8-CHILD", "review"),
        ({"lat": 52.5200066, "lon": 13.404954}, "CCPA-SENS", "fail"),
        ({"coordinates": [13.404954, 52.5200066]}, "SH-B", "fail"),
        ({"zip": 94110}, "SH-B", "fail"),
    ],
)
def test_numbers_count_by_the_name_of_their_field(values: dict[str, Any], rule: str, status: str) -> None:
    found = told(rule, case_of([{"text": "x"} | values]))
    assert (found.status, bool(found.evidence["counts"])) == (status, True), found


@pytest.mark.parametrize("values", [{"n": 93}, {"n": "93"}, {"n": {"m": [0.5]}}, {"n": -7.25}])
def test_what_columns_of_numbers_hold_a_person_has_to_say(values: dict[str, Any]) -> None:
    for rule in ("SH-C", "CCPA-SENS", "GDPR-8-CHILD"):
        found = told(rule, case_of([{"text": "x"} | values]))
        assert (found.status, found.evidence["columns_of_numbers"]) == ("review", ["n"])
        assert found.next[0].startswith("tunery compliance attest")
        assert told(rule, case_of([{"text": "x"} | values], attested={rule: "pages of a book"})).status == "pass"
        assert told(rule, case_of([{"text": "93", "n": "x93", "yes": True}])).status == "pass"


def test_places_that_have_a_form_fail_safe_harbor_and_names_are_for_a_person_to_decide() -> None:
    assert told("SH-B", case_of(text("12 Old Lamp Street"))).status == "fail"
    for rule in ("SH-A", "SH-B", "GDPR-PII-NAMES"):
        nobody = told(rule, case_of(CLEAN, attested={rule: "synthetic"}))  # looked for names
        assert nobody.status == "review"
        assert ("--names 500" in nobody.next[0], "--document FILE" in nobody.next[1]) == (True, True)
        assert told(rule, case_of(CLEAN, attested={rule: "the rows read are attached"})).status == "pass"
        assert told(rule, case_of(CLEAN, names=9)).status == "review"
        assert told(rule, case_of(CLEAN, names=9, attested={rule: "synthetic"})).status == "pass"
    found = told("SH-A", case_of(text("Ada came"), names=9))
    assert found.evidence["counts"] == {"PERSON": 1}
    assert found.evidence["detectors"]["names"]["recall"] == "not measured"


def test_findings_come_with_coverage_detector_and_its_measured_recall() -> None:
    evidence = told("SH-G", case_of(text("my SSN is 536-22-8726"))).evidence
    assert (evidence["rows_scanned"], evidence["rows_total"]) == (7, 7)
    assert evidence["counts"] == {"US_SSN": 1}
    assert evidence["detectors"]["patterns"]["recall"]["US_SSN"] == 0.95
    assert "536-22" not in str(evidence)


def test_record_numbers_need_a_format_of_ones_own_or_a_person_who_says_that_there_are_none() -> None:
    rule, formats = "SH-H/I/J/K", {"MRN": "Q[0-9]{4}"}
    assert told(rule, case_of(CLEAN)).status == "review"
    assert told(rule, case_of(CLEAN, attested={rule: "poems have none"})).status == "pass"
    assert told(rule, case_of(CLEAN, formats=formats)).status == "pass"
    assert told(rule, case_of(text("see Q1234"), formats=formats)).status == "fail"
    assert told(rule, case_of(text("policy number: 77-1234"))).status == "fail"


def test_quasi_identifiers_are_counted_where_they_are_declared() -> None:
    rows = [{"text": f"{n}", "age": 30 + n // 5, "town": "x"} for n in range(10)]
    assert told("GDPR-PII-QUASI", case_of(CLEAN)).status == "n/a"  # no columns but the text
    assert told("GDPR-PII-QUASI", case_of(rows)).next[0].endswith("--standard GDPR --quasi-identifier age")
    assert told("GDPR-PII-QUASI", case_of(rows, attested={"GDPR-PII-QUASI": "none does"})).status == "pass"
    assert told("GDPR-PII-QUASI", case_of(rows, quasi=("shoe",))).status == "unknown"
    kept = told("GDPR-PII-QUASI", case_of(rows, quasi=("age", "town")))
    assert (kept.status, kept.evidence["k"], kept.evidence["groups"]) == ("pass", 5, 2)
    alone = told("GDPR-PII-QUASI", case_of([*rows, {"text": "x", "age": 90, "town": "x"}], quasi=("age",)))
    assert (alone.status, alone.evidence["k"]) == ("review", 1)


def test_a_held_out_row_that_stands_in_train_is_a_leak_whichever_comes_first() -> None:
    rows = [{"prompt": p, "completion": "x"} for p in ("a", "b", "a", "c", "c")]
    found = told("DQ-LEAK", case_of(rows, splits=["test", "train", "train", "train", "validation"]))
    assert (found.status, found.evidence["rows"], found.evidence["of"]) == ("fail", 2, 2)
    assert sorted(found.evidence["some"]) == ["0", "4"]
    assert told("DQ-LEAK", case_of(rows[:2], splits=["test", "train"])).status == "pass"
    assert told("DQ-LEAK", case_of(CLEAN)).status == "n/a"


@pytest.mark.parametrize("rule", ["GDPR-6-BASIS", "GDPR-13/14-INFO", "SH-KNOW", "AIA-53c-COPY", "GDPR-44-XFER",
                                  "GDPR-30-ROPA", "AIA-53d-SUM"])  # fmt: skip
def test_what_a_person_decides_is_open_until_one_did_and_after_it_is_over(rule: str) -> None:
    assert told(rule, case_of(CLEAN)).status == "review"
    found = told(rule, case_of(CLEAN, attested={rule: "consent"}))
    assert (found.status, found.evidence["attestations"][0]["by"]) == ("pass", "eve")
    assert told(rule, case_of(CLEAN, over={rule: "consent"})).status == "review"


def test_a_finding_is_not_attested_away() -> None:
    case = case_of(text("see Q1234"), formats={"MRN": "Q[0-9]{4}"}, attested={"SH-H/I/J/K": "all is well"})
    assert told("SH-H/I/J/K", case).status == "fail"


def test_a_line_that_closes_a_finding_takes_all_it_needs() -> None:
    """Rows with a form that no step replaces go by their ids, 100 a line; what a step replaces is, in the same line."""
    dated = [{"text": f"seen on 2021-03-04, the {n}th"} for n in range(120)]
    [line] = told("SH-C", case_of(dated)).next
    assert line == " ".join(["tunery datasets delete-rows d --", *map(str, range(100))])
    both = text("policy number: 77-1234, card 4111 1111 1111 1111")
    made = {"columns": {"text": "body"}, "seed": 7, "test_split": 3, "shape": None, "key": None}
    case = case_of(both)
    [line] = told("SH-H/I/J/K", replace(case, version=case.version | {"options": made})).next
    deleted, exported, imported = line.split(" && ")
    assert deleted == f"tunery datasets delete-rows d -- {len(CLEAN)}"
    assert exported == "tunery datasets export d --to d-1.jsonl"  # the version without the row
    assert (
        imported == "tunery datasets import d-1.jsonl --name d --license MIT --test-split 3 --seed 7 --column "
        "text=text --redact"
    )


def test_the_balancing_test_is_asked_for_where_the_basis_is_legitimate_interests() -> None:
    rule, basis = "GDPR-6.1f-LIA", "GDPR-6-BASIS"
    assert told(rule, case_of(CLEAN)).status == "unknown"
    assert told(rule, case_of(CLEAN, attested={basis: "consent"})).status == "n/a"
    assert told(rule, case_of(CLEAN, attested={basis: "Legitimate interests: fraud"})).status == "review"
    both = {basis: "legitimate interests", rule: "attached"}
    assert told(rule, case_of(CLEAN, attested=both)).status == "pass"


def test_an_impact_assessment_is_asked_for_where_the_rows_call_for_it() -> None:
    assert told("GDPR-35-DPIA", case_of(CLEAN)).status == "n/a"
    special = text("a catholic school")
    assert told("GDPR-35-DPIA", case_of(special)).status == "review"
    assert told("GDPR-35-DPIA", case_of(special, attested={"GDPR-35-DPIA": "attached"})).status == "pass"


def test_a_retention_limit_must_be_set_and_lie_ahead() -> None:
    rule = "GDPR-5.1e-RETAIN"
    assert told(rule, case_of(CLEAN)).status == "fail"
    assert told(rule, case_of(CLEAN, attested={rule: "two years"})).status == "pass"
    passed = told(rule, case_of(CLEAN, over={rule: "two years"}))
    assert (passed.status, passed.reason) == ("fail", "the retention limit is passed")


def test_security_and_safeguards_are_read_from_the_house() -> None:
    assert told("GDPR-25/32-SEC", case_of(CLEAN)).status == "pass"
    assert told("GDPR-25/32-SEC", case_of(CLEAN, house=HOUSE | {"backups": False})).status == "review"
    assert told("GDPR-25/32-SEC", case_of(CLEAN, house=HOUSE | {"backup_verified_at": None})).status == "review"
    assert told("GDPR-25/32-SEC", case_of(CLEAN, house=HOUSE | {"roles": {}})).status == "fail"
    assert told("HIPAA-312-AUDIT", case_of(CLEAN)).status == "pass"
    assert told("HIPAA-312-AUDIT", case_of(CLEAN, house=HOUSE | {"audit_entries": 0})).status == "fail"


def test_an_experts_report_stands_in_for_safe_harbor_as_long_as_it_holds() -> None:
    dirty = text("my SSN is 536-22-8726")
    assert told("HIPAA-ED", case_of(dirty)).status == "n/a"
    with_expert = case_of(dirty, attested={"HIPAA-ED": "Dr. Who, statistician"})
    assert (told("HIPAA-ED", with_expert).status, told("SH-G", with_expert).status) == ("pass", "n/a")
    expired = case_of(dirty, over={"HIPAA-ED": "Dr. Who, statistician"})
    assert (told("HIPAA-ED", expired).status, told("SH-G", expired).status) == ("review", "fail")


def test_compute_is_six_times_parameters_times_tokens_against_a_third_of_the_bases() -> None:
    """6 x 7e9 x 1e8 = 4.2e18 FLOP; a third of 1e23 is 3.33e22, so 1.26e-4 of the threshold."""
    assert told("AIA-GPAI-STATUS", case_of(CLEAN)).status == "n/a"
    found = told("AIA-GPAI-STATUS", case_of(CLEAN, **TRAINED))
    assert found.status == "review"
    assert found.reason.startswith("below")
    [base] = found.evidence["ledger"]
    assert base["flop"] == 6 * 7e9 * 1e8 == 4.2e18
    assert base["part_of_threshold"] == pytest.approx(4.2e18 / (1e23 / 3))
    known = [RUN | {"base_flop": 1e18}, RUN | {"earlier_flop": 1e18, "base_flop": 1e18}]
    [base] = told("AIA-GPAI-STATUS", case_of(CLEAN, runs=known)).evidence["ledger"]
    assert (base["flop"], base["part_of_threshold"]) == (8.4e18, pytest.approx(8.4e18 / (1e18 / 3)))
    assert told("AIA-GPAI-STATUS", case_of(CLEAN, runs=known)).reason.startswith("above")
    assert told("AIA-GPAI-STATUS", case_of(CLEAN, runs=[RUN | {"tokens": None}])).status == "review"
    attested = case_of(CLEAN, **TRAINED, attested={"AIA-GPAI-STATUS": "no provider"})
    assert told("AIA-GPAI-STATUS", attested).status == "pass"


@pytest.mark.parametrize(
    ("rule", "lacks"), [("AIA-XI-1", "acceptable_use"), ("AIA-XII", "context_length"), ("AIA-XI-2", "energy")]
)
def test_the_documents_of_the_ai_act_name_their_gaps(rule: str, lacks: str) -> None:
    assert told(rule, case_of(CLEAN)).status == "n/a"
    whole = told(rule, case_of(CLEAN, **TRAINED))
    assert whole.status == ("pass" if rule == "AIA-XI-1" else "review"), whole
    assert told(rule, case_of(CLEAN, **TRAINED, attested={rule: "enough"})).status == "pass"
    without = {"runs": [RUN | {"energy": None}], "models": [MODEL | {"acceptable_use": None, "context_length": None}]}
    found = told(rule, case_of(CLEAN, **without))
    assert (found.status, list(found.evidence["gaps"])) == ("review", ["m:1.0.0"])
    assert told(rule, case_of(CLEAN, **without, attested={rule: "enough"})).status == "review"
    assert told(rule, case_of(CLEAN, **without, attested={rule: "what lacks is attached"})).status == "pass"
    assert any(lacks.split("_")[0] in gap for gap in found.evidence["gaps"]["m:1.0.0"])
    no_provider = case_of(CLEAN, **without, attested={"AIA-GPAI-STATUS": "below a third, no provider"})
    assert told(rule, no_provider).status == "n/a"


def test_licences_pass_by_the_matrix_and_a_missing_one_is_said_in_r1s_words() -> None:
    assert told("LIC-COMPAT", case_of(CLEAN, **TRAINED)).status == "pass"
    missing = told("LIC-COMPAT", case_of(CLEAN, provenance=UNLICENSED))
    assert (missing.status, missing.reason) == ("review", "No license information provided")
    assert told("LIC-COMPAT", case_of(CLEAN, provenance=UNDERIVABLE)).status == "fail"


def test_what_tunery_keeps_no_record_of_a_person_answers_for() -> None:
    for rule in ("GDPR-33-BREACH", "EDPB-ANON", "CCPA-110-KNOW", "CCPA-CLOCK", "CCPA-SALE", "AIA-50-MARK"):
        assert told(rule, case_of(CLEAN, **TRAINED)).status == "review"
        assert told(rule, case_of(CLEAN, **TRAINED, attested={rule: "all is well"})).status == "pass"
    for rule in ("EDPB-ANON", "AIA-50-MARK"):
        assert told(rule, case_of(CLEAN)).status == "n/a"  # nothing was trained


def test_a_person_is_found_where_the_rows_were_looked_at_for_persons() -> None:
    assert told("GDPR-15-ACCESS", case_of(CLEAN)).status == "pass"
    version = case_of(CLEAN).version
    found = told("GDPR-15-ACCESS", case_of(CLEAN, version=version | {"indexed": False}))
    assert (found.status, found.next[0].count("tunery datasets")) == ("review", 2)


def test_an_erasure_must_be_certified_and_each_model_that_saw_the_rows_decided() -> None:
    assert told("GDPR-17-ERASE", case_of(CLEAN)).status == "review"
    told_of = {"GDPR-19-NOTIFY": "n/a", "CCPA-105-DELETE": "n/a"}
    assert {rule: told(rule, case_of(CLEAN, erasures=[])).status for rule in told_of} == told_of
    some = {"erasures": [{"erasure": "1", "status": "certified"}]}
    for rule in told_of:
        assert told(rule, case_of(CLEAN, **some)).status == "review"
        assert told(rule, case_of(CLEAN, **some, attested={rule: "told by letter"})).status == "pass"
    assert told("CCPA-105-DELETE", case_of(CLEAN, erasures=[{"erasure": "1", "status": "decided"}])).status == "fail"
    for erasures, status in (([], "n/a"), (["certified"], "pass"), (["certified", "destroyed"], "fail")):
        known = [{"erasure": str(n), "status": reached} for n, reached in enumerate(erasures)]
        assert told("GDPR-17-ERASE", case_of(CLEAN, erasures=known)).status == status
    for left in ({"spared": {"0" * 64: ["compliance_attestations"]}}, {"foundAgain": 2}):
        known = [{"erasure": "1", "status": "certified", **left}]
        assert told("GDPR-17-ERASE", case_of(CLEAN, erasures=known)).status == "review"
        why = {"GDPR-17-ERASE": "kept as evidence in a lawsuit"}
        assert told("GDPR-17-ERASE", case_of(CLEAN, erasures=known, attested=why)).status == "pass"
    for decisions, status in (([], "n/a"), (["retrain"], "pass"), (["retire", None], "fail")):
        holds = [
            {"version": str(n), "decision": decision, "cause": "erasures/7"} for n, decision in enumerate(decisions)
        ]
        assert told("GDPR-17-MODEL", case_of(CLEAN, holds=holds)).status == status
    assert (
        told("GDPR-17-MODEL", case_of(CLEAN, holds=holds)).next[0].startswith("tunery subjects decide 7 1 --decision")
    )


@pytest.mark.parametrize("seed", range(30))
def test_no_rule_about_rows_passes_over_rows_that_were_not_read(seed: int) -> None:
    random_source = random.Random(seed)
    pool = [*CLEAN, *(row for rows, _ in FOUND.values() for row in rows if "text" in row)]
    rows = random_source.choices(pool, k=random_source.randint(0, 6))
    unread = random_source.randint(1, 5)
    attested = {name: "I looked" for name in RULES.names() if random_source.random() < 0.5 and name != "HIPAA-ED"}
    case = case_of(rows, total=len(rows) + unread, names=9, attested=attested, **TRAINED)
    for scan in (case.scan, None):
        partly = judge(_with(case, scan), {rule.standard for _, rule in RULES})
        passed = {one.rule for one in partly if one.status == "pass" and RULES.get(one.rule).needs_rows}
        assert passed == set()
        for one in partly:  # what is open says what closes it
            assert bool(one.next) == (one.status in ("fail", "review", "unknown")), one
            assert all(line.startswith("tunery ") for line in one.next)


def test_whoever_answers_for_what_is_asked_ends_with_every_standard_passed() -> None:
    """By what the tool looks at where it can; by documents alone where no detector, format or record is there."""
    said = {rule_id: f"{rule.words[-1] if rule.words else 'it is'} attached" for rule_id, rule in RULES}
    del said["HIPAA-ED"]  # the other way to Safe Harbor
    erased = {"erasures": [{"erasure": "1", "status": "certified"}], "holds": [{"version": "m", "decision": "retire"}]}
    rows = [row | {"town": "x"} for row in CLEAN]
    looked_at = case_of(
        rows, names=9, formats={"MRN": "Q[0-9]{4}"}, quasi=("town",), attested=said, **TRAINED, **erased
    )
    poor = {"runs": [RUN | {"tokens": None}], "models": [dict.fromkeys(MODEL, None) | {"reference": "m", "run": "r"}]}
    poor["models"][0] |= {"license": "MIT", "base_license": "MIT"}
    bare = case_of(rows, attested=said, **poor, house=HOUSE | {"backups": False})
    for case in (looked_at, bare, replace(bare, version=bare.version | {"indexed": False})):
        standards = {rule.standard for _, rule in RULES}
        outcomes = judge(case, standards)
        assert {one.status for one in outcomes} == {"pass", "n/a"}, [one for one in outcomes if one.next]
        assert verdict_of(outcomes, standards)["compliant"] is True


def test_rules_that_read_rows_say_so() -> None:
    """Whatever answers differently with and without a scan needs rows; the record alone only quotes what was found."""
    case = case_of(CLEAN, **TRAINED)
    for rule_id, rule in RULES:
        differs = rule.check(case).status != rule.check(_with(case, None)).status
        assert not differs or rule.needs_rows, rule_id


def test_the_verdict_is_true_only_if_every_rule_that_applies_passes() -> None:
    case = case_of(CLEAN, names=9, formats={"MRN": "Q[0-9]{4}"})
    opened = verdict_of(judge(case, ["HIPAA"]), ["HIPAA"])
    assert (opened["results"], opened["compliant"]) == ({"HIPAA": None}, False)
    assert opened["summary"] == "no automatic failure; 3 attestations open; 0 rules unanswered"
    said = dict.fromkeys(("SH-A", "SH-B", "SH-KNOW"), "looked at")
    closed = case_of(CLEAN, names=9, formats={"MRN": "Q[0-9]{4}"}, attested=said)
    assert verdict_of(judge(closed, ["HIPAA"]), ["HIPAA"])["compliant"] is True
    both = verdict_of(judge(closed, ["GDPR", "HIPAA"]), ["GDPR", "HIPAA"])
    assert (both["results"]["HIPAA"], both["results"]["GDPR"], both["compliant"]) == (True, False, False)
    assert any("retention" in violation for violation in both["violations"])


def test_every_rule_of_the_design_is_there() -> None:
    assert len(RULES.names()) >= 49
    assert {rule.standard for _, rule in RULES} == {
        "GDPR", "CCPA", "HIPAA", "AI-ACT", "LICENCE", "QUALITY", "SECRETS"
    }  # fmt: skip


def _with(case: Any, scan: Any) -> Any:
    return replace(case, scan=scan)
