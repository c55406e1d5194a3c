"""``tunery compliance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, plain, sheet, table
from tunery.cli.waiting import Wait, finish
from tunery.client import Client
from tunery.compliance.schemas import ReportView, ValidationView
from tunery.errors import InvalidInput
from tunery.kit.clock import parse_time

noun = Noun("compliance", "Look at datasets by GDPR, HIPAA and others; attest, report, verify.")
_Report = Annotated[str, typer.Argument(metavar="REPORT", help="Id of the report.")]
_Dataset = Annotated[str | None, typer.Argument(metavar="DATASET", help="Name. Default: all.")]


@noun.command("rules", example="tunery compliance rules")
def rules() -> Output:
    """List the rules, by id."""
    with Client() as client:
        return table(client.compliance.rules(), "rule", "standard", "who", "attestable", "title")


@noun.command("validate", example="tunery compliance validate addresses --standard GDPR --standard HIPAA")
def validate(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset, name or name:2.")],
    standard: Annotated[list[str] | None, typer.Option(help="Such as GDPR; may be repeated. Default: all.")] = None,
    names: Annotated[int, typer.Option(min=0, help="Rows, about, to look for names in; slow, needs tunery[pii].")] = 0,
    quasi_identifier: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Columns that together tell who it is; may be repeated.")
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="KIND=PATTERN", help="A number of your own, such as MRN='[0-9]{8}'.")
    ] = None,
    wait: Wait = True,
) -> Output:
    """Look at a dataset by the rules of standards; what fails and what is open is listed, first of all."""
    name, _, version = dataset.partition(":")
    formats = dict(_pair(text) for text in format or [])
    with Client() as client:
        found: ValidationView | ReportView = client.compliance.validate(
            name,
            standard or [],
            version=version or None,
            names=names,
            quasi_identifiers=quasi_identifier or [],
            formats=formats,
        )
        if isinstance(found, ValidationView) and found.job_id is not None:
            finish(client, found.job_id, f"validating {dataset}", wait)
            if not wait:
                return sheet(found)
            found = client.compliance.report(str((client.jobs.get(found.job_id).result or {})["report_id"]))
    return _shown(found)


@noun.command("reports", example="tunery compliance reports addresses")
def reports(dataset: _Dataset = None, limit: Limit = 50, offset: Offset = 0) -> Output:
    """List reports, the newest first."""
    with Client() as client:
        found = client.compliance.reports(dataset, limit=limit, offset=offset)
        return table(found, "id", "datasetReference", "compliant", "stale", "results", "createdBy", "createdAt")


@noun.command("report", example="tunery compliance report 01a0b1c2-0000-7000-8000-000000000000")
def report(report: _Report) -> Output:
    """Show a report with every rule's outcome, and whether it is stale."""
    with Client() as client:
        return _shown(client.compliance.report(report))


@noun.command("verify", example="tunery compliance verify 01a0b1c2-0000-7000-8000-000000000000")
def verify(report: _Report) -> Output:
    """Check a report's signature, and whether it is stale."""
    with Client() as client:
        return sheet(client.compliance.verify(report))


@noun.command(
    "attest",
    example="tunery compliance attest GDPR-6-BASIS 'consent: asked for in the form' --dataset addresses",
)
def attest(
    rule: Annotated[str, typer.Argument(help="Id of the rule.")],
    statement: Annotated[str, typer.Argument(help="What you attest.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset version, name or name:2.")] = None,
    source: Annotated[str | None, typer.Option(metavar="DIGEST", help="A source file instead, by its SHA-256.")] = None,
    document: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file that shows it.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="When it ends, such as 2027-11-20.")] = None,
) -> Output:
    """Write down your word on a rule that software cannot decide."""
    with Client() as client:
        made = client.compliance.attest(
            rule,
            statement,
            dataset=dataset,
            source_digest=source,
            document=document,
            until=parse_time(until) if until else None,
        )
        return sheet(made)


@noun.command("attestations", example="tunery compliance attestations addresses")
def attestations(dataset: _Dataset = None, limit: Limit = 50, offset: Offset = 0) -> Output:
    """List attestations, the newest first."""
    with Client() as client:
        found = client.compliance.attestations(dataset, limit=limit, offset=offset)
        return table(found, "id", "rule", "datasetReference", "counts", "until", "createdBy", "statement")


@noun.command("withdraw", example="tunery compliance withdraw 01a0b1c2-0000-7000-8000-000000000000")
def withdraw(attestation: Annotated[str, typer.Argument(help="Id of the attestation.")]) -> Output:
    """Take your word back; reports that rest on it become stale."""
    with Client() as client:
        return sheet(client.compliance.withdraw(attestation))


def _shown(found: ValidationView | ReportView) -> Output:
    data: dict[str, Any] = plain(found)
    order = ["fail", "review", "unknown", "pass", "n/a"]
    grid = table(
        sorted(data["rules"], key=lambda one: (order.index(one["status"]), one["rule"])),
        "rule", "status", "who", "reason",
    )  # fmt: skip
    parts = [Text(found.summary), *(Text(f"stale: {reason}") for reason in data.get("staleReasons", []))]
    return Output(data, grid.shown, [*parts, Text(f"report {data.get('reportId') or data.get('id')}")])


def _pair(text: str) -> tuple[str, str]:
    kind, equals, pattern = text.partition("=")
    if not equals or not pattern:
        raise InvalidInput(f"--format: {text!r} is not understood; write KIND=PATTERN, such as MRN='[0-9]{{8}}'")
    return kind, pattern
