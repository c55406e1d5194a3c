"""Whom a row is about: keyed hashes of the identifiers in it, by which the subject index finds it again.

An entry says nothing to whoever lacks the tenant's key (``blobs.keyring.secrets``, purpose ``subjects``). Whoever has
it can try all telephone numbers, so asking is a permission of its own, limited and audited.

    version of the key      2 bytes, the highest first
    version of the spelling 2 bytes
    HMAC-SHA256             16 bytes, of class, a zero byte and the identifier in its one spelling

All numbers of documents, cards and accounts are one class: whoever asks by a number need not say whose kind it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import cache
from typing import Any

from tunery.datasets.pii import DETECTORS, Detector
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION, normalize
from tunery.errors import InvalidInput
from tunery.platform.blobs.tenant_secrets import TenantSecret

__all__ = ["DECLARED", "ENTRY_BYTES", "FORGOTTEN", "PURPOSE", "Identifiers", "entries_for", "texts_in"]

ENTRY_BYTES = 20
PURPOSE = "subjects"
FORGOTTEN = "forgotten"
"""Purposes of the keys: of the index, and of the list of those who were erased, which outlives the index's keys."""

DECLARED = "SUBJECT"
"""Kind of what a declared subject column holds."""

_NUMBER = "NUMBER"
_CLASSES = ("EMAIL", "PHONE", "IP_ADDRESS", "CRYPTO_ADDRESS")
_ABOUT_NOBODY = frozenset({"DATE_OF_BIRTH", "URL_CREDENTIALS"})
_REGIONS = ("US", "GB", "DE", "FR", "IN", "BR")


class Identifiers:
    """Finds the identifiers of rows.

    Args:
        secret: The key that entries are made with.
        columns: Columns of the source that name a person, whatever they hold.
    """

    def __init__(self, secret: TenantSecret, columns: tuple[str, ...] = ()) -> None:
        self._secret = secret
        self._columns = columns
        self._detector = _patterns()

    def of_row(self, values: dict[str, Any]) -> list[bytes]:
        """Return the entries of an imported row, each once."""
        found = {identifier for text in texts_in(values) for identifier in self._in_text(text)}
        for column in self._columns:
            found |= {(DECLARED, told) for text in texts_in(_plain(values.get(column))) if (told := _declared(text))}
        return [_entry(self._secret, *identifier) for identifier in sorted(found)]

    def of_text(self, text: str) -> list[bytes]:
        """Return the entries of a text that is no row."""
        return [_entry(self._secret, *identifier) for identifier in sorted({*self._in_text(text)})]

    def _in_text(self, text: str) -> Iterator[tuple[str, str]]:
        for found in self._detector.find(text):
            if found.kind not in _ABOUT_NOBODY:
                spelling = normalize(found.kind, text[found.start : found.end], _REGIONS)
                yield found.kind if found.kind in _CLASSES else _NUMBER, spelling


def entries_for(identifier: str, secrets: list[TenantSecret]) -> list[bytes]:
    """Return every entry that an identifier may have: by each key, as each class it can be of.

    Raises: InvalidInput: it is white space.
    """
    if not _declared(identifier):
        raise InvalidInput("an identifier has letters or digits; nobody is called by white space")
    spelled = {(DECLARED, _declared(identifier))}
    if "@" in (email := normalize("EMAIL", identifier)):
        spelled.add(("EMAIL", email))
    elif any(map(str.isdigit, identifier)):
        classes = (*_CLASSES[1:], _NUMBER)
        spelled |= {(each, spelling) for each in classes if (spelling := normalize(each, identifier, _REGIONS))}
    return [_entry(secret, *each) for secret in secrets for each in sorted(spelled)]


def texts_in(values: Any) -> Iterator[str]:
    """Yield every text in JSON values, keys of objects too, and whole numbers as texts."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for key, value in values.items():
            yield key
            yield from texts_in(value)
    elif isinstance(values, list):
        for value in values:
            yield from texts_in(value)
    elif isinstance(values, int) and not isinstance(values, bool):
        yield str(values)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) else value


def _declared(text: str) -> str:
    return " ".join(text.casefold().split())


def _entry(secret: TenantSecret, kind: str, spelling: str) -> bytes:
    head = secret.version.to_bytes(2, "big") + int(NORMALIZER_VERSION).to_bytes(2, "big")
    return head + hmac.digest(secret.key, f"{kind}\0{spelling}".encode("utf-8", "surrogatepass"), "sha256")[:16]


@cache
def _patterns() -> Detector:
    return DETECTORS.get("patterns")()
