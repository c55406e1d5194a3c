"""What is done about findings: in a text, and in every text of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

from tunery.datasets.pii import Detector, Finding
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION, normalize
from tunery.datasets.pii.overlaps import outside, resolve
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
_LABELLED = 200
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LONGEST_NUMBER = 40

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
    ) -> None:
        if key is None and {"hash", "pseudonym"} & {default, *actions.values()}:
            raise InvalidInput("hashes and pseudonyms need the tenant's key; run the step where there is one")
        self._detectors = detectors
        self._actions = actions
        self._default = default
        self._kinds = kinds
        self._key = key
        self._regions = regions

    def row(self, values: dict[str, Any], report: Report) -> dict[str, Any] | None:
        """Return the columns with every text at any depth redacted; none if the row is to go."""
        try:
            return {name: self._value(value, name, name, report) for name, value in values.items()}
        except _Dropped:
            return None

    def text(self, text: str, path: str = "", report: Report = lambda kind, path, sample: None, label: str = "") -> str:
        """Return the text redacted.

        Args:
            label: The name of the field that holds it, which tells what a number is.
        """
        for _ in range(_PASSES):
            findings = self._find(text, label)
            if not findings:
                return text
            for found in findings:
                report(found.kind, path, masked(found.kind, text[found.start : found.end]))
            if any(self._action(found.kind) == "drop_row" for found in findings):
                raise _Dropped
            text = self._replaced(text, findings)
        return _GIVEN_UP  # what a replacement leaves always shows more: nothing of it is let through

    def _value(self, value: Any, label: str, path: str, report: Report) -> Any:
        if isinstance(value, str):
            return self.text(value, path, report, label)
        if isinstance(value, dict):
            return self._object(value, path, report)
        if isinstance(value, list):
            return [self._value(item, label, f"{path}[{place}]", report) for place, item in enumerate(value)]
        if isinstance(value, int) and not isinstance(value, bool) and 9_999 < abs(value) < 10**_LONGEST_NUMBER:
            text = str(value)
            redacted = self.text(text, path, report, label)
            return value if redacted == text else redacted
        return value

    def _object(self, value: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
        done: dict[str, Any] = {}
        for name, item in value.items():
            new = self.text(name, f"{path}.<name>", report)
            copy = 2
            while new in done:
                new, copy = f"{new.partition('#')[0]}#{copy}", copy + 1
            done[new] = self._value(item, name, f"{path}.{new}", report)
        return done

    def _find(self, text: str, label: str) -> list[Finding]:
        lead = f"{_words(label)}: " if label and len(text) <= _LABELLED else ""
        found = [each for detector in self._detectors for each in detector.find(lead + text)]
        if not found:
            return found
        shift = len(lead)
        found = [
            Finding(each.kind, max(0, each.start - shift), each.end - shift, each.confidence)
            for each in found
            if each.end > shift and (self._kinds is None or each.kind in self._kinds)
        ]
        return _outside_placeholders(text, resolve(found))

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


@lru_cache(4096)
def _words(label: str) -> str:
    return _CAMEL.sub(" ", label[:80])


def _outside_placeholders(text: str, findings: list[Finding]) -> list[Finding]:
    if "[" not in text or not (taken := [match.span() for match in PLACEHOLDER.finditer(text)]):
        return findings
    return [found for found in outside(findings, taken) if _ALNUM.search(text, found.start, found.end)]
