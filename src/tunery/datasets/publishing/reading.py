"""Read what a Croissant file says of a dataset on this disk, for an ordinary import of its data file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.datasets.licensing.expressions import license_of_card
from tunery.datasets.splits import split_said
from tunery.errors import FormatInvalid, InvalidInput
from tunery.kit.digests import sha256_file
from tunery.kit.references import slug

__all__ = ["CROISSANT", "Described", "read_croissant"]

CROISSANT = "croissant.json"
_MOST_BYTES = 16 << 20
_SPDX = ("https://spdx.org/licenses/", "http://spdx.org/licenses/")


@dataclass(frozen=True)
class Described:
    """A data file and what is said of it.

    Attributes:
        path: The file.
        name: The dataset's, as a name here is written.
        license: An SPDX expression.
        url: Where the dataset is found.
        description: What it is.
        split_column: The column that says the split of each row.
    """

    path: Path
    name: str
    license: str | None
    url: str | None
    description: str
    split_column: str | None = None


def read_croissant(path: Path) -> Described:
    """Return what a Croissant file, or the folder that holds it, says of the data file beside it.

    Raises:
        FormatInvalid: It is no Croissant, or the file's bytes are not those it names.
        InvalidInput: The folder holds none, or its data is not one file beside it: name the file to import.
    """
    if path.is_dir():
        folder, path = path, path / CROISSANT
        if not path.exists():
            raise InvalidInput(f"{folder} is a folder without {CROISSANT}, which says what to import; give one file")
    whole = _read(path)
    file, digest = _data_file(whole, path.parent)
    if digest and sha256_file(file) != digest.lower():
        raise FormatInvalid(f"{file.name} has other bytes than {path.name} names; get both again")
    urls = [text for text in _texts(whole.get("url")) if text.startswith(("http:", "https:"))]
    return Described(
        path=file,
        name=slug(" ".join(_texts(whole.get("name"))[:1])) or "dataset",
        license=_license(whole.get("license")),
        url=urls[0][:2000] if urls else None,
        description=" ".join(_texts(whole.get("description"))[:1])[:10_000],
        split_column=_split_column(whole),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatInvalid(f"{path} is larger than any description of a dataset")
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatInvalid(f"{path} cannot be read as Croissant: {error}") from error
    if not isinstance(whole, dict) or not any(text.endswith("Dataset") for text in _texts(whole.get("@type"))):
        raise FormatInvalid(f"{path} is no Croissant: it describes no dataset")
    return whole


def _data_file(whole: dict[str, Any], folder: Path) -> tuple[Path, str | None]:
    listed = whole.get("distribution")
    listed = listed if isinstance(listed, list) else [listed]
    found = []
    for each in listed:
        url = each.get("contentUrl") if isinstance(each, dict) else None
        if isinstance(url, str) and "://" not in url:
            path = folder / url
            if not path.resolve().is_relative_to(folder.resolve()):
                raise FormatInvalid(f"the Croissant file names {url[:80]!r}, which lies outside its folder")
            if path.is_file():
                found.append((path, each.get("sha256")))
    if len(found) != 1:
        names = ", ".join(path.name for path, _ in found[:5]) or "none"
        raise InvalidInput(
            f"a Croissant dataset is imported where one data file lies beside it; here: {names}. Import a file by its "
            "name, others with --mode append, and fetch remote ones with `tunery datasets fetch`"
        )
    path, digest = found[0]
    return path, digest if isinstance(digest, str) else None


def _split_column(whole: dict[str, Any]) -> str | None:
    """Return the column whose field refers to the records of splits (``cr:Split``), where all are splits here."""
    sets = [each for each in _objects(whole.get("recordSet")) if isinstance(each.get("@id"), str)]
    of_splits = [each for each in sets if any(text.endswith("Split") for text in _texts(each.get("dataType")))]
    records = [record for each in of_splits for record in _objects(each.get("data"))]
    names = [name for record in records for key, name in record.items() if key.endswith("name")]
    if not names or None in map(split_said, names):
        return None
    splits = tuple(f"{each['@id']}/" for each in of_splits)
    for field in (field for each in sets for field in _objects(each.get("field"))):
        refers = [text for target in _objects(field.get("references")) for text in _identified(target.get("field"))]
        columns = [text for source in _objects(field.get("source")) for text in _extracted(source)]
        if columns and any(text.startswith(splits) for text in refers):
            return columns[0]
    return None


def _extracted(source: dict[str, Any]) -> list[str]:
    return [text for each in _objects(source.get("extract")) for text in _texts(each.get("column"))]


def _identified(value: Any) -> list[str]:
    return [text for each in _objects(value) for text in _texts(each.get("@id"))]


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON-LD value: one, or several."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def _texts(value: Any) -> list[str]:
    """Return the texts of a JSON-LD value: a text, several, or one by language."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in ([part] if isinstance(part, str) else [])]


def _license(value: Any) -> str | None:
    named = [value] if isinstance(value, dict) else value if isinstance(value, list) else _texts(value)
    texts = [text for each in named for text in (_texts(each) if isinstance(each, str) else _named(each))]
    known = [license_of_card(_without_address(text)) for text in texts]
    return " AND ".join(f"({each})" if " " in each else each for each in known if each)[:200] or None


def _named(work: Any) -> list[str]:
    """Return what names a licence that is written as a work of its own."""
    return _texts(work.get("url") or work.get("name")) if isinstance(work, dict) else []


def _without_address(text: str) -> str:
    for head in _SPDX:
        text = text.removeprefix(head)
    return text.removesuffix(".html")
