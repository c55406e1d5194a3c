"""Where rows come from, as whoever brings them says it; R1's sources of a provenance record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field

from tunery.datasets.licensing.expressions import License

__all__ = ["Account", "Origin", "SourceType", "When"]

SourceType: TypeAlias = Literal[
    "file", "url", "hub", "croissant", "web_scrape", "public_dataset", "licensed", "user_data", "generated"
]
When: TypeAlias = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]
"""A time; one without a zone is UTC."""


class Account(BaseModel):
    """What is said of the rows of one import, wherever they come from."""

    license: License | None = Field(
        None, description="The data's licence as an SPDX expression, such as `CC-BY-4.0` or `MIT OR Apache-2.0`."
    )
    description: str = Field("", max_length=10_000, description="What the data is, for the provenance record.")
    source_type: SourceType | None = Field(
        None,
        description="How the data came to be: `web_scrape`, `public_dataset`, `licensed`, `user_data` or `generated`; "
        "none: `file`, or `url`, `hub` or `croissant` as it was fetched.",
    )
    collected_at: When | None = Field(None, description="When it was collected; none: when it was imported.")


class Origin(Account):
    """What is said of the rows of an uploaded file."""

    url: str | None = Field(None, max_length=2000, description="Where the data was got from; noted, never fetched.")
