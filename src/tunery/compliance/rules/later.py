"""Rules whose subject is not there yet. They stand here so that a report shows that nobody answered them."""

from __future__ import annotations

from tunery.compliance.rules.finding import later

__all__: list[str] = []

_REQUESTS, _ERASURES = "requests of persons are not recorded yet", "no erasure is reported to rules yet"
for rule_id, standard, title, who, reason in (
    ("GDPR-15-ACCESS", "GDPR", "Everything about one person can be handed out", "A", _REQUESTS),
    (
        "GDPR-17-ERASE",
        "GDPR",
        "After an erasure nothing holds the value any more",
        "A",
        "no erasure is reported to rules",
    ),
    ("GDPR-17-MODEL", "GDPR", "A decision for each model that saw erased rows", "H", _ERASURES),
    ("GDPR-19-NOTIFY", "GDPR", "Recipients told of an erasure", "A", "no delivery log is kept yet"),
    ("GDPR-33-BREACH", "GDPR", "Breaches have a clock of 72 hours", "A+H", "incidents are not recorded yet"),
    (
        "EDPB-ANON",
        "GDPR",
        "Extraction and membership tests of the models",
        "A+H",
        "no extraction test is there",
    ),
    ("CCPA-110-KNOW", "CCPA", "Categories, sources, purposes for one consumer", "A+H", _REQUESTS),
    ("CCPA-105-DELETE", "CCPA", "After a deletion nothing holds the value any more", "A", _REQUESTS),
    ("CCPA-CLOCK", "CCPA", "Requests answered within 45 days", "A", _REQUESTS),
    ("CCPA-SALE", "CCPA", "No sale of personal information against an opt-out", "A+H", "there is no marketplace yet"),
    ("AIA-50-MARK", "AI-ACT", "Deployments mark what they generate", "A", "deployments have no such switch yet"),
):
    later(rule_id, standard, title, who, reason)  # type: ignore[arg-type] # the tuple's texts are of type str
