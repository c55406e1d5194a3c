"""GDPR. Sources: Regulation (EU) 2016/679; EDPB Opinion 28/2024."""

from __future__ import annotations

from dataclasses import replace

from tunery.compliance.closing import attest_line, import_line, validate_line
from tunery.compliance.ports import RULES, Case, Outcome, rule
from tunery.compliance.rules.finding import NOT_READ, asked, count, names, person

__all__: list[str] = []

BASES = ("consent", "contract", "legal obligation", "vital interests", "public task", "legitimate interests")
_ERASURES = ["tunery subjects erasures"]
_LARGE_SCALE = 10_000
_LEAST_K = 5

count(
    "GDPR-PII-DIRECT", "GDPR", "Direct identifiers that have a form: e-mail, phone, ids, accounts, IP", "A", "patterns"
)
names("GDPR-PII-NAMES", "GDPR", "Names and addresses of persons", ("PERSON", "LOCATION", "STREET"))
count(
    "GDPR-9-SPECIAL", "GDPR", "Special categories: health, belief, union, sex life, biometrics", "A+H",
    ("SPECIAL_CATEGORY",), found="review",
)  # fmt: skip
count("GDPR-8-CHILD", "GDPR", "Mentions of children under 16", "A+H", ("AGE_CHILD",), found="review", numbers=True)
person(
    "GDPR-6-BASIS", "GDPR", "Lawful basis of each source",
    f"a person has to say the basis ({', '.join(BASES)})", words=BASES,
)  # fmt: skip
person("GDPR-13/14-INFO", "GDPR", "Notice to the persons, of each source", "a person has to name the notice")
person(
    "GDPR-33-BREACH", "GDPR", "Breaches have a clock of 72 hours",
    "incidents are not recorded here; a person has to say that there was none, or when it was reported", until=True,
)  # fmt: skip


@rule("GDPR-6.1f-LIA", "GDPR", "Balancing test, where the basis is legitimate interests", "H", document=True)
def balancing(case: Case) -> Outcome:
    """Ask for the test only where it is needed."""
    basis = case.said("GDPR-6-BASIS")
    if not basis:
        first = attest_line("GDPR-6-BASIS", RULES.get("GDPR-6-BASIS"), case)
        return Outcome("unknown", "no lawful basis is recorded yet (GDPR-6-BASIS)", {}, [first])
    if not any(one.statement.lower().startswith("legitimate interests") for one in basis):
        return Outcome("n/a", "the basis is not legitimate interests")
    return asked("a balancing test has to be attached", case, "GDPR-6.1f-LIA")


@rule("GDPR-5.1c-MIN", "GDPR", "Fields that no training uses", "A+H", needs_rows=True)
def minimal(case: Case) -> Outcome:
    """List the columns beside those a model learns from."""
    if case.scan is None:
        return NOT_READ
    unused = sorted(set(case.scan.columns) - case.content)
    evidence = {"columns": sorted(case.scan.columns), "unused": unused}
    if unused:
        return Outcome("review", f"no training reads {', '.join(unused[:10])}", evidence)
    return Outcome("pass", "every column is one that a model learns from", evidence)


@rule("GDPR-PII-QUASI", "GDPR", "Quasi-identifiers: how many persons share a combination", "A+H", needs_rows=True)
def quasi_identifiers(case: Case) -> Outcome:
    """Measure k-anonymity. Source: Sweeney 2002; k of 5 as in the guidance of the EMA, policy 0070."""
    if case.scan is None:
        return NOT_READ
    quasi = case.scan.quasi
    others = sorted(set(case.scan.columns) - case.content)
    if not quasi and not others:
        return Outcome("n/a", "the rows have no columns beside those that a model learns from")
    if not quasi:
        reason = f"name the columns that together tell who somebody is; there are {', '.join(others[:10])}"
        again = validate_line(case, "GDPR", "--quasi-identifier", others[0])
        return Outcome("review", f"{reason}. Or attest that none do", {"columns": others}, [again])
    if quasi["missing"]:
        again = validate_line(case, "GDPR")
        return Outcome("unknown", f"no row has the column {', '.join(quasi['missing'])}", dict(quasi), [again])
    if quasi["k"] < _LEAST_K:
        return Outcome("review", f"the smallest group has {quasi['k']} rows, fewer than {_LEAST_K}", dict(quasi))
    return Outcome("pass", f"every combination stands in at least {quasi['k']} rows", dict(quasi))


@rule("GDPR-35-DPIA", "GDPR", "Impact assessment, where special categories or a large scale ask for one", "H",
      needs_rows=True, document=True)  # fmt: skip
def impact_assessment(case: Case) -> Outcome:
    """Ask for it only where the rows call for it."""
    if case.scan is None:
        return NOT_READ
    special = case.scan.rows.get("SPECIAL_CATEGORY", 0)
    kinds = case.scan.detectors.get("patterns", {}).get("kinds", [])
    persons = max((case.scan.rows.get(kind, 0) for kind in kinds), default=0)
    evidence = {"rows_with_special_categories": special, "rows_with_one_kind_of_identifier": persons}
    if not special and persons < _LARGE_SCALE:
        done = case.scan.complete
        return Outcome("n/a" if done else "unknown", "nothing found that asks for one", evidence)
    found = asked("an impact assessment has to be attached", case, "GDPR-35-DPIA")
    return replace(found, evidence=found.evidence | evidence)


@rule("GDPR-5.1e-RETAIN", "GDPR", "Retention limit set and not passed", "A", until=True)
def retention(case: Case) -> Outcome:
    """Read the limit that a person set: the `until` of an attestation."""
    limits = [one for one in case.said("GDPR-5.1e-RETAIN") if one.until]
    if limits:
        evidence = {"attestations": [one.as_evidence() for one in limits]}
        return Outcome("pass", "the limit is set and lies ahead", evidence)
    line = [attest_line("GDPR-5.1e-RETAIN", RULES.get("GDPR-5.1e-RETAIN"), case)]
    if over := case.said("GDPR-5.1e-RETAIN", over=True):
        return Outcome("fail", "the retention limit is passed", {"over": [one.as_evidence() for one in over]}, line)
    return Outcome("fail", "no retention limit is set; say until when the data is kept", {}, line)


@rule("GDPR-25/32-SEC", "GDPR", "Sealed at rest, access by roles, backups, a restore drill", "A+H")
def security(case: Case) -> Outcome:
    """Read how this Tunery keeps the data."""
    house = case.house
    evidence = {key: house[key] for key in ("sealed", "roles", "backups", "backup_verified_at", "store_checked_at")}
    if not (house["sealed"] and house["roles"]):
        fault = "data at rest is not sealed, or nobody's access is bounded by a role"
        return Outcome("fail", fault, evidence, ["tunery doctor"])
    if not house["backups"]:
        reason = "Tunery makes no backups (TUNERY_BACKUP_URL); who makes others says which, and when one was put back"
        return Outcome("review", reason, evidence)
    if not house["backup_verified_at"]:
        reason = "no verified backup is recorded in this tenant; where the operator keeps them, a person says so"
        return Outcome("review", reason, evidence, ["tunery backup create && tunery backup verify"])
    return Outcome("pass", "sealed, by roles, backed up and verified", evidence)


@rule("GDPR-30-ROPA", "GDPR", "Record of processing: the fields of Art. 30(1)", "A+H")
def record(case: Case) -> Outcome:
    """Write what is known of the record; a person completes it and says that it is true."""
    kinds = sorted(case.scan.counts) if case.scan else []
    limits = [one.until.date().isoformat() for one in case.said("GDPR-5.1e-RETAIN") if one.until]
    fields = {
        "controller": None,
        "purposes": sorted({run["name"] for run in case.runs}) or None,
        "categories of persons and data": kinds or None,
        "recipients": None,
        "third countries": case.house["hosts"] or None,
        "time limits of erasure": limits or None,
        "security": {"sealed": case.house["sealed"], "roles": case.house["roles"]},
    }
    gaps = [name for name, value in fields.items() if value is None]
    return Outcome("review", f"a person completes {', '.join(gaps)} and says that it is true", {"record": fields})


@rule("GDPR-44-XFER", "GDPR", "Where the data lies and was pulled from", "A+H")
def transfers(case: Case) -> Outcome:
    """List hosts; which country they are in, a person knows."""
    sources = sorted({str(s["url"]) for s in case.provenance.get("sources", []) if s.get("url")})
    evidence = {"hosts": case.house["hosts"], "sources": sources}
    return Outcome("review", "a person has to say that none of these places is outside the EEA unguarded", evidence)


@rule("GDPR-17-ERASE", "GDPR", "Erasures that reached the dataset are carried out and certified", "A+H")
def erasures(case: Case) -> Outcome:
    """Read how far each came, and whether it left a copy; its certificate says what it reached."""
    if case.erasures is None:
        return Outcome("review", "nobody here can tell of erasures")
    if not case.erasures:
        return Outcome("n/a", "no erasure has reached this dataset")
    evidence = {"erasures": [dict(one) for one in case.erasures]}
    if left := [one["erasure"] for one in case.erasures if one["status"] != "certified"]:
        return Outcome("fail", f"{len(left)} erasures are not carried out to the end", evidence, _ERASURES)
    if kept := [one["erasure"] for one in case.erasures if one.get("spared") or one.get("foundAgain")]:
        reason = (
            f"{len(kept)} erasures left copies, in files that something else needs or in rows that were found again; a "
            "person sees to them, or says why they stay"
        )
        return Outcome("review", reason, evidence, [f"tunery subjects certificate {erasure}" for erasure in kept])
    return Outcome("pass", f"{len(case.erasures)} erasures are carried out and certified", evidence)


@rule("GDPR-17-MODEL", "GDPR", "A decision for each model that saw erased rows", "A")
def decided_models(case: Case) -> Outcome:
    """Read what a person decided: retrain, retire, or a documented exception."""
    if not case.holds:
        return Outcome("n/a", "no model that learned from this dataset is on hold")
    evidence = {"holds": [dict(one) for one in case.holds]}
    if left := [one["version"] for one in case.holds if not one["decision"]]:
        return Outcome("fail", f"{len(left)} models wait for a person's decision", evidence, _undecided(case))
    return Outcome("pass", f"{len(case.holds)} holds are decided", evidence)


def _undecided(case: Case) -> list[str]:
    """Return how each model that waits is decided, in one line: all of them have to be."""
    lines = [
        f"tunery subjects decide {one['cause'].rpartition('/')[2]} {one['version']} --decision retrain --note '...'"
        for one in case.holds
        if not one["decision"]
    ]
    return [" && ".join(lines)]


@rule("GDPR-15-ACCESS", "GDPR", "Everything about one person can be handed out", "A+H")
def access(case: Case) -> Outcome:
    """Tell whether rows, versions, trainings, models and exports are found by an identifier."""
    if case.version["indexed"]:
        return Outcome("pass", "rows are found by the identifiers in them (tunery subjects trace)")
    reason = "the rows were imported without being looked at for persons; a person says how one's data is found"
    return Outcome("review", reason, {}, [import_line(case)])


@rule("GDPR-19-NOTIFY", "GDPR", "Recipients told of an erasure", "A+H")
def told_recipients(case: Case) -> Outcome:
    """Ask only where something was erased; the certificate lists who had got the rows."""
    if case.erasures is not None and not case.erasures:
        return Outcome("n/a", "no erasure has reached this dataset")
    evidence = {"erasures": [dict(one) for one in case.erasures or ()]}
    return Outcome("review", "a person says that whoever got the rows was told (tunery subjects certificate)", evidence)


@rule("EDPB-ANON", "GDPR", "Extraction tests of the models (EDPB 28/2024)", "A+H", document=True)
def extraction(case: Case) -> Outcome:
    """Ask only where something was trained; whether the rates are insignificant a person says."""
    if not case.runs and not case.models:
        return Outcome("n/a", "nothing was trained on these rows")
    evidence = {"runs": [run["id"] for run in case.runs], "models": [model["reference"] for model in case.models]}
    reason = f"{len(case.runs)} trainings: Tunery makes no extraction test yet; attach one, and say what it shows"
    return Outcome("review", reason, evidence)
