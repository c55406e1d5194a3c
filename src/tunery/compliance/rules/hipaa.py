"""HIPAA: de-identification by Safe Harbor or by an expert. Source: 45 CFR 164.514(b), 164.312."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tunery.compliance.closing import rid_lines, validate_line
from tunery.compliance.ports import Case, Outcome, rule
from tunery.compliance.rules.finding import NOT_READ, asked, count, found_of, names, person

__all__: list[str] = []

_ED = "HIPAA-ED"
_RECORDS = ("RECORD_NUMBER", "IBAN", "CARD")

names("SH-A", "HIPAA", "Names of persons, relatives, employers", ("PERSON",), instead=_ED)
names(
    "SH-B", "HIPAA", "Places smaller than a state; ZIP codes", ("LOCATION", "STREET", "ZIP", "ZIP3", "COORDINATES"),
    hard=("STREET", "ZIP", "ZIP3", "COORDINATES"), instead=_ED,
)  # fmt: skip
count(
    "SH-C",
    "HIPAA",
    "Dates finer than a year; ages of 90 and more",
    "A+H",
    ("DATE", "DATE_OF_BIRTH", "AGE_90"),
    review=("DATE_LIKE",),
    numbers=True,
    instead=_ED,
)
count("SH-D/E/F", "HIPAA", "Telephone, fax, e-mail", "A", ("PHONE", "EMAIL"), instead=_ED)
count("SH-G", "HIPAA", "Social security numbers", "A", ("US_SSN", "US_ITIN"), instead=_ED)
count(
    "SH-L/M", "HIPAA", "Vehicles and devices", "A+H", ("VIN", "MAC_ADDRESS", "DEVICE_ID"), found="review", instead=_ED
)
count("SH-N/O", "HIPAA", "Web and IP addresses", "A", ("URL", "URL_CREDENTIALS", "IP_ADDRESS"), instead=_ED)
count("SH-P/Q", "HIPAA", "Biometrics, photographs, recordings", "A+H", ("MEDIA",), found="review", instead=_ED)
person("SH-KNOW", "HIPAA", "No actual knowledge that somebody can be identified", "a person has to say so", instead=_ED)


@rule("SH-H/I/J/K", "HIPAA", "Record, plan, account and licence numbers", "A+H", needs_rows=True, instead=_ED)
def record_numbers(case: Case) -> Outcome:
    """Look for numbers with a word before them, and for the tenant's own formats, without which nothing is certain."""
    if case.scan is None:
        return NOT_READ
    own: Collection[str] = case.scan.detectors.get("custom", {}).get("kinds", [])
    evidence = found_of(case.scan, {*_RECORDS, *own})
    if evidence["counts"]:
        told = ", ".join(f"{n:,} {kind}" for kind, n in evidence["counts"].items())
        return Outcome("fail", told, evidence, rid_lines(case, evidence["counts"]))
    if not own:
        again = validate_line(case, "HIPAA", "--format", "MRN=[0-9]{8}")
        reason = "no format of your record numbers is given; give it, or attest that there are no such numbers"
        return Outcome("review", reason, evidence, [again])
    return Outcome("pass", "none found by these formats", evidence)


@rule("SH-R", "HIPAA", "Any other number or code that is a person's own", "A+H", needs_rows=True, instead=_ED)
def other_codes(case: Case) -> Outcome:
    """List columns whose values are unique codes, and identifiers that have no rule of their own."""
    if case.scan is None:
        return NOT_READ
    known = {"US_SSN", "US_ITIN", "PHONE", "EMAIL", "VIN", "MAC_ADDRESS", "IP_ADDRESS", "URL_CREDENTIALS", "IBAN",
             "CARD", "DATE_OF_BIRTH"}  # fmt: skip
    others = {*case.scan.detectors.get("patterns", {}).get("kinds", []), "HIGH_ENTROPY"} - known
    codes = sorted(name for name, column in case.scan.columns.items() if column["codes"])
    evidence = found_of(case.scan, others) | {"code_columns": codes}
    if codes or evidence["counts"]:
        named = [*(f"the column {name}" for name in codes), *evidence["counts"]]
        return Outcome("review", f"found {', '.join(named[:10])}", evidence)
    return Outcome("pass", "no column of unique codes, and no other identifier found", evidence)


@rule("HIPAA-ED", "HIPAA", "Report of an expert, the other way to Safe Harbor", "H", document=True, until=True)
def expert_determination(case: Case) -> Outcome:
    """Tell whether this way was taken."""
    if case.said("HIPAA-ED") or case.said("HIPAA-ED", over=True):
        over = [f"tunery compliance withdraw {one.id}" for one in case.said("HIPAA-ED", over=True)]
        found = asked("the expert's report has to be renewed, or withdrawn for Safe Harbor", case, "HIPAA-ED")
        return replace(found, next=[" && ".join(over)] if over else ())
    return Outcome("n/a", "Safe Harbor is the way taken; no expert's report is attested")


@rule("HIPAA-312-AUDIT", "HIPAA", "Access log, unique users, sealing, integrity", "A")
def safeguards(case: Case) -> Outcome:
    """Read how this Tunery keeps the data."""
    evidence = {key: case.house[key] for key in ("audit_entries", "users", "sealed", "digests")}
    if all(evidence.values()):
        return Outcome("pass", "every deed is logged with its user, data is sealed and checked by digest", evidence)
    return Outcome("fail", "log, users, sealing or digests are missing", evidence, ["tunery doctor"])
