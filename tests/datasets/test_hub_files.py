"""Which files of a Hub repository are the rows of a split (DAT-01)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.sources import SourceFile
from tunery.datasets.sources.hub_files import choose_files, read_card
from tunery.datasets.sources.joining import join_files
from tunery.errors import FormatInvalid, NotFound, RowInvalid

READING: dict[str, Any] = {"format_name": None, "max_row_bytes": 1000, "cancelled": lambda: False}
CARD = """\
---
license: mit
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: "en/train-*.parquet"
  - split: test
    path: ["en/test.parquet"]
- config_name: de
  data_dir: de
  data_files:
    train: "**/*.jsonl"
- config_name: all
  data_files: "*/*.parquet"
---
# A card
"""
NAMES = [
    *("README.md", "dataset_infos.json", "load.py", "en/train-00001.parquet", "en/train-00000.parquet"),
    *("en/test.parquet", "de/a/rows.jsonl", "de/b.jsonl"),
]


@pytest.mark.parametrize(
    ("config", "split", "chosen"),
    [
        (None, None, ("en", "train", ["en/train-00000.parquet", "en/train-00001.parquet"])),
        ("en", "test", ("en", "test", ["en/test.parquet"])),
        ("de", None, ("de", "train", ["de/a/rows.jsonl", "de/b.jsonl"])),
        ("all", None, ("all", "train", ["en/test.parquet", "en/train-00000.parquet", "en/train-00001.parquet"])),
    ],
)
def test_the_card_says_which_files(config: str | None, split: str | None, chosen: Any) -> None:
    assert choose_files(NAMES, read_card(CARD), config, split) == chosen


@pytest.mark.parametrize(
    ("names", "split", "files"),
    [
        (["data/train-00000-of-1.parquet", "data/test-0-of-1.parquet"], None, ["data/train-00000-of-1.parquet"]),
        (["train.jsonl", "dev.jsonl"], "validation", ["dev.jsonl"]),
        (["my_training.csv", "latest.csv"], None, ["my_training.csv"]),
        (["rows.json", "README.md", "LICENSE.txt"], None, ["rows.json"]),
        (["a.jsonl", "a.parquet"], None, ["a.parquet"]),
        (["only-test.csv"], None, ["only-test.csv"]),
    ],
)  # fmt: skip
def test_without_a_card_their_names_do(names: list[str], split: str | None, files: list[str]) -> None:
    assert choose_files(names, {}, None, split)[2] == files


def test_a_folder_stands_for_a_configuration() -> None:
    assert choose_files(["de/train.csv", "en/train.csv"], {}, "de", None) == ("de", "train", ["de/train.csv"])
    with pytest.raises(NotFound, match="'fr'"):
        choose_files(["de/train.csv"], {}, "fr", None)


def test_what_is_there_is_named_where_the_choice_is_open() -> None:
    with pytest.raises(NotFound, match="there are 'test', 'validation'"):
        choose_files(["validation.csv", "test.csv"], {}, None, None)
    with pytest.raises(NotFound, match=r"'en', 'de', 'all', not 'fr'"):
        choose_files(NAMES, read_card(CARD), "fr", None)
    with pytest.raises(NotFound, match="there are 'train', 'test', not 'dev'"):
        choose_files(NAMES, read_card(CARD), "en", "dev")


def test_a_script_is_never_run_and_no_data_are_an_error() -> None:
    """S51."""
    with pytest.raises(FormatInvalid, match=r"made by a script \(squad.py\)") as refusal:
        choose_files(["README.md", "squad.py", "dataset_infos.json"], {}, None, None)
    assert refusal.value.status == 422
    with pytest.raises(FormatInvalid, match="no Parquet"):
        choose_files(["image.png"], {}, None, None)


@pytest.mark.parametrize(
    "path", ["file:///etc/passwd", "https://evil.example/x.csv", "/etc/passwd", "../x.csv", "~/x.csv"]
)
def test_a_card_that_names_data_elsewhere_is_refused(path: str) -> None:
    """S51."""
    with pytest.raises(FormatInvalid, match="outside of the repository"):
        choose_files(["a.csv"], {"configs": [{"config_name": "x", "data_files": path}]}, None, None)


def test_a_card_that_cannot_be_read_says_nothing() -> None:
    assert read_card("---\na: &x [1]\nb: *x\n---\n") == read_card("# no head") == read_card("") == {}
    assert choose_files(["a.csv"], {"configs": ["x", 7, {"config_name": "y"}]}, None, None)[2] == ["a.csv"]


def test_several_files_are_one_in_their_encoding_and_what_is_no_row_is_set_aside_by_its_file(tmp_path: Path) -> None:
    files = {"train-0.csv": "text,label\ncafé,x\nbad row\n", "train-1.csv": "text,label\nnaïve,y\n"}
    paths = [tmp_path / name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_bytes(text.encode("cp1252"))
    joined = tmp_path / "train.jsonl"
    join_files(paths, joined, encoding="cp1252", on_error="quarantine", **READING)
    with joined.open("rb") as file:
        first, bad, second = IMPORTERS.get("jsonl")(file, 1000)
    assert (first, second) == (
        Record(1, {"text": "café", "label": "x"}),
        Record(3, {"text": "naïve", "label": "y"}),
    )
    assert isinstance(bad, Malformed)
    assert "train-0.csv, line 3: " in bad.text
    assert "bad row" in bad.text
    with pytest.raises(RowInvalid, match=r"train-0\.csv, line 3: .*--on-error quarantine"):
        join_files(paths, joined, encoding="cp1252", on_error="stop", **READING)


def test_what_was_declared_of_several_files_is_not_said_of_the_one_they_became() -> None:
    declared = ImportOptions(format="csv", encoding="cp1252", key="id")
    told = ("0" * 64, "train.jsonl", "hf://datasets/org/rows@0", None, {})
    assert SourceFile(*told, joined=True).read_with(declared) == ImportOptions(key="id")
    assert SourceFile(*told).read_with(declared) == declared
