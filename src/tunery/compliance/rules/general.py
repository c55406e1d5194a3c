"""What holds for any training data: its licence, its quality, no credentials."""

from __future__ import annotations

from typing import Any

from tunery.compliance.closing import import_line
from tunery.compliance.ports import Case, Outcome, rule
from tunery.compliance.rules.finding import NOT_READ, count
from tunery.datasets.licensing.verdicts import licence_verdict

__all__: list[str] = []

_MOST_DUPLICATES = 0.01

count(
    "SEC-CRED", "SECRETS", "Keys, tokens, passwords", "A+H",
    ("API_KEY", "JWT", "PASSWORD", "PRIVATE_KEY", "URL_CREDENTIALS"), review=("HIGH_ENTROPY",),
)  # fmt: skip


@rule("DQ-DUP", "QUALITY", "Rows that repeat an earlier one", "A+H", needs_rows=True)
def duplicates(case: Case) -> Outcome:
    """Compare what a model would learn."""
    again = import_line(case, "--deduplicate")
    return _share(case, "duplicates", "rows repeat an earlier one", case.version["total"], _MOST_DUPLICATES, again)


@rule("DQ-LEAK", "QUALITY", "Held-out rows that stand in train, too", "A+H", needs_rows=True)
def leaks(case: Case) -> Outcome:
    """Compare what a model is asked, exactly; near ones the import's split keeps on one side."""
    held_out = sum(n for split, n in case.version["rows"].items() if split != "train")
    if not held_out:
        return Outcome("n/a", "no rows are held out")
    return _share(case, "leaks", "held-out rows stand in train", held_out, 0.0, import_line(case))


@rule("LIC-COMPAT", "LICENCE", "Licences of data, base and model fit each other", "A+H")
def licences(case: Case) -> Outcome:
    """Judge by what provenance knows of the licences."""
    sources = case.provenance.get("sources", [])
    found = {"the dataset": licence_verdict(sources)}
    for model in case.models:
        base = model["base_license"] or "NOASSERTION"
        found[model["reference"]] = licence_verdict(sources, base, model["license"])
    licensed = [import_line(case, "--license", "LICENSE")]
    evidence = {name: verdict.model_dump(mode="json", by_alias=True) for name, verdict in found.items()}
    if not all(source.get("license") for source in sources) or not sources:
        return Outcome("review", "No license information provided", evidence, licensed)
    worst = "fail" if any(v.verdict == "fail" for v in found.values()) else "review"
    reasons = [f"{name}: {reason.text}" for name, v in found.items() for reason in v.reasons if reason.outcome == worst]
    if all(verdict.verdict == "pass" for verdict in found.values()):
        return Outcome("pass", f"{found['the dataset'].license} goes with every model", evidence)
    return Outcome("fail" if worst == "fail" else "review", "; ".join(reasons[:5]), evidence, licensed)


def _share(case: Case, what: str, words: str, of: int, most: float, again: str) -> Outcome:
    if case.scan is None:
        return NOT_READ
    number: int | None = getattr(case.scan, what)
    evidence: dict[str, Any] = {"rows": number, "of": of, "some": case.scan.named.get(what, [])}
    if number is None:
        reason = "there are more rows than are compared here; import them so that they are, or say how it was looked at"
        return Outcome("review", reason, evidence, [again])
    share = number / of if of else 0.0
    reason = f"{number:,} of {of:,} {words} ({share:.1%})"
    evidence |= {"share": round(share, 6)}
    return Outcome("fail", reason, evidence, [again]) if share > most else Outcome("pass", reason, evidence)
