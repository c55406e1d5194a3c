"""What closes an open question: command lines, as somebody types them who holds the report."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunery.compliance.ports import Case, Rule

__all__ = ["IN_WORDS", "attest_line", "import_line", "rid_lines", "validate_line"]

IN_WORDS = "IN YOUR WORDS"
"""Stands for what a person attests; nobody can attest it as it stands."""

_YEAR = timedelta(days=365)


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


def import_line(case: Case, *options: str) -> str:
    """Return how the rows become a new version, by export and import, as the version was made and with more options."""
    made: Mapping[str, Any] = case.version["options"]
    licences = sorted({source["license"] for source in case.provenance.get("sources", []) if source.get("license")})
    name = _name(case)
    file = f"{case.version['reference'].replace(':', '-')}.jsonl"
    out = ["tunery", "datasets", "export", case.version["reference"], "--to", file]
    back = ["tunery", "datasets", "import", file, "--name", name]
    if "--license" not in options and licences:
        back += ["--license", licences[0] if len(licences) == 1 else " AND ".join(f"({each})" for each in licences)]
    for option, default in (("shape", None), ("key", None), ("validation_split", 0.1), ("test_split", 0.1)):
        if made.get(option, default) != default:
            back += [f"--{option.replace('_', '-')}", str(made[option])]
    for column in made.get("subject_columns") or ():
        back += ["--subject-column", column]
    return f"{shlex.join(out)} && {shlex.join([*back, *options])}"


def rid_lines(case: Case, kinds: Collection[str]) -> list[str]:
    """Return how findings of some kinds are got rid of: replaced where a step does it, else without their rows."""
    assert case.scan is not None
    replaced = {kind for name in ("patterns", "secrets") for kind in case.scan.detectors[name]["kinds"]}
    if left := sorted(set(kinds) - replaced):
        rows = dict.fromkeys(sample["row"] for kind in left for sample in case.scan.samples.get(kind, []))
        lines = [shlex.join(["tunery", "datasets", "delete-rows", _name(case), *rows])]
    else:
        lines = []
    return [import_line(case, "--redact"), *lines] if set(kinds) & replaced else lines


def _name(case: Case) -> str:
    return str(case.version["reference"]).rpartition(":")[0]
