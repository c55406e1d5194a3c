"""Where rows come from besides an uploaded file: each source is fetched once, into the store, by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tunery.errors import TuneryError
from tunery.kit.references import HUB_ID
from tunery.platform.fetching import check_url

if TYPE_CHECKING:
    from tunery.datasets.schemas import ImportOptions
    from tunery.platform.ground import Ground

__all__ = ["Errand", "HubSource", "Source", "SourceFile", "UrlSource"]


class HubSource(BaseModel):
    """A dataset of the Hugging Face Hub. Only its data files are fetched; code of it is never run."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"required": ["source", "path"]})

    source: Literal["hub"] = Field("hub", description="The Hub.")
    path: str = Field(description="`owner/name`.")
    revision: str | None = Field(None, max_length=100, description="Branch, tag or commit; none: the main branch.")
    config: str | None = Field(None, max_length=200, description="Which configuration; none: the default one.")
    split: str | None = Field(None, max_length=200, description="Which split; none: train, or the only one.")

    @field_validator("path")
    @classmethod
    def _is_an_id(cls, path: str) -> str:
        if "@" in path or not HUB_ID.fullmatch(path):
            raise ValueError("must be a repository of the Hub: owner/name")
        return path

    @field_validator("revision")
    @classmethod
    def _is_a_revision(cls, revision: str | None) -> str | None:
        if revision is not None and not HUB_ID.fullmatch(f"a/b@{revision}"):
            raise ValueError("is no branch, tag or commit")
        return revision


class UrlSource(BaseModel):
    """A file at a public web address."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"required": ["source", "path"]})

    source: Literal["url"] = Field("url", description="A web address.")
    path: str = Field(max_length=2000, description="The address; https, or http.")

    @field_validator("path")
    @classmethod
    def _may_be_fetched(cls, path: str) -> str:
        try:
            check_url(path)
        except TuneryError as error:
            raise ValueError(error.message) from error
        return path


Source: TypeAlias = Annotated[HubSource | UrlSource, Field(discriminator="source")]


@dataclass(frozen=True)
class SourceFile:
    """A source as a file in the store.

    Attributes:
        digest: SHA-256 of its bytes.
        file_name: A name whose ending tells the format.
        url: Where it came from, with what pins it.
        license: The licence that the source names, if it does.
        details: What the provenance record keeps besides: files, commit, media type.
        joined: Whether it was made of several, and so is JSON lines in UTF-8, whatever these are.
    """

    digest: str
    file_name: str
    url: str
    license: str | None
    details: dict[str, Any]
    joined: bool = False

    def read_with(self, options: ImportOptions) -> ImportOptions:
        """Return how the rows of this file are read."""
        return options.model_copy(update={"format": None, "encoding": None}) if self.joined else options


class Errand(Protocol):
    """Who sends for a source: a job, or whoever waits for the answer."""

    @property
    def ground(self) -> Ground:
        """Where the store is."""

    @property
    def tenant_id(self) -> str:
        """Whose store it is."""

    def progress(self, data: dict[str, Any], *, always: bool = True) -> None:
        """Hear how far it is."""

    def cancelled(self) -> bool:
        """Tell whether it shall end."""
