"""Rules whose subject is not there yet. They stand here so that a report shows that nobody answered them."""

from __future__ import annotations

from tunery.compliance.rules.finding import later

__all__: list[str] = []

_REQUESTS = "requests of persons are not recorded yet"

later("GDPR-15-ACCESS", "GDPR", "Everything about one person can be handed out", "A", _REQUESTS)
later("GDPR-19-NOTIFY", "GDPR", "Recipients told of an erasure", "A", "no delivery log is kept yet")
later("GDPR-33-BREACH", "GDPR", "Breaches have a clock of 72 hours", "A+H", "incidents are not recorded yet")
later("EDPB-ANON", "GDPR", "Extraction tests of the models (EDPB 28/2024)", "A+H", "there is no such test yet")
later("CCPA-110-KNOW", "CCPA", "Categories, sources, purposes for one consumer", "A+H", _REQUESTS)
later("CCPA-105-DELETE", "CCPA", "Deletion, with notice to service providers", "A", "notices are not recorded yet")
later("CCPA-CLOCK", "CCPA", "Requests answered within 45 days", "A", _REQUESTS)
later("CCPA-SALE", "CCPA", "No sale of personal information against an opt-out", "A+H", "there is no marketplace yet")
later("AIA-50-MARK", "AI-ACT", "Deployments mark what they generate", "A", "deployments have no such switch yet")
