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
from functools import lru_cache
from typing import Any, TypeAlias

from tunery.datasets.pii import Finding
from tunery.datasets.pii.folding import fold
from tunery.datasets.pii.internet import email_readings
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION, normalize
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.walking import findings_in, rewritten
from tunery.datasets.sanitize.redact_pii import RedactPii
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
    "named_anywhere",
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

_AROUND = 128
_LONGEST_ASKED, _LEAST_DIGITS = 500, 5
"""Nobody is asked for by a longer identifier; shorter numbers say too many other things than who somebody is."""

Identifier: TypeAlias = tuple[str, str]
"""Its class, and how it is written."""


class Identifiers:
    """Finds the identifiers of rows: what the redacting steps would find, and what declared columns hold.

    Args:
        columns: Columns of the source that name a person, whatever they hold.
        steps: Steps of the import that redact; their countries and the tenant's own formats count here too.
    """

    def __init__(self, columns: tuple[str, ...] = (), steps: tuple[RedactPii, ...] = ()) -> None:
        self._columns = columns
        self._steps = steps
        own = [each for step in steps for each in step.plain_detectors()]
        known = {region: None for each in own if isinstance(each, PatternDetector) for region in each.regions}
        self._regions = tuple(region for region in known if region not in _REGIONS)
        patterns = PatternDetector((*_REGIONS, *self._regions), thorough=any(step.thorough for step in steps))
        self._detectors = [patterns, *(each for each in own if not isinstance(each, PatternDetector))]
        self._known = lru_cache(4096)(self._detected)

    def __reduce__(self) -> tuple[Any, ...]:
        return Identifiers, (self._columns, self._steps)

    def in_row(self, values: dict[str, Any]) -> set[Identifier]:
        """Return the identifiers in an imported row."""
        found: set[Identifier] = set()
        known, detected = self._known, self._detected

        def note(text: str, label: str, path: str) -> str:
            if some := known(text, label) if len(text) < _SHORT else detected(text, label):
                found.update(some)
            return text

        for name, value in values.items():
            note(name, "", "")
            rewritten(value, note, name)
        for column in self._columns:
            found.update((DECLARED, text) for text in _scalars(values.get(column)))
        return found

    def in_text(self, text: str) -> set[Identifier]:
        """Return the identifiers in a text that is no row."""
        return {*self._detected(text, "")}

    def _detected(self, text: str, label: str) -> tuple[Identifier, ...]:
        if not (findings := findings_in(text, label, self._detectors)):
            return ()
        return tuple(
            identifier
            for found in findings
            if found.kind not in _ABOUT_NOBODY
            for identifier in self._readings(text, found)
        )

    def _readings(self, text: str, found: Finding) -> Iterator[Identifier]:
        written = text[found.start : found.end]
        yield found.kind if found.kind in _CLASSES else _NUMBER, written
        if found.kind == "EMAIL":
            folded, size = fold(text[max(0, found.start - _AROUND) : found.end]).text, len(fold(written).text)
            for reading in email_readings(folded, len(folded) - size, len(folded)):
                yield "EMAIL", reading
        elif found.kind == "PHONE" and self._regions:
            yield "PHONE", normalize("PHONE", written, self._regions)


def named_anywhere(values: dict[str, Any]) -> set[Identifier]:
    """Return what of a row may be what a declared column held elsewhere: each value, short numbers left out."""
    texts = {text for value in values.values() for text in _scalars(value) if len(text) <= _LONGEST_ASKED}
    return {(DECLARED, text) for text in texts if not (text.isdigit() and len(text) < _LEAST_DIGITS)}


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
    # The digits of an e-mail address may be somebody else's telephone number.
    classes = ("EMAIL",) if "@" in normalize("EMAIL", identifier) else _CLASSES[1:]
    return entries_of({(each, identifier) for each in (DECLARED, _NUMBER, *classes)}, secrets, SPELLINGS)


def _scalars(value: Any) -> Iterator[str]:
    """Yield every text and number, keys of objects too; a whole number that became a float in both its writings."""
    if isinstance(value, str):
        yield value
        if value.endswith(".0") and value[:-2].isdigit():
            yield value[:-2]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, (int, float)):
        yield str(value)
        if isinstance(value, float) and value.is_integer():
            yield str(int(value))


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
