"""Nodes and edges of the lineage graph.

Written in the transaction of the deed that made the thing; never changed. Crash: both or neither. Erasure: a node's
name may be blanked, its id stays, so that the graph stays whole. A node has one tenant; edges never cross tenants.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid

__all__ = ["LineageEdge", "LineageNode"]


class LineageNode(Identified, TenantOwned, Base):
    """A thing that others came from, or that came from others."""

    __tablename__ = "lineage_nodes"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "kind", "ref"),)

    kind: Mapped[str] = mapped_column(sa.String(40))
    ref: Mapped[str] = mapped_column(sa.String(200))
    name: Mapped[str] = mapped_column(sa.String(400))
    digest: Mapped[str | None] = mapped_column(sa.String(64))


class LineageEdge(Identified, TenantOwned, Base):
    """``source`` went into ``target``."""

    __tablename__ = "lineage_edges"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "source_id", "target_id", "relation"),)

    source_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("lineage_nodes.id"), index=True)
    target_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("lineage_nodes.id"), index=True)
    relation: Mapped[str] = mapped_column(sa.String(40))
