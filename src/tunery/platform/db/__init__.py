"""The database: SQLite or Postgres, sessions bound to one tenant, migrations."""

from tunery.platform.db.base import Base, Identified, Json, TenantOwned, Timestamp, names_blobs
from tunery.platform.db.database import Database
from tunery.platform.db.pages import Page, page_of, row_of
from tunery.platform.db.session import TenantSession, compare_and_set

__all__ = [
    "Base",
    "Database",
    "Identified",
    "Json",
    "Page",
    "TenantOwned",
    "TenantSession",
    "Timestamp",
    "compare_and_set",
    "names_blobs",
    "page_of",
    "row_of",
]
