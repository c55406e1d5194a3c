"""Shapes of datasets as answers show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from tunery.datasets.licensing.verdicts import LicenseVerdict
from tunery.datasets.origins import Account, Origin
from tunery.datasets.sanitize import PreprocessingStep
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.sources import Source
from tunery.platform.http import Camel

__all__ = [
    "CardView",
    "DatasetDeleteRows",
    "DatasetFetch",
    "DatasetImport",
    "DatasetInspect",
    "DatasetRestore",
    "DatasetTagging",
    "DatasetVersionView",
    "DatasetView",
    "DifferenceView",
    "JobStarted",
    "Provenance",
    "ProvenanceStep",
    "RowChangeView",
    "RowView",
    "SanitizerView",
]


class DatasetImport(Origin, Camel):
    """A wish to import an uploaded file as a new version of a dataset; the dataset is made if it is new."""

    name: str = Field(max_length=96, description="Name of the dataset.")
    file_digest: str = Field(description="SHA-256 of the uploaded file.")
    file_name: str = Field(max_length=250, description="The file's name; its ending tells the format.")
    options: ImportOptions = Field(default_factory=ImportOptions, description="As in a recipe's training_data.")
    mode: Literal["replace", "append", "merge"] = Field(
        "replace",
        description="Whether the file's rows make up the version alone, come to those of the newest version, or come "
        "to them with equal keys replaced. Appending and merging leave the other rows, and all splits, as they are.",
    )


class DatasetFetch(Account, Camel):
    """A wish to fetch rows from elsewhere and import them, as an uploaded file would be."""

    name: str = Field(max_length=96, description="Name of the dataset.")
    source: Source = Field(description="A split of a dataset of the Hub, or a file at a public web address.")
    options: ImportOptions = Field(default_factory=ImportOptions, description="As in a recipe's training_data.")
    mode: Literal["replace", "append", "merge"] = Field("replace", description="As in an import.")


class DatasetInspect(Camel):
    """A wish to look at an uploaded file; nothing is imported."""

    file_digest: str = Field(description="SHA-256 of the uploaded file.")
    file_name: str = Field(max_length=250, description="The file's name; its ending tells the format.")
    format: str | None = Field(None, max_length=50, description="Format, where the ending does not tell it.")
    columns: dict[str, str | list[str]] | None = Field(None, description="As in a recipe's training_data.")


class DatasetDeleteRows(Camel):
    """A wish for a version without some rows; older versions keep them."""

    row_ids: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        min_length=1, max_length=100_000, description="Ids of the rows, as `datasets.rows` shows them."
    )


class DatasetRestore(Camel):
    """A wish to make an older version the newest."""

    version: str = Field(min_length=1, max_length=40, description="Its number, its tag, or @ and a time.")


class DatasetTagging(Camel):
    """A name for a version; a version that had it loses it."""

    tag: str = Field(max_length=40, description="The name, such as gold; no number.")
    version: str | None = Field(None, max_length=40, description="Number, tag, or @ and a time; none: the newest.")


class DatasetView(Camel):
    """A dataset."""

    id: str
    name: str
    description: str
    current_version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class DatasetVersionView(Camel):
    """A version of a dataset."""

    id: str
    reference: str
    version: int
    digest: str = Field(description="SHA-256 over the sorted pairs of row id and row hash.")
    status: str = Field(description="ready or erased.")
    current: bool = Field(description="Whether the dataset's name alone means it.")
    successor_id: str | None = Field(description="The version that follows an erased one.")
    tags: list[str] = Field(description="Names that were given to it.")
    shape: str = Field(description="chat, completion, preference, prompt, classification, text or table.")
    rows: dict[str, int] = Field(description="Number of rows by split.")
    total_samples: int
    size_bytes: int
    parent: int | None = Field(description="The version that was changed, where it was no import of its own.")
    change: str = Field(description="import, append, merge, delete, restore, compact or erase.")
    source_digest: str | None
    quarantined: int = Field(description="Rows set aside because they could not be used.")
    quarantine_digest: str | None
    created_by: str
    created_at: datetime


class RowView(Camel):
    """A row."""

    row_id: str
    split: str
    line: int = Field(description="Line of the source file.")
    row: dict[str, Any]


class RowChangeView(Camel):
    """A row that differs between two versions."""

    row_id: str
    change: Literal["added", "removed", "changed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class DifferenceView(Camel):
    """What differs between two versions of a dataset."""

    before: str
    after: str
    added: int
    removed: int
    changed: int
    rows: list[RowChangeView] = Field(description="Some of the rows that differ, by their ids.")


class SourceRecord(Camel):
    """A source of a version's rows."""

    type: str = Field(description="file, url, hub, croissant, web_scrape, public_dataset, licensed, ...")
    url: str | None
    name: str = Field(description="Name of its file.")
    description: str
    license: str | None = Field(description="SPDX expression.")
    digest: str = Field(description="SHA-256 of the file, by which it is kept.")
    sample_count: int = Field(description="Rows that were read from it, before sanitising.")
    collected_at: datetime = Field(description="As whoever brought it says; else when it was imported.")
    imported_at: datetime
    details: dict[str, Any] = Field(description="What else is known, such as the commit that was fetched.")


class ComplianceFlags(Camel):
    """What is known of persons and laws; null where nobody looked."""

    pii_detected: bool | None
    pii_removed: bool | None = Field(description="Whether all that was found was redacted; null if nothing was found.")
    gdpr_compliant: bool | None
    ccpa_compliant: bool | None
    certifications: list[str]


class ProvenanceStep(PreprocessingStep):
    """What one step did, under R1's name for it."""

    step: str = Field(description="`deduplication`, `pii_removal`, or the name here where R1 has none.")
    name: str = Field(description="Its name here, such as `redact_pii` in a recipe.")


class Provenance(Camel):
    """Where a dataset version came from and what was done to it (R1)."""

    id: str = Field(description="Id of the version.")
    tenant_id: str
    dataset_id: str
    dataset_name: str
    dataset_version: str
    sources: list[SourceRecord]
    collection_date: datetime = Field(description="When the newest of the sources was collected.")
    preprocessing_steps: list[ProvenanceStep]
    quality_metrics: dict[str, Any]
    compliance: ComplianceFlags
    licensing: LicenseVerdict
    total_samples: int
    total_tokens: int | None = Field(description="Null where no tokenizer was named.")
    checksum: str = Field(description="SHA-256 over the sorted pairs of row id and row hash.")
    storage_path: str = Field(description="The version's entry in the dataset's Delta log, below the tenant's tables.")
    storage_size: int = Field(description="Bytes of its files.")
    created_at: datetime
    updated_at: datetime
    last_validated_at: datetime | None = Field(description="When its compliance was last looked at; null: never.")


class CardView(Camel):
    """A dataset card."""

    reference: str
    markdown: str


class SanitizerView(Camel):
    """A sanitising step that a recipe may name."""

    name: str
    description: str
    removes_rows: bool = Field(description="Whether it may take rows away.")
    parameters: dict[str, Any] = Field(description="Its parameters, as properties of a JSON Schema.")
    required: list[str] = Field(description="Parameters that must be given.")


class JobStarted(Camel):
    """The job that does the work; ``jobs.get`` and ``jobs.events`` tell how far it is."""

    job_id: str
