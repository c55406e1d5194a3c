"""``tunery compliance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, plain, plain_text, sheet, table
from tunery.cli.waiting import Wait, finish
from tunery.client import Client
from tunery.compliance.schemas import ReportView, ValidationView
from tunery.errors import InvalidInput
from tunery.kit.clock import parse_time

noun = Noun("compliance", "Look at datasets by GDPR, HIPAA and others; attest, report, verify.")
_ORDER = ("fail", "review", "unknown", "pass", "n/a")
_OPEN = _ORDER[:3]
_LAST = (
    "Go from the top: a new version of the dataset has no attestations yet. Put what you know in the place of "
    "capitals, then validate again."
)
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
    return _shown(found, everything=False)


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


def _shown(found: ValidationView | ReportView, *, everything: bool = True) -> Output:
    """Show open rules first, each with what closes it; those that are closed only where everything is wanted."""
    data: dict[str, Any] = plain(found)
    rules = sorted(data["rules"], key=_urgency)
    still_open = [one for one in rules if one["status"] in _OPEN]
    parts: list[RenderableType] = [
        Text(found.summary),
        *(Text(f"stale: {reason}") for reason in data.get("staleReasons", [])),
    ]
    for one in still_open:
        needed = "" if one["decides"] else ", not asked for"
        parts.append(Text(plain_text(f"\n{one['rule']} ({one['status']}{needed}): {one['title']}")))
        parts.append(Padding(Text(plain_text(one["reason"])), (0, 0, 0, 4)))
        parts += [_copied(f"{'or: ' if number else '    '}{line}") for number, line in enumerate(one["next"])]
    name = data.get("reportId") or data.get("id")
    closed = f"{len(rules) - len(still_open)} of {len(rules)} rules pass or do not apply"
    if everything or not still_open:
        grid = table(rules, "rule", "status", "who", "reason").shown
    else:
        grid, closed = None, f"{closed}; `tunery compliance report {name}` shows them all"
    last = [Text(f"\n{closed}"), Text(_LAST)]
    return Output(data, grid, [*parts, *(last if still_open else last[:1]), Text(f"report {name}")])


def _urgency(one: dict[str, Any]) -> tuple[int, bool, bool, str]:
    """What fails comes first, and of that what makes a new version, of which nothing is attested yet."""
    makes_one = any(line.startswith("tunery datasets") for line in one["next"])
    return _ORDER.index(one["status"]), not one["decides"], not makes_one, one["rule"]


def _copied(line: str) -> Text:
    return Text(plain_text(line), no_wrap=True, overflow="ignore")


def _pair(text: str) -> tuple[str, str]:
    kind, equals, pattern = text.partition("=")
    if not equals or not pattern:
        raise InvalidInput(f"--format: {text!r} is not understood; write KIND=PATTERN, such as MRN='[0-9]{{8}}'")
    return kind, pattern
