"""Croissant that its own validator accepts and loads, and a card that tells where rows come from (PRV-01, PRV-04)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from tests.datasets.test_imports import context_of, newest, wish_for
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import rows_of
from tunery.datasets.provenance import provenance_of
from tunery.datasets.publishing.card import card_of
from tunery.datasets.publishing.croissant import FILES, write_croissant
from tunery.datasets.publishing.reading import read_croissant
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.views import Provenance
from tunery.kit.actor import Actor
from tunery.kit.yaml_text import parse_yaml
from tunery.platform.ground import Ground

CHATS = [
    {
        "messages": [{"role": "user", "content": f"Who is {n * 7919}?"}, {"role": "assistant", "content": f"{mail}"}],
        "score": n / 2,
        "rank": n,
        "checked": n % 2 == 0,
        "row_id": "theirs",
        "odd name, ünd {more}": None if n else "x",
    }
    for n, mail in ((n, f"ann{n}@example.com" if n < 3 else "nobody") for n in range(20))
]


@pytest.fixture
def described(ground: Ground, actor: Actor) -> tuple[DatasetVersion, Provenance]:
    """A version of chats from a web page, with what is known of it."""
    wish = wish_for(ground, actor, CHATS, sanitize=[{"step": "redact_pii"}], test_split=4)
    said = {"license": "CC-BY-4.0", "url": "https://example.com/chats", "source_type": "web_scrape"}
    execute_import(context_of(ground, actor), wish.model_copy(update=said))
    version = newest(ground, actor)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return version, provenance_of(session, version)


def text_of(record: dict[str, Any], name: str) -> str:
    value = record[f"rows/{name}"]
    return value.decode() if isinstance(value, bytes) else value


def test_mlcroissant_validates_and_loads_what_is_written(
    ground: Ground, described: tuple[DatasetVersion, Provenance], tmp_path: Path
) -> None:
    version, record = described
    write_croissant(ground, version, record, tmp_path / "out")
    assert sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    ) == sorted(FILES)
    validator = Path(sys.executable).with_name("mlcroissant")
    subprocess.run([validator, "validate", "--jsonld", tmp_path / "out" / "croissant.json"], check=True, timeout=100)
    found = mlcroissant.Dataset(str(tmp_path / "out" / "croissant.json"))
    assert found.metadata.ctx.issues.errors == set()
    assert found.metadata.ctx.issues.warnings == set()
    assert found.metadata.license == ["https://spdx.org/licenses/CC-BY-4.0"]
    loaded = list(found.records("rows"))
    stored = list(rows_of(ground, version))
    assert [text_of(each, "row_id") for each in loaded] == [row.row_id for row in stored]
    assert [text_of(each, "split") for each in loaded] == [row.split for row in stored]
    assert [json.loads(text_of(each, "messages")) for each in loaded] == [row.values["messages"] for row in stored]
    assert text_of(loaded[0], "column-4") == "x"  # a column's name that can be no @id
    first = loaded[1]
    assert (first["rows/score"], first["rows/rank"], first["rows/checked"]) == (0.5, 1, False)
    assert {each["splits/name"] for each in found.records("splits")} == {"train", "validation", "test"}
    assert read_croissant(tmp_path / "out").split_column == "split"


def test_responsible_ai_terms_say_what_was_measured_and_what_was_not(
    ground: Ground, described: tuple[DatasetVersion, Provenance], tmp_path: Path
) -> None:
    version, record = described
    write_croissant(ground, version, record, tmp_path / "out")
    metadata = mlcroissant.Dataset(str(tmp_path / "out" / "croissant.json")).metadata
    assert "https://example.com/chats" in metadata.data_collection
    assert metadata.data_collection_type == ["Web Scraping"]
    assert metadata.data_biases == ["Not measured."]
    assert "3 EMAIL" in " ".join(metadata.personal_sensitive_information)
    assert "redact_pii" in metadata.data_preprocessing_protocol[0]


def test_the_card_has_a_head_for_the_hub_and_says_how_much_detectors_find(
    described: tuple[DatasetVersion, Provenance],
) -> None:
    version, record = described
    card = card_of(record, version.shape, version.rows, "Chats: of --- people")
    _, head, body = card.split("---\n", 2)
    parsed = parse_yaml(head, "a card")
    assert (parsed["license"], parsed["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    for told in ("Chats: of --- people", "3 EMAIL", "measured recall", "It misses some", record.sources[0].digest):
        assert told in body
    assert "## Limitations" in body
    assert "No near-duplicates" in body
    leaking = record.model_copy(update={"quality_metrics": record.quality_metrics | {"leakingRows": 1}})
    torn = card_of(leaking, version.shape, version.rows)
    assert "1 rows of the last import are near copies of rows in another split" in torn
    assert "No near-duplicates" not in torn


def test_a_card_claims_nothing_that_nobody_looked_at(ground: Ground, actor: Actor) -> None:
    rows = [{"text": f"row {n * 7919}"} for n in range(20)]
    wish = wish_for(ground, actor, rows, validation_split=0, test_split=0)
    version = execute_import(context_of(ground, actor), wish.model_copy(update={"license": None}))
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        card = card_of(provenance_of(session, version), version.shape, version.rows)
    assert "whether there is any is unknown" in card
    assert "ear-duplicates" not in card  # nothing was held out, so nothing was compared
    assert 'license: "other"' in card
    assert "is without a licence; a person must find out" in card
