"""``tunery subjects``."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, confirm, plain, plain_text, sheet, table
from tunery.cli.waiting import found_by
from tunery.client import Client

noun = Noun("subjects", "Persons in the data: what saw their rows, and how these are erased.")
Identifier = Annotated[
    str, typer.Argument(metavar="IDENTIFIER", help="An e-mail address, a number, or what a subject column holds.")
]
_UNSEEN = (
    "no row of any dataset has it as an identifier; names in texts, and columns that --subject-column did not name, "
    "are not looked at: `tunery datasets query` finds them"
)
Erasure = Annotated[str, typer.Argument(metavar="ERASURE", help="Id of the erasure.")]


@noun.command("trace", example="tunery subjects trace jane@example.com")
def trace(identifier: Identifier) -> Output:
    """Show everything that saw a person's rows."""
    with Client() as client:
        found = client.subjects.trace(identifier)
    rows = table(found.rows, "dataset", "rowId", "split", "versions", empty=_UNSEEN)
    seen = table(found.seen_by, "kind", "name", "saw", "by", "at", empty="nothing saw such a row")
    sources = [{"source": digest, "lines": lines} for digest, lines in found.sources.items()]
    lines = table(sources, "source", "lines", empty="no line of a source file has it either")
    notes = [f"It has rows without a subject index, of which nothing is known: {name}" for name in found.not_indexed]
    parts = [part.shown for part in (seen, lines) if part.shown is not None]
    return Output(plain(found), rows.shown, [*parts, *notes])


@noun.command("erase", example="tunery subjects erase jane@example.com --reason 'request 2026-114'")
def erase(
    identifier: Identifier,
    reason: Annotated[str, typer.Option(help="For the record, such as the request's number. Name nobody.")] = "",
    confirmed: Annotated[bool, typer.Option("--confirm", "--yes", help="Do not ask.")] = False,
) -> Output:
    """Erase a person's rows for good, from every version, source and backup."""
    with Client() as client:
        if not confirmed:
            found = client.subjects.trace(identifier)
            what = f"{len(found.rows)} rows and {len(found.sources)} source files, seen by {len(found.seen_by)} things"
            confirm(f"This erases {what}; nothing brings them back. Go on?")
        job_id = client.subjects.erase(identifier, reason=reason).job_id
        done = found_by(client, job_id, "erasing", wait=True)
        predicate = _predicate(client.subjects.certificate(done["erasure"]))
    return Output(done, sheet(done, "erasure", "certificate", "spared").shown, _reached(predicate))


@noun.command("erasures", example="tunery subjects erasures")
def list_erasures(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List erasures, the newest first."""
    with Client() as client:
        return table(client.subjects.erasures(limit=limit, offset=offset), "id", "status", "reason", "createdAt")


@noun.command("certificate", example="tunery subjects certificate 01a1fda4-bb64-716b-ba19-fda748244217")
def certificate(erasure: Erasure) -> Output:
    """Show the signed certificate of an erasure: what was reached, and what was not."""
    with Client() as client:
        envelope = client.subjects.certificate(erasure)
    predicate = _predicate(envelope)
    shown = sheet(predicate, "erasure", "reason", "orderedBy", "certifiedAt", "foundAgain")
    not_reached = ["not reached:", *(f"- {text}" for text in predicate["notReached"])]
    return Output(envelope, shown.shown, [*_reached(predicate), Text(plain_text("\n".join(not_reached)))])


@noun.command("decide", example="tunery subjects decide ERASURE chat:1.0.0 --decision retrain --note 'run of May'")
def decide(
    erasure: Erasure,
    version: Annotated[
        str, typer.Argument(metavar="MODEL_VERSION", help="The model version on hold, such as chat:1.0.0, or its id.")
    ],
    decision: Annotated[str, typer.Option(help="retrain, retire or exception.")],
    note: Annotated[str, typer.Option(help="Why, for the record.")],
) -> Output:
    """Decide what becomes of a model that learned from erased rows."""
    with Client() as client:
        held = client.subjects.decide(erasure, version, decision, note=note)
        return sheet(held, "versionId", "decision", "note", "decidedBy", "decidedAt")


def _predicate(envelope: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(envelope["payload"]))["predicate"])


def _reached(predicate: dict[str, Any]) -> list[RenderableType]:
    """Show what an erasure reached, and what a person has to do now."""
    reached = predicate["reached"]
    told = {"rows": reached["rows"], "sourceFiles": len(reached["sources"]), "runsNotRepeatable": len(reached["runs"])}
    told["filesDestroyed"] = len(reached["destruction"]["files"])
    parts = [
        sheet(told).shown,
        table(reached["versions"], "version", "rows", "successor").shown if reached["versions"] else None,
        table(reached["copies"], "name", "by", "at").shown if reached["copies"] else None,
    ]
    decide = f"tunery subjects decide {predicate['erasure']}"
    held = [
        f"{model['name']} is on hold: {decide} {model['name']} --decision retrain --note '...'"
        for model in reached["models"]
    ]
    return [part for part in parts if part is not None] + [Text(plain_text(line)) for line in held]
