"""Read the rows of a version once, for all rules."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from blake3 import blake3

from tunery.compliance.detectors import FormDetector
from tunery.compliance.ports import Scan
from tunery.datasets.pii import DETECTORS, Detector
from tunery.datasets.pii.custom import CustomDetector
from tunery.datasets.pii.redaction import Redactor
from tunery.datasets.pii.reports import detector_report
from tunery.datasets.shapes import SHAPES, Shape, content_of, input_of
from tunery.datasets.versions.row_files import StoredRow
from tunery.kit.digests import canonical_json

__all__ = ["detectors_for", "scan_rows"]

_SAMPLES = 3
_NAMED = 100
_MOST_HASHES = 5_000_000
_MOST_DISTINCT = 100_000
_CODE = re.compile(r"(?=.*[0-9])[0-9A-Za-z_.:/-]{6,64}")
_CODE_ENTROPY = 2.5
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}(?:[.,][0-9]{1,40})?\s*")


def detectors_for(formats: Mapping[str, str]) -> list[Detector]:
    """Return what looks at every row: layer 1, secrets, this room's forms, and the tenant's own formats.

    Raises:
        InvalidInput: A format is no pattern.
    """
    found = [DETECTORS.get("patterns")(), DETECTORS.get("secrets")(), FormDetector()]
    return [*found, CustomDetector(formats)] if formats else found


def scan_rows(
    rows: Iterable[StoredRow],
    shape: Shape,
    total: int,
    detectors: Sequence[Detector],
    *,
    names: Detector | None = None,
    name_rows: int = 0,
    quasi: Sequence[str] = (),
    watch: Callable[[int], None] = lambda rows: None,
) -> Scan:
    """Look at every row.

    Args:
        rows: The rows.
        shape: Their shape.
        total: How many there are.
        detectors: What looks at each of them.
        names: What looks for names and places, in a sample.
        name_rows: How many rows that is, about; drawn by their ids.
        quasi: Columns that together may tell who somebody is.
        watch: Told now and then how many rows are done; may raise to end the scan.
    """
    tally = _Tally(shape, quasi)
    lookers = _lookers(detectors)
    named = _lookers([names]) if names is not None and name_rows > 0 else []
    drawn = 0
    for number, row in enumerate(rows, start=1):
        values = row.values
        chosen = bool(named) and _is_drawn(row.row_id, name_rows / max(1, total))
        drawn += chosen
        tally.look(row, values, [*lookers, *named] if chosen else lookers)
        if number % 500 == 0:
            watch(number)
    reports = {each.name: _about(each, tally.scanned) for each in detectors}
    if names is not None:
        reports[names.name] = _about(names, drawn)
    return tally.finish(total, reports)


class _Tally:
    def __init__(self, shape: Shape, quasi: Sequence[str]) -> None:
        self.scanned = 0
        self._shape, self._quasi = shape, quasi
        self._content = {*SHAPES[shape], "tools"}
        self._counts: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._samples: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._columns: dict[str, _Column] = {}
        self._contents: set[bytes] = set()
        self._inputs: dict[bytes, tuple[bool, list[str]]] = {}
        self._named: dict[str, list[str]] = defaultdict(list)
        self._doubled: Counter[str] = Counter()
        self._groups: Counter[bytes] = Counter()

    def look(self, row: StoredRow, values: dict[str, Any], lookers: Iterable[Redactor]) -> None:
        self.scanned += 1
        found: set[str] = set()

        def report(kind: str, path: str, masked: str) -> None:
            found.add(kind)
            self._counts[kind] += 1
            if len(shown := self._samples[kind]) < _SAMPLES:
                shown.append({"row": row.row_id, "path": path[:100], "text": masked[:100]})

        for looker in lookers:
            looker.row(values, report)
        self._rows.update(found)
        for kind in found:
            self._note(kind, [row.row_id])
        for name, value in values.items():
            self._columns.setdefault(name, _Column()).see(value, counted=name not in self._content)
        if self._quasi:
            group = [values.get(column) for column in self._quasi]
            self._groups[blake3(canonical_json(group)).digest(16)] += 1
        self._compare(row, values)

    def _compare(self, row: StoredRow, values: dict[str, Any]) -> None:
        """Note rows that repeat an earlier one, and held-out rows that ask what train asks."""
        if len(self._contents) >= _MOST_HASHES:
            return
        content = blake3(canonical_json(content_of(self._shape, values))).digest(16)
        if content in self._contents:
            self._note("duplicates", [row.row_id])
        self._contents.add(content)
        asked = blake3(input_of(self._shape, values).encode("utf-8", "replace")).digest(16)
        in_train, held_out = self._inputs.get(asked, (False, []))
        if row.split == "train":
            self._note("leaks", held_out)
            self._inputs[asked] = True, []
        elif in_train:
            self._note("leaks", [row.row_id])
        else:
            self._inputs[asked] = False, [*held_out, row.row_id]

    def _note(self, what: str, row_ids: list[str]) -> None:
        self._doubled[what] += len(row_ids)
        self._named[what] += row_ids[: max(0, _NAMED - len(self._named[what]))]

    def finish(self, total: int, detectors: dict[str, dict[str, Any]]) -> Scan:
        counted = len(self._contents) < _MOST_HASHES
        sizes = sorted(self._groups.values())
        quasi: dict[str, Any] = {}
        if self._quasi:
            quasi = {"columns": [*self._quasi], "k": sizes[0] if sizes else 0, "groups": len(sizes)}
            quasi |= {"smallest_groups": sizes[:5], "missing": [c for c in self._quasi if c not in self._columns]}
        return Scan(
            total=total,
            scanned=self.scanned,
            counts=dict(self._counts),
            rows=dict(self._rows),
            samples={kind: shown for kind, shown in self._samples.items() if shown},
            detectors=detectors,
            columns={name: column.finish() for name, column in self._columns.items()},
            duplicates=self._doubled["duplicates"] if counted else None,
            leaks=self._doubled["leaks"] if counted else None,
            named={what: ids for what, ids in self._named.items() if ids},
            quasi=quasi,
        )


class _Column:
    """How a column is used, and whether its values look like codes that name something."""

    def __init__(self) -> None:
        self._rows = self._codes = 0
        self._numbers = False
        self._distinct: set[bytes] = set()

    def see(self, value: Any, *, counted: bool) -> None:
        if value in (None, ""):
            return
        self._rows += 1
        self._numbers |= counted and not self._numbers and _holds_number(value)
        if not counted or isinstance(value, bool | float | dict | list) or len(self._distinct) >= _MOST_DISTINCT:
            return
        text = str(value)
        self._distinct.add(blake3(text.encode("utf-8", "replace")).digest(8))
        self._codes += bool(_CODE.fullmatch(text)) and _entropy(text) >= _CODE_ENTROPY

    def finish(self) -> dict[str, Any]:
        many = len(self._distinct) >= _MOST_DISTINCT
        unique = many or (self._rows > 1 and len(self._distinct) == self._rows)
        codes = self._codes > 1 and self._codes > 0.5 * min(self._rows, _MOST_DISTINCT)
        return {
            "rows": self._rows,
            "distinct": None if many else len(self._distinct),
            "codes": unique and codes,
            "numbers": self._numbers,
        }


def _lookers(detectors: Sequence[Detector]) -> list[Redactor]:
    """Return one for each detector, so that none hides what another finds; a kind is counted by the first alone."""
    lookers: list[Redactor] = []
    taken: set[str] = set()
    for detector in detectors:
        own = frozenset(detector.kinds) - taken
        taken |= own
        lookers.append(Redactor([detector], {}, kinds=own, every_number=isinstance(detector, FormDetector)))
    return lookers


def _about(detector: Detector, rows: int) -> dict[str, Any]:
    return {**detector_report(detector), "kinds": [*detector.kinds], "rows": rows}


def _holds_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_number, value.values()))
    if isinstance(value, list):
        return any(map(_holds_number, value))
    return not isinstance(value, bool) and (isinstance(value, int | float) or _NUMBER.fullmatch(str(value)) is not None)


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _is_drawn(row_id: str, share: float) -> bool:
    return int.from_bytes(blake3(b"compliance\n" + row_id.encode("utf-8", "replace")).digest(4), "big") < share * 2**32
