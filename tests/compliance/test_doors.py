"""Validate, attest and verify from the command line; a large version is a job; a model shows its flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doors.conftest import client, tunery
from tunery.compliance import validating

__all__ = ["client", "tunery"]

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
