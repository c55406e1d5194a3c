"""CCPA. Source: California Civil Code 1798.100 to 1798.199."""

from __future__ import annotations

from tunery.compliance.rules.finding import count

__all__: list[str] = []

count(
    "CCPA-SENS", "CCPA", "Sensitive personal information: government ids, accounts, passwords, precise places", "A",
    ("US_SSN", "US_ITIN", "CARD", "IBAN", "PASSWORD", "COORDINATES"),
)  # fmt: skip
