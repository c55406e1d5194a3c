"""Small datasets to look at, and what a validation of them answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tunery.compliance.attesting import attest
from tunery.compliance.ports import RULES, Attested, Case, Outcome
from tunery.compliance.reporting import report_view
from tunery.compliance.scanning import detectors_for, scan_rows
from tunery.compliance.schemas import AttestationWish, ReportView, ValidationWish
from tunery.compliance.tables import Attestation
from tunery.compliance.validating import check_standards, record_validation, scan_version, version_of
from tunery.datasets.imports import execute_import
from tunery.datasets.pii import Finding
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.row_files import StoredRow
from tunery.datasets.views import DatasetImport
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext

__all__ = ["CLEAN", "NOW", "Desk", "case_of", "told"]

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CLEAN = [{"text": f"the {word} is on the shelf"} for word in ("lamp", "cup", "pot", "fork", "spoon", "plate")]
HOUSE = {
    "sealed": "AES-256-GCM", "digests": "SHA-256", "users": 1, "roles": {"model_admin": 1}, "audit_entries": 3,
    "backups": True, "backup_verified_at": "2026-11-20", "store_checked_at": None, "hosts": [],
}  # fmt: skip


class NameDetector:
    """Finds the name Ada."""

    name, version, kinds = "names", "1", ("LOCATION", "PERSON")

    def find(self, text: str) -> list[Finding]:
        at = text.find("Ada")
        return [Finding("PERSON", at, at + 3, 0.9)] if at >= 0 else []


def case_of(
    rows: list[dict[str, Any]],
    *,
    attested: dict[str, str] | None = None,
    over: dict[str, str] | None = None,
    names: int = 0,
    formats: dict[str, str] | None = None,
    quasi: tuple[str, ...] = (),
    total: int | None = None,
    splits: list[str] | None = None,
    **facts: Any,
) -> Case:
    """Return rows of texts, or of prompts and completions, as rules see them.

    Args:
        attested: Statements that count, by rule; "attached" ones have a document.
        over: Statements that are over, by rule.
        total: Rows of the version, where not all are read.
    """
    shape = "text" if not rows or "text" in rows[0] else "completion"
    splits = splits or ["train"] * len(rows)
    stored = [
        StoredRow(str(n), split, n, json.dumps(row)) for n, (row, split) in enumerate(zip(rows, splits, strict=True))
    ]
    total = len(rows) if total is None else total
    scan = scan_rows(
        stored, shape, total, detectors_for(formats or {}), names=NameDetector(), name_rows=names, quasi=quasi
    )
    said = [_said(rule, text, NOW + timedelta(days=9)) for rule, text in (attested or {}).items()]
    said += [_said(rule, text, NOW - timedelta(days=9)) for rule, text in (over or {}).items()]
    known: dict[str, Any] = {
        "version": {
            "id": "v", "reference": "d:1", "digest": "0" * 64, "shape": shape, "total": total, "size_bytes": 9,
            "options": {}, "indexed": True,
            "rows": {split: splits.count(split) for split in set(splits)},
        },
        "provenance": {"sources": [{"type": "file", "digest": "1" * 64, "license": "MIT", "url": None}]},
        "content": frozenset({"text", "prompt", "completion"}),
        "runs": [],
        "models": [],
        "house": HOUSE,
    }  # fmt: skip
    return replace(Case(scan=scan, attested=said, now=NOW, **known), **facts)


def told(rule_id: str, case: Case) -> Outcome:
    """Return what a rule answers."""
    return RULES.get(rule_id).judge(rule_id, case)


def _said(rule: str, statement: str, until: datetime) -> Attested:
    document = "2" * 64 if "attached" in statement else None
    return Attested(new_id(), rule, "v", None, statement, document, "eve", NOW - timedelta(days=10), until)


@dataclass
class Desk:
    """Datasets of one tenant, looked at without a server."""

    ground: Ground
    actor: Actor

    def context(self, kind: str = "test", **payload: Any) -> JobContext:
        """A job that runs, held by a lease."""
        lease = new_id()
        with self.ground.database.session(self.actor.tenant_id) as session:
            row = Job(kind=kind, payload=payload, status="running", lease_token=lease, created_by=self.actor.name)
            session.add(row)
            session.flush()
        return JobContext(self.ground, row, lease, lambda: False)

    def put(self, rows: list[dict[str, Any]], name: str = "rows", **wish: Any) -> DatasetVersion:
        """Import rows, all of them for training."""
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        digest = self.ground.blobs.put(self.actor.tenant_id, data).digest
        options: Any = {"validation_split": 0, "test_split": 0}
        order = DatasetImport(name=name, file_digest=digest, file_name="rows.jsonl", options=options, **wish)
        return execute_import(self.context(), order)

    def attest(self, rule: str, statement: str = "I looked", **wish: Any) -> Attestation:
        """Attest something of the dataset ``rows``."""
        wish = {"dataset": "rows"} | wish
        with self.ground.database.session(self.actor.tenant_id) as session:
            return attest(session, self.ground, self.actor, AttestationWish(rule=rule, statement=statement, **wish))

    def validate(self, *standards: str, dataset: str = "rows", **wish: Any) -> ReportView:
        """Look at a dataset."""
        order = ValidationWish(dataset_id=dataset, standards=[*standards], **wish)
        with self.ground.database.session(self.actor.tenant_id) as session:
            version = version_of(session, order)
        scan = scan_version(self.ground, version, order)
        with self.ground.database.session(self.actor.tenant_id) as session:
            args = version.id, scan, check_standards(order.standards)
            return report_view(session, record_validation(session, self.ground, self.actor, *args))

    def see(self, read: Callable[[Any], Any]) -> Any:
        """Read something in a session."""
        with self.ground.database.session(self.actor.tenant_id) as session:
            return read(session)


@pytest.fixture
def desk(ground: Ground, actor: Actor) -> Desk:
    """A desk of the tenant ``acme``."""
    return Desk(ground, actor)
