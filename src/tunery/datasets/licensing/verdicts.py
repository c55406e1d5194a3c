"""The verdict on licences: do the sources go together, and do they, the base model and the model (LIC-COMPAT)?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

from pydantic import Field

from tunery.datasets.licensing.expressions import joined, license_of_card
from tunery.datasets.licensing.terms import MATRIX, Terms, names_unknown, terms_of
from tunery.platform.http import Camel

__all__ = ["LicenseReason", "LicenseVerdict", "licence_verdict"]

Outcome: TypeAlias = Literal["pass", "review", "fail"]
_ORDER: list[Outcome] = ["pass", "review", "fail"]


class LicenseReason(Camel):
    """Why a verdict is no pass."""

    outcome: Outcome
    text: str


class LicenseVerdict(Camel):
    """What licences allow together. ``review``: a person must look; ``fail``: the texts contradict each other."""

    verdict: Outcome
    license: str | None = Field(description="SPDX expression of all that holds; null where a source names none.")
    commercial_use: bool | None = Field(description="Null: unknown, or on conditions that a person must read.")
    derivative_works: bool | None = Field(description="Whether what is made of it may be passed on; null as above.")
    reasons: list[LicenseReason]
    matrix: str = Field(description="Version of the matrix, and of the list of licences it reads.")


def licence_verdict(
    sources: Iterable[Mapping[str, Any]], base_license: str | None = None, model_license: str | None = None
) -> LicenseVerdict:
    """Judge the licences of a dataset, or of a model that is made of it.

    Args:
        sources: Of the dataset, as its provenance record has them: ``name`` or ``url``, and ``license``.
        base_license: Of the base model, as its card names it; NOASSERTION where nobody knows. None: no model is
            asked about.
        model_license: Under which the model is to be offered; None: the base's.
    """
    listed = [(_name(source), source.get("license")) for source in sources]
    judged = _Judged()
    judged.sources(listed)
    if base_license is not None:
        judged.model(license_of_card(base_license), license_of_card(model_license))
    known = list(dict.fromkeys(str(each) for _, each in listed if each))
    return LicenseVerdict(
        verdict=max((reason.outcome for reason in judged.reasons), key=_ORDER.index, default="pass"),
        license=joined(known) if known and all(each for _, each in listed) else None,
        commercial_use=judged.terms.commercial_use,
        derivative_works=judged.terms.derivative_works,
        reasons=judged.reasons,
        matrix=f"tunery {MATRIX}, license-expression {version('license-expression')}",
    )


class _Judged:
    def __init__(self) -> None:
        self.terms = Terms(frozenset())
        self.reasons: list[LicenseReason] = []

    def sources(self, listed: list[tuple[str, Any]]) -> None:
        if not listed:
            self._add(terms_of(None), "the dataset", None)
        for name, expression in listed:
            self._add(terms_of(expression), name, expression)
        self._check_sharing("the sources cannot be passed on as one dataset")

    def model(self, base: str | None, offered: str | None) -> None:
        data = self.terms
        self._add(terms_of(base), "the base model", base)
        offered = offered or base
        given = terms_of(offered)
        if offered != base and names_unknown(offered):
            self._say(
                "review",
                f"the model is offered under {offered}, which the matrix does not know; a person must read whether it "
                "keeps to the licences of data and base model",
            )
        open_to_trade = given.commercial_use is not False and "unknown" not in given.restrictions
        if self.terms.commercial_use is False and open_to_trade:
            self._say("fail", f"the model is offered under {offered}, which does not forbid commercial use as they do")
        for family in sorted(self.terms.share_as - given.share_as):
            of_base = family not in data.share_as
            self._say(
                "fail" if of_base else "review",
                f"the model is offered under {offered}, but {'the base model' if of_base else 'the data'} asks for "
                f"{family}" + ("" if of_base else " where a model counts as made from its data"),
            )

    def _add(self, terms: Terms, name: str, expression: str | None) -> None:
        self.terms &= terms
        if "unknown" in terms.restrictions:
            what = f"under {expression}, which the matrix does not know" if expression else "without a licence"
            self._say("review", f"{name} is {what}; a person must find out")
        for note in terms.notes:
            self._say("review", f"{name} is under {note}")
        if "no_derivatives" in terms.restrictions:
            self._say("fail", f"{name} is under {expression}: what is made of it may not be passed on")

    def _check_sharing(self, so: str) -> None:
        families = sorted(self.terms.share_as)
        if len(families) > 1:
            self._say("fail", f"{so}: {' and '.join(families)} each ask for themselves alone")
        elif families and "non_commercial" in self.terms.restrictions and "NC" not in families[0]:
            self._say("fail", f"{so}: {families[0]} forbids to add the limit to non-commercial use")

    def _say(self, outcome: Outcome, text: str) -> None:
        reason = LicenseReason(outcome=outcome, text=text)
        if reason not in self.reasons:
            self.reasons.append(reason)


def _name(source: Mapping[str, Any]) -> str:
    return str(source.get("name") or source.get("url") or "a source")
