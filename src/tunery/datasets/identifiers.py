"""Whom a row is about: keyed hashes of the identifiers in it, by which the subject index finds it again.

An entry says nothing to whoever lacks the tenant's key (``blobs.keyring.secrets``, purpose ``subjects``). Whoever has
it can try all telephone numbers, so asking is a permission of its own, limited and audited.

    version of the key      2 bytes, the highest first
    version of the spelling 2 bytes
    HMAC-SHA256             16 bytes, of class, a zero byte and the identifier in its one spelling

New entries are made with the newest key and spelling. What is asked for is asked with every one that is live, for
indexes and the list of the forgotten keep entries of their time. All numbers of documents, cards and accounts are one
class: whoever asks by a number need not say whose kind it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import Any, TypeAlias

from tunery.datasets.pii import DETECTORS, Detector
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION, normalize
from tunery.errors import InvalidInput
from tunery.platform.blobs.tenant_secrets import TenantSecret

__all__ = [
    "DECLARED",
    "ENTRY_BYTES",
    "FORGOTTEN",
    "PURPOSE",
    "SPELLINGS",
    "Identifier",
    "Identifiers",
    "entries_for",
    "entries_of",
    "texts_in",
]

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

_SHORT = 24
"""Shorter texts, such as names of columns and labels, come again and again; some thousands stay in the memory of the
process, as every text does while it is looked at."""

Identifier: TypeAlias = tuple[str, str]
"""Its class, and how it is written."""


class Identifiers:
    """Finds the identifiers of rows.

    Args:
        columns: Columns of the source that name a person, whatever they hold.
    """

    def __init__(self, columns: tuple[str, ...] = ()) -> None:
        self._columns = columns

    def in_row(self, values: dict[str, Any]) -> set[Identifier]:
        """Return the identifiers in an imported row."""
        found = {identifier for text in texts_in(values) for identifier in _identifiers_in(text)}
        for column in self._columns:
            found |= {(DECLARED, text) for text in texts_in(_plain(values.get(column)))}
        return found

    def in_text(self, text: str) -> set[Identifier]:
        """Return the identifiers in a text that is no row."""
        return {*_identifiers_in(text)}


def entries_of(
    found: Iterable[Identifier], secrets: Iterable[TenantSecret], versions: Iterable[int] | None = None
) -> list[bytes]:
    """Return the entries of identifiers, each once.

    Args:
        found: The identifiers; what has no letter and no digit has no entry.
        secrets: The keys that entries are made with.
        versions: The spellings, by their versions; None: the newest alone.
    """
    wanted = [max(SPELLINGS)] if versions is None else [*versions]
    spelled = {
        (version, kind, spelling)
        for kind, text in {*found}
        for version in wanted
        if (spelling := SPELLINGS[version](kind, text))
    }
    return sorted({_entry(secret, *each) for secret in secrets for each in spelled})


def entries_for(identifier: str, secrets: Iterable[TenantSecret]) -> list[bytes]:
    """Return every entry that an identifier may have: by each key and spelling, as each class it can be of.

    Raises: InvalidInput: it is white space.
    """
    if not _declared(identifier):
        raise InvalidInput("an identifier has letters or digits; nobody is called by white space")
    classes: tuple[str, ...] = ()
    if "@" in normalize("EMAIL", identifier):
        classes = ("EMAIL",)
    elif any(map(str.isdigit, identifier)):
        classes = (*_CLASSES[1:], _NUMBER)
    return entries_of({(each, identifier) for each in (DECLARED, *classes)}, secrets, SPELLINGS)


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


def _spelled(kind: str, text: str) -> str:
    return _declared(text) if kind == DECLARED else normalize(kind, text, _REGIONS)


SPELLINGS: dict[int, Callable[[str, str], str]] = {int(NORMALIZER_VERSION): _spelled}
"""By its version, what returns the one spelling of an identifier of a class. An older one stays as long as an index or
the list of the forgotten may hold an entry of its."""


def _entry(secret: TenantSecret, version: int, kind: str, spelling: str) -> bytes:
    head = secret.version.to_bytes(2, "big") + version.to_bytes(2, "big")
    return head + hmac.digest(secret.key, f"{kind}\0{spelling}".encode("utf-8", "surrogatepass"), "sha256")[:16]


def _identifiers_in(text: str) -> tuple[Identifier, ...]:
    return _known(text) if len(text) < _SHORT else _detected(text)


def _detected(text: str) -> tuple[Identifier, ...]:
    return tuple(
        (found.kind if found.kind in _CLASSES else _NUMBER, text[found.start : found.end])
        for found in _patterns().find(text)
        if found.kind not in _ABOUT_NOBODY
    )


_known = lru_cache(4096)(_detected)


@cache
def _patterns() -> Detector:
    return DETECTORS.get("patterns")()
