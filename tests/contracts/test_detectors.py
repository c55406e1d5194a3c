"""Every detector, built in or a stranger's, keeps the port's promises (DAT-04)."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunery.datasets.pii import DETECTORS, Detector
from tunery.datasets.pii.custom import CustomDetector
from tunery.datasets.pii.labelled import labelled_set
from tunery.datasets.pii.redaction import Redactor
from tunery.errors import InvalidInput, MissingExtra

unhurried = settings(max_examples=80, suppress_health_check=list(HealthCheck))
detectors = pytest.mark.parametrize("name", [*DETECTORS.names(), "custom"])

SAMPLES = [row.text for row in labelled_set()][::37]
PIECES = [
    "@",
    "://",
    "1",
    "٣",
    "a",
    "А",
    "[",
    "]",
    "[EMAIL]",
    "-",
    ".",
    ":",
    " ",
    "\n",
    "0x",
    "eyJ",
    "password=",
    "né le ",
]
texts = st.one_of(
    st.text(max_size=200),
    st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(SAMPLES)), max_size=12).map("".join),
    st.text(st.characters(blacklist_categories=()), max_size=60),
)
HOSTILE = {
    "letters": "a",
    "capitals": "A",
    "digits": "1",
    "spaced digits": "1 ",
    "dashes": "1-",
    "dots": "1.",
    "at signs": "@",
    "addresses": "a@a.",
    "brackets": "(",
    "colons": "a:",
    "slashes": "://",
    "credentials": "://a:b",
    "base64": "eyJ",
    "blocks": "-----BEGIN PRIVATE KEY-----",
    "assignments": "password=",
    "births": "born 1.1.",
    "full width": "１",
    "invisible": "1\u200b",
    "zeros": "0x",
    "base58": "3A",
}


def detector_of(name: str) -> Detector:
    if name == "custom":
        return CustomDetector({"MEDICAL_RECORD": r"MRN[- ]?[0-9]{7}", "STAFF": r"staff no\. (?P<id>[0-9]{4,9})"})
    try:
        return DETECTORS.get(name)()
    except (MissingExtra, InvalidInput) as absent:
        pytest.skip(str(absent))


def test_the_promised_detectors_are_there() -> None:
    assert {"patterns", "secrets", "entities"} <= set(DETECTORS.names())


@detectors
def test_a_detector_says_what_it_is(name: str) -> None:
    detector = detector_of(name)
    assert detector.name == name
    assert detector.version
    assert detector.kinds
    assert len(set(detector.kinds)) == len(detector.kinds)


@detectors
@unhurried
@given(text=texts)
def test_findings_lie_in_the_text_whatever_it_is(name: str, text: str) -> None:
    detector = detector_of(name)
    found = detector.find(text)
    for each in found:
        assert 0 <= each.start < each.end <= len(text)
        assert 0 < each.confidence <= 1
        assert each.kind in detector.kinds
    assert sorted(map(repr, found)) == sorted(map(repr, detector.find(text)))


@detectors
@unhurried
@given(text=texts, action=st.sampled_from(["redact", "mask", "hash", "pseudonym"]))
def test_redacting_what_was_redacted_changes_nothing_s54(name: str, text: str, action: str) -> None:
    redactor = Redactor([detector_of(name)], {}, action, key=b"k" * 32)  # type: ignore[arg-type]
    once = redactor.text(text)
    assert redactor.text(once) == once


@detectors
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_take_linear_time(name: str, unit: str) -> None:
    if name == "entities":
        return  # a model's time grows with the words, and it is slow
    detector = detector_of(name)

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        started = time.thread_time()  # what else goes on in the test process does not count
        detector.find(text)
        return time.thread_time() - started

    seconds(1000)
    bound = max(25 * seconds(20_000), 0.5)  # ten times the text; quadratic would be a hundred times
    assert any(seconds(200_000) < bound for _ in range(3))  # the garbage of other tests may be collected meanwhile


@detectors
def test_a_million_characters_are_read_in_seconds(name: str) -> None:
    if name == "entities":
        return
    detector, letters = detector_of(name), Random(1).choices("ab1 @.-:/", k=1_000_000)
    started = time.thread_time()
    for text in ("a" * 1_000_000, "7" * 1_000_000, "".join(letters)):
        detector.find(text)
    assert time.thread_time() - started < 20
