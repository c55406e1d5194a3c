"""The graph as answers show it (R1: nodes and edges)."""

from __future__ import annotations

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["EdgeView", "GraphView", "NodeView"]


class NodeView(Camel):
    """A node."""

    id: str = Field(description="Id of the thing itself.")
    type: str = Field(description="source, dataset_version, run, base_model, model_version, evaluation or deployment.")
    name: str
    digest: str | None = None


class EdgeView(Camel):
    """An edge: ``from`` went into ``to``."""

    from_: str = Field(alias="from")
    to: str
    relation_type: str


class GraphView(Camel):
    """Everything that a thing came from, and what came from it."""

    nodes: list[NodeView]
    edges: list[EdgeView]
