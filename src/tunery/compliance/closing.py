"""What closes an open question: command lines, as somebody types them who holds the report."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tunery.datasets.shapes import SHAPES

if TYPE_CHECKING:
    from tunery.compliance.ports import Case, Rule

__all__ = ["IN_WORDS", "attest_line", "import_line", "rid_lines", "validate_line"]

IN_WORDS = "IN YOUR WORDS"
"""Stands for what a person attests; nobody can attest it as it stands."""

_YEAR = timedelta(days=365)
_MOST_ROWS = 100
_AS_MADE: dict[str, object] = {"shape": None, "key": None, "validation_split": 0.1, "test_split": 0.1, "seed": 0}
"""Options of an import that say how the rows are named and dealt out, with their defaults."""


def attest_line(rule_id: str, rule: Rule, case: Case, *, document: bool = False) -> str:
    """Return how a person answers for a rule.

    Args:
        rule_id: The rule.
        rule: The same.
        case: What it is asked about.
        document: Whether a document has to show it, also where the rule by itself asks for none.
    """
    statement = f"{rule.words[0]}: {IN_WORDS}" if rule.words else IN_WORDS
    line = ["tunery", "compliance", "attest", rule_id, statement, "--dataset", case.version["reference"]]
    line += ["--document", "FILE"] if document or rule.document else []
    line += ["--until", (case.now + _YEAR).date().isoformat()] if rule.until else []
    return shlex.join(line)


def validate_line(case: Case, standard: str, *options: str) -> str:
    """Return how the version is looked at again, with further options."""
    return shlex.join(["tunery", "compliance", "validate", _name(case), "--standard", standard, *options])


def import_line(case: Case, *options: str, newest: bool = False) -> str:
    """Return how the rows become a new version, by export and import, as the version was made and with more options.

    Args:
        case: The version.
        options: What is added to the line of the import.
        newest: Whether the newest version is exported, for the line before makes it.
    """
    made: Mapping[str, Any] = case.version["options"]
    licences = sorted({source["license"] for source in case.provenance.get("sources", []) if source.get("license")})
    name = _name(case)
    file = f"{case.version['reference'].replace(':', '-')}.jsonl"
    out = ["tunery", "datasets", "export", name if newest else case.version["reference"], "--to", file]
    back = ["tunery", "datasets", "import", file, "--name", name]
    if "--license" not in options and licences:
        back += ["--license", licences[0] if len(licences) == 1 else " AND ".join(f"({each})" for each in licences)]
    if said := made.get("split_column"):
        out += ["--split-column", said]
        back += ["--split-column", said]
    for option, default in _AS_MADE.items():
        if made.get(option, default) != default and not (said and option.endswith("_split")):
            back += [f"--{option.replace('_', '-')}", str(made[option])]
    if columns := made.get("columns"):
        shaped = [*SHAPES[case.version["shape"]], *({"tools"} & {*columns})]
        back += [word for column in shaped for word in ("--column", f"{column}={column}")]
    for column in made.get("subject_columns") or ():
        back += ["--subject-column", column]
    return f"{shlex.join(out)} && {shlex.join([*back, *options])}"


def rid_lines(case: Case, kinds: Collection[str]) -> list[str]:
    """Return how findings of some kinds are got rid of: replaced where a step does it, else without their rows.

    A line takes away 100 rows at most; where there are more, the next validation names the next.
    """
    assert case.scan is not None
    replaced = {kind for name in ("patterns", "secrets") for kind in case.scan.detectors[name]["kinds"]}
    left = sorted(set(kinds) - replaced)
    if not left:
        return [import_line(case, "--redact")]
    rows = [*dict.fromkeys(row for kind in left for row in case.scan.named.get(kind, ()))][:_MOST_ROWS]
    deleted = shlex.join(["tunery", "datasets", "delete-rows", _name(case), "--", *rows])
    return [f"{deleted} && {import_line(case, '--redact', newest=True)}" if set(kinds) & replaced else deleted]


def _name(case: Case) -> str:
    return str(case.version["reference"]).rpartition(":")[0]
