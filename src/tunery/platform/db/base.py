"""What every table shares: identifiers, aware times, JSON, the tenant it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tunery.kit.clock import now
from tunery.kit.ids import new_id

__all__ = ["Base", "Identified", "Json", "TenantOwned", "Timestamp", "Uuid", "names_blobs"]

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON column: JSONB on Postgres, text on SQLite."""

Uuid = sa.Uuid(as_uuid=False)
"""An identifier column: native on Postgres, 32 characters on SQLite, text with hyphens in Python."""


class Timestamp(sa.TypeDecorator[datetime]):
    """An aware UTC time. SQLite has no zone, so it is kept there in UTC and made aware again when read."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times must be aware; use tunery.kit.clock.now()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The root of all tables; constraint names are fixed so that migrations can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: Timestamp(), dict[str, Any]: Json, list[Any]: Json, list[str]: Json}


def names_blobs(as_long_as: Callable[[Any], sa.ColumnElement[bool]] | None = None) -> dict[str, Any]:
    """Return the ``info`` of a column that holds digests of files: the store keeps every file that a row names.

    Args:
        as_long_as: From the mapped class to the condition under which a row's names count; None: they always do.
    """
    return {"names_blobs": as_long_as or (lambda _: sa.true())}


class Identified:
    """Mixin: a UUIDv7 ``id`` and the times of making and last change."""

    id: Mapped[str] = mapped_column(Uuid, primary_key=True, default=new_id, sort_order=-20)
    created_at: Mapped[datetime] = mapped_column(Timestamp(), default=now, sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(Timestamp(), default=now, onupdate=now, sort_order=91)


class TenantOwned:
    """Mixin: the row belongs to one tenant; sessions of other tenants cannot see it."""

    tenant_id: Mapped[str] = mapped_column(
        Uuid, sa.ForeignKey("tenants.id", ondelete="RESTRICT"), index=True, sort_order=-10
    )
