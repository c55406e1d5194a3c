"""Read what people and cards write about licences as SPDX licence expressions."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field

from tunery.errors import InvalidInput

if TYPE_CHECKING:
    from license_expression import Licensing

__all__ = ["NOT_STATED", "License", "joined", "license_of_card", "parse_license", "read_license"]

NOT_STATED = "NOASSERTION"
"""SPDX's word for a licence that nobody has stated. Source: SPDX 2.3, 7.13."""

_OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]+|NOASSERTION")
_CARD_WORDS = {
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "gpl": "GPL-1.0-or-later",
    "lgpl": "LGPL-2.0-or-later",
    "gfdl": "GFDL-1.1-or-later",
    "c-uda": "C-UDA-1.0",
    "unknown": NOT_STATED,
    "other": NOT_STATED,
}
"""Licences as cards of the Hub name them, where SPDX has another name. Source: Hugging Face, Licenses."""


@cache
def _licensing() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def parse_license(text: str) -> Any:
    """Return the parsed form of an SPDX expression; ``LicenseRef-...`` and NOASSERTION stand for themselves.

    Raises: InvalidInput: it is none, or it names a licence that SPDX does not know.
    """
    from license_expression import ExpressionError, ExpressionParseError

    try:
        parsed = _licensing().parse(text, validate=False, strict=True)
        unknown = [] if parsed is None else _licensing().unknown_license_keys(parsed)
    except (ExpressionError, ExpressionParseError) as error:
        raise InvalidInput(f"{text[:80]!r} is no SPDX licence expression: {error}") from error
    if parsed is None:
        raise InvalidInput("a licence has a name, such as CC-BY-4.0")
    if wrong := [key for key in unknown if not _OWN.fullmatch(key)]:
        raise InvalidInput(
            f"SPDX knows no licence {wrong[0][:80]!r}; https://spdx.org/licenses lists them, and one that is not there "
            "is written like LicenseRef-our-contract"
        )
    return parsed


def read_license(text: str) -> str:
    """Return an expression as SPDX writes it: ``mit or apache-2.0`` is ``MIT OR Apache-2.0``. Raises: InvalidInput."""
    return str(parse_license(text).render())


def license_of_card(text: str | None) -> str | None:
    """Return what a card names as an SPDX expression, a licence of its own as ``LicenseRef-...``; None: nothing."""
    if not text or not text.strip():
        return None
    word = text.strip().lower()
    try:
        return read_license(_CARD_WORDS.get(word, text))
    except InvalidInput:
        own = re.sub(r"[^a-z0-9.-]+", "-", word).strip("-.")[:80]
        return f"LicenseRef-{own}" if own else NOT_STATED


def joined(expressions: list[str]) -> str:
    """Return the expression of what all of these hold for."""
    return " AND ".join(f"({each})" if " OR " in each and len(expressions) > 1 else each for each in expressions)


def _checked(text: str) -> str:
    try:
        return read_license(text)
    except InvalidInput as error:
        raise ValueError(error.message) from error


License: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=200, description="SPDX licence expression, such as `CC-BY-4.0`."),
    AfterValidator(_checked),
]
