"""CCPA. Source: California Civil Code 1798.100 to 1798.199; regulations of the CPPA, section 7022."""

from __future__ import annotations

from tunery.compliance.ports import Case, Outcome, rule
from tunery.compliance.rules.finding import count, person

__all__: list[str] = []

count(
    "CCPA-SENS", "CCPA", "Sensitive personal information: government ids, accounts, passwords, precise places",
    "A+H", ("US_SSN", "US_ITIN", "CARD", "IBAN", "PASSWORD", "COORDINATES"), numbers=True,
)  # fmt: skip
person(
    "CCPA-CLOCK", "CCPA", "Requests answered within 45 days",
    "requests are not recorded here; a person says that each was answered in time, or that there was none", until=True,
)  # fmt: skip
person(
    "CCPA-SALE", "CCPA", "No sale of personal information against an opt-out",
    "nothing is sold through Tunery; a person says that it is not sold or shared elsewhere either", until=True,
)  # fmt: skip


@rule("CCPA-110-KNOW", "CCPA", "Categories, sources, purposes, third parties for one consumer", "A+H")
def known(case: Case) -> Outcome:
    """Write what is known; a person completes it and says that it is true."""
    evidence = {
        "categories": sorted(case.scan.counts) if case.scan else [],
        "sources": [source.get("name") or source.get("digest") for source in case.provenance.get("sources", [])],
        "purposes": sorted({run["name"] for run in case.runs}),
    }
    return Outcome("review", "a person adds purposes and third parties, and says that it is true", evidence)


@rule("CCPA-105-DELETE", "CCPA", "Deletion, with notice to service providers", "A+H")
def deleted(case: Case) -> Outcome:
    """Ask only where something was erased."""
    if case.erasures is not None and not case.erasures:
        return Outcome("n/a", "no erasure has reached this dataset")
    evidence = {"erasures": [dict(one) for one in case.erasures or ()]}
    if left := [one["erasure"] for one in case.erasures or () if one["status"] != "certified"]:
        return Outcome("fail", f"{len(left)} deletions are not carried out", evidence, ["tunery subjects erasures"])
    return Outcome("review", "a person says that service providers and consumers were told", evidence)
