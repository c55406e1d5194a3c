"""Licences are read as SPDX expressions, and what nobody has stated is never taken for allowed (PRV-04, LIC-COMPAT)."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tunery.datasets.licensing.expressions import NOT_STATED, License, license_of_card, read_license
from tunery.datasets.licensing.terms import terms_of
from tunery.datasets.licensing.verdicts import LicenseVerdict, licence_verdict
from tunery.errors import InvalidInput


def judged(*licenses: str | None, base: str | None = None, model: str | None = None) -> LicenseVerdict:
    return licence_verdict([{"name": f"file {n}", "license": each} for n, each in enumerate(licenses)], base, model)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("mit", "MIT"),
        ("MIT or apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("LicenseRef-our-contract", "LicenseRef-our-contract"),
        ("CC-BY-4.0 AND (MIT OR Apache-2.0)", "CC-BY-4.0 AND (MIT OR Apache-2.0)"),
    ],
)
def test_an_expression_is_written_as_spdx_writes_it(written: str, read: str) -> None:
    assert read_license(written) == read


@pytest.mark.parametrize(
    "text", ["", " ", "free", "MIT OR", "MIT/X", "MIT Apache-2.0", "(MIT", "MIT WITH joy", "(" * 150]
)
def test_what_spdx_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_license(text)
    with pytest.raises(ValidationError):
        TypeAdapter(License).validate_python(text)


def test_what_a_card_of_the_hub_names_is_read_without_a_refusal() -> None:
    assert license_of_card("cc-by-nc-4.0") == "CC-BY-NC-4.0"
    assert license_of_card("odc-by") == "ODC-By-1.0"
    assert license_of_card("llama3.1") == "LicenseRef-llama3.1"
    assert license_of_card("Our very own, v2!") == "LicenseRef-our-very-own-v2"
    assert (license_of_card("other"), license_of_card(""), license_of_card(None)) == (NOT_STATED, None, None)


@pytest.mark.parametrize(
    ("expression", "commercial", "derivatives"),
    [
        ("CC0-1.0", True, True),
        ("CC-BY-4.0", True, True),
        ("CC-BY-SA-4.0", True, True),
        ("CC-BY-NC-4.0", False, True),
        ("CC-BY-ND-4.0", True, False),
        ("CC-BY-NC-ND-3.0", False, False),
        ("MIT OR CC-BY-NC-4.0", True, True),  # whoever may choose takes the freer one
        ("MIT AND CC-BY-NC-4.0", False, True),
        ("LicenseRef-gemma", None, None),  # on conditions that a person must read
        ("Watcom-1.0", None, None),  # SPDX knows it, the matrix does not
        (NOT_STATED, None, None),
        (None, None, None),
    ],
)
def test_prv_04_what_a_licence_allows(
    expression: str | None, commercial: bool | None, derivatives: bool | None
) -> None:
    terms = terms_of(expression)
    assert (terms.commercial_use, terms.derivative_works) == (commercial, derivatives)


def test_prv_04_permissive_sources_pass_together() -> None:
    found = judged("MIT", "CC-BY-4.0", "MIT OR Apache-2.0")
    assert (found.verdict, found.commercial_use, found.derivative_works) == ("pass", True, True)
    assert found.license == "MIT AND CC-BY-4.0 AND (MIT OR Apache-2.0)"
    assert found.reasons == []
    assert found.matrix.startswith("tunery 2, ")


def test_one_source_without_a_licence_leaves_the_whole_unknown() -> None:
    found = judged("MIT", None)
    assert (found.verdict, found.license, found.commercial_use, found.derivative_works) == ("review", None, None, None)
    assert [reason.text for reason in found.reasons] == ["file 1 is without a licence; a person must find out"]
    assert judged().verdict == "review"
    assert judged("CC-BY-NC-4.0", None).commercial_use is False  # that one source forbids it is known all the same


@pytest.mark.parametrize(
    ("licenses", "verdict"),
    [
        (("CC-BY-SA-4.0", "CC-BY-SA-3.0", "MIT"), "pass"),
        (("CC-BY-SA-4.0", "ODbL-1.0"), "fail"),  # each asks for itself alone
        (("CC-BY-SA-4.0", "CC-BY-NC-4.0"), "fail"),  # share-alike forbids further limits
        (("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0"), "pass"),
        (("CC-BY-ND-4.0",), "fail"),
    ],
)
def test_sources_that_cannot_be_passed_on_together_fail(licenses: tuple[str, ...], verdict: str) -> None:
    assert judged(*licenses).verdict == verdict


@pytest.mark.parametrize(
    ("data", "base", "model", "verdict"),
    [
        ("MIT", "apache-2.0", None, "pass"),
        ("CC-BY-NC-4.0", "apache-2.0", None, "fail"),  # the model would be offered under Apache-2.0
        ("CC-BY-NC-4.0", "apache-2.0", "CC-BY-NC-4.0", "pass"),
        ("MIT", "cc-by-nc-4.0", None, "pass"),
        ("MIT", "cc-by-nc-4.0", "MIT", "fail"),
        ("MIT", "llama3.1", None, "review"),  # a person reads the community licence
        ("MIT", "other", None, "review"),
        ("MIT", NOT_STATED, None, "review"),
        ("CC-BY-SA-4.0", "apache-2.0", None, "review"),  # whether a model is made from its data is unsettled
        ("CC-BY-SA-4.0", "apache-2.0", "CC-BY-SA-4.0", "pass"),
        ("MIT", "gpl-3.0", "MIT", "fail"),
        ("MIT", "cc-by-nd-4.0", None, "fail"),
        (None, "apache-2.0", None, "review"),
        ("CC-BY-NC-4.0", "apache-2.0", "LicenseRef-proprietary", "review"),  # it may allow commercial use
        ("CC-BY-NC-4.0", "apache-2.0", "CC-BY-NC-4.0 OR LicenseRef-deal", "review"),
        ("MIT", "apache-2.0", "other", "review"),
    ],
)
def test_data_base_and_model_are_judged_together(data: str | None, base: str, model: str | None, verdict: str) -> None:
    found = judged(data, base=base, model=model)
    assert found.verdict == verdict
    assert bool(found.reasons) == (verdict != "pass")
