"""A Croissant on this disk says what its data file is; what it does not say truly is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunery.datasets.publishing.reading import read_croissant
from tunery.errors import FormatInvalid, InvalidInput
from tunery.kit.digests import sha256_bytes

ROWS = b'{"text": "a"}\n'


def written(folder: Path, **changes: Any) -> Path:
    (folder / "rows.jsonl").write_bytes(ROWS)
    file = {"@type": "cr:FileObject", "contentUrl": "rows.jsonl", "sha256": sha256_bytes(ROWS)}
    whole = {
        "@type": "sc:Dataset",
        "name": "Some Talks",
        "license": "https://spdx.org/licenses/CC-BY-4.0.html",
        "url": "https://example.com/talks",
        "description": {"en": "Talks."},
        "distribution": [file, {"@type": "cr:FileObject", "contentUrl": "https://example.com/more.zip"}],
    }
    (folder / "croissant.json").write_text(json.dumps(whole | changes))
    return folder


def test_name_licence_address_and_description_are_taken(tmp_path: Path) -> None:
    found = read_croissant(written(tmp_path))
    assert found == read_croissant(tmp_path / "croissant.json")
    assert (found.path, found.name, found.license) == (tmp_path / "rows.jsonl", "some-talks", "CC-BY-4.0")
    assert (found.url, found.description) == ("https://example.com/talks", "Talks.")


def test_the_column_of_splits_is_taken_where_all_of_them_are_splits_here(tmp_path: Path) -> None:
    def column(*names: str) -> str | None:
        data = [{"folds/name": name, "folds/url": f"cr:{name.title()}Split"} for name in names]
        refers = {"references": {"field": {"@id": "folds/name"}}, "source": {"extract": {"column": "part"}}}
        sets = [{"@id": "folds", "dataType": ["cr:Split"], "data": data}, {"@id": "rows", "field": [{}, refers]}]
        return read_croissant(written(tmp_path, recordSet=sets)).split_column

    assert column("train", "val", "test") == "part"
    assert column("train", "unsupervised") is None
    assert column() is None


@pytest.mark.parametrize(
    ("value", "license"),
    [
        (["MIT", "https://spdx.org/licenses/Apache-2.0"], "MIT AND Apache-2.0"),
        ({"@type": "CreativeWork", "name": "Our terms"}, "LicenseRef-our-terms"),
        ([{"@type": "CreativeWork", "url": "https://spdx.org/licenses/MIT"}], "MIT"),
        (None, None),
    ],
)
def test_a_licence_is_read_however_it_is_written(tmp_path: Path, value: Any, license: str | None) -> None:
    assert read_croissant(written(tmp_path, license=value)).license == license


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"@type": "sc:Person"}, FormatInvalid),
        ({"distribution": []}, InvalidInput),
        ({"distribution": None}, InvalidInput),
        ({"distribution": [{"contentUrl": "../rows.jsonl"}]}, FormatInvalid),
        ({"distribution": [{"contentUrl": "rows.jsonl", "sha256": "0" * 64}]}, FormatInvalid),
        ({"distribution": [{"contentUrl": "rows.jsonl"}, {"contentUrl": "croissant.json"}]}, InvalidInput),
    ],
)
def test_what_is_no_croissant_or_is_not_true_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_croissant(written(tmp_path, **changes))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="folder without croissant.json"):
        read_croissant(tmp_path)
    for text in ("{", "[" * 100_000, "[]", '"x"'):
        (tmp_path / "croissant.json").write_text(text)
        with pytest.raises(FormatInvalid):
            read_croissant(tmp_path)
