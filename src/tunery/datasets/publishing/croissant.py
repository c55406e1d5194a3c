"""A version as Croissant 1.1 with its responsible-AI terms: JSON-LD beside one Parquet file of all rows.

    croissant.json    what the dataset is, where it comes from, what its columns are
    README.md         the card
    data/rows.parquet row_id, split, and the rows' columns; lists, objects and mixed ones as JSON text

Source: MLCommons, Croissant Format Specification 1.1, and Croissant RAI 1.0.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tunery.datasets.export import JSON_FIELD, export_rows
from tunery.datasets.publishing.card import card_of
from tunery.datasets.publishing.statements import limitations, personal_data, source_sentence, step_sentences
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.contents import read_rows
from tunery.datasets.views import Provenance
from tunery.kit.digests import sha256_file
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FILES", "write_croissant", "zip_croissant"]

FILES = ("croissant.json", "README.md", "data/rows.parquet")
"""What the folder holds."""

_OWN = ("row_id", "split")
_TAKEN = re.compile("(row_id|split)(_1)*")
_FILE = "rows.parquet"
_AS_JSON = "Lists, objects, or values of several kinds, each as JSON text."
_TYPES = {"bool": "sc:Boolean", "int64": "sc:Integer", "double": "sc:Float"}
_CR = "http://mlcommons.org/croissant/"
_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": _CR,
    "rai": f"{_CR}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_COLLECTION = {"web_scrape": "Web Scraping", "user_data": "User-Generated Content Data", "generated": "Others"}


def write_croissant(ground: Ground, version: DatasetVersion, record: Provenance, folder: Path) -> None:
    """Write a version's ``FILES`` into an empty folder.

    Raises: InvalidInput: there are more columns than a table can have. IntegrityError: a file is damaged.
    """
    rows = folder / "data" / _FILE
    rows.parent.mkdir(parents=True)
    export_rows(partial(_rows, ground, version), rows, "parquet")
    described = _described(version, record, rows)
    (folder / "croissant.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")
    card = card_of(record, version.shape, version.rows, version.dataset.description)
    (folder / "README.md").write_text(card, encoding="utf-8")


def zip_croissant(ground: Ground, version: DatasetVersion, record: Provenance) -> IO[bytes]:
    """Return the same files in a ZIP archive: an open file of no name, at its begin. Raises: as ``write_croissant``."""
    with scratch_folder(ground.settings, "croissant") as scratch:
        write_croissant(ground, version, record, scratch / "out")
        packed = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 whoever sends it closes it
        with zipfile.ZipFile(packed, "w") as archive:  # Parquet is compressed already
            for name in FILES:
                archive.write(scratch / "out" / name, name)
    packed.seek(0)
    return packed


def _rows(ground: Ground, version: DatasetVersion) -> Iterator[dict[str, Any]]:
    for row in read_rows(ground, version):
        own = {"row_id": row.row_id, "split": row.split}
        yield own | {f"{name}_1" if _TAKEN.fullmatch(name) else name: value for name, value in row.values.items()}


def _described(version: DatasetVersion, record: Provenance, rows: Path) -> dict[str, Any]:
    name = record.dataset_name
    said = [version.dataset.description, *(source.description for source in record.sources)]
    licenses = list(dict.fromkeys(source.license for source in record.sources if source.license))
    urls = [source.url for source in record.sources if source.url and source.url.startswith(("http:", "https:"))]
    title = f"{name}, version {record.dataset_version}"
    whole: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [f"{_CR}1.1", f"{_CR}RAI/1.0"],
        "name": name,
        "description": next(filter(None, said), title),
        "version": f"{record.dataset_version}.0.0",
        "license": [f"https://spdx.org/licenses/{each}" if _is_listed(each) else each for each in licenses],
        "url": urls[0] if urls else None,
        "sameAs": urls[1:],
        "datePublished": f"{record.created_at:%Y-%m-%d}",
        "citeAs": f"@misc{{{name}-{record.dataset_version}, title={{{title}}}, year={{{record.created_at:%Y}}}, "
        f"note={{sha256:{record.checksum}}}}}",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": _FILE,
                "name": _FILE,
                "contentUrl": f"data/{_FILE}",
                "contentSize": f"{rows.stat().st_size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": sha256_file(rows),
            }
        ],
        "recordSet": [_splits(version), _record_set(rows)],
        **_responsible_ai(record),
    }
    return {key: value for key, value in whole.items() if value not in (None, [], "")}


def _responsible_ai(record: Provenance) -> dict[str, Any]:
    quality = record.quality_metrics
    dates = sorted({f"{source.collected_at:%Y-%m-%d}" for source in record.sources})
    return {
        "rai:dataCollection": ". ".join(map(source_sentence, record.sources)),
        "rai:dataCollectionType": sorted({_COLLECTION.get(s.type, "Secondary Data Analysis") for s in record.sources}),
        "rai:dataCollectionTimeFrame": [dates[0], dates[-1]],
        "rai:dataCollectionMissingData": f"{quality.get('quarantined', 0)} rows of the last import could not be used",
        "rai:dataPreprocessingProtocol": step_sentences(record),
        "rai:dataBiases": ["Not measured."],
        "rai:dataLimitations": limitations(record),
        "rai:personalSensitiveInformation": personal_data(record),
    }


def _splits(version: DatasetVersion) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in version.rows],
    }


def _record_set(rows: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    fields = [_field(number, column) for number, column in enumerate(pq.read_schema(rows))]
    fields[1]["references"] = {"field": {"@id": "splits/name"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "One record a row.",
        "key": {"@id": "rows/row_id"},
        "field": fields,
    }


def _field(number: int, column: pa.Field) -> dict[str, Any]:
    name = column.name
    own_id = name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else f"column-{number}"  # an @id is part of an address
    source = {"fileObject": {"@id": _FILE}, "extract": {"column": name}}
    kind = _TYPES.get(str(column.type), "sc:Text")
    field = {"@type": "cr:Field", "@id": f"rows/{own_id}", "name": name, "dataType": kind, "source": source}
    return field | ({"description": _AS_JSON} if column.metadata == JSON_FIELD else {})


def _is_listed(expression: str) -> bool:
    return " " not in expression and not expression.startswith("LicenseRef-")
