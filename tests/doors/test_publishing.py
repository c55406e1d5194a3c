"""A version leaves as Croissant through SDK and command line, comes back with what is known of it, and has a card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from tunery.client import Client
from tunery.errors import InvalidInput

Tunery = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def asked(client: Client, tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n * 7919}?", "completion": str(n)}) + "\n" for n in range(40)))
    said = {"license": "CC-BY-4.0", "source_type": "user_data", "collected_at": "2024-01-01"}
    return str(client.jobs.wait(client.datasets.import_(path, name="asked", **said).job_id).result["reference"])


def test_a_croissant_is_written_loaded_and_imported_again(
    client: Client, tunery: Tunery, asked: str, tmp_path: Path
) -> None:
    code, written, error = tunery("datasets", "croissant", asked, "--output", tmp_path / "out")
    assert code == 0, error
    assert (code, {Path(file["path"]).name for file in written}) == (0, {"croissant.json", "README.md", "rows.parquet"})
    assert len(list(mlcroissant.Dataset(str(tmp_path / "out" / "croissant.json")).records("rows"))) == 40
    with pytest.raises(InvalidInput, match="there already"):
        client.datasets.croissant(asked, tmp_path / "out")
    code, result, error = tunery("datasets", "import", tmp_path / "out", "--name", "again")
    assert code == 0, error
    [source] = client.datasets.provenance("again").sources
    assert (source.type, source.license, source.sample_count) == ("croissant", "CC-BY-4.0", 40)
    assert result["totalSamples"] == 40


def test_prv_01_the_record_and_the_card_say_what_was_said(client: Client, tunery: Tunery, asked: str) -> None:
    record = client.datasets.provenance(asked)
    assert (record.sources[0].type, f"{record.collection_date:%Y-%m-%d}") == ("user_data", "2024-01-01")
    code, shown, _ = tunery("datasets", "provenance", asked)
    assert (code, shown["licensing"]["commercialUse"]) == (0, True)
    code, card, _ = tunery("datasets", "card", asked)
    assert (code, card["reference"]) == (0, asked)
    assert 'license: "cc-by-4.0"' in card["markdown"]


def test_a_licence_that_spdx_does_not_know_is_refused_before_anything_is_made(
    client: Client, tunery: Tunery, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    code, _, error = tunery("datasets", "import", tmp_path / "rows.jsonl", "--license", "free for all")
    assert code != 0
    assert "SPDX knows no licence" in error
