"""The dataset card: Markdown with the head that the Hugging Face Hub reads. Source: Hub, Dataset Cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunery.datasets.publishing.statements import limitations, personal_data, source_sentence, step_sentences
from tunery.datasets.views import Provenance

__all__ = ["card_of"]

_SIZES = [(10**power, name) for power, name in enumerate(("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"), start=3)]
_TASKS = {"classification": ["text-classification"], "table": []}


def card_of(record: Provenance, shape: str, splits: Mapping[str, int], description: str = "") -> str:
    """Return the card of a version.

    Args:
        record: Its provenance.
        shape: Of its rows.
        splits: How many rows each has.
        description: What the dataset is.
    """
    allowed = {True: "yes", False: "no", None: "unknown, or on conditions"}
    name, licensing = f"{record.dataset_name}:{record.dataset_version}", record.licensing
    return "\n".join(
        [
            *_head(record, shape),
            f"# {record.dataset_name}\n",
            f"{description}\n" if description else "",
            f"Version {record.dataset_version}: {record.total_samples} rows of the shape `{shape}`, sha256 "
            f"`{record.checksum}` over their ids and hashes.\n",
            "| split | rows |\n|---|---|",
            *(f"| {split} | {count} |" for split, count in splits.items()),
            _sides(record.quality_metrics),
            _section("Sources", [source_sentence(source) for source in record.sources]),
            _section("Steps", step_sentences(record) or ["None: the rows are as they were imported."]),
            _section(
                "Licence",
                [
                    f"{licensing.license or 'Not stated for every source.'}",
                    f"Commercial use: {allowed[licensing.commercial_use]}.",
                    f"Passing on what is made of it: {allowed[licensing.derivative_works]}.",
                    f"Read by the matrix {licensing.matrix}; no legal advice.",
                ],
            ),
            _section("Personal data", personal_data(record)),
            _section("Limitations", limitations(record)),
            "## How to load\n",
            f"    tunery datasets croissant {name} --output {record.dataset_name}\n",
            "    import mlcroissant",
            f'    rows = mlcroissant.Dataset("{record.dataset_name}/croissant.json").records("rows")\n',
        ]
    )


def _head(record: Provenance, shape: str) -> list[str]:
    size = next((name for limit, name in _SIZES if record.total_samples < limit), "n>1M")
    spdx = record.licensing.license
    plain = spdx is not None and " " not in spdx and not spdx.startswith("LicenseRef-")
    head: dict[str, Any] = {"pretty_name": record.dataset_name, "license": (spdx or "").lower() if plain else "other"}
    if not plain:
        head["license_name"] = spdx or "not stated"
    head |= {
        "task_categories": _TASKS.get(shape, ["text-generation"]),
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": "data/rows.parquet"}],
        "tags": ["tunery", "croissant"],
    }
    return ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()), "---\n"]


def _sides(quality: Mapping[str, Any]) -> str:
    """Say that the splits share no near-duplicates, where they were compared and that is so."""
    if not quality.get("nearDuplicateGroups") or quality.get("leakingRows") != 0:
        return ""
    return f"\nNo near-duplicates (similarity {quality['similarity']:g} and more) stand on both sides of a split.\n"


def _section(title: str, sentences: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {sentence}" for sentence in sentences) + "\n"
