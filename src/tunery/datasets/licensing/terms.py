"""The licence matrix: what each licence asks of whoever trains on its data, or on its model.

A licence that is not here is unknown, never assumed to be harmless. Raise ``MATRIX`` with each change of a verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tunery.datasets.licensing.expressions import parse_license

__all__ = ["CONDITIONS", "MATRIX", "Restriction", "Terms", "names_unknown", "terms_of"]

MATRIX = 2
"""Version of the matrix."""

Restriction: TypeAlias = Literal[
    "attribution", "share_alike", "conditions", "non_commercial", "no_derivatives", "unknown"
]
_SEVERITY: list[Restriction] = [
    "attribution", "share_alike", "conditions", "non_commercial", "no_derivatives", "unknown",
]  # fmt: skip
"""From the least to what weighs most, by which the best of several licences on offer is chosen."""

_FREE = "CC0-1.0|CC-PDDC|PDDL-1.0|Unlicense|0BSD|MIT-0|WTFPL"
_PERMISSIVE = (
    "MIT|Apache-2.0|BSD-[23]-Clause(-.+)?|ISC|Zlib|NCSA|PostgreSQL|Python-2.0|AFL-3.0|ECL-2.0|MS-PL|BSL-1.0|"
    "Artistic-2.0|ODC-By-1.0|CDLA-Permissive-[12].0|etalab-2.0|OGL-UK-[123].0|DL-DE-BY-2.0|NLOD-[12].0"
)
_COPYLEFT = r"(A?GPL|GFDL)-[0-9.]+.*|ODbL-1.0|CDLA-Sharing-1.0|EUPL-1.[012]|OSL-3.0"
_WEAK_COPYLEFT = r"LGPL-[0-9.]+.*|MPL-[0-9.]+.*|EPL-[12].0|CDDL-1.[01]|C-UDA-1.0"

CONDITIONS = {
    r"LicenseRef-llama-?[234].*": "an acceptable use policy, a limit of 700 million monthly users, and a model's name "
    "that begins with Llama (from Llama 3 on)",
    r"LicenseRef-gemma.*": "a prohibited use policy that must be handed on with every model made from it",
    r"LicenseRef-.*(openrail|bloom-rail|-rail-).*": "use restrictions that must be handed on with every model "
    "made from it",
    _WEAK_COPYLEFT: "sharing of changed files, or use limits, that were not written for models",
}
"""Licences that allow much on conditions, and what a person must see to."""


@dataclass(frozen=True)
class Terms:
    """What a licence, or several together, ask for.

    Attributes:
        restrictions: What they ask for.
        share_as: The families of licences under which they want what is made of it to be shared.
        notes: Conditions that a person must read.
    """

    restrictions: frozenset[Restriction]
    share_as: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def commercial_use(self) -> bool | None:
        """Whether commercial use is allowed; None: on conditions, or unknown."""
        return False if "non_commercial" in self.restrictions else self._unless_unclear()

    @property
    def derivative_works(self) -> bool | None:
        """Whether what is made of it may be passed on; None: on conditions, or unknown."""
        return False if "no_derivatives" in self.restrictions else self._unless_unclear()

    def _unless_unclear(self) -> bool | None:
        return None if {"unknown", "conditions"} & self.restrictions else True

    def __and__(self, other: Terms) -> Terms:
        return Terms(
            self.restrictions | other.restrictions,
            self.share_as | other.share_as,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def weight(self) -> tuple[int, ...]:
        """Return what orders licences from the freest to the strictest."""
        return tuple(sorted((_SEVERITY.index(each) for each in self.restrictions), reverse=True))


def terms_of(expression: str | None) -> Terms:
    """Return what an SPDX expression asks for: of ``AND`` everything, of ``OR`` the freest on offer; None is unknown.

    Raises: InvalidInput: it is no expression.
    """
    return _terms(parse_license(expression)) if expression else Terms(frozenset({"unknown"}))


def names_unknown(expression: str | None) -> bool:
    """Tell whether an expression names a licence that the matrix does not know, be it one of several on offer."""
    each = parse_license(expression).symbols if expression else ()
    return not each or any("unknown" in _terms(symbol).restrictions for symbol in each)


def _terms(parsed: Any) -> Terms:
    if not parsed.args:
        return _terms_of_one(str(getattr(parsed, "license_symbol", parsed).key))
    each = [_terms(part) for part in parsed.args]
    if type(parsed).__name__ == "OR":
        return min(each, key=Terms.weight)
    together = each[0]
    for terms in each[1:]:
        together &= terms
    return together


def _terms_of_one(key: str) -> Terms:
    if re.fullmatch(_FREE, key):
        return Terms(frozenset())
    if re.fullmatch(_PERMISSIVE, key):
        return Terms(frozenset({"attribution"}))
    if found := re.fullmatch(r"CC-(BY(?:-(?:NC|ND|SA))*)-[0-9.]+.*", key):
        return _creative_commons(found[1])
    for pattern, note in CONDITIONS.items():
        if re.fullmatch(pattern, key):
            return Terms(frozenset({"attribution", "conditions"}), notes=(f"{key}: {note}",))
    if re.fullmatch(_COPYLEFT, key):
        return Terms(frozenset({"attribution", "share_alike"}), frozenset({_family(key)}))
    return Terms(frozenset({"unknown"}))


def _creative_commons(name: str) -> Terms:
    words: dict[str, Restriction] = {"NC": "non_commercial", "ND": "no_derivatives", "SA": "share_alike"}
    parts = name.split("-")
    asked: set[Restriction] = {"attribution", *(words[part] for part in parts[1:])}
    return Terms(frozenset(asked), frozenset({f"CC-{name}"} if "SA" in parts else ()))


def _family(key: str) -> str:
    """Return a licence's name without its version: versions of one licence are taken to go together."""
    return re.sub(r"-[0-9].*$", "", key)
