"""Datasets: imported, sanitised, split, versioned."""

from __future__ import annotations

import builtins
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from tunery.client.dataset_exports import Exported, refuse_existing, write_export
from tunery.client.files import Files, Watch
from tunery.client.nouns import Noun, Page, view
from tunery.client.tables import write_table
from tunery.client.transport import Transport, path_of
from tunery.client.unpacking import unpack
from tunery.datasets.inspection import BadLine, Findings
from tunery.datasets.origins import SourceType
from tunery.datasets.publishing.reading import CROISSANT, read_croissant
from tunery.datasets.query.schemas import QueryResult
from tunery.datasets.views import (
    CardView,
    DatasetVersionView,
    DatasetView,
    DifferenceView,
    JobStarted,
    Provenance,
    RowView,
    SanitizerView,
)
from tunery.errors import InvalidInput
from tunery.kit.references import Reference, slug

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Datasets", "Mode"]

Mode = Literal["replace", "append", "merge"]


class Datasets(Noun):
    """Rows to train and to measure on.

    A reference is ``name:2``, ``name:tag`` or ``name@2026-11-20T10:00:00Z`` (the newest of that time); the name alone
    means its newest version.
    """

    def __init__(self, transport: Transport, files: Files) -> None:
        super().__init__(transport)
        self._files = files

    def import_(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        mode: Mode = "replace",
        license: str | None = None,
        url: str | None = None,
        description: str = "",
        source_type: SourceType | None = None,
        collected_at: datetime | str | None = None,
        watch: Watch | None = None,
    ) -> JobStarted:
        """Upload a file and import it as a new version; a job does the work (``jobs.wait`` waits for it).

        Args:
            path: A JSONL, JSON, CSV, TSV, Parquet, Markdown or text file; or ``croissant.json``, or the folder that
                holds it: its data file is imported with the name, licence, description and splits it gives.
            name: Name of the dataset, made if it is new; none: the file's name.
            options: As in a recipe's ``training_data`` and ``sanitize``: ``format``, ``encoding``, ``key``,
                ``columns``, ``shape``, ``on_error``, ``validation_split``, ``test_split``, ``split_column``,
                ``sanitize``, ``seed``.
            mode: Whether the rows make up the version alone, come to those of the newest (``append``), or come to them
                with those of equal ``key`` replaced (``merge``).
            license: SPDX expression of the data's licence.
            url: Where the data was got from; noted, never fetched.
            description: What the data is.
            source_type: How the data came to be: ``web_scrape``, ``public_dataset``, ``licensed``, ``user_data`` or
                ``generated``; none: ``file``.
            collected_at: When it was collected; none: now.
            watch: Told of the progress of the upload.
        """
        if "://" in str(path):
            raise InvalidInput(f"{path} is an address; `tunery datasets fetch` imports what is there")
        path, options = Path(path), dict(options or {})
        if path.is_dir() or path.name == CROISSANT:
            said = read_croissant(path)
            path, name, source_type = said.path, name or said.name, source_type or "croissant"
            license, url, description = license or said.license, url or said.url, description or said.description
            if not (options.get("split_column") or {"validation_split", "test_split"} & options.keys()):
                options["split_column"] = said.split_column
        wish = {
            "name": name or slug(path.stem) or "dataset",
            "fileDigest": self._files.upload(path, watch).digest,
            "fileName": path.name,
            "options": options,
            "mode": mode,
            "license": license,
            "url": url,
            "description": description,
            "sourceType": source_type,
            "collectedAt": collected_at.isoformat() if isinstance(collected_at, datetime) else collected_at,
        }
        return view(JobStarted, self._send("POST", path_of("datasets", "import"), wish))

    def write(
        self,
        name: str,
        table: Any,
        *,
        mode: Mode = "replace",
        options: Mapping[str, Any] | None = None,
        license: str | None = None,
    ) -> JobStarted:
        """Import a table as a new version, any columns it has; a job does the work (``jobs.wait`` waits for it).

        Args:
            name: Name of the dataset, made if it is new.
            table: A ``pyarrow.Table``, a data frame, or whatever else offers an Arrow stream; or an iterable of rows,
                each a ``dict``. It is read once, a batch at a time.
            mode: As in ``import_``.
            options: As in ``import_``. With ``columns`` (or ``shape`` None: told by rule) the rows take a shape that a
                model learns from; else they are a plain table, to read and to query.
            license: SPDX id of the data's licence.

        Raises: InvalidInput: it is no table, or a value is none that JSON has.
        """
        said = dict(options or {})
        if not {"columns", "shape"} & said.keys():
            said["shape"] = "table"
        with tempfile.TemporaryDirectory() as folder:
            path = write_table(table, Path(folder), name)
            return self.import_(path, name=name, mode=mode, options=said, license=license)

    def read(self, reference: str, *, split: str | None = None) -> pa.Table:
        """Return the rows of a version as an Arrow table; it is audited as an export.

        Columns of lists, objects or several kinds hold JSON text: their fields say ``tunery: json``. Times are
        ISO 8601.
        """
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory() as folder:
            made = self.export(reference, Path(folder) / "rows.parquet", format="parquet", split=split)
            return pq.read_table(made.path)

    def fetch(
        self,
        source: str,
        *,
        revision: str | None = None,
        config: str | None = None,
        split: str | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        mode: Mode = "replace",
        license: str | None = None,
        description: str = "",
    ) -> JobStarted:
        """Fetch a dataset of the Hub, or a file at a public web address, and import it; a job does the work.

        Args:
            source: ``owner/name`` on the Hub, or an address that begins with ``https://``.
            revision: Of the Hub: branch, tag or commit; none: the main branch.
            config: Of the Hub: which configuration; none: the default one.
            split: Of the Hub: which split; none: train, or the only one.
            name: Name of the dataset, made if it is new; none: made of the source's.
            options: As in ``import_``.
            mode: As in ``import_``.
            license: SPDX id of the data's licence; none: what the card on the Hub says.
            description: What the data is.
        """
        if "://" in source:
            wanted: dict[str, Any] = {"source": "url", "path": source}
            stem = PurePosixPath(source.partition("?")[0]).name.rsplit(".", 1)[0]
        else:
            wanted = {"source": "hub", "path": source, "revision": revision, "config": config, "split": split}
            stem = source.rpartition("/")[2]
        wish = {
            "name": name or slug(stem) or "dataset",
            "source": wanted,
            "options": dict(options or {}),
            "mode": mode,
            "license": license,
            "description": description,
        }
        return view(JobStarted, self._send("POST", path_of("datasets", "fetch"), wish))

    def delete_rows(self, name: str, row_ids: Iterable[str]) -> JobStarted:
        """Make a version without these rows; older versions keep them. A job does the work."""
        path = path_of("datasets", name, "delete-rows")
        return view(JobStarted, self._send("POST", path, {"rowIds": [*row_ids]}))

    def restore(self, reference: str) -> JobStarted:
        """Make a new version with the rows of an older one; a job does the work."""
        name, version = _older(reference)
        return view(JobStarted, self._send("POST", path_of("datasets", name, "restore"), {"version": version}))

    def compact(self, name: str) -> JobStarted:
        """Join the small files of the newest version in a new one with the same rows; a job does the work."""
        return view(JobStarted, self._send("POST", path_of("datasets", name, "compact")))

    def tag(self, reference: str, tag: str) -> DatasetVersionView:
        """Give a version a name such as ``gold``, taking it from the version that had it."""
        name, version = _parts(reference)
        wish = {"tag": tag, "version": version}
        return view(DatasetVersionView, self._send("POST", path_of("datasets", name, "tags"), wish))

    def diff(self, before: str, after: str | None = None, *, limit: int = 20, offset: int = 0) -> DifferenceView:
        """Show which rows came, went or changed between two versions of a dataset, and how many in all.

        Args:
            before: The one; a name alone: the parent of the newest.
            after: The other; none: the newest.
            limit: Most rows to show.
            offset: Rows to pass over.
        """
        name, old = _parts(before)
        other, new = _parts(after or name)
        if other != name:
            raise InvalidInput(f"{before} and {after} are of two datasets; only versions of one can be compared")
        path, query = path_of("datasets", name, "diff"), {"before": old, "after": new}
        return view(DifferenceView, self._get(path, **query, limit=limit, offset=offset))

    def query(self, sql: str, *, limit: int = 100) -> QueryResult:
        """Answer a SELECT over datasets; it reads the versions that it names, and changes nothing.

        Args:
            sql: Tables are datasets by name, quoted where that is no plain word: ``"name:2"``, ``"name:gold"``. Their
                columns are row_id, split, line and those of the rows; nested ones are JSON.
            limit: Most rows of the answer, up to 10,000; page with SQL's own LIMIT and OFFSET.
        """
        wish = {"sql": sql, "limit": limit}
        return view(QueryResult, self._send("POST", path_of("datasets", "query"), wish, keyed=False))

    def export(
        self,
        reference: str,
        path: Path | str,
        *,
        format: Literal["jsonl", "csv", "parquet", "delta"] = "jsonl",
        split: str | None = None,
        columns: builtins.list[str] | None = None,
        split_column: str | None = None,
    ) -> Exported:
        """Write rows to a new file, or a dataset with its whole history to a new folder; the export is audited.

        Args:
            reference: The version; a dataset's name for ``delta``.
            path: The file, or the folder.
            format: ``csv`` escapes what a spreadsheet would take for a formula. ``delta`` is a Delta table whose
                version ``n`` is version ``n`` of the dataset; erased ones are empty.
            split: Only rows of this split.
            columns: Only these columns; none: those of the first rows.
            split_column: A column more, of this name, that says the split of each row.
        """
        refuse_existing(Path(path))
        name, version = _parts(reference)
        query = {"version": version, "format": format, "split": split, "column": columns}
        query["split_column"] = split_column
        address = path_of("datasets", name, "exports")
        with self._transport.stream("POST", address, query=query, headers={"Accept-Encoding": "identity"}) as response:
            return write_export(response, Path(path), unpack=format == "delta")

    def inspect(
        self,
        path: Path | str,
        *,
        format: str | None = None,
        columns: Mapping[str, str | builtins.list[str]] | None = None,
        watch: Watch | None = None,
    ) -> Findings:
        """Upload a file and look at it: shape, columns, lengths, lines that cannot be used; nothing is imported."""
        path = Path(path)
        digest = self._files.upload(path, watch).digest
        wish = {"fileDigest": digest, "fileName": path.name, "format": format, "columns": columns}
        return view(Findings, self._send("POST", path_of("datasets", "inspect"), wish, keyed=False))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[DatasetView]:
        """List datasets."""
        return self._page(DatasetView, path_of("datasets"), limit=limit, offset=offset)

    def sanitizers(self) -> Page[SanitizerView]:
        """List the sanitising steps that a recipe may name, with their parameters."""
        return self._page(SanitizerView, path_of("sanitizers"))

    def get(self, name: str) -> DatasetView:
        """Show a dataset."""
        return view(DatasetView, self._get(path_of("datasets", name)))

    def versions(self, name: str) -> Page[DatasetVersionView]:
        """List a dataset's versions, the newest first."""
        return self._page(DatasetVersionView, path_of("datasets", name, "versions"))

    def rows(self, reference: str, *, split: str | None = None, limit: int = 20, offset: int = 0) -> Page[RowView]:
        """Show rows of a version, in the order of their import; ``split`` is train, validation or test."""
        name, version = _parts(reference)
        path = path_of("datasets", name, "rows")
        return self._page(RowView, path, version=version, split=split, limit=limit, offset=offset)

    def quarantined(self, reference: str, *, limit: int = 20, offset: int = 0) -> Page[BadLine]:
        """Show rows that were set aside when a version was imported: line, reason and the beginning of the text.

        Raises: NotFound: none were, or they went when somebody was erased.
        """
        name, version = _parts(reference)
        path = path_of("datasets", name, "quarantined")
        return self._page(BadLine, path, version=version, limit=limit, offset=offset)

    def provenance(self, reference: str) -> Provenance:
        """Show where a version came from and what was done to it."""
        name, version = _parts(reference)
        return view(Provenance, self._get(path_of("datasets", name, "provenance"), version=version))

    def card(self, reference: str) -> CardView:
        """Show the dataset card of a version: Markdown with the head that the Hugging Face Hub reads."""
        name, version = _parts(reference)
        return view(CardView, self._get(path_of("datasets", name, "card"), version=version))

    def croissant(self, reference: str, output: Path | str) -> builtins.list[Path]:
        """Write a version out as Croissant 1.1: a folder with ``croissant.json``, a card and the rows as Parquet.

        Returns: what was written. Raises: InvalidInput: the folder is there already and not empty.
        """
        name, version = _parts(reference)
        path = path_of("datasets", name, "croissant")
        with self._transport.stream("POST", path, query={"version": version}) as response:
            return unpack(response.iter_bytes(), Path(output))


def _older(reference: str) -> tuple[str, str]:
    name, version = _parts(reference)
    if version is None:
        raise InvalidInput(f"{reference} is the newest version; say which older one, such as {reference}:1")
    return name, version


def _parts(reference: str) -> tuple[str, str | None]:
    """Return the name and what follows it: a number, a tag, or ``@`` and a time."""
    head, at, moment = reference.partition("@")
    wanted = Reference.parse(head)
    if wanted.tenant is not None:
        raise InvalidInput(f"write {wanted.name!r} without the tenant: your token already names it")
    return wanted.name, f"@{moment}" if at else wanted.version
