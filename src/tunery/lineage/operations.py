"""Write the graph, and walk it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError as Duplicate

from tunery.lineage.schemas import EdgeView, GraphView, NodeView
from tunery.lineage.tables import LineageEdge, LineageNode
from tunery.platform.blobs.index import in_parts
from tunery.platform.db import TenantSession

__all__ = ["Node", "descendants", "graph_of", "link", "place"]

_FARTHEST = 1000


@dataclass(frozen=True)
class Node:
    """A thing of the graph: its kind, its id, the name people know it by, and its SHA-256 where it has one."""

    kind: str
    ref: str
    name: str = ""
    digest: str | None = None


def place(session: TenantSession, node: Node) -> None:
    """Record a thing that has no edges yet. Repeating it changes nothing."""
    _row(session, node)


def link(session: TenantSession, source: Node, target: Node, relation: str) -> None:
    """Record that ``source`` went into ``target``. Repeating it changes nothing."""
    source_id, target_id = _row(session, source).id, _row(session, target).id
    statement = sa.select(LineageEdge).where(
        LineageEdge.source_id == source_id, LineageEdge.target_id == target_id, LineageEdge.relation == relation
    )
    if session.scalars(statement).one_or_none() is None:
        _insert(session, LineageEdge(source_id=source_id, target_id=target_id, relation=relation))


def graph_of(session: TenantSession, kind: str, ref: str, depth: int = 10) -> GraphView:
    """Return what a thing came from and what came from it, at most ``depth`` edges away; empty if it is unknown."""
    start = _find(session, kind, ref)
    if start is None:
        return GraphView(nodes=[], edges=[])
    edges: dict[str, LineageEdge] = {}
    _walk(session, {start.id}, depth, edges, upwards=True)
    _walk(session, {start.id}, depth, edges, upwards=False)
    ids = {start.id} | {e.source_id for e in edges.values()} | {e.target_id for e in edges.values()}
    rows = {node.id: node for node in _nodes(session, ids)}
    return GraphView(
        nodes=[NodeView(id=n.ref, type=n.kind, name=n.name, digest=n.digest) for n in rows.values()],
        edges=[
            EdgeView(**{"from": rows[e.source_id].ref, "to": rows[e.target_id].ref, "relation_type": e.relation})
            for e in edges.values()
        ],
    )


def descendants(session: TenantSession, kind: str, refs: Collection[str]) -> list[Node]:
    """Return everything that came from any of some things of a kind, at any distance."""
    named = sa.select(LineageNode.id).where(LineageNode.kind == kind)
    parts = (named.where(LineageNode.ref.in_(part)) for part in in_parts(refs))
    starts = {node_id for some in parts for node_id in session.scalars(some)}
    edges: dict[str, LineageEdge] = {}
    _walk(session, starts, _FARTHEST, edges, upwards=False)
    rows = _nodes(session, {edge.target_id for edge in edges.values()})
    return [Node(row.kind, row.ref, row.name, row.digest) for row in sorted(rows, key=lambda row: row.id)]


def _nodes(session: TenantSession, ids: Iterable[str]) -> Iterator[LineageNode]:
    for part in in_parts(ids):
        yield from session.scalars(sa.select(LineageNode).where(LineageNode.id.in_(part)))


def _walk(session: TenantSession, front: set[str], depth: int, edges: dict[str, LineageEdge], *, upwards: bool) -> None:
    here, there = (
        (LineageEdge.target_id, LineageEdge.source_id) if upwards else (LineageEdge.source_id, LineageEdge.target_id)
    )
    seen = set(front)
    for _ in range(depth):
        parts = (sa.select(LineageEdge).where(here.in_(part)) for part in in_parts(front))
        found = [edge for some in parts for edge in session.scalars(some)]
        edges.update({edge.id: edge for edge in found})
        front = {getattr(edge, there.key) for edge in found} - seen
        seen |= front
        if not front:
            return


def _find(session: TenantSession, kind: str, ref: str) -> LineageNode | None:
    statement = sa.select(LineageNode).where(LineageNode.kind == kind, LineageNode.ref == ref)
    return session.scalars(statement).one_or_none()


def _row(session: TenantSession, node: Node) -> LineageNode:
    row = _find(session, node.kind, node.ref)
    if row is None:
        _insert(session, LineageNode(kind=node.kind, ref=node.ref, name=node.name or node.ref, digest=node.digest))
        row = _find(session, node.kind, node.ref)
        assert row is not None
    return row


def _insert(session: TenantSession, row: LineageNode | LineageEdge) -> None:
    """Insert a row, or leave it where another session has inserted its like since we looked."""
    session.flush()
    try:
        with session.begin_nested():
            session.add(row)
    except Duplicate:
        return
