"""Redacting steps replace what they find everywhere in a row, once and for all, and report what they did."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.datasets.test_imports import context_of, wish_for
from tunery.datasets import operations
from tunery.datasets.imports import execute_import
from tunery.datasets.pii import Finding
from tunery.datasets.pii.overlaps import resolve
from tunery.datasets.pii.reports import pii_flags, read_report
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import Sanitation, SanitizeStep, Tally
from tunery.datasets.schemas import ImportOptions
from tunery.errors import InvalidInput, MissingExtra
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground


class Keys:
    """Sources with a key for each purpose."""

    scratch: Path | None = None

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def rows(self, reference: str) -> Iterator[Any]:
        raise NotImplementedError

    def standing(self) -> Iterator[Any]:
        raise NotImplementedError

    def tokenizer(self, reference: str) -> bytes:
        raise NotImplementedError

    def key(self, purpose: str) -> bytes:
        return f"{self._tenant}/{purpose}".encode().ljust(32, b".")


def step(**parameters: Any) -> SanitizeStep:
    options = ImportOptions(sanitize=[{"step": "redact_pii", **parameters}])
    found: SanitizeStep = options.sanitize[0]
    return found


def run(made: SanitizeStep, *rows: dict[str, Any], tenant: str = "acme") -> tuple[list[dict[str, Any]], Tally]:
    tally, ready = Tally(), pickle.loads(pickle.dumps(made.prepare(Keys(tenant))))
    given = [Row(f"r{i}", i, values) for i, values in enumerate(rows, start=1)]
    return [row.values for row in ready.apply(given, "text", tally)], tally


def test_dat_04_every_text_at_any_depth_is_redacted_and_the_rest_is_as_it_was() -> None:
    row = {
        "text": "Mail ann@example.org or 415-555-2671.",
        "meta": {"ssn": "536904399", "dateOfBirth": "1990-01-02", "bob@example.org": [1, 2.5, None, True]},
        "messages": [{"role": "user", "content": "card 4111 1111 1111 1111"}],
        "phone": 4155552671,
        "count": 4155,
    }
    (left,), tally = run(step(), row)
    assert left == {
        "text": "Mail [EMAIL] or [PHONE].",
        "meta": {"ssn": "[US_SSN]", "dateOfBirth": "[DATE_OF_BIRTH]", "[EMAIL]": [1, 2.5, None, True]},
        "messages": [{"role": "user", "content": "card [CARD]"}],
        "phone": "[PHONE]",
        "count": 4155,
    }
    assert json.loads(json.dumps(left)) == left
    assert tally.affected == 1
    again, later = run(step(), left)
    assert again == [left]  # S54
    assert later.affected == 0


def test_whole_numbers_that_became_floats_are_numbers() -> None:
    row = {"text": "x", "card": 4111111111111111.0, "phone": "2025550143.0", "ssn": [536904399.0], "ratio": 53690439.5}
    (left,), _ = run(step(), row | {"count": 20250.0})
    assert left == {
        "text": "x", "card": "[CARD]", "phone": "[PHONE]", "ssn": ["[US_SSN]"], "ratio": 53690439.5, "count": 20250.0
    }  # fmt: skip
    assert isinstance(left["count"], float)


def test_two_names_that_become_one_stay_two() -> None:
    (left,), _ = run(step(), {"text": "x", "by": {"ann@example.org": 1, "bob@example.org": 2}})
    assert left["by"] == {"[EMAIL]": 1, "[EMAIL]#2": 2}


def test_each_kind_may_have_its_action() -> None:
    made = step(action="mask", actions={"EMAIL": "redact", "IBAN": "drop_row"})
    left, tally = run(made, {"text": "a@example.org 4111 1111 1111 1111"}, {"text": "DE89370400440532013000"})
    assert left == [{"text": "[EMAIL] **** **** **** 1111"}]
    assert tally.affected == 2
    assert tally.examples == ["r1", "r2"]


def test_the_same_person_has_the_same_pseudonym_and_another_tenant_another() -> None:
    made = step(action="pseudonym")
    texts = ["call (415) 555-2671", "tel +1 415 555 2671", "ANN@example.org", "ann＠example.org", "bob@example.org"]
    (one, two, three, four, five), _ = run(made, *({"text": text} for text in texts))
    assert one["text"].removeprefix("call ") == two["text"].removeprefix("tel ")
    assert three == four != five
    assert len(five["text"]) == len("[EMAIL:]") + 16  # 64 bits, four to a letter
    assert run(made, {"text": "ANN@example.org"}, tenant="globex")[0] != [three]
    hashed, _ = run(step(action="hash"), {"text": "bob@example.org"})
    assert len(hashed[0]["text"]) == len("[EMAIL:]") + 64  # 256 bits
    with pytest.raises(InvalidInput, match="key"):
        list(made.apply([], "text", Tally()))


def test_the_key_is_in_no_record() -> None:
    ready = step(action="pseudonym").prepare(Keys("acme"))
    assert "acme" not in repr(ready) + str(ready.model_dump())


def test_dat_05_the_step_reports_counts_masked_samples_coverage_version_and_recall() -> None:
    _, tally = run(step(), {"text": "ann@example.org and bob@example.org"}, {"text": "nothing"})
    record = dict(tally.counts) | tally.details
    report = read_report(json.loads(json.dumps(record)), tally.affected)
    assert (report.rows, report.rows_affected, report.counts) == (2, 1, {"EMAIL": 2})
    assert report.samples["EMAIL"][0] == {"row": "r1", "path": "text", "text": "a***@***"}
    (patterns,) = report.detectors
    assert (patterns.name, patterns.version, patterns.coverage) == ("patterns", "2", 1.0)
    assert patterns.measured["EMAIL"].recall == 1.0
    assert 0.8 < (patterns.measured["US_SSN"].recall or 0) < 1
    assert "example" not in json.dumps(record)


def test_what_several_processes_saw_adds_up() -> None:
    (_, first), (_, later) = (
        run(step(), {"text": "ann@example.org"}),
        run(step(), {"text": "415-555-2671"}, {"text": ""}),
    )
    first.add(later)
    report = read_report(dict(first.counts) | first.details, first.affected)
    assert (report.rows, report.rows_affected, report.counts) == (3, 2, {"EMAIL": 1, "PHONE": 1})
    assert set(report.samples) == {"EMAIL", "PHONE"}
    assert report.detectors[0].coverage == 1.0


def test_nothing_found_is_not_called_clean() -> None:
    made = step(patterns={"MEDICAL_RECORD": "MRN[0-9]{7}"})
    _, tally = run(made, {"text": "nothing here"})
    report = read_report(dict(tally.counts) | tally.details, tally.affected)
    assert report.detected is False  # nothing was detected; the report says by what, and how much that finds
    assert {each.name: bool(each.measured) for each in report.detectors} == {"patterns": True, "custom": False}
    assert "detectors miss some" in made.describe()
    assert "clean" not in report.model_dump_json() + made.describe()


def flags(*made: tuple[SanitizeStep, str]) -> dict[str, bool | None]:
    records = []
    for each, text in made:
        sanitation = Sanitation([each.prepare(Keys("acme"))], "text")
        list(sanitation.run([Row("r1", 1, {"text": text})]))
        records += sanitation.records()
    return pii_flags(records)


def test_prv_03_what_was_detected_and_removed_is_derived_from_what_the_steps_did() -> None:
    assert flags() == {"piiDetected": None, "piiRemoved": None}
    assert flags((step(), "nothing")) == {"piiDetected": False, "piiRemoved": None}
    assert flags((step(), "ann@example.org")) == {"piiDetected": True, "piiRemoved": True}
    kept = step(action="pseudonym"), "ann@example.org"
    assert flags(kept) == {"piiDetected": True, "piiRemoved": False}  # a pseudonym is personal data still
    assert flags((step(), "nothing"), kept) == {"piiDetected": True, "piiRemoved": False}


def test_prv_03_what_is_not_known_of_earlier_rows_is_not_known_of_all() -> None:
    unknown: dict[str, bool | None] = {"piiDetected": None, "piiRemoved": None}
    clear: dict[str, bool | None] = {"piiDetected": False, "piiRemoved": None}
    gone: dict[str, bool | None] = {"piiDetected": True, "piiRemoved": True}
    assert pii_flags([], clear) == unknown
    assert pii_flags([], gone) == {"piiDetected": True, "piiRemoved": None}
    sanitation = Sanitation([step()], "text")
    list(sanitation.run([Row("r1", 1, {"text": "ann@example.org"})]))
    assert pii_flags(sanitation.records(), gone) == pii_flags(sanitation.records(), clear) == gone


def test_dat_04_an_import_redacts_and_its_provenance_says_what(ground: Ground, actor: Actor, stranger: Actor) -> None:
    rows = [
        {"prompt": f"question {i}", "completion": f"ask user{i % 2}@example.org or 415-555-2671"} for i in range(20)
    ]
    one = {"step": "redact_pii", "action": "pseudonym", "actions": {"PHONE": "redact"}}
    options: dict[str, Any] = {"sanitize": [one], "validation_split": 0, "test_split": 0}
    told: list[set[str]] = []
    for who in (actor, stranger):
        version = execute_import(context_of(ground, who), wish_for(ground, who, rows, **options))
        told.append({row.values["completion"] for row in operations.rows_of(ground, version)})
        [record] = version.provenance["preprocessingSteps"]
        report = read_report(record["details"], record["affectedSamples"])
        assert (report.counts, report.rows, report.rows_affected) == ({"EMAIL": 20, "PHONE": 20}, 20, 20)
        compliance = version.provenance["compliance"]
        assert (compliance["piiDetected"], compliance["piiRemoved"]) == (True, False)  # pseudonyms stay personal
        assert "user1" not in json.dumps(version.provenance)
    assert [len(each) for each in told] == [2, 2]  # two people, two pseudonyms
    assert told[0].isdisjoint(told[1])
    assert all(text.endswith("] or [PHONE]") for text in told[0])


def test_s55_a_pattern_of_a_tenants_own_cannot_hang() -> None:
    made = step(patterns={"EVIL": "(a+)+$"}, kinds=["EVIL"])
    started = time.process_time()
    run(made, {"text": "a" * 50_000 + "!"})
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "parameters",
    [
        {"patterns": {"MRN": "("}},
        {"patterns": {"MRN": r"(a)\1"}},
        {"patterns": {"MRN": "a*"}},
        {"patterns": {"mrn": "a"}},
        {"patterns": {"MRN": "(((a{1,1000}){1,1000}){1,1000})"}},
        {"kinds": ["E-MAIL"]},
        {"actions": {"EMIAL": "mask"}},
        {"action": "encrypt"},
        {"regions": ["Germany"]},
        {"detectors_too": ["none"]},
        {"entities": {"model": "x", "sample_rate": 0}},
    ],
)
def test_a_step_that_cannot_run_is_refused_when_it_is_written(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        step(**parameters)


def test_a_tenants_pattern_may_name_its_surroundings() -> None:
    left, _ = run(step(patterns={"STAFF": "staff no (?P<id>[0-9]+)"}), {"text": "é staff no 77 and no 78"})
    assert left == [{"text": "é staff no [STAFF] and no 78"}]


def test_secrets_go_and_nothing_of_them_is_shown() -> None:
    (made,) = ImportOptions(sanitize=[{"step": "redact_secrets"}]).sanitize
    token = "ghp_" + "a1B2" * 9
    (left,), tally = run(made, {"text": f"use {token} with postgres://bob:pw@db/x", "api_key": "Zx81-kk20-QQ"})
    assert left == {
        "text": "use [API_KEY] with postgres://[URL_CREDENTIALS]@db/x",
        "api_key": "[PASSWORD]",
    }
    report = read_report(dict(tally.counts) | tally.details, tally.affected)
    assert {sample["text"] for samples in report.samples.values() for sample in samples} == {"********"}


def test_without_the_extra_names_say_how_to_get_it() -> None:
    made = step(entities={"model": "en_core_web_sm"})
    if find_spec("presidio_analyzer") is None:
        with pytest.raises(MissingExtra, match=r"tunery\[pii\]"):
            run(made, {"text": "x"})


def test_of_findings_that_overlap_the_surer_stays_and_covers_both() -> None:
    weak, sure, beside = Finding("PHONE", 0, 12, 0.6), Finding("CARD", 5, 20, 0.9), Finding("EMAIL", 30, 40, 0.9)
    expected = [Finding("CARD", 0, 20, 0.9), beside]
    assert resolve([weak, sure, beside]) == resolve([beside, sure, weak, weak]) == expected
    wide = Finding("HIGH_ENTROPY", 0, 40, 0.5)
    assert resolve([wide, sure, beside]) == [sure, beside]  # reaches over both: it covers neither more
