"""The recipe's sections ``training_data`` and ``sanitize``, and the options of an import that they make up."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tunery.datasets.formats import IMPORTERS
from tunery.datasets.formats.encodings import check_encoding
from tunery.datasets.origins import Origin
from tunery.datasets.quarantine import OnError
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep
from tunery.datasets.shapes import ColumnMap
from tunery.datasets.sources import HubSource, UrlSource
from tunery.errors import InvalidInput, NotFound
from tunery.kit.faults import faults_of
from tunery.kit.references import check_name, slug

__all__ = ["AnyStep", "ImportOptions", "RowOptions", "SanitizeSection", "TrainingData"]

if TYPE_CHECKING:
    AnyStep: TypeAlias = SanitizeStep
else:
    AnyStep = Annotated[reduce(or_, (step for _, step in SANITIZERS)), Field(discriminator="step")]

SanitizeSection: TypeAlias = list[AnyStep]
"""The recipe's section ``sanitize``: steps in order, each ``{step: <name>, ...parameters}``."""


class RowOptions(BaseModel):
    """How the rows of a file are read and dealt out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str | None = Field(
        None, description="Name of the importer, such as `jsonl`; none: told by the file's ending."
    )
    encoding: str | None = Field(
        None,
        max_length=50,
        description="How a text file is written, such as `cp1252`; none: UTF-8, or as its byte order mark says.",
    )
    key: str | None = Field(None, min_length=1, description="Column that names a row; none: ids made of the content.")
    columns: dict[str, str | list[str]] | None = Field(
        None,
        description="Which columns of the file make up a shape (messages and tools; prompt and completion; prompt, "
        "chosen and rejected; prompt; text and label; text), such as `{prompt: question, completion: answer}`; several "
        "are joined by a blank line. None: told by rule.",
    )
    on_error: OnError = Field(
        "stop", description="A row that cannot be used: `stop` the import, or `quarantine` it, counted and kept."
    )
    validation_split: float | int = Field(
        0.1, description="Part of the rows for validation: a fraction, or a number of rows. 0: none."
    )
    test_split: float | int = Field(
        0.1, description="Part of the rows held out for evaluation: a fraction, or a number of rows. 0: none."
    )
    split_column: str | None = Field(
        None,
        min_length=1,
        description="Column that says the split of each row: train, validation (val, valid, dev) or test. It is kept "
        "as the split alone, and nothing else is held out. A merged row takes the split that its new self says.",
    )
    subject_columns: tuple[str, ...] = Field(
        (), description="Columns that name the person a row is about, such as a customer's number; found again by it."
    )
    subject_index: bool = Field(
        True, description="Whether rows are found again by the identifiers in them, for tracing and erasure."
    )

    tokenizer: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="Whose tokens the provenance record counts: a model, as `model.base_model` names it, or an "
        "uploaded tokenizer.json as `file:DIGEST.json`; none: they are not counted.",
    )

    @model_validator(mode="before")
    @classmethod
    def _holds_nothing_else_out(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("split_column"):
            return {"validation_split": 0, "test_split": 0} | values
        return values

    @model_validator(mode="after")
    def _says_splits_once(self) -> Self:
        if self.split_column and (self.validation_split or self.test_split):
            raise ValueError("split_column says the split of each row; leave validation_split and test_split out")
        named = (self.columns or {}).values()
        mapped = [each for some in named for each in ([some] if isinstance(some, str) else some)]
        if self.split_column and self.split_column in (self.key, *self.subject_columns, *mapped):
            raise ValueError(f"the split column {self.split_column!r} is taken out of the rows, so it is nothing else")
        return self

    @field_validator("validation_split", "test_split", mode="before")
    @classmethod
    def _is_a_share(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("must be a fraction of the rows (0.1) or a number of rows (200)")
        if not value >= 0 or (isinstance(value, float) and value >= 1):
            raise ValueError("a fraction lies from 0.0 to below 1.0; a number of rows is written without a point")
        return value

    @field_validator("format")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                IMPORTERS.get(name)
            except NotFound as error:
                raise ValueError(error.message) from error
        return name

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, name: str | None) -> str | None:
        try:
            return check_encoding(name) if name is not None else None
        except InvalidInput as error:
            raise ValueError(error.message) from error

    @field_validator("columns")
    @classmethod
    def _make_up_a_shape(cls, columns: dict[str, str | list[str]] | None) -> dict[str, str | list[str]] | None:
        if columns is not None:
            try:
                ColumnMap.declared(columns)
            except InvalidInput as error:
                raise ValueError(error.message) from error
        return columns


class ImportOptions(RowOptions):
    """How a file becomes a dataset version. Equal options and equal bytes make an equal version."""

    shape: Literal["table"] | None = Field(
        None,
        description="`table`: rows of any columns, to be read and queried; nothing is held out of it unless it is "
        "said. None: a shape that a model learns from, by `columns` or told by rule.",
    )
    sanitize: SanitizeSection = Field(default_factory=list, description="Sanitising steps, in order.")
    seed: int = Field(0, ge=0, lt=2**63, description="Which of the possible splits.")

    @model_validator(mode="before")
    @classmethod
    def _holds_nothing_of_a_table_out(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("shape") == "table":
            return {"validation_split": 0, "test_split": 0} | values
        return values

    @model_validator(mode="after")
    def _is_a_table_or_has_columns(self) -> ImportOptions:
        if self.shape and self.columns:
            raise ValueError("columns make up a shape to learn from, and shape: table has none; leave one of them out")
        return self


class TrainingData(RowOptions, Origin):
    """The recipe's section ``training_data``: R5's four keys, and what they leave open."""

    source: Literal["file", "hub", "url", "dataset"] = Field(
        "file",
        description="Where the rows come from: a file, a dataset of the Hub, a file at a web address, or a version of "
        "a dataset that is here already, as it stands.",
    )
    path: str = Field(
        min_length=1,
        max_length=4096,
        description="Path of the file, from the recipe's folder where it is relative; `owner/name` on the Hub; the "
        "address; or the version: `name`, `name:2` or `name:gold`, and a run keeps to the version that this is. What "
        "stands at an address may change: `tunery run --again` fetches it again.",
    )
    revision: str | None = Field(
        None, description="Of the Hub: branch, tag or commit; none: the main branch. A run keeps to the commit it is."
    )
    config: str | None = Field(None, description="Of the Hub: configuration; none: the default one.")
    split: str | None = Field(None, description="Of the Hub: split to read; none: train, or the only one.")
    name: str | None = Field(None, description="Name of the dataset; none: made of the path.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                check_name(name)
            except InvalidInput as error:
                raise ValueError(error.message) from error
        return name

    @model_validator(mode="after")
    def _names_a_source(self) -> TrainingData:
        if self.source != "hub" and any((self.revision, self.config, self.split)):
            raise ValueError("revision, config and split are of a dataset of the Hub (source: hub)")
        if self.source == "dataset":
            fields = type(self).model_fields.items()
            changed = [
                name for name, field in fields if getattr(self, name) != field.get_default(call_default_factory=True)
            ]
            if given := sorted({*changed} - {"source", "path"}):
                raise ValueError(
                    f"a version of a dataset is taken as it stands (source: dataset); leave out {given[0]}"
                )
        if self.source != "file" and self.url is not None:
            raise ValueError("url tells where a file was got from (source: file); of other sources it is known")
        try:
            _ = self.elsewhere
        except ValidationError as error:
            first = faults_of(error.errors())[0]
            raise ValueError(f"{first['path']} {first['message']}") from error
        return self

    @property
    def elsewhere(self) -> HubSource | UrlSource | None:
        """Where the rows are fetched from; none if they are in a file or here already."""
        if self.source == "hub":
            return HubSource(path=self.path, revision=self.revision, config=self.config, split=self.split)
        return UrlSource(path=self.path) if self.source == "url" else None

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        path = self.path.partition("?")[0] if self.source == "url" else self.path.replace("\\", "/")
        return path.rsplit("/", 1)[-1]

    @property
    def dataset_name(self) -> str:
        """The dataset's name, as given or made of the path."""
        stem = self.file_name if self.source == "hub" else self.file_name.rsplit(".", 1)[0]
        return self.name or slug(stem) or "dataset"

    def import_options(self, sanitize: SanitizeSection, seed: int) -> ImportOptions:
        """Return the options of the import, with the recipe's other sections that bear on it."""
        own = {name: getattr(self, name) for name in RowOptions.model_fields}
        return ImportOptions(**own, sanitize=sanitize, seed=seed)
