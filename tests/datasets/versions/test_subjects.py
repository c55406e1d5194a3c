"""Rows are found again by whom they are about, whatever became of their text."""

from __future__ import annotations

import json
import pickle
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.test_imports import context_of, newest
from tests.datasets.versions.test_changes import imported
from tunery.datasets.identifiers import FORGOTTEN, PURPOSE, SPELLINGS, Identifiers, entries_for, entries_of
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import rows_of
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.redaction import Redactor
from tunery.datasets.sanitize.redact_pii import RedactPii
from tunery.datasets.tables import ForgottenSubject
from tunery.datasets.versions import subject_index
from tunery.datasets.versions.changing import compact_dataset, delete_rows
from tunery.datasets.versions.finding import find_lines, find_rows
from tunery.datasets.versions.subject_index import RECORD_BYTES, Records, SubjectIndex, build_index
from tunery.datasets.views import DatasetImport
from tunery.kit.actor import Actor
from tunery.platform.blobs.tenant_secrets import TenantSecret
from tunery.platform.ground import Ground


def people(count: int) -> list[dict[str, str]]:
    return [
        {"prompt": f"{i * i * 7919 + i} p{i}@example.com", "completion": f"answer {i}", "customer": f"C-{i:04}"}
        for i in range(count)
    ]


WHOLE = {"validation_split": 0, "test_split": 0}


def found(ground: Ground, actor: Actor, identifier: str) -> set[str]:
    secrets = ground.blobs.keyring.secrets.every(actor.tenant_id, PURPOSE)
    return {row.row_id for row in find_rows(ground, actor.tenant_id, entries_for(identifier, secrets))}


@settings(max_examples=60)
@given(st.integers(0, 40), st.integers(0, 3000), st.randoms(use_true_random=False))
def test_an_index_finds_every_row_of_an_entry_and_no_other(kinds: int, count: int, rng: random.Random) -> None:
    known = [rng.randbytes(20) for _ in range(kinds)]
    expected: defaultdict[bytes, list[int]] = defaultdict(list)
    for number in range(count if known else 0):
        expected[known[int(rng.random() ** 3 * kinds)]].append(number)  # some are in very many rows
    data = build_index((entry, number) for entry, numbers in expected.items() for number in numbers)
    index = SubjectIndex(lambda start, length: data[start : start + length], len(data))
    assert len(data) == RECORD_BYTES * sum(map(len, expected.values()))
    for entry in [*known, rng.randbytes(20)]:
        assert index.rows(entry) == expected.get(entry, [])


def test_an_index_is_made_in_parts_of_one_size_though_one_entry_is_in_most_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subject_index, "_SORTED_BYTES", 1 << 16)
    monkeypatch.setattr(subject_index, "_PIECE_RECORDS", 1 << 11)
    monkeypatch.setattr(subject_index, "_HELD_BYTES", 1 << 14)
    rng, records, expected = random.Random(1), Records(tmp_path), []
    for number in range(20_000):
        entry = rng.randbytes(20) if number % 10 == 0 else b"keys" + bytes(range(16))
        records.add([entry], number)
        expected.append(entry[4:] + entry[:4] + number.to_bytes(4, "big"))
    parts = [*records.in_order()]
    assert b"".join(parts) == b"".join(sorted(expected))
    assert len(parts) == 20_000 * RECORD_BYTES // (1 << 16) + 1 == 8
    assert max(map(len, parts)) < 2 * (1 << 16)


def test_a_row_is_found_by_its_identifiers_however_they_are_written(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(30), subject_columns=["customer"])
    ids = [row.row_id for row in rows_of(ground, version)]
    assert found(ground, actor, "p7@example.com") == {ids[7]}
    assert found(ground, actor, "P7@Example.COM") == {ids[7]}
    assert found(ground, actor, "c-0012") == {ids[12]}
    assert found(ground, actor, "p99@example.com") == set()


IDENTIFIERS = st.one_of(
    st.from_regex(r"[a-z]{2,8}[0-9]{0,3}@[a-z]{3,9}\.(com|org|de)", fullmatch=True).map(lambda each: ("mail", each)),
    st.integers(2_025_550_100, 2_025_550_199).map(lambda n: ("mobile phone", str(n))),
    st.sampled_from(["4111111111111111", "5555555555554444"]).map(lambda each: ("card", each)),
    st.integers(536_010_001, 536_999_999)
    .filter(lambda n: n // 10_000 % 100 and n % 10_000)
    .map(lambda n: ("ssn", str(n))),
)
MAILS = (
    "{}",
    "https://x.org/u?e={}&n=1",
    "to=a|{}",
    "邮箱{}请",
    "_{}_",
    "{}_old",
    "{}2024",
    "почта{}",
    "user={}",
    "mailto%3A{}",
    "mailto:%20{}",
    "see %22{}%22",
)


@settings(max_examples=150)
@given(IDENTIFIERS, IDENTIFIERS, st.data())
def test_what_is_redacted_is_found_again_however_messy_and_nobody_else_is(
    one: tuple[str, str], other: tuple[str, str], data: st.DataObject
) -> None:
    (label, identifier), secrets = one, [TenantSecret(1, bytes(32))]
    value: Any = identifier
    if label == "mail":
        value = data.draw(st.sampled_from(MAILS)).format(identifier)
    elif data.draw(st.booleans()):
        value = data.draw(st.sampled_from([int(identifier), float(identifier), f"{identifier}.0"]))
    places: list[dict[str, Any]] = [{label: value}, {"meta": {label: [value]}}]
    places += [{"text": f"her {label}: {value}"}] if label == "mail" or value == identifier else []
    places += [{"meta": {value: 1}}] if label == "mail" else []
    row = {"text": "hello"} | data.draw(st.sampled_from(places))
    redacted = Redactor([PatternDetector()], {}).row(row, lambda kind, path, sample: None)
    assert identifier not in json.dumps(redacted, ensure_ascii=False)
    noted = {*entries_of(pickle.loads(pickle.dumps(Identifiers())).in_row(row), secrets)}
    assert not noted.isdisjoint(entries_for(identifier.upper(), secrets))
    assert one[1] == other[1] or noted.isdisjoint(entries_for(other[1], secrets))


def test_an_identifier_in_other_writings_is_the_same() -> None:
    secrets = [TenantSecret(1, bytes(32))]
    for asked, row in [
        ("jane+news@example.com", {"text": "https://x.org/?q=jane%2Bnews%40example.com&n=1"}),
        ("jane@example.com", {"text": "%3Cjane%40example.com%3E"}),
        ("10012", {"id": "10012.0"}),
        ("10012", {"id": 10012.0}),
    ]:
        noted = {*entries_of(Identifiers(("id",)).in_row(row), secrets)}
        assert not noted.isdisjoint(entries_for(asked, secrets)), row


def test_a_tenants_own_formats_and_countries_name_people_too() -> None:
    secrets = [TenantSecret(1, bytes(32))]
    row = {"text": "patient MRN-1234567 came in, unit AA:BB:CC:DD:EE:FF 7; call 612 345 678, badge QXZ"}
    patterns = {"MEDICAL_RECORD": "MRN[- ]?[0-9]{7}", "BADGE": "badge (?P<id>[A-Z]{3})"}
    step = RedactPii(step="redact_pii", regions=["ES"], patterns=patterns)
    noted = {*entries_of(pickle.loads(pickle.dumps(Identifiers((), (step,)))).in_row(row), secrets)}
    for asked in ("mrn 1234567", "+34 612 345 678", "612345678", "aa:bb:cc:dd:ee:ff", "qxz"):
        assert not noted.isdisjoint(entries_for(asked, secrets)), asked
    assert noted.isdisjoint(entries_for("MRN 1234568", secrets))


def test_who_was_erased_does_not_come_back_though_the_column_is_not_declared_again(
    ground: Ground, actor: Actor
) -> None:
    secret = ground.blobs.keyring.secrets.newest(actor.tenant_id, FORGOTTEN)
    with ground.database.session(actor.tenant_id) as session:
        for asked in ("C-0003", "p5@example.com", "1007"):
            session.add_all(ForgottenSubject(entry=entry.hex()) for entry in entries_for(asked, [secret]))
    rows = [each | {"meta": {"id": 1007, "n": number}} for number, each in enumerate(people(10))]
    version = imported(ground, actor, [{**each, "customer": [each["customer"].lower()]} for each in rows])
    assert version.total_samples == 8  # a number of four digits says too many things
    assert version.source_digest is None


def test_people_who_stand_beside_the_rows_of_a_file_are_found_in_it(ground: Ground, actor: Actor) -> None:
    document = {"contact": {"phone": 2025550143}, "data": people(5), "by": {"mail": "jane@example.com"}}
    path = json.dumps(document).encode()
    digest = ground.blobs.put(actor.tenant_id, path, "application/json").digest
    wish = DatasetImport(name="asides", file_digest=digest, file_name="rows.json")
    version = execute_import(context_of(ground, actor), wish)
    secrets = ground.blobs.keyring.secrets.every(actor.tenant_id, PURPOSE)
    for asked in ("jane@example.com", "+1 202 555 0143", "p3@example.com"):
        assert find_lines(ground, actor.tenant_id, entries_for(asked, secrets)) == {version.source_digest: [1]}


def test_a_row_is_found_after_its_identifier_was_redacted_and_the_row_was_moved(ground: Ground, actor: Actor) -> None:
    version = imported(ground, actor, people(30), sanitize=[{"step": "redact_pii"}, {"step": "deduplicate"}], **WHOLE)
    assert not any("@" in row.content for row in rows_of(ground, version))
    [row_id] = found(ground, actor, "p7@example.com")
    ids = [row.row_id for row in rows_of(ground, version)]
    imported(ground, actor, people(40)[30:], "append", **WHOLE)
    compact_dataset(context_of(ground, actor), "things")
    assert found(ground, actor, "p7@example.com") == {row_id} == {ids[7]}
    assert len(found(ground, actor, "p33@example.com")) == 1
    delete_rows(context_of(ground, actor), "things", [row_id])
    assert found(ground, actor, "p7@example.com") == {row_id}  # older versions hold it still


def test_a_row_is_found_by_the_key_of_its_time(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10))
    ground.blobs.keyring.secrets.renew(actor.tenant_id, PURPOSE)
    imported(ground, actor, people(20)[10:], "append")
    assert len(found(ground, actor, "p3@example.com")) == len(found(ground, actor, "p13@example.com")) == 1


def test_rows_and_the_forgotten_are_found_by_the_spelling_of_their_time(
    ground: Ground, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(ground, actor, people(10))
    secret = ground.blobs.keyring.secrets.newest(actor.tenant_id, FORGOTTEN)
    with ground.database.session(actor.tenant_id) as session:
        session.add_all(ForgottenSubject(entry=entry.hex()) for entry in entries_for("p25@example.com", [secret]))
    monkeypatch.setitem(SPELLINGS, 2, lambda kind, text: text[::-1].upper())
    version = imported(ground, actor, people(30)[10:], "append")
    assert version.total_samples == 29
    assert len(found(ground, actor, "p3@example.com")) == len(found(ground, actor, "p13@example.com")) == 1
    monkeypatch.delitem(SPELLINGS, 1)
    assert (found(ground, actor, "p3@example.com"), len(found(ground, actor, "p13@example.com"))) == (set(), 1)


def test_a_line_of_the_source_is_found_though_its_row_was_left_out_or_set_aside(ground: Ground, actor: Actor) -> None:
    rows = [*people(10), people(10)[3], '{"prompt": "broken, of p3@example.com"']
    version = imported(ground, actor, rows, sanitize=[{"step": "deduplicate"}], on_error="quarantine", **WHOLE)
    secrets = ground.blobs.keyring.secrets.every(actor.tenant_id, PURPOSE)
    lines = find_lines(ground, actor.tenant_id, entries_for("p3@example.com", secrets))
    assert lines == {version.source_digest: [4, 11, 12]}


def test_a_stranger_finds_nothing(ground: Ground, actor: Actor, stranger: Actor) -> None:
    imported(ground, actor, people(10))
    assert found(ground, stranger, "p3@example.com") == set()


def test_a_dataset_may_be_left_out_of_the_index(ground: Ground, actor: Actor) -> None:
    imported(ground, actor, people(10), subject_index=False)
    assert found(ground, actor, "p3@example.com") == set()


@pytest.mark.parametrize("indexed", [True, False])
def test_who_was_erased_does_not_come_in_again(ground: Ground, actor: Actor, indexed: bool) -> None:
    secret = ground.blobs.keyring.secrets.newest(actor.tenant_id, FORGOTTEN)
    with ground.database.session(actor.tenant_id) as session:
        session.add_all(ForgottenSubject(entry=entry.hex()) for entry in entries_for("p3@example.com", [secret]))
    rows = [*people(10), '{"prompt": "broken, of p3@example.com"', '{"prompt": "broken"']
    imported(ground, actor, rows, on_error="quarantine", subject_index=indexed)
    version = newest(ground, actor)
    assert (version.total_samples, version.quarantined) == (9, 2)
    assert not any("p3@" in row.content for row in rows_of(ground, version))
    assert version.quarantine_digest is not None
    assert b"p3@" not in ground.blobs.read(actor.tenant_id, version.quarantine_digest)
    assert version.provenance["qualityMetrics"]["rowsOfErasedSubjects"] == 1
    assert version.source_digest is None
