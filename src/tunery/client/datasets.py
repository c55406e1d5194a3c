"""Datasets: imported, sanitised, split, versioned."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tunery.client.files import Files, Watch
from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import Transport, path_of
from tunery.datasets.inspection import Findings
from tunery.datasets.views import DatasetVersionView, DatasetView, JobStarted, Provenance, RowView, SanitizerView
from tunery.errors import InvalidInput
from tunery.kit.references import Reference, slug

__all__ = ["Datasets"]


class Datasets(Noun):
    """Rows to train and to measure on. A reference is ``name:2``; the name alone means its newest version."""

    def __init__(self, transport: Transport, files: Files) -> None:
        super().__init__(transport)
        self._files = files

    def import_(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        license: str | None = None,
        url: str | None = None,
        description: str = "",
        watch: Watch | None = None,
    ) -> JobStarted:
        """Upload a file and import it as a new version; a job does the work (``jobs.wait`` waits for it).

        Args:
            path: A JSONL, JSON, CSV, TSV, Parquet, Markdown or text file.
            name: Name of the dataset, made if it is new; none: the file's name.
            options: As in a recipe's ``training_data`` and ``sanitize``: ``format``, ``encoding``, ``key``,
                ``columns``, ``on_error``, ``validation_split``, ``test_split``, ``sanitize``, ``seed``.
            license: SPDX id of the data's licence.
            url: Where the data was got from; noted, never fetched.
            description: What the data is.
            watch: Told of the progress of the upload.
        """
        path = Path(path)
        wish = {
            "name": name or slug(path.stem) or "dataset",
            "fileDigest": self._files.upload(path, watch).digest,
            "fileName": path.name,
            "options": dict(options or {}),
            "license": license,
            "url": url,
            "description": description,
        }
        return view(JobStarted, self._send("POST", path_of("datasets", "import"), wish))

    def fetch(
        self,
        source: str,
        *,
        revision: str | None = None,
        config: str | None = None,
        split: str | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
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
            "license": license,
            "description": description,
        }
        return view(JobStarted, self._send("POST", path_of("datasets", "fetch"), wish))

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

    def provenance(self, reference: str) -> Provenance:
        """Show where a version came from and what was done to it."""
        name, version = _parts(reference)
        return view(Provenance, self._get(path_of("datasets", name, "provenance"), version=version))


def _parts(reference: str) -> tuple[str, str | None]:
    wanted = Reference.parse(reference)
    if wanted.tenant is not None:
        raise InvalidInput(f"write {wanted.name!r} without the tenant: your token already names it")
    return wanted.name, wanted.version
