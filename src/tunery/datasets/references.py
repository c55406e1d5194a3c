"""What sanitising steps may refer to, found within the tenant: evaluation sets and tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tunery.datasets.formats import guess_format
from tunery.datasets.operations import resolve_version, rows_of
from tunery.datasets.quarantine import Quarantine, RowFault, read_records
from tunery.datasets.rows import Row, RowIds
from tunery.datasets.shapes import Shape, Shaper
from tunery.datasets.tables import DatasetFile
from tunery.datasets.versions.contents import batches_of
from tunery.datasets.versions.row_files import StoredRow
from tunery.errors import InvalidInput, TooLarge
from tunery.platform.ground import Ground
from tunery.plugins import Registry

__all__ = ["MODEL_TOKENIZERS", "TenantSources"]

_MOST_TOKENIZER_BYTES = 100 * 2**20

MODEL_TOKENIZERS: Registry[Callable[[Ground, str, str], bytes]] = Registry("tokenizer_source")
"""Who finds a model's ``tokenizer.json``, by ground, tenant and reference; a higher room registers it."""


class TenantSources:
    """Finds what steps refer to among a tenant's datasets, files and models.

    Args:
        ground: Where they lie.
        tenant_id: Whose they are.
        scratch: An existing private folder.
        standing: Files of the rows that new ones are appended to.
    """

    def __init__(self, ground: Ground, tenant_id: str, scratch: Path, standing: Sequence[DatasetFile] = ()) -> None:
        self.scratch = scratch
        self._standing = standing
        self._ground = ground
        self._tenant_id = tenant_id

    def rows(self, reference: str) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
        """Yield id, shape and columns of the rows of an evaluation set.

        Raises:
            NotFound: There is no such dataset, version or file. RowInvalid, FormatInvalid: the file has no rows.
        """
        if reference.startswith("file:"):
            return self._rows_of_file(reference)
        return self._rows_of_version(reference)

    def standing(self) -> Iterator[Row]:
        """Yield the rows that new ones are appended to."""
        for batch in batches_of(self._ground, self._tenant_id, self._standing, ["row_id", "line", "row"]):
            for row_id, line, content in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield Row(row_id, line, json.loads(content))

    def tokenizer(self, reference: str) -> bytes:
        """Return a ``tokenizer.json``. Raises: NotFound: there is none of that name."""
        if reference.startswith("file:"):
            path = self._checkout(reference)
            if path.stat().st_size > _MOST_TOKENIZER_BYTES:
                raise TooLarge(f"{reference} is larger than any tokenizer.json ({_MOST_TOKENIZER_BYTES:,} bytes)")
            return path.read_bytes()
        return MODEL_TOKENIZERS.get("models")(self._ground, self._tenant_id, reference)

    def key(self, purpose: str) -> bytes:
        """Return the tenant's newest key for a purpose, 32 bytes, kept beside the keys of packs; the first is made."""
        return self._ground.blobs.keyring.secrets.newest(self._tenant_id, purpose).key

    def _rows_of_version(self, reference: str) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
        name, _, split = reference.partition("/")
        with self._ground.database.session(self._tenant_id, read_only=True) as session:
            version = resolve_version(session, name)
            shape: Shape = version.shape  # type: ignore[assignment] # SQL holds it as text
            rows: Iterator[StoredRow] = rows_of(self._ground, version, split or None)
        for row in rows:
            yield row.row_id, shape, row.values

    def _rows_of_file(self, reference: str) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
        """Yield the rows of an uploaded file, each named by its line. One that cannot be used ends it."""
        path, quarantine = self._checkout(reference), Quarantine("stop")
        shaper, ids = Shaper(), RowIds(None)
        limit = self._ground.settings.max_row_bytes
        for record in read_records(path, guess_format(path.name), limit, quarantine):
            try:
                values = shaper.shape(record.values, record.line)
            except RowFault as fault:
                quarantine.refuse_record(record, fault)
                continue
            ids.name(record.values, record.line)
            yield f"line {record.line}", shaper.maps[0].shape, values
        if not ids.count:
            raise InvalidInput(f"the evaluation set {reference} has no rows")

    def _checkout(self, reference: str) -> Path:
        name = reference.removeprefix("file:")
        path = self.scratch / name
        if not path.exists():
            self._ground.blobs.checkout(self._tenant_id, name.partition(".")[0], path)
        return path
