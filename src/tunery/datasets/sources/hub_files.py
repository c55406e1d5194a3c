"""Which files of a Hub repository are the rows of a split: as its card says, else by the files' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from tunery.errors import FormatInvalid, NotFound
from tunery.kit.yaml_text import YamlFault, parse_yaml

__all__ = ["choose_files", "read_card"]

_FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}
"""Formats by ending; where a split has files of several, those of the first format here are taken."""
_NO_DATA = re.compile(r"(^|/)(dataset_infos|dataset_dict|dataset_info|state|LICENSE|README|\.)[^/]*$", re.I)
_SPLITS = {
    "train": re.compile(r"(?:^|[/_.\- ])train(?:ing)?(?=[/_.\- \d]|$)", re.I),
    "validation": re.compile(r"(?:^|[/_.\- ])(?:validation|valid|val|dev)(?=[/_.\- \d]|$)", re.I),
    "test": re.compile(r"(?:^|[/_.\- ])(?:test|testing|eval|evaluation)(?=[/_.\- \d]|$)", re.I),
}

Splits = dict[str, list[str]]


def read_card(text: str) -> dict[str, Any]:
    """Return the YAML head of a dataset card; nothing where it has none that can be read."""
    found = re.match(r"---\r?\n(.*?)\r?\n---\r?(\n|$)", text, re.S)
    try:
        return parse_yaml(found[1], "a card") if found else {}
    except YamlFault:
        return {}


def choose_files(
    names: Collection[str], card: dict[str, Any], config: str | None, split: str | None
) -> tuple[str, str, list[str]]:
    """Return the names of the configuration and the split, and the files they consist of, in order.

    Raises:
        NotFound: No such configuration or split; those that are there are named. FormatInvalid: the repository has no
            data files, only a script, or its card names data that lie elsewhere.
    """
    data = sorted(
        name for name in names if PurePosixPath(name).suffix.lower() in _FORMATS and not _NO_DATA.search(name)
    )
    if not data:
        raise _without_data(names)
    configs = _declared(card)
    if configs:
        config = _chosen("configuration", config, list(configs), _default_of(card, configs))
        splits = {name: _matching(data, patterns) for name, patterns in configs[config].items()}
    else:
        if config is not None:
            data = [name for name in data if config in PurePosixPath(name).parts[:-1]]
            if not data:
                raise NotFound(f"there is no configuration {config[:50]!r}: no data file lies in a folder of that name")
        splits = _by_name(data)
    split = _chosen("split", split, list(splits), "train")
    files = _of_one_format(splits[split])
    if not files:
        raise FormatInvalid(f"the split {split[:50]!r} has no data files that can be read")
    return config or "default", split, files


def _declared(card: dict[str, Any]) -> dict[str, Splits]:
    """Return patterns by split by configuration. Source: huggingface.co/docs/hub/datasets-manual-configuration."""
    found: dict[str, Splits] = {}
    configs = card.get("configs")
    for number, config in enumerate(configs if isinstance(configs, list) else []):
        if isinstance(config, dict) and "data_files" in config:
            folder = str(config.get("data_dir", "")).strip("/")
            splits = _patterns(config["data_files"])
            name = str(config.get("config_name", f"config {number}"))
            found[name] = {
                split: [_inside(f"{folder}/{pattern}" if folder else pattern) for pattern in patterns]
                for split, patterns in splits.items()
            }
    return found


def _patterns(files: Any) -> Splits:
    if isinstance(files, dict):
        return {str(split): _texts(patterns) for split, patterns in files.items()}
    splits: Splits = {}
    for item in files if isinstance(files, list) else [files]:
        if isinstance(item, dict):
            splits.setdefault(str(item.get("split", "train")), []).extend(_texts(item.get("path")))
        else:
            splits.setdefault("train", []).extend(_texts(item))
    return splits


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _inside(pattern: str) -> str:
    if "://" in pattern or pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
        raise FormatInvalid(f"its card names data outside of the repository ({pattern[:100]!r}), which is not fetched")
    return pattern.removeprefix("./")


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    wanted = [
        form for pattern in patterns for form in (pattern, pattern.replace("**/", ""), f"{pattern.rstrip('/')}/*")
    ]
    return [name for name in names if any(fnmatchcase(name, form) for form in wanted)]


def _by_name(names: Sequence[str]) -> Splits:
    splits: Splits = {}
    for name in names:
        for split, pattern in _SPLITS.items():
            if pattern.search(name.rpartition(".")[0]):
                splits.setdefault(split, []).append(name)
                break
    return splits or {"train": list(names)}


def _default_of(card: dict[str, Any], configs: Collection[str]) -> str:
    marked = [item for item in card["configs"] if isinstance(item, dict) and item.get("default") is True]
    name = str(marked[0].get("config_name")) if marked else "default"
    return name if name in configs else "default"


def _chosen(what: str, wanted: str | None, known: Sequence[str], usual: str) -> str:
    choice = wanted if wanted is not None else usual if usual in known else known[0] if len(known) == 1 else None
    if choice is None or choice not in known:
        shown = ", ".join(map(repr, known[:20]))
        raise NotFound(f"name a {what}: there are {shown}" + (f", not {wanted[:50]!r}" if wanted else ""))
    return choice


def _of_one_format(names: Sequence[str]) -> list[str]:
    by_format: dict[str, list[str]] = {}
    for name in names:
        by_format.setdefault(_FORMATS[PurePosixPath(name).suffix.lower()], []).append(name)
    return next((by_format[kind] for kind in dict.fromkeys(_FORMATS.values()) if kind in by_format), [])


def _without_data(names: Collection[str]) -> FormatInvalid:
    if scripts := [name for name in names if name.endswith(".py")]:
        return FormatInvalid(
            f"this dataset is made by a script ({scripts[0][:100]}), and scripts from outside are never run here; take "
            "a copy of it whose data are files, such as its branch refs/convert/parquet"
        )
    return FormatInvalid("the repository has no Parquet, JSON, CSV or text files; other data are not read")
