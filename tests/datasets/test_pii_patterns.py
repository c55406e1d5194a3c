"""Layer 1 finds the numbers that issuing bodies publish as examples, and not what resembles them (DAT-04)."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunery.datasets.pii.evaluation import measure, measure_builtins
from tunery.datasets.pii.labelled import labelled_set
from tunery.datasets.pii.national_ids import NATIONAL_IDS
from tunery.datasets.pii.normalizing import normalize
from tunery.datasets.pii.other_numbers import VEHICLE
from tunery.datasets.pii.overlaps import resolve
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.recognizers import LIKE_A_NUMBER, Recognizer, compact
from tunery.datasets.pii.reports import measured
from tunery.datasets.pii.secrets import SecretDetector, entropy

PATTERNS, SECRETS = PatternDetector(), SecretDetector()

PUBLISHED = {
    "GB_NHS": "NHS 943 476 5919",
    "FR_INSEE": "2 55 08 14 168 025 38",
    "IT_FISCAL_CODE": "RSSMRA85T10A562S",
    "NL_BSN": "BSN 111222333",
    "PL_PESEL": "44051401359",
    "BR_CPF": "529.982.247-25",
    "BR_CNPJ": "12.ABC.345/01DE-35",
    "CN_RESIDENT_ID": "11010519491231002X",
    "MX_CURP": "HEGG560427MVZRRL04",
    "FI_HETU": "131052-308T",
    "SE_PERSONAL": "811218-9876",
    "CH_AHV": "756.9217.0769.85",
    "ZA_ID": "8001015009087",
    "TR_IDENTITY": "10000000146",
    "SG_NRIC": "S1234567D",
    "AU_TFN": "TFN 123 456 782",
    "AU_MEDICARE": "Medicare 2123 45670 1",
    "DE_TAX_ID": "86095742719",
    "DE_ID_CARD": "Ausweis T220001293",
    "ES_NIF": "12345678Z",
    "JP_MY_NUMBER": "マイナンバー 123456789018",
    "BE_NATIONAL": "85.07.30-033.28",
    "PT_NIF": "NIF 123456789",
    "US_SSN": "219-09-9999",
    "CA_SIN": "SIN 130 692 544",
    "IBAN": "GB82 WEST 1234 5698 7654 32",
    "CARD": "3782 822463 10005",
    "VIN": "1M8GDM9AXKP042788",
    "MAC_ADDRESS": "00:00:5e:00:53:af",
}
"""Examples that the bodies or the standards print, with a word of context where the number alone is too weak."""

UNCHECKED = {"US_SSN", "MAC_ADDRESS"}


def found(text: str) -> list[tuple[str, str]]:
    return [(each.kind, text[each.start : each.end]) for each in resolve(PATTERNS.find(text))]


@pytest.mark.parametrize(("kind", "text"), PUBLISHED.items(), ids=PUBLISHED)
def test_published_examples_are_found(kind: str, text: str) -> None:
    assert [name for name, _ in found(f"It was {text}, they said.")] == [kind]


@pytest.mark.parametrize("kind", sorted(set(PUBLISHED) - UNCHECKED))
def test_another_digit_is_not_taken_for_one(kind: str) -> None:
    text = PUBLISHED[kind]
    place = max(i for i, c in enumerate(text[:-1]) if c.isdigit())  # the last digit before the end
    hits = 0
    for digit in "0123456789":
        changed = text[:place] + digit + text[place + 1 :]
        hits += kind in [name for name, _ in found(f"It was {changed}, they said.")]
    assert hits <= 2  # itself, and for one digit in ten where the rule allows two


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), st.sampled_from((*NATIONAL_IDS, VEHICLE)))
def test_whatever_has_the_form_of_a_number_is_looked_at_and_judged(data: st.DataObject, number: Recognizer) -> None:
    text = data.draw(st.from_regex(re.compile(number.pattern, re.ASCII), fullmatch=True))
    assert LIKE_A_NUMBER.search(text)
    assert number.rule is None or number.rule(compact(text)) in (True, False)


def test_every_national_number_is_in_the_labelled_set() -> None:
    assert {each.kind for each in NATIONAL_IDS} <= {kind for row in labelled_set() for kind, _, _ in row.spans}
    assert len({each.kind for each in NATIONAL_IDS}) >= 30


def test_the_numbers_that_reports_quote_are_those_of_the_code() -> None:
    """``python benchmarks/pii.py --write`` writes them."""
    assert measure_builtins() == measured()
    usual, thorough = (measured()["detectors"][f"patterns {version}"] for version in ("2", "2-thorough"))
    assert len(usual) >= 42
    assert min(numbers["precision"] for numbers in usual.values()) >= 0.95
    assert min(numbers["recall"] for numbers in usual.values()) >= 0.85
    assert min(numbers["recall"] for numbers in thorough.values()) >= 0.75


PRESIDIO = {
    "AU_MEDICARE": (0.87, 1), "AU_TFN": (0.714, 1), "CARD": (0.646, 0.85), "CA_SIN": (0.741, 1), "CRYPTO_ADDRESS": (1,
    0.633), "DE_TAX_ID": (0.592, 0.483), "EMAIL": (0.571, 1), "ES_NIF": (1, 1), "FI_HETU": (0.968, 1), "GB_NHS":
    (0.714, 1), "GB_NINO": (1, 1), "IBAN": (1, 0.8), "IN_AADHAAR": (0.882, 1), "IN_PAN": (0.122, 1), "IP_ADDRESS":
    (0.508, 1), "IT_FISCAL_CODE": (0.984, 1), "KR_RRN": (0.698, 1), "MAC_ADDRESS": (1, 1), "PHONE": (0.126, 0.967),
    "PL_PESEL": (0.732, 1), "SE_PERSONAL": (0.87, 1), "SG_NRIC": (0.789, 1), "TR_IDENTITY": (0.952, 1), "US_ITIN":
    (0.938, 1), "US_SSN": (0.234, 1), "ZA_ID": (1, 1),
}  # fmt: skip
"""Precision and recall of presidio-analyzer 2.2.366 with all its recognizers on the bundled set (benchmarks/pii.py)."""


def test_no_kind_is_found_worse_than_by_presidio() -> None:
    """Presidio reports what overlaps and what no word tells, so all that ``thorough`` finds is what compares."""
    ours = measure(labelled_set(), PatternDetector(thorough=True).find)
    for kind, (precision, recall) in PRESIDIO.items():
        assert round(ours[kind].precision or 0, 3) >= precision, kind
        assert round(ours[kind].recall or 0, 3) >= recall, kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.lee+x@example.co.uk.", ("EMAIL", "ann.lee+x@example.co.uk")),
        ("ann＠example．org", ("EMAIL", "ann＠example．org")),
        ("bob (at) example (dot) com!", ("EMAIL", "bob (at) example (dot) com")),
        ("müller@bücher.example", ("EMAIL", "müller@bücher.example")),
        ("https://x.org/unsub?list=7&email=jane@example.com&x=1", ("EMAIL", "jane@example.com")),
        ("https://x.org/unsub?u=jane%40example.com", ("EMAIL", "jane%40example.com")),
        ("Doe|jane@example.com|x", ("EMAIL", "jane@example.com")),
        ("我的邮箱是123456@example.com请联系", ("EMAIL", "123456@example.com")),
        ("이메일jane@example.com으로", ("EMAIL", "jane@example.com")),
        ("write to _jane@example.com_ today", ("EMAIL", "jane@example.com")),
        ("jane@example.com_old", ("EMAIL", "jane@example.com")),
        ("JANE@EXAMPLE.COM2024", ("EMAIL", "JANE@EXAMPLE.COM")),
        ("to bounces+jane=example.com@lists.org", ("EMAIL", "bounces+jane=example.com@lists.org")),
        ("an@xn--bcher-kva.xn--p1ai", ("EMAIL", "an@xn--bcher-kva.xn--p1ai")),
        ("m\u200barie@exam\u200bple.org", ("EMAIL", "m\u200barie@exam\u200bple.org")),
        ("card ４１１１ １１１１ １１１１ １１１１", ("CARD", "４１１１ １１１１ １１１１ １１１１")),
        ("IBAN ＤＥ89370400440532013000", ("IBAN", "ＤＥ89370400440532013000")),
        ("phone ٠٢٠ ٧٩٤٦ ٠٩٥٨", ("PHONE", "٠٢٠ ٧٩٤٦ ٠٩٥٨")),
        ("NI number АВ123456С", ("GB_NINO", "АВ123456С")),  # Cyrillic capitals
        ("postgres://bob:s3cret@db.example.com/x", ("URL_CREDENTIALS", "bob:s3cret")),
        (
            "0xde709f2102306220921060314715629080e2fb77",
            ("CRYPTO_ADDRESS", "0xde709f2102306220921060314715629080e2fb77"),
        ),
        ("née le 3.4.1987 à Nice", ("DATE_OF_BIRTH", "3.4.1987")),
        (r"Notes:\nMobile:\n0495 72 29 09\n", ("PHONE", "0495 72 29 09")),
        ("see 870109+4727, thanks", ("SE_PERSONAL", "870109+4727")),
        ("my card is 180021859468587", ("CARD", "180021859468587")),
        ("[2001:db8::8a2e:370:7334]", ("IP_ADDRESS", "2001:db8::8a2e:370:7334")),
    ],
)
def test_writings_of_many_kinds(text: str, expected: tuple[str, str]) -> None:
    assert found(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed",
        "version 1.2.3.4",
        "DE89370400440532013001",
        "built on 3.4.1987",
        "std::abc::def",
        "12:30:45",
        "256.1.1.1 is none",
        "at 22:16:09.476914",
        "180021859468587",
        "a@b",
        "tool@4.2.0-beta.rc1",
        "[EMAIL]",
        "[PHONE:bcdfghjklmnpqrst]",
    ],
)
def test_look_alikes_are_left_alone(text: str) -> None:
    assert found(text) == []


def test_another_spelling_is_the_same_identifier() -> None:
    assert (
        normalize("EMAIL", "Ann＠Example.ORG") == normalize("EMAIL", "ann (at) example (dot) org") == "ann@example.org"
    )
    assert normalize("PHONE", "(415) 555-2671") == normalize("PHONE", "+1 415.555.2671 x9") == "+14155552671"
    assert normalize("PHONE", "030 / 2661230", ("DE",)) == "+49302661230"
    assert normalize("IBAN", "de89 3704 0044 0532 0130 00") == "DE89370400440532013000"
    assert normalize("IP_ADDRESS", "2001:DB8:0:0::1") == "2001:db8::1"
    assert normalize("PERSON", "  Ann   LEE ") == "ann lee"


def test_entropy_is_shannons() -> None:
    assert entropy("aabb") == 1.0  # two equal halves: -2 * 1/2 * log2(1/2)
    assert entropy("abcd") == 2.0


def test_a_secret_is_found_in_json_code_and_prose() -> None:
    for text in ('{"db_password": "tr0ub4dor&3"}', "PASSWORD=tr0ub4dor&3\n", "my password is tr0ub4dor&3, ok"):
        assert [text[f.start : f.end].rstrip(",") for f in SECRETS.find(text)] == ["tr0ub4dor&3"], text
    assert SECRETS.find("password: required\ntoken = os.environ['T']\nsecret: <your secret>") == []
