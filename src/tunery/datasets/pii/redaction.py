"""What is done about findings: in a text, and in every text of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

from tunery.datasets.pii import Detector, Finding
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION, normalize
from tunery.datasets.pii.overlaps import outside, resolve
from tunery.datasets.pii.walking import findings_in, rewritten
from tunery.errors import InvalidInput

__all__ = ["PLACEHOLDER", "Action", "Redactor", "masked"]

Action = Literal["redact", "mask", "hash", "pseudonym", "drop_row"]
"""``redact``: the kind in brackets. ``mask``: stars but for a few characters. ``hash``: a keyed hash of the normalised
identifier. ``pseudonym``: a short one, the same wherever the identifier stands. ``drop_row``: the row goes."""

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]{1,39}(?::[b-z]{16,64})?\]")
"""What stands where something was."""

_LETTERS = bytes.maketrans(b"0123456789abcdef", b"bcdfghjklmnpqrst")
_PSEUDONYM_BITS, _HASH_BITS = 64, 256
_PASSES = 16
_GIVEN_UP = "[REDACTED]"
_SECRET_KINDS = frozenset({"URL_CREDENTIALS", "PASSWORD", "API_KEY", "JWT", "PRIVATE_KEY", "HIGH_ENTROPY"})
_ALNUM = re.compile(r"[^\W_]")

Report = Callable[[str, str, str], None]
"""Told the kind, the path and the masked text of each finding."""


class Redactor:
    """Finds and replaces. Redacting what was redacted changes nothing.

    Args:
        detectors: What looks at each text.
        actions: What is done for a kind; others get ``default``.
        kinds: Kinds that count; none: all.
        key: The tenant's key of 32 bytes; needed to hash and for pseudonyms.
        regions: Countries whose national telephone numbers are known, as ISO codes.
        every_number: Whether small numbers and fractions are looked at, too.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        actions: Mapping[str, Action],
        default: Action = "redact",
        *,
        kinds: frozenset[str] | None = None,
        key: bytes | None = None,
        regions: tuple[str, ...] = ("US",),
        every_number: bool = False,
    ) -> None:
        if key is None and {"hash", "pseudonym"} & {default, *actions.values()}:
            raise InvalidInput("hashes and pseudonyms need the tenant's key; run the step where there is one")
        self._detectors = detectors
        self._actions = actions
        self._default = default
        self._kinds = kinds
        self._key = key
        self._regions = regions
        self._every = every_number

    def row(self, values: dict[str, Any], report: Report) -> dict[str, Any] | None:
        """Return the columns with every text at any depth redacted; none if the row is to go."""

        detectors = self._detectors

        def visit(text: str, label: str, path: str) -> str:
            if not (found := findings_in(text, label, detectors)):
                return text
            return self._redacted(text, self._settled(text, found), path, report, label)

        try:
            return {name: rewritten(value, visit, name, name, every=self._every) for name, value in values.items()}
        except _Dropped:
            return None

    def text(self, text: str, path: str = "", report: Report = lambda kind, path, sample: None, label: str = "") -> str:
        """Return the text redacted.

        Args:
            label: The name of the field that holds it, which tells what a number is.
        """
        return self._redacted(text, self._find(text, label), path, report, label)

    def _redacted(self, text: str, findings: list[Finding], path: str, report: Report, label: str) -> str:
        for _ in range(_PASSES):
            if not findings:
                return text
            for found in findings:
                report(found.kind, path, masked(found.kind, text[found.start : found.end]))
            if any(self._action(found.kind) == "drop_row" for found in findings):
                raise _Dropped
            text = self._replaced(text, findings)
            findings = self._find(text, label)
        return _GIVEN_UP  # what a replacement leaves always shows more: nothing of it is let through

    def _find(self, text: str, label: str) -> list[Finding]:
        return self._settled(text, findings_in(text, label, self._detectors))

    def _settled(self, text: str, found: list[Finding]) -> list[Finding]:
        if not found:
            return found
        wanted = [each for each in found if self._kinds is None or each.kind in self._kinds]
        return _outside_placeholders(text, resolve(wanted))

    def _action(self, kind: str) -> Action:
        return self._actions.get(kind, self._default)

    def _replaced(self, text: str, findings: list[Finding]) -> str:
        pieces, last = [], 0
        for found in findings:
            pieces += [text[last : found.start], self._replacement(found.kind, text[found.start : found.end])]
            last = found.end
        return "".join([*pieces, text[last:]])

    def _replacement(self, kind: str, found: str) -> str:
        action = self._action(kind)
        if action == "mask":
            return masked(kind, found)
        if action == "redact":
            return f"[{kind}]"
        return f"[{kind}:{self._keyed(kind, found, _HASH_BITS if action == 'hash' else _PSEUDONYM_BITS)}]"

    def _keyed(self, kind: str, found: str, bits: int) -> str:
        """Return a keyed hash in consonants only, so that no pattern takes it for something."""
        identifier = f"{NORMALIZER_VERSION}\n{kind}\n{normalize(kind, found, self._regions)}".encode("utf-8", "replace")
        digest = blake2b(identifier, digest_size=bits // 8, key=self._key or b"")
        return digest.hexdigest().encode().translate(_LETTERS).decode()


class _Dropped(Exception):
    pass


def masked(kind: str, text: str) -> str:
    """Return what may be shown of a finding: nothing of a secret, else the first letter or a few last digits."""
    if kind in _SECRET_KINDS:
        return "********"
    if kind in ("EMAIL", "PERSON", "LOCATION"):
        return f"{text[:1]}***" + ("@***" if kind == "EMAIL" else "")
    total = len(_ALNUM.findall(text))
    hidden = total - min(4, total // 4)
    return _ALNUM.sub("*", text, count=hidden) if hidden else "*"


def _outside_placeholders(text: str, findings: list[Finding]) -> list[Finding]:
    if "[" not in text or not (taken := [match.span() for match in PLACEHOLDER.finditer(text)]):
        return findings
    return [found for found in outside(findings, taken) if _ALNUM.search(text, found.start, found.end)]
