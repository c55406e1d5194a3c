"""Formats that a tenant gives, such as those of medical record numbers, in patterns that take linear time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tunery.datasets.pii import Finding
from tunery.errors import InvalidInput
from tunery.kit.digests import sha256_json

__all__ = ["CustomDetector"]

_KIND = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_LONGEST_PATTERN, _MOST_PATTERNS = 1000, 100
_MEMORY = 8_000_000


class CustomDetector:
    """Finds what a tenant's own patterns describe. They are RE2's, which knows no backtracking, hence no pattern hangs.

    Args:
        patterns: A pattern for each kind; kinds in upper case, such as ``MEDICAL_RECORD``. The surroundings of an
            identifier may be given too: a group named ``id`` is what counts.

    Raises:
        InvalidInput: A pattern is none, could match nothing at all, or is too large; or there are too many.
    """

    name = "custom"

    def __init__(self, patterns: Mapping[str, str]) -> None:
        if len(patterns) > _MOST_PATTERNS:
            raise InvalidInput(f"there are {len(patterns)} patterns; at most {_MOST_PATTERNS} are run")
        self.kinds: tuple[str, ...] = tuple(sorted(patterns))
        self.version = sha256_json(dict(patterns))[:12]
        self._patterns = [(kind, _compiled(kind, pattern)) for kind, pattern in sorted(patterns.items())]

    def find(self, text: str) -> list[Finding]:
        """Return what is in the text."""
        if _has_surrogates(text):
            text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes one question mark
        found: list[Finding] = []
        for kind, pattern in self._patterns:
            group = pattern.groupindex.get("id", 0)
            spans = (match.span(group) for match in pattern.finditer(text))
            found += [Finding(kind, start, end, 0.9) for start, end in spans if start < end]
        return found


@lru_cache(1024)
def _compiled(kind: str, pattern: str) -> Any:
    import re2

    if not _KIND.fullmatch(kind):
        raise InvalidInput(f"{kind[:60]!r} is no kind: use upper-case letters, digits and _, such as MEDICAL_RECORD")
    if len(pattern) > _LONGEST_PATTERN:
        raise InvalidInput(f"the pattern for {kind} is longer than {_LONGEST_PATTERN} characters")
    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY, False
    try:
        compiled = re2.compile(pattern, options=options)  # type: ignore[no-untyped-call]
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        raise InvalidInput(
            f"the pattern for {kind} cannot be used: {reason}. Patterns are RE2's: no backreferences, no look-around"
        ) from error
    if compiled.search("") is not None:
        raise InvalidInput(f"the pattern for {kind} matches an empty text, hence everywhere; let it ask for something")
    return compiled


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
