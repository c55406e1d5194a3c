"""Validate, attest and verify from the command line; a large version is a job; a model shows its flags."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tunery.client import Client
from tunery.compliance import validating
from tunery.compliance.tables import Attestation
from tunery.kit.clock import now
from tunery.platform.db import Database

Tunery = Callable[..., tuple[int, Any, str]]


def _import(tunery: Tunery, folder: Path, name: str) -> None:
    rows = [{"prompt": f"what is {n * 7919}?", "completion": str(n), "note": "x"} for n in range(12)]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert tunery("datasets", "import", path, "--name", name)[0] == 0


def test_a_dataset_is_validated_attested_and_its_report_verified(
    tunery: Tunery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _import(tunery, tmp_path, "looked-at")
    code, found, _ = tunery("compliance", "validate", "looked-at", "--standard", "hipaa", "--format", "MRN=Q[0-9]{4}")
    assert code == 0
    assert (found["status"], found["compliant"], found["violations"]) == ("done", False, [])
    assert "No license information provided" in found["warnings"]
    (tmp_path / "expert.pdf").write_bytes(b"%PDF-1.4 nobody can be identified")
    line = [
        "HIPAA-ED",
        "Dr. Who",
        "--dataset",
        "looked-at",
        "--document",
        tmp_path / "expert.pdf",
        "--until",
        "2999-01-01",
    ]
    assert tunery("compliance", "attest", *line)[1]["counts"] is True

    monkeypatch.setattr(validating, "_SMALL_ROWS", 3)  # the version counts as a large one now
    code, report, _ = tunery("compliance", "validate", "looked-at:1", "--standard", "HIPAA")
    assert (code, report["compliant"], report["results"]) == (0, True, {"HIPAA": True})
    code, verified, _ = tunery("compliance", "verify", report["id"])
    assert (code, verified["verified"], verified["stale"]) == (0, True, False)
    provenance = tunery("datasets", "provenance", "looked-at")[1]
    assert provenance["compliance"]["certifications"] == ["HIPAA"]
    assert provenance["lastValidatedAt"] is not None

    [given] = tunery("compliance", "attestations", "looked-at")[1]
    assert tunery("compliance", "withdraw", given["id"])[1]["counts"] is False
    assert next(iter(tunery("compliance", "reports", "looked-at")[1]))["stale"] is True
    assert tunery("datasets", "provenance", "looked-at")[1]["compliance"]["certifications"] == []


def test_an_unknown_standard_is_refused_with_those_known(tunery: Tunery, tmp_path: Path) -> None:
    _import(tunery, tmp_path, "asked")
    code, _, said = tunery("compliance", "validate", "asked", "--standard", "GDRP")
    assert code != 0
    assert "known: AI-ACT, CCPA, GDPR, HIPAA" in said


def test_whoever_does_what_the_report_says_ends_compliant_until_it_changes_or_is_over_prv_06(
    tunery: Tunery, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of the report is run, with words in the place of capitals and a document that is named FILE."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("Which rows were read, by whom, and what stood in them.")
    rows = [{"prompt": f"who is {n * 7919}?", "completion": f"person {n}", "town": "x"} for n in range(12)]
    rows[3]["completion"] = "ada@example.org, card 4111 1111 1111 1111"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tunery("datasets", "import", "rows.jsonl", "--name", "people", "--license", "MIT")[0] == 0
    asked = ["compliance", "validate", "people", "--standard", "GDPR", "--standard", "CCPA"]
    counts = []
    for _ in range(5):
        report = tunery(*asked)[1]
        still_open = [one for one in report["rules"] if one["next"] and one["decides"]]
        counts.append(len(still_open))
        if report["compliant"]:
            break
        failed = [one["next"][0] for one in still_open if one["status"] == "fail"]
        attested = [one["next"][-1] for one in still_open if one["status"] != "fail"]
        for line in dict.fromkeys(failed or attested):
            for command in line.split(" && "):
                code, _, told = tunery(*shlex.split(command.replace("IN YOUR WORDS", "Ada looked"))[1:])
                assert code == 0, (command, told)
    assert (report["compliant"], counts[-1], counts[0] > 10) == (True, 0, True)
    flags = tunery("datasets", "provenance", "people")[1]["compliance"]
    assert (flags["gdprCompliant"], flags["ccpaCompliant"], flags["certifications"]) == (True, True, ["CCPA", "GDPR"])

    over = sa.update(Attestation).where(Attestation.rule == "GDPR-5.1e-RETAIN").values(until=now())
    database = Database(client.settings.effective_database_url)
    try:
        with database.system_session("a test lets a retention limit pass") as session:
            session.execute(over)
    finally:
        database.close()
    newest = tunery("compliance", "reports", "people")[1][0]
    assert newest["staleReasons"] == [f"the attestation of GDPR-5.1e-RETAIN by {newest['createdBy']} is over"]
    assert tunery("datasets", "provenance", "people")[1]["compliance"]["gdprCompliant"] is None
    assert tunery(*asked)[1]["compliant"] is False

    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"prompt": "one more?", "completion": "yes", "town": "x"}))
    none = ["--validation-split", "0", "--test-split", "0"]
    assert tunery("datasets", "import", more, "--name", "people", "--mode", "append", *none)[0] == 0
    assert "the dataset has changed since" in tunery("compliance", "reports", "people")[1][0]["staleReasons"][-1]
    assert tunery("datasets", "provenance", "people")[1]["compliance"]["ccpaCompliant"] is None
